// WebP by libwebp; of an animation, the first frame on its canvas.
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

cm_failure cm_probe_webp(const uint8_t *bytes, size_t count, cm_info *info) {
    WebPData data = {bytes, count};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    if (!demuxer || state == WEBP_DEMUX_PARSE_ERROR) {
        WebPDemuxDelete(demuxer);
        return cm_fail(CM_CORRUPT, "its container is damaged");
    }
    if (state < WEBP_DEMUX_PARSED_HEADER) {
        WebPDemuxDelete(demuxer);
        return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
    }
    uint32_t flags = WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS);
    info->width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    info->height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    info->is_animated = (flags & ANIMATION_FLAG) != 0;
    info->has_alpha = (flags & ALPHA_FLAG) != 0;
    WebPIterator frame;
    if (WebPDemuxGetFrame(demuxer, 1, &frame)) {
        info->has_alpha |= frame.has_alpha;
        WebPDemuxReleaseIterator(&frame);
    }
    WebPChunkIterator chunk;
    if ((flags & EXIF_FLAG) && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        const uint8_t *exif = chunk.chunk.bytes;
        size_t size = chunk.chunk.size;
        // Some writers keep JPEG's prefix in front of the TIFF structure.
        size_t prefix = size >= 6 && !memcmp(exif, "Exif\0\0", 6) ? 6 : 0;
        info->orientation = cm_exif_orientation(exif + prefix, size - prefix);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return cm_ok();
}

static cm_failure explain(VP8StatusCode status) {
    switch (status) {
        case VP8_STATUS_OK: return cm_ok();
        case VP8_STATUS_OUT_OF_MEMORY: return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
        case VP8_STATUS_NOT_ENOUGH_DATA:
        case VP8_STATUS_SUSPENDED: return cm_fail(CM_TRUNCATED, "the file ends before the picture does");
        case VP8_STATUS_UNSUPPORTED_FEATURE: return cm_fail(CM_UNSUPPORTED, "it uses an unknown feature of the format");
        default: return cm_fail(CM_CORRUPT, "its compressed data is damaged");
    }
}

cm_failure cm_decode_webp(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out) {
    WebPData data = {bytes, count};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    WebPIterator frame;
    memset(&frame, 0, sizeof frame);
    // The whole container must be there: what orients the picture may come last.
    if (!demuxer || state != WEBP_DEMUX_DONE || !WebPDemuxGetFrame(demuxer, 1, &frame)) {
        WebPDemuxDelete(demuxer);
        return cm_fail(CM_TRUNCATED, "the file ends before the picture does");
    }
    cm_failure failure = cm_ok();
    uint8_t *rgba = NULL;
    size_t stride = (size_t)info->width * 3;
    WebPDecoderConfig config;
    int fits = frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width > 0 && frame.height > 0 &&
        frame.x_offset + frame.width <= info->width && frame.y_offset + frame.height <= info->height;
    if (!frame.complete) {
        failure = cm_fail(CM_TRUNCATED, "the file ends before the picture does");
    } else if (!fits || !WebPInitDecoderConfig(&config)) {
        failure = cm_fail(CM_CORRUPT, "its first frame lies outside the picture");
    } else if ((failure = explain(WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &config.input))).status) {
    } else if (config.input.width != frame.width || config.input.height != frame.height) {
        failure = cm_fail(CM_CORRUPT, "it declares two different sizes");
    } else {
        // What the first frame leaves uncovered is transparent black.
        if (frame.width != info->width || frame.height != info->height)
            memset(out, policy == CM_OVER_WHITE ? 255 : 0, stride * (size_t)info->height);
        uint8_t *corner = out + (size_t)frame.y_offset * stride + (size_t)frame.x_offset * 3;
        int blends = policy == CM_OVER_WHITE && config.input.has_alpha;
        config.output.is_external_memory = 1;
        if (blends) {
            size_t row = (size_t)frame.width * 4;
            rgba = malloc(row * (size_t)frame.height);
            config.output.colorspace = MODE_RGBA;
            config.output.u.RGBA.rgba = rgba;
            config.output.u.RGBA.stride = (int)row;
            config.output.u.RGBA.size = row * (size_t)frame.height;
        } else {
            config.output.colorspace = MODE_RGB;
            config.output.u.RGBA.rgba = corner;
            config.output.u.RGBA.stride = (int)stride;
            config.output.u.RGBA.size = stride * (size_t)(frame.height - 1) + (size_t)frame.width * 3;
        }
        if (blends && !rgba) {
            failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
        } else {
            failure = explain(WebPDecode(frame.fragment.bytes, frame.fragment.size, &config));
            WebPFreeDecBuffer(&config.output);
        }
        for (int y = 0; blends && failure.status == CM_OK && y < frame.height; y++) {
            const uint8_t *from = rgba + (size_t)y * (size_t)frame.width * 4;
            uint8_t *to = corner + (size_t)y * stride;
            for (int x = 0; x < frame.width; x++, from += 4, to += 3)
                for (int c = 0; c < 3; c++) to[c] = cm_over_white(from[c], from[3]);
        }
    }
    free(rgba);
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    return failure;
}
