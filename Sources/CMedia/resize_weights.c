// The weights of Pillow's resampling (libImaging/Resample.c of Pillow 11.3), to the last bit.
#include "resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// A fused multiply-add rounds once where Pillow's builds round twice.
#pragma STDC FP_CONTRACT OFF

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double bilinear(double x) {
    if (x < 0.0) x = -x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x) {
    if (x < 0.0) x = -x;
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x = x * M_PI;
    return sin(x) / x * (0.54f + 0.46f * cos(x));
}

static double bicubic(double x) {
    const double a = -0.5;
    if (x < 0.0) x = -x;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x) {
    if (x == 0.0) return 1.0;
    x = x * M_PI;
    return sin(x) / x;
}

static double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

cm_failure cm_weights_make(
    struct cm_weights *weights, int64_t in_size, float in_start, float in_end, int64_t out_size, cm_filter filter,
    int keep_exact) {
    static double (*const kernels[])(double) = {box, box, bilinear, hamming, bicubic, lanczos};
    static const double supports[] = {0.5, 0.5, 1.0, 1.0, 2.0, 3.0};
    double (*kernel)(double) = kernels[filter];
    double scale = (double)(in_end - in_start) / (double)out_size;
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double support = supports[filter] * filter_scale;
    double inverse = 1.0 / filter_scale;
    int64_t reach = (int64_t)ceil(support) * 2 + 1;
    memset(weights, 0, sizeof *weights);
    weights->count = out_size;
    weights->room = (reach + 3) / 4 * 4;
    cm_failure failure = cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to resize the picture");
    double *row = malloc((size_t)reach * sizeof *row);
    weights->first = malloc((size_t)out_size * sizeof *weights->first);
    weights->used = malloc((size_t)out_size * sizeof *weights->used);
    weights->fixed = calloc((size_t)out_size * (size_t)weights->room, sizeof *weights->fixed);
    if (keep_exact) weights->exact = calloc((size_t)out_size * (size_t)weights->room, sizeof *weights->exact);
    if (!row || !weights->first || !weights->used || !weights->fixed || (keep_exact && !weights->exact)) {
        free(row);
        cm_weights_free(weights);
        return failure;
    }
    for (int64_t o = 0; o < out_size; o++) {
        double center = in_start + ((double)o + 0.5) * scale, sum = 0.0;
        int64_t first = (int64_t)(center - support + 0.5), end = (int64_t)(center + support + 0.5);
        if (first < 0) first = 0;
        if (end > in_size) end = in_size;
        int64_t used = end - first;
        for (int64_t x = 0; x < used; x++) {
            row[x] = kernel(((double)(x + first) - center + 0.5) * inverse);
            sum += row[x];
        }
        int32_t *fixed = weights->fixed + o * weights->room;
        for (int64_t x = 0; x < used; x++) {
            double weight = sum != 0.0 ? row[x] / sum : row[x];
            double scaled = weight * (1 << CM_PRECISION);
            fixed[x] = (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
            if (keep_exact) weights->exact[o * weights->room + x] = weight;
        }
        weights->first[o] = (int32_t)first;
        weights->used[o] = (int32_t)used;
    }
    free(row);
    return cm_ok();
}

void cm_weights_free(struct cm_weights *weights) {
    free(weights->first);
    free(weights->used);
    free(weights->fixed);
    free(weights->exact);
    free(weights->packed);
    memset(weights, 0, sizeof *weights);
}
