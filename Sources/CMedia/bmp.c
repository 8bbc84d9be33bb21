// Windows bitmaps: the format is simple enough that reading it here is less risk than one more library.
#include "internal.h"

#include <string.h>

struct header {
    size_t size, pixels, palette, palette_entry;
    int64_t width, height;
    int bottom_up;
    uint32_t depth, compression, colours;
    uint32_t masks[4];
};

enum { UNCOMPRESSED = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3, ALPHA_BITFIELDS = 6 };

static cm_failure read_header(const uint8_t *bytes, size_t count, struct header *h) {
    memset(h, 0, sizeof *h);
    if (count < 26) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
    h->pixels = cm_le32(bytes + 10);
    h->size = cm_le32(bytes + 14);
    if (h->size > count - 14) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
    if (h->size == 12) {
        h->width = cm_le16(bytes + 18);
        h->height = cm_le16(bytes + 20);
        h->depth = cm_le16(bytes + 24);
        h->palette_entry = 3;
        h->bottom_up = 1;
    } else if (h->size >= 40) {
        int64_t height = (int32_t)cm_le32(bytes + 22);
        h->width = (int32_t)cm_le32(bytes + 18);
        h->bottom_up = height > 0;
        h->height = height < 0 ? -height : height;
        h->depth = cm_le16(bytes + 28);
        h->compression = cm_le32(bytes + 30);
        h->colours = cm_le32(bytes + 46);
        h->palette_entry = 4;
    } else {
        return cm_fail(CM_UNSUPPORTED, "it has a header of the OS/2 kind");
    }
    h->palette = 14 + h->size;
    if (h->compression == BITFIELDS || h->compression == ALPHA_BITFIELDS) {
        // A 40-byte header has its masks behind it, a longer one inside; both are 54 bytes into the file.
        size_t masks = h->compression == ALPHA_BITFIELDS || h->size >= 56 ? 4 : 3;
        if (count < 54 + masks * 4) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
        for (size_t index = 0; index < masks; index++) h->masks[index] = cm_le32(bytes + 54 + index * 4);
        if (h->size == 40) h->palette += masks * 4;
    } else if (h->depth == 16) {
        h->masks[0] = 0x7C00, h->masks[1] = 0x03E0, h->masks[2] = 0x001F;
    } else {
        h->masks[0] = 0xFF0000, h->masks[1] = 0xFF00, h->masks[2] = 0xFF;
    }
    uint32_t d = h->depth, c = h->compression;
    int known = c == UNCOMPRESSED ? d == 1 || d == 4 || d == 8 || d == 16 || d == 24 || d == 32
        : c == RLE8               ? d == 8
        : c == RLE4               ? d == 4
                                  : (c == BITFIELDS || c == ALPHA_BITFIELDS) && (d == 16 || d == 32);
    if (!known) return cm_fail(CM_UNSUPPORTED, "it uses a rare depth or compression");
    return cm_ok();
}

cm_failure cm_probe_bmp(const uint8_t *bytes, size_t count, cm_info *info) {
    struct header h;
    cm_failure failure = read_header(bytes, count, &h);
    info->width = h.width;
    info->height = h.height;
    info->has_alpha = h.masks[3] != 0;
    return failure;
}

/// The bits of `value` under `mask`, widened or narrowed to 8.
static uint8_t masked(uint32_t value, uint32_t mask) {
    if (!mask) return 0;
    int shift = __builtin_ctz(mask);
    uint64_t top = mask >> shift, bits = (value & mask) >> shift;
    return (uint8_t)(bits * 255 / top);
}

static cm_failure decode_runs(
    const uint8_t *bytes, size_t count, const struct header *h, const uint8_t palette[256][3], uint8_t *out) {
    int64_t x = 0, y = 0;
    size_t at = h->pixels;
    cm_failure truncated = cm_fail(CM_TRUNCATED, "the file ends before the picture does");
    // Pixels that no run reaches have the first colour.
    for (int64_t pixel = 0; pixel < h->width * h->height; pixel++) memcpy(out + pixel * 3, palette[0], 3);
    while (1) {
        if (at > count || count - at < 2) return truncated;
        uint32_t first = bytes[at], second = bytes[at + 1];
        at += 2;
        if (first == 0 && second == 1) return cm_ok();
        if (first == 0 && second == 0) {
            x = 0, y++;
            continue;
        }
        if (first == 0 && second == 2) {
            if (count - at < 2) return truncated;
            x += bytes[at], y += bytes[at + 1];
            at += 2;
            continue;
        }
        int literal = first == 0;
        uint32_t run = literal ? second : first;
        size_t used = literal ? (h->depth == 8 ? run : (run + 1) / 2) : 0;
        if (count - at < used) return truncated;
        for (uint32_t index = 0; index < run; index++, x++) {
            uint32_t byte = literal ? bytes[at + (h->depth == 8 ? index : index / 2)] : second;
            uint32_t colour = h->depth == 8 ? byte : index % 2 ? byte & 15 : byte >> 4;
            if (x >= h->width || y >= h->height) continue;
            memcpy(out + ((h->bottom_up ? h->height - 1 - y : y) * h->width + x) * 3, palette[colour], 3);
        }
        at += used + (used & 1);
    }
}

cm_failure cm_decode_bmp(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out) {
    struct header h;
    cm_failure failure = read_header(bytes, count, &h);
    if (failure.status != CM_OK) return failure;
    if (h.width != info->width || h.height != info->height) return cm_fail(CM_CORRUPT, "it declares two sizes");
    uint8_t palette[256][3] = {{0}};
    if (h.depth <= 8) {
        size_t colours = h.colours && h.colours <= 256 ? h.colours : (size_t)1 << h.depth;
        if (h.palette > count) return cm_fail(CM_TRUNCATED, "the file ends inside its palette");
        for (size_t index = 0; index < colours; index++) {
            size_t at = h.palette + index * h.palette_entry;
            if (count - at < h.palette_entry) return cm_fail(CM_TRUNCATED, "the file ends inside its palette");
            for (int c = 0; c < 3; c++) palette[index][c] = bytes[at + 2 - (size_t)c];
        }
    }
    if (h.compression == RLE8 || h.compression == RLE4) return decode_runs(bytes, count, &h, palette, out);
    size_t stride = ((size_t)h.width * h.depth + 31) / 32 * 4;
    if (h.pixels > count || (count - h.pixels) / stride < (size_t)h.height)
        return cm_fail(CM_TRUNCATED, "the file ends before the picture does");
    for (int64_t y = 0; y < h.height; y++) {
        const uint8_t *from = bytes + h.pixels + (size_t)(h.bottom_up ? h.height - 1 - y : y) * stride;
        uint8_t *to = out + y * h.width * 3;
        for (int64_t x = 0; x < h.width; x++, to += 3) {
            if (h.depth <= 8) {
                uint32_t per_byte = 8 / h.depth, place = (uint32_t)(x % per_byte);
                uint32_t index = from[x / per_byte] >> (8 - h.depth * (place + 1)) & ((1u << h.depth) - 1);
                memcpy(to, palette[index], 3);
            } else if (h.depth == 24) {
                to[0] = from[x * 3 + 2], to[1] = from[x * 3 + 1], to[2] = from[x * 3];
            } else {
                uint32_t value = h.depth == 16 ? cm_le16(from + x * 2) : cm_le32(from + x * 4);
                uint32_t alpha = h.masks[3] ? masked(value, h.masks[3]) : 255;
                for (int c = 0; c < 3; c++) {
                    uint8_t channel = masked(value, h.masks[c]);
                    to[c] = policy == CM_OVER_WHITE ? cm_over_white(channel, alpha) : channel;
                }
            }
        }
    }
    return cm_ok();
}
