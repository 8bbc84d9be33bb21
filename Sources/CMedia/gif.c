// The first frame of a GIF by giflib.
#include "internal.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

/// Skips sub-blocks from `at`; returns where they end, or 0 where the file ends first.
static size_t skip_blocks(const uint8_t *bytes, size_t count, size_t at) {
    while (at < count) {
        size_t length = bytes[at++];
        if (length == 0) return at;
        if (length > count - at) return 0;
        at += length;
    }
    return 0;
}

cm_failure cm_probe_gif(const uint8_t *bytes, size_t count, cm_info *info) {
    cm_failure early = cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
    if (count < 13) return early;
    size_t at = 13, frames = 0;
    if (bytes[10] & 0x80) at += (size_t)3 << ((bytes[10] & 7) + 1);
    while (at < count && bytes[at] != 0x3B && frames < 2) {
        uint8_t kind = bytes[at++];
        if (kind == 0x21) {
            if (count - at < 1) break;
            // The transparency bit of the graphic control that precedes the first frame.
            if (frames == 0 && bytes[at] == 0xF9 && count - at >= 3 && (bytes[at + 2] & 1)) info->has_alpha = 1;
            at = skip_blocks(bytes, count, at + 1);
        } else if (kind == 0x2C) {
            if (count - at < 9) break;
            if (frames++ == 0) {
                // As Pillow: a first frame larger than the screen enlarges the screen.
                int64_t right = cm_le16(bytes + at) + cm_le16(bytes + at + 4);
                int64_t bottom = cm_le16(bytes + at + 2) + cm_le16(bytes + at + 6);
                int64_t width = cm_le16(bytes + 6), height = cm_le16(bytes + 8);
                info->width = right > width ? right : width;
                info->height = bottom > height ? bottom : height;
            }
            uint8_t flags = bytes[at + 8];
            at += 9;
            if (flags & 0x80) at += (size_t)3 << ((flags & 7) + 1);
            if (at + 1 >= count) break;
            at = skip_blocks(bytes, count, at + 1);
        } else {
            break;
        }
        if (at == 0) break;
    }
    if (frames == 0) return early;
    info->is_animated = frames > 1;
    return cm_ok();
}

struct source {
    const uint8_t *at;
    size_t left;
    int ended;
};

static int on_read(GifFileType *gif, GifByteType *to, int count) {
    struct source *source = gif->UserData;
    if (count < 0 || (size_t)count > source->left) {
        source->ended = 1;
        return 0;
    }
    memcpy(to, source->at, (size_t)count);
    source->at += count;
    source->left -= (size_t)count;
    return count;
}

/// Finds the first frame and the transparent index (or -1) that holds for it.
static int find_frame(GifFileType *gif, int *transparent) {
    GifRecordType record;
    *transparent = -1;
    while (DGifGetRecordType(gif, &record) == GIF_OK) {
        if (record == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif) == GIF_OK;
        if (record != EXTENSION_RECORD_TYPE) return 0;
        int code;
        GifByteType *block;
        if (DGifGetExtension(gif, &code, &block) != GIF_OK) return 0;
        while (block) {
            if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4) *transparent = block[1] & 1 ? block[4] : -1;
            if (DGifGetExtensionNext(gif, &block) != GIF_OK) return 0;
        }
    }
    return 0;
}

cm_failure cm_decode_gif(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out) {
    struct source source = {bytes, count, 0};
    int code = 0, transparent = -1;
    cm_failure damaged = cm_fail(CM_CORRUPT, "its compressed data is damaged");
    cm_failure truncated = cm_fail(CM_TRUNCATED, "the file ends before the picture does");
    GifFileType *gif = DGifOpen(&source, on_read, &code);
    if (!gif) return source.ended ? truncated : damaged;
    if (!find_frame(gif, &transparent)) {
        DGifCloseFile(gif, &code);
        return source.ended ? truncated : damaged;
    }
    int64_t left = gif->Image.Left, top = gif->Image.Top, width = gif->Image.Width, height = gif->Image.Height;
    if (width < 1 || height < 1 || left + width > info->width || top + height > info->height) {
        DGifCloseFile(gif, &code);
        return cm_fail(CM_CORRUPT, "its first frame lies outside the picture");
    }
    // Without any palette an index is a grey level.
    ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
    uint8_t colours[256][3];
    for (int index = 0; index < 256; index++) {
        int known = map && index < map->ColorCount;
        colours[index][0] = known ? map->Colors[index].Red : map ? 0 : (uint8_t)index;
        colours[index][1] = known ? map->Colors[index].Green : map ? 0 : (uint8_t)index;
        colours[index][2] = known ? map->Colors[index].Blue : map ? 0 : (uint8_t)index;
    }
    if (transparent >= 0 && policy == CM_OVER_WHITE) memset(colours[transparent], 255, 3);
    const uint8_t *background = colours[transparent >= 0 ? transparent : 0];
    for (int64_t pixel = 0; pixel < info->width * info->height; pixel++) memcpy(out + pixel * 3, background, 3);
    cm_failure failure = cm_ok();
    uint8_t *line = malloc((size_t)width);
    if (!line) failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    static const int first_row[4] = {0, 4, 2, 1}, row_step[4] = {8, 8, 4, 2};
    int passes = gif->Image.Interlace ? 4 : 1;
    for (int pass = 0; pass < passes && failure.status == CM_OK; pass++) {
        int64_t step = passes == 4 ? row_step[pass] : 1;
        for (int64_t y = passes == 4 ? first_row[pass] : 0; y < height && failure.status == CM_OK; y += step) {
            if (DGifGetLine(gif, line, (int)width) != GIF_OK) {
                failure = source.ended ? truncated : damaged;
                break;
            }
            uint8_t *to = out + ((top + y) * info->width + left) * 3;
            for (int64_t x = 0; x < width; x++, to += 3) memcpy(to, colours[line[x]], 3);
        }
    }
    free(line);
    DGifCloseFile(gif, &code);
    return failure;
}
