// The first picture of a TIFF by libtiff. Rows of grey, RGB and CMYK are read as they are; everything else
// (palettes, tiles, planes, fax, YCbCr) through libtiff's own conversion to RGBA.
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

struct source {
    const uint8_t *bytes;
    size_t count, at;
    int passed_end;
};

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t count) {
    struct source *source = handle;
    size_t left = source->at < source->count ? source->count - source->at : 0;
    size_t give = (size_t)count < left ? (size_t)count : left;
    if (give < (size_t)count) source->passed_end = 1;
    memcpy(to, source->bytes + (give ? source->at : 0), give);
    source->at += give;
    return (tmsize_t)give;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t count) {
    (void)handle, (void)from, (void)count;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int origin) {
    struct source *source = handle;
    source->at = origin == SEEK_CUR ? source->at + offset : origin == SEEK_END ? source->count + offset : offset;
    return source->at;
}

static int on_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle) { return ((struct source *)handle)->count; }

static int on_message(TIFF *tiff, void *data, const char *module, const char *format, va_list arguments) {
    (void)tiff, (void)data, (void)module, (void)format, (void)arguments;
    return 1;
}

static TIFF *open_tiff(struct source *source) {
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_message, NULL);
    // A strip or table of a picture within the pixel limit never needs more; a damaged header may ask for anything.
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)1 << 30);
    // "m" keeps libtiff from mapping.
    TIFF *tiff = TIFFClientOpenExt(
        "picture", "rm", source, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

static cm_failure explain(const struct source *source) {
    return source->passed_end ? cm_fail(CM_TRUNCATED, "the file ends before the picture does")
                              : cm_fail(CM_CORRUPT, "its header or data is damaged");
}

/// Whether the tables that decoding needs lie within the file. libtiff goes on without one that does not, and shows
/// palette indices as grey levels, for instance.
static int tables_fit(const uint8_t *bytes, size_t count) {
    int little = bytes[0] == 'I';
#define U16(p) (little ? cm_le16(p) : cm_be16(p))
#define U32(p) (little ? cm_le32(p) : cm_be32(p))
    if (count < 8) return 0;
    size_t at = U32(bytes + 4);
    if (at > count || count - at < 2) return 0;
    size_t entries = U16(bytes + at);
    at += 2;
    if ((count - at) / 12 < entries) return 0;
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    for (; entries > 0; entries--, at += 12) {
        uint32_t tag = U16(bytes + at), type = U16(bytes + at + 2);
        int needed = tag == TIFFTAG_BITSPERSAMPLE || tag == TIFFTAG_STRIPOFFSETS || tag == TIFFTAG_STRIPBYTECOUNTS ||
            tag == TIFFTAG_COLORMAP || tag == TIFFTAG_TILEOFFSETS || tag == TIFFTAG_TILEBYTECOUNTS ||
            tag == TIFFTAG_JPEGTABLES || tag == TIFFTAG_EXTRASAMPLES;
        uint64_t size = (uint64_t)U32(bytes + at + 4) * (type < sizeof sizes ? sizes[type] : 1);
        size_t offset = U32(bytes + at + 8);
        if (needed && size > 4 && (offset > count || size > count - offset)) return 0;
    }
#undef U16
#undef U32
    return 1;
}

cm_failure cm_probe_tiff(const uint8_t *bytes, size_t count, cm_info *info) {
    if (!tables_fit(bytes, count)) return cm_fail(CM_TRUNCATED, "the file ends before its tables do");
    struct source source = {bytes, count, 0, 0};
    TIFF *tiff = open_tiff(&source);
    if (!tiff) return explain(&source);
    uint32_t width = 0, height = 0;
    uint16_t orientation = 1, extra = 0, *kinds = NULL;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extra, &kinds) && extra > 0 && kinds[0] != EXTRASAMPLE_UNSPECIFIED)
        info->has_alpha = 1;
    info->width = width;
    info->height = height;
    info->orientation = orientation;
    TIFFClose(tiff);
    return cm_ok();
}

/// How a row of 8-bit or 16-bit samples becomes RGB.
struct layout {
    int colours, samples, depth, has_alpha;
    cm_policy policy;
};

static void convert_row(const struct layout *layout, const uint8_t *from, uint8_t *to, int64_t width) {
    const uint16_t *wide = (const uint16_t *)from;
    for (int64_t x = 0; x < width; x++, from += layout->samples, wide += layout->samples, to += 3) {
        uint8_t values[5] = {0};
        for (int index = 0; index < layout->samples; index++) {
            if (layout->depth == 8) values[index] = from[index];
            // Pillow clips 16-bit grey, and takes the high byte of 16-bit colours.
            else if (layout->samples == 1 && layout->policy == CM_AS_PILLOW) values[0] = wide[0] > 255 ? 255 : wide[0];
            else values[index] = (uint8_t)(wide[index] >> 8);
        }
        for (int c = 0; c < 3; c++) {
            if (layout->colours == 4) {
                int value = 255 - values[3] - (int)cm_muldiv255(values[c], 255u - values[3]);
                to[c] = (uint8_t)(value < 0 ? 0 : value);
            } else {
                to[c] = values[layout->colours == 3 ? c : 0];
            }
            if (layout->has_alpha && layout->policy == CM_OVER_WHITE)
                to[c] = cm_over_white(to[c], values[layout->colours]);
        }
    }
}

/// Rows of grey, RGB or CMYK with at most one further sample; 0 where the file is of another kind.
static int read_plain(TIFF *tiff, const cm_info *info, cm_policy policy, uint8_t *out, cm_failure *failure) {
    uint16_t bits = 1, samples = 1, photometric = 0, planar = PLANARCONFIG_CONTIG, format = SAMPLEFORMAT_UINT;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric)) return 0;
    int colours = photometric == PHOTOMETRIC_RGB       ? 3
        : photometric == PHOTOMETRIC_MINISBLACK ? 1
        : photometric == PHOTOMETRIC_SEPARATED  ? 4
                                                : 0;
    if (!colours || (bits != 8 && bits != 16) || planar != PLANARCONFIG_CONTIG || format != SAMPLEFORMAT_UINT ||
        TIFFIsTiled(tiff))
        return 0;
    uint16_t extra = 0, *kinds = NULL;
    int known = TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extra, &kinds);
    int has_alpha = known && extra > 0 && kinds[0] != EXTRASAMPLE_UNSPECIFIED;
    if (samples < colours || samples > colours + 1) return 0;
    if (has_alpha && (samples == colours || kinds[0] == EXTRASAMPLE_ASSOCALPHA)) return 0;
    size_t stride = (size_t)info->width * samples * (bits / 8);
    if (TIFFScanlineSize64(tiff) != stride) return 0;
    uint8_t *row = malloc(stride);
    if (!row) {
        *failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
        return 1;
    }
    struct layout layout = {colours, samples, bits, has_alpha, policy};
    for (int64_t y = 0; y < info->height; y++) {
        if (TIFFReadScanline(tiff, row, (uint32_t)y, 0) != 1) {
            *failure = explain(TIFFClientdata(tiff));
            break;
        }
        convert_row(&layout, row, out + y * info->width * 3, info->width);
    }
    free(row);
    return 1;
}

/// libtiff's own conversion; its colours come multiplied by alpha.
static cm_failure read_converted(TIFF *tiff, const cm_info *info, cm_policy policy, uint8_t *out) {
    char message[1024];
    TIFFRGBAImage image;
    if (!TIFFRGBAImageOK(tiff, message)) return cm_fail(CM_UNSUPPORTED, "it uses a rare kind of samples");
    if (!TIFFRGBAImageBegin(&image, tiff, 1, message)) return explain(TIFFClientdata(tiff));
    cm_failure failure = cm_ok();
    size_t pixels = (size_t)info->width * (size_t)info->height;
    uint32_t *rgba = malloc(pixels * sizeof *rgba);
    // Rows as stored: orientation is applied later, and only if the policy says so.
    image.req_orientation = image.orientation;
    if (!rgba) {
        failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    } else if (!TIFFRGBAImageGet(&image, rgba, (uint32_t)info->width, (uint32_t)info->height)) {
        failure = explain(TIFFClientdata(tiff));
    } else {
        for (size_t pixel = 0; pixel < pixels; pixel++, out += 3) {
            uint32_t value = rgba[pixel], alpha = TIFFGetA(value);
            uint32_t channels[3] = {TIFFGetR(value), TIFFGetG(value), TIFFGetB(value)};
            for (int c = 0; c < 3; c++) {
                uint32_t channel = channels[c];
                if (policy == CM_OVER_WHITE) channel += 255 - alpha;
                out[c] = (uint8_t)(channel > 255 ? 255 : channel);
            }
        }
    }
    free(rgba);
    TIFFRGBAImageEnd(&image);
    return failure;
}

cm_failure cm_decode_tiff(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out) {
    struct source source = {bytes, count, 0, 0};
    TIFF *tiff = open_tiff(&source);
    if (!tiff) return explain(&source);
    uint32_t width = 0, height = 0;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    cm_failure failure = cm_ok();
    if (width != info->width || height != info->height) failure = cm_fail(CM_CORRUPT, "it declares two sizes");
    else if (!read_plain(tiff, info, policy, out, &failure)) failure = read_converted(tiff, info, policy, out);
    TIFFClose(tiff);
    return failure;
}
