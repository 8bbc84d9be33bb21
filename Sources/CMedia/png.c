// PNG by libpng. Pixels are turned into RGB here rather than by libpng's colour transforms, because Pillow's rules
// (16-bit grey clipped, alpha dropped) are not among them.
#include "internal.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

cm_failure cm_probe_png(const uint8_t *bytes, size_t count, cm_info *info) {
    if (count < 33) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
    if (memcmp(bytes + 12, "IHDR", 4) || cm_be32(bytes + 8) != 13) return cm_fail(CM_CORRUPT, "its header is damaged");
    uint32_t width = cm_be32(bytes + 16), height = cm_be32(bytes + 20);
    if (width > 0x7FFFFFFF || height > 0x7FFFFFFF) return cm_fail(CM_CORRUPT, "its header declares an impossible size");
    info->width = width;
    info->height = height;
    info->has_alpha = bytes[25] & 4;
    // The chunks after the picture count too: EXIF may follow it.
    for (size_t at = 33; count - at >= 8;) {
        size_t length = cm_be32(bytes + at);
        const uint8_t *name = bytes + at + 4;
        if (length > count - at - 8) break;
        if (!memcmp(name, "tRNS", 4)) info->has_alpha = 1;
        if (!memcmp(name, "acTL", 4)) info->is_animated = 1;
        if (!memcmp(name, "eXIf", 4)) info->orientation = cm_exif_orientation(bytes + at + 8, length);
        if (!memcmp(name, "IEND", 4) || count - at - 8 - length < 4) break;
        at += 12 + length;
    }
    info->has_alpha = info->has_alpha != 0;
    return cm_ok();
}

struct source {
    const uint8_t *at;
    size_t left;
    cm_failure failure;
};

static void on_read(png_structp png, png_bytep to, size_t count) {
    struct source *source = png_get_io_ptr(png);
    if (count > source->left) {
        source->failure = cm_fail(CM_TRUNCATED, "the file ends before the picture does");
        png_error(png, "end");
    }
    memcpy(to, source->at, count);
    source->at += count;
    source->left -= count;
}

static void on_error(png_structp png, png_const_charp message) {
    (void)message;
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

/// How one row of decoded samples becomes RGB.
struct layout {
    int channels, is_palette, is_wide_grey;
    cm_policy policy;
    uint8_t palette[256][3];
};

static void convert_row(const struct layout *layout, const uint8_t *from, uint8_t *to, size_t width) {
    int over_white = layout->policy == CM_OVER_WHITE;
    if (layout->is_palette) {
        for (size_t x = 0; x < width; x++, to += 3) memcpy(to, layout->palette[from[x]], 3);
    } else if (layout->is_wide_grey) {
        for (size_t x = 0; x < width; x++, from += 2, to += 3) {
            uint8_t grey = from[0] ? 255 : from[1];
            to[0] = to[1] = to[2] = grey;
        }
    } else if (layout->channels == 1) {
        for (size_t x = 0; x < width; x++, to += 3) to[0] = to[1] = to[2] = from[x];
    } else if (layout->channels == 2) {
        for (size_t x = 0; x < width; x++, from += 2, to += 3)
            to[0] = to[1] = to[2] = over_white ? cm_over_white(from[0], from[1]) : from[0];
    } else if (layout->channels == 3) {
        memcpy(to, from, width * 3);
    } else {
        for (size_t x = 0; x < width; x++, from += 4, to += 3)
            for (int c = 0; c < 3; c++) to[c] = over_white ? cm_over_white(from[c], from[3]) : from[c];
    }
}

/// The palette as RGB, mixed with white where `tRNS` says so; entries that the file leaves out are black.
static void read_palette(png_structp png, png_infop header, struct layout *layout) {
    png_colorp colours = NULL;
    png_bytep alpha = NULL;
    png_color_16p key = NULL;
    int colour_count = 0, alpha_count = 0;
    png_get_PLTE(png, header, &colours, &colour_count);
    if (layout->policy == CM_OVER_WHITE && png_get_valid(png, header, PNG_INFO_tRNS))
        png_get_tRNS(png, header, &alpha, &alpha_count, &key);
    for (int index = 0; index < colour_count && index < 256; index++) {
        uint32_t opacity = alpha && index < alpha_count ? alpha[index] : 255;
        layout->palette[index][0] = cm_over_white(colours[index].red, opacity);
        layout->palette[index][1] = cm_over_white(colours[index].green, opacity);
        layout->palette[index][2] = cm_over_white(colours[index].blue, opacity);
    }
}

static const png_byte skipped_chunks[] = "iCCP\0zTXt\0iTXt\0tEXt\0eXIf\0sPLT\0hIST\0pCAL\0sCAL\0tIME\0pHYs\0oFFs";

cm_failure cm_decode_png(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out) {
    struct source source = {bytes, count, cm_fail(CM_CORRUPT, "its compressed data is damaged")};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    png_infop header = png ? png_create_info_struct(png) : NULL;
    uint8_t *volatile samples = NULL;
    uint8_t **volatile lines = NULL;
    if (!header) {
        png_destroy_read_struct(&png, NULL, NULL);
        return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &header, NULL);
        free(samples);
        free(lines);
        return source.failure;
    }
    png_set_read_fn(png, &source, on_read);
    png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_chunk_malloc_max(png, 8 << 20);
    png_set_chunk_cache_max(png, 128);
    // Compressed text and colour profiles are where small files unpack into big ones; nothing here reads them.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped_chunks, (int)sizeof skipped_chunks / 5);
    png_read_info(png, header);
    size_t width = png_get_image_width(png, header), height = png_get_image_height(png, header);
    int depth = png_get_bit_depth(png, header), colour = png_get_color_type(png, header);
    if ((int64_t)width != info->width || (int64_t)height != info->height) png_error(png, "size");
    struct layout layout = {.policy = policy, .is_palette = colour == PNG_COLOR_TYPE_PALETTE};
    layout.is_wide_grey = colour == PNG_COLOR_TYPE_GRAY && depth == 16 && policy == CM_AS_PILLOW;
    if (layout.is_palette) {
        read_palette(png, header, &layout);
        png_set_packing(png);
    } else {
        if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
        if (policy == CM_OVER_WHITE && png_get_valid(png, header, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
        if (depth == 16 && !layout.is_wide_grey) png_set_strip_16(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, header);
    layout.channels = png_get_channels(png, header);
    size_t stride = png_get_rowbytes(png, header);
    if (stride != width * (size_t)layout.channels * (layout.is_wide_grey ? 2 : 1)) png_error(png, "layout");
    // Rows of plain RGB decode in place; others pass through a row, or through the whole picture where passes interlace.
    int in_place = layout.channels == 3 && !layout.is_palette;
    if (!in_place) {
        samples = malloc(stride * (passes > 1 ? height : 1));
        if (!samples) {
            source.failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
            png_error(png, "memory");
        }
    }
    if (passes == 1) {
        for (size_t y = 0; y < height; y++) {
            png_read_row(png, in_place ? out + y * stride : samples, NULL);
            if (!in_place) convert_row(&layout, samples, out + y * width * 3, width);
        }
    } else {
        lines = malloc(height * sizeof *lines);
        if (!lines) {
            source.failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
            png_error(png, "memory");
        }
        for (size_t y = 0; y < height; y++) lines[y] = (in_place ? out : samples) + y * stride;
        png_read_image(png, (png_bytepp)lines);
        for (size_t y = 0; !in_place && y < height; y++) convert_row(&layout, lines[y], out + y * width * 3, width);
    }
    png_destroy_read_struct(&png, &header, NULL);
    free(samples);
    free(lines);
    return cm_ok();
}
