// JPEG by libjpeg-turbo, with the settings that Pillow leaves at their defaults: slow integer DCT, fancy upsampling.
#include "internal.h"

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>
#include <stdlib.h>
#include <string.h>

cm_failure cm_probe_jpeg(const uint8_t *bytes, size_t count, cm_info *info) {
    size_t at = 2;
    int seen_exif = 0;
    while (1) {
        // A marker is FF and a code; any number of FF may pad it.
        while (at < count && bytes[at] != 0xFF) at++;
        while (at < count && bytes[at] == 0xFF) at++;
        if (at >= count) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
        uint8_t code = bytes[at++];
        if (code == 0 || code == 0x01 || (code >= 0xD0 && code <= 0xD8)) continue;
        if (code == 0xD9 || code == 0xDA) return cm_fail(CM_CORRUPT, "the picture data starts before its header");
        if (count - at < 2) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
        size_t length = cm_be16(bytes + at);
        if (length < 2) return cm_fail(CM_CORRUPT, "a header segment has an impossible length");
        int is_frame = code >= 0xC0 && code <= 0xCF && code != 0xC4 && code != 0xC8 && code != 0xCC;
        if (is_frame) {
            if (length < 8 || count - at < 8) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
            info->height = cm_be16(bytes + at + 3);
            info->width = cm_be16(bytes + at + 5);
            return cm_ok();
        }
        if (count - at < length) return cm_fail(CM_TRUNCATED, "the file ends before the picture's size");
        if (code == 0xE1 && !seen_exif && length >= 8 && !memcmp(bytes + at + 2, "Exif\0\0", 6)) {
            info->orientation = cm_exif_orientation(bytes + at + 8, length - 8);
            seen_exif = 1;
        }
        at += length;
    }
}

struct jpeg_errors {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    cm_failure failure;
    int max_scans;
};

static cm_failure explain(int code) {
    switch (code) {
        case JERR_OUT_OF_MEMORY: return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
        case JERR_INPUT_EOF:
        case JERR_INPUT_EMPTY: return cm_fail(CM_TRUNCATED, "the file ends before the picture does");
        case JERR_BAD_PRECISION: return cm_fail(CM_UNSUPPORTED, "it has samples of other than 8 bits");
        case JERR_ARITH_NOTIMPL: return cm_fail(CM_UNSUPPORTED, "it uses arithmetic coding");
        case JERR_SOF_UNSUPPORTED: return cm_fail(CM_UNSUPPORTED, "it uses a lossless or hierarchical mode");
        case JERR_CONVERSION_NOTIMPL: return cm_fail(CM_UNSUPPORTED, "its colours cannot be turned into RGB");
        case JERR_NO_HUFF_TABLE: return cm_fail(CM_CORRUPT, "a Huffman table is missing");
        case JERR_NO_QUANT_TABLE: return cm_fail(CM_CORRUPT, "a quantisation table is missing");
        case JERR_BAD_HUFF_TABLE: return cm_fail(CM_CORRUPT, "a Huffman table is damaged");
        case JERR_EMPTY_IMAGE: return cm_fail(CM_CORRUPT, "its header declares a picture without pixels");
        case JERR_IMAGE_TOO_BIG: return cm_fail(CM_TOO_LARGE, "a side is longer than 65,500 pixels");
        default: return cm_fail(CM_CORRUPT, "its header or data is damaged");
    }
}

static void on_error(j_common_ptr state) {
    struct jpeg_errors *errors = (struct jpeg_errors *)state->err;
    errors->failure = explain(state->err->msg_code);
    longjmp(errors->escape, 1);
}

/// Warnings that mean lost pixels are failures: a picture that is half grey must not pass for the whole one.
static void on_message(j_common_ptr state, int level) {
    if (level >= 0) return;
    struct jpeg_errors *errors = (struct jpeg_errors *)state->err;
    switch (state->err->msg_code) {
        case JWRN_JPEG_EOF:
            errors->failure = cm_fail(CM_TRUNCATED, "the file ends before the picture does");
            longjmp(errors->escape, 1);
        case JWRN_HIT_MARKER:
        case JWRN_HUFF_BAD_CODE:
        case JWRN_MUST_RESYNC:
        case JWRN_BOGUS_PROGRESSION:
            errors->failure = cm_fail(CM_CORRUPT, "its compressed data is damaged");
            longjmp(errors->escape, 1);
        default: break;
    }
}

static void on_output(j_common_ptr state) { (void)state; }

/// A progressive file may repeat scans without end, each costing a pass over the whole picture. Real ones have about
/// ten; what is tolerated shrinks with the size, so that a small file cannot buy minutes of work.
static void on_progress(j_common_ptr state) {
    if (!state->is_decompressor) return;
    struct jpeg_errors *errors = (struct jpeg_errors *)state->err;
    if (((j_decompress_ptr)state)->input_scan_number > errors->max_scans) {
        errors->failure = cm_fail(CM_CORRUPT, "it has more scans than any picture needs");
        longjmp(errors->escape, 1);
    }
}

/// CMYK as Adobe writes it, inverted, to RGB in Pillow's arithmetic.
static void cmyk_row(const uint8_t *from, uint8_t *to, size_t width) {
    for (size_t x = 0; x < width; x++, from += 4, to += 3) {
        uint32_t black = from[3];
        for (int c = 0; c < 3; c++) {
            int value = (int)black - (int)cm_muldiv255(255u - from[c], black);
            to[c] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

cm_failure cm_decode_jpeg(const uint8_t *bytes, size_t count, const cm_info *info, int eighths, uint8_t *out) {
    struct jpeg_decompress_struct state;
    struct jpeg_errors errors;
    struct jpeg_progress_mgr progress;
    uint8_t *volatile rows = NULL;
    memset(&state, 0, sizeof state);
    memset(&progress, 0, sizeof progress);
    state.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    errors.base.output_message = on_output;
    errors.failure = cm_fail(CM_CORRUPT, "its header or data is damaged");
    int64_t scans = 1000000000 / (info->width * info->height);
    errors.max_scans = scans < 40 ? 40 : scans > 500 ? 500 : (int)scans;
    progress.progress_monitor = on_progress;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&state);
        free(rows);
        return errors.failure;
    }
    jpeg_create_decompress(&state);
    state.progress = &progress;
    jpeg_mem_src(&state, (unsigned char *)bytes, (unsigned long)count);
    jpeg_read_header(&state, TRUE);
    if ((int64_t)state.image_width != info->width || (int64_t)state.image_height != info->height) {
        errors.failure = cm_fail(CM_CORRUPT, "it declares two different sizes");
        longjmp(errors.escape, 1);
    }
    int is_cmyk = state.num_components == 4;
    if (state.num_components != 1 && state.num_components != 3 && !is_cmyk) {
        errors.failure = cm_fail(CM_UNSUPPORTED, "it has two or more than four colour components");
        longjmp(errors.escape, 1);
    }
    state.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    state.scale_num = (unsigned)eighths;
    state.scale_denom = 8;
    jpeg_start_decompress(&state);
    int64_t width = (info->width * eighths + 7) / 8, height = (info->height * eighths + 7) / 8;
    if ((int64_t)state.output_width != width || (int64_t)state.output_height != height) {
        errors.failure = cm_fail(CM_CORRUPT, "it declares two different sizes");
        longjmp(errors.escape, 1);
    }
    size_t stride = (size_t)width * 3;
    JSAMPROW lines[16];
    if (is_cmyk) {
        rows = malloc((size_t)width * 4);
        if (!rows) {
            errors.failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
            longjmp(errors.escape, 1);
        }
    }
    while (state.output_scanline < state.output_height) {
        size_t first = state.output_scanline;
        if (is_cmyk) {
            lines[0] = rows;
            jpeg_read_scanlines(&state, lines, 1);
            cmyk_row(rows, out + first * stride, (size_t)width);
        } else {
            JDIMENSION left = state.output_height - state.output_scanline, ask = left < 16 ? left : 16;
            for (JDIMENSION line = 0; line < ask; line++) lines[line] = out + (first + line) * stride;
            jpeg_read_scanlines(&state, lines, ask);
        }
    }
    jpeg_finish_decompress(&state);
    jpeg_destroy_decompress(&state);
    free(rows);
    return cm_ok();
}
