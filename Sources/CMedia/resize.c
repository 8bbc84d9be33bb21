// Resizing in two passes, the portable kernels, and the choice among the faster ones.
#include "resize.h"

#include <stdlib.h>
#include <string.h>

enum { PADDING = 64 };

void cm_horizontal_portable(
    const uint8_t *rows, int64_t stride, int64_t row_count, const struct cm_weights *weights, uint8_t *out,
    int64_t out_stride) {
    for (int64_t y = 0; y < row_count; y++, rows += stride, out += out_stride) {
        for (int64_t o = 0; o < weights->count; o++) {
            const uint8_t *from = rows + (int64_t)weights->first[o] * 3;
            const int32_t *weight = weights->fixed + o * weights->room;
            int32_t red = 1 << (CM_PRECISION - 1), green = red, blue = red;
            for (int32_t x = 0; x < weights->used[o]; x++, from += 3) {
                red += from[0] * weight[x];
                green += from[1] * weight[x];
                blue += from[2] * weight[x];
            }
            out[o * 3] = cm_clip(red);
            out[o * 3 + 1] = cm_clip(green);
            out[o * 3 + 2] = cm_clip(blue);
        }
    }
}

static void horizontal_grey(
    const uint8_t *rows, int64_t stride, int64_t row_count, const struct cm_weights *weights, uint8_t *out,
    int64_t out_stride) {
    for (int64_t y = 0; y < row_count; y++, rows += stride, out += out_stride) {
        for (int64_t o = 0; o < weights->count; o++) {
            const uint8_t *from = rows + weights->first[o];
            const int32_t *weight = weights->fixed + o * weights->room;
            int32_t sum = 1 << (CM_PRECISION - 1);
            for (int32_t x = 0; x < weights->used[o]; x++) sum += from[x] * weight[x];
            out[o] = cm_clip(sum);
        }
    }
}

void cm_vertical_portable(
    const uint8_t *rows, int64_t stride, int64_t bytes, const struct cm_weights *weights, int64_t position,
    uint8_t *out) {
    enum { BLOCK = 64 };
    const int32_t *weight = weights->fixed + position * weights->room;
    int32_t used = weights->used[position];
    for (int64_t at = 0; at < bytes; at += BLOCK) {
        int64_t count = bytes - at < BLOCK ? bytes - at : BLOCK;
        int32_t sums[BLOCK];
        for (int64_t x = 0; x < count; x++) sums[x] = 1 << (CM_PRECISION - 1);
        for (int32_t y = 0; y < used; y++) {
            const uint8_t *from = rows + y * stride + at;
            for (int64_t x = 0; x < count; x++) sums[x] += from[x] * weight[y];
        }
        for (int64_t x = 0; x < count; x++) out[at + x] = cm_clip(sums[x]);
    }
}

int cm_path_available(cm_path path) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (path == CM_PATH_AVX2) return __builtin_cpu_supports("avx2");
    if (path == CM_PATH_AVX512_VNNI)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#endif
    return path == CM_PATH_BEST || path == CM_PATH_PORTABLE;
}

static cm_path best_path(void) {
    if (cm_path_available(CM_PATH_AVX512_VNNI)) return CM_PATH_AVX512_VNNI;
    if (cm_path_available(CM_PATH_AVX2)) return CM_PATH_AVX2;
    return CM_PATH_PORTABLE;
}

static cm_failure out_of_memory(void) {
    return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to resize the picture");
}

/// Pillow takes nearest through its affine transform, which adds up the step instead of multiplying it.
static cm_failure nearest(
    const uint8_t *pixels, int64_t width, int64_t height, int channels, const float box[4], uint8_t *out,
    int64_t out_width, int64_t out_height) {
    int64_t *columns = malloc((size_t)out_width * sizeof *columns);
    if (!columns) return out_of_memory();
    double step_x = (double)(box[2] - box[0]) / (double)out_width;
    double step_y = (double)(box[3] - box[1]) / (double)out_height;
    double x_in = box[0] + step_x * 0.5, y_in = box[1] + step_y * 0.5;
    for (int64_t x = 0; x < out_width; x++, x_in += step_x) {
        int64_t column = x_in < 0.0 ? -1 : (int64_t)x_in;
        columns[x] = column < width ? column : -1;
    }
    for (int64_t y = 0; y < out_height; y++, y_in += step_y) {
        int64_t row = y_in < 0.0 ? -1 : (int64_t)y_in;
        uint8_t *to = out + y * out_width * channels;
        for (int64_t x = 0; x < out_width; x++, to += channels)
            for (int c = 0; c < channels; c++)
                to[c] = columns[x] < 0 || row < 0 || row >= height
                    ? 0
                    : pixels[(row * width + columns[x]) * channels + c];
    }
    free(columns);
    return cm_ok();
}

cm_failure cm_resize(
    const uint8_t *pixels, int64_t width, int64_t height, int channels, const float box[4], cm_filter filter,
    uint8_t *out, int64_t out_width, int64_t out_height, cm_path path) {
    int across = out_width != width || box[0] != 0 || box[2] != (float)out_width;
    int down = out_height != height || box[1] != 0 || box[3] != (float)out_height;
    if (!across && !down) {
        memcpy(out, pixels, (size_t)(width * height * channels));
        return cm_ok();
    }
    if (filter == CM_NEAREST) return nearest(pixels, width, height, channels, box, out, out_width, out_height);
    if (path == CM_PATH_BEST || !cm_path_available(path)) path = best_path();
    cm_horizontal *horizontal = cm_horizontal_portable;
    cm_vertical *vertical = cm_vertical_portable;
    int (*pack)(struct cm_weights *) = NULL;
#if defined(__x86_64__)
    if (path == CM_PATH_AVX2) {
        horizontal = cm_horizontal_avx2, vertical = cm_vertical_avx2, pack = cm_pack_avx2;
    } else if (path == CM_PATH_AVX512_VNNI) {
        horizontal = cm_horizontal_vnni, vertical = cm_vertical_vnni, pack = cm_pack_vnni;
    }
#endif
    if (channels == 1) horizontal = horizontal_grey;

    struct cm_weights columns = {0}, rows = {0};
    uint8_t *middle = NULL, *padded = NULL;
    cm_failure failure = cm_ok();
    if (across) failure = cm_weights_make(&columns, width, box[0], box[2], out_width, filter, 0);
    if (failure.status == CM_OK && down) failure = cm_weights_make(&rows, height, box[1], box[3], out_height, filter, 0);
    if (failure.status == CM_OK && pack && ((across && !pack(&columns)) || (down && !pack(&rows))))
        failure = out_of_memory();
    if (failure.status != CM_OK) goto done;

    // The horizontal pass needs only the rows that the vertical one will read.
    int64_t first = 0, last = height;
    if (down) {
        first = rows.first[0];
        last = rows.first[out_height - 1] + rows.used[out_height - 1];
    }
    const uint8_t *source = pixels + first * width * channels;
    int64_t source_stride = width * channels, out_stride = out_width * channels;
    if (across) {
        uint8_t *target = out;
        if (down) {
            target = middle = malloc((size_t)((last - first) * out_stride + PADDING));
            if (!middle) {
                failure = out_of_memory();
                goto done;
            }
        }
        // Vector loads reach past a row's end: harmless inside the picture, so only its last row is copied with room.
        padded = malloc((size_t)source_stride + PADDING);
        if (!padded) {
            failure = out_of_memory();
            goto done;
        }
        // A row may be shorter than the reach, so as many rows as that takes go the padded way.
        int64_t tail = (PADDING + source_stride - 1) / source_stride, body = last - first - tail;
        if (body < 0) body = 0;
        horizontal(source, source_stride, body, &columns, target, out_stride);
        for (int64_t y = body; y < last - first; y++) {
            memcpy(padded, source + y * source_stride, (size_t)source_stride);
            memset(padded + source_stride, 0, PADDING);
            horizontal(padded, source_stride, 1, &columns, target + y * out_stride, out_stride);
        }
        source = target;
        source_stride = out_stride;
    }
    if (down)
        for (int64_t y = 0; y < out_height; y++)
            vertical(
                source + (rows.first[y] - first) * source_stride, source_stride, out_stride, &rows, y,
                out + y * out_stride);
done:
    cm_weights_free(&columns);
    cm_weights_free(&rows);
    free(middle);
    free(padded);
    return failure;
}

cm_failure cm_resize_plane(
    const float *plane, int64_t width, int64_t height, cm_filter filter, float *out, int64_t out_width,
    int64_t out_height) {
    struct cm_weights columns = {0}, rows = {0};
    float *middle = malloc((size_t)height * (size_t)out_width * sizeof *middle);
    cm_failure failure = middle ? cm_ok() : out_of_memory();
    if (failure.status == CM_OK)
        failure = cm_weights_make(&columns, width, 0, (float)width, out_width, filter, 1);
    if (failure.status == CM_OK) failure = cm_weights_make(&rows, height, 0, (float)height, out_height, filter, 1);
    if (failure.status == CM_OK) {
        for (int64_t y = 0; y < height; y++)
            for (int64_t o = 0; o < out_width; o++) {
                const float *from = plane + y * width + columns.first[o];
                const double *weight = columns.exact + o * columns.room;
                float sum = 0;
                for (int32_t x = 0; x < columns.used[o]; x++) sum += from[x] * (float)weight[x];
                middle[y * out_width + o] = sum;
            }
        for (int64_t o = 0; o < out_height; o++) {
            float *to = out + o * out_width;
            memset(to, 0, (size_t)out_width * sizeof *to);
            for (int32_t y = 0; y < rows.used[o]; y++) {
                const float *from = middle + (rows.first[o] + y) * out_width;
                float weight = (float)rows.exact[o * rows.room + y];
                for (int64_t x = 0; x < out_width; x++) to[x] += from[x] * weight;
            }
        }
    }
    cm_weights_free(&columns);
    cm_weights_free(&rows);
    free(middle);
    return failure;
}
