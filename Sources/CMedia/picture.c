// Formats by their first bytes, and the dispatch to each format's file.
#include "internal.h"

#include <string.h>

cm_format cm_sniff(const uint8_t *bytes, size_t count) {
    if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return CM_FORMAT_JPEG;
    if (count >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8)) return CM_FORMAT_PNG;
    if (count >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4)) return CM_FORMAT_WEBP;
    if (count >= 6 && (!memcmp(bytes, "GIF87a", 6) || !memcmp(bytes, "GIF89a", 6))) return CM_FORMAT_GIF;
    if (count >= 4 && (!memcmp(bytes, "II*\0", 4) || !memcmp(bytes, "MM\0*", 4))) return CM_FORMAT_TIFF;
    // Two letters are a weak sign: text may begin with them too, so the size of the next header must fit as well.
    if (count >= 18 && bytes[0] == 'B' && bytes[1] == 'M') {
        uint32_t header = cm_le32(bytes + 14);
        if (header >= 12 && header <= 256) return CM_FORMAT_BMP;
    }
    return CM_FORMAT_UNKNOWN;
}

cm_failure cm_probe(const uint8_t *bytes, size_t count, cm_info *info) {
    memset(info, 0, sizeof *info);
    info->orientation = 1;
    info->format = cm_sniff(bytes, count);
    cm_failure failure = cm_ok();
    switch (info->format) {
        case CM_FORMAT_JPEG: failure = cm_probe_jpeg(bytes, count, info); break;
        case CM_FORMAT_PNG: failure = cm_probe_png(bytes, count, info); break;
        case CM_FORMAT_WEBP: failure = cm_probe_webp(bytes, count, info); break;
        case CM_FORMAT_GIF: failure = cm_probe_gif(bytes, count, info); break;
        case CM_FORMAT_BMP: failure = cm_probe_bmp(bytes, count, info); break;
        case CM_FORMAT_TIFF: failure = cm_probe_tiff(bytes, count, info); break;
        case CM_FORMAT_UNKNOWN: return cm_fail(CM_UNKNOWN_FORMAT, "its first bytes are those of no picture format");
    }
    if (failure.status != CM_OK) return failure;
    if (info->width < 1 || info->height < 1) return cm_fail(CM_CORRUPT, "its header declares a picture without pixels");
    if (info->orientation < 1 || info->orientation > 8) info->orientation = 1;
    return cm_ok();
}

cm_failure cm_decode(
    const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, int eighths, uint8_t *out) {
    switch (info->format) {
        case CM_FORMAT_JPEG: return cm_decode_jpeg(bytes, count, info, eighths, out);
        case CM_FORMAT_PNG: return cm_decode_png(bytes, count, info, policy, out);
        case CM_FORMAT_WEBP: return cm_decode_webp(bytes, count, info, policy, out);
        case CM_FORMAT_GIF: return cm_decode_gif(bytes, count, info, policy, out);
        case CM_FORMAT_BMP: return cm_decode_bmp(bytes, count, info, policy, out);
        case CM_FORMAT_TIFF: return cm_decode_tiff(bytes, count, info, policy, out);
        case CM_FORMAT_UNKNOWN: break;
    }
    return cm_fail(CM_UNKNOWN_FORMAT, "its first bytes are those of no picture format");
}

int cm_exif_orientation(const uint8_t *tiff, size_t count) {
    if (count < 8) return 1;
    int little = !memcmp(tiff, "II*\0", 4);
    if (!little && memcmp(tiff, "MM\0*", 4)) return 1;
#define U16(p) (little ? cm_le16(p) : cm_be16(p))
#define U32(p) (little ? cm_le32(p) : cm_be32(p))
    // Only the first directory is read, so a chain of directories that loops has nothing to loop through.
    size_t at = U32(tiff + 4);
    if (at > count - 2) return 1;
    size_t entries = U16(tiff + at);
    at += 2;
    for (size_t index = 0; index < entries && count - at >= 12; index++, at += 12) {
        if (U16(tiff + at) != 0x0112) continue;
        uint32_t type = U16(tiff + at + 2), items = U32(tiff + at + 4);
        uint32_t value = type == 3 ? U16(tiff + at + 8) : type == 4 ? U32(tiff + at + 8) : 1;
        return items == 1 && value >= 1 && value <= 8 ? (int)value : 1;
    }
#undef U16
#undef U32
    return 1;
}

void cm_orient(const uint8_t *pixels, int64_t width, int64_t height, int orientation, uint8_t *out) {
    // Where source pixel (0, 0) lands in the upright picture, and the steps for one to the right and one down.
    int64_t upright_width = orientation >= 5 ? height : width, upright_height = orientation >= 5 ? width : height;
    int64_t start = 0, right = 1, down = upright_width;
    int64_t last_column = upright_width - 1, last_row = (upright_height - 1) * upright_width;
    switch (orientation) {
        case 2: start = last_column; right = -1; down = upright_width; break;
        case 3: start = last_row + last_column; right = -1; down = -upright_width; break;
        case 4: start = last_row; right = 1; down = -upright_width; break;
        case 5: start = 0; right = upright_width; down = 1; break;
        case 6: start = last_column; right = upright_width; down = -1; break;
        case 7: start = last_row + last_column; right = -upright_width; down = -1; break;
        case 8: start = last_row; right = -upright_width; down = 1; break;
        default: memcpy(out, pixels, (size_t)(width * height * 3)); return;
    }
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *from = pixels + y * width * 3;
        uint8_t *to = out + (start + y * down) * 3;
        for (int64_t x = 0; x < width; x++, from += 3, to += right * 3) {
            to[0] = from[0];
            to[1] = from[1];
            to[2] = from[2];
        }
    }
}
