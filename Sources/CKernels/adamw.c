// AdamW over fp32 master weights: clipping, the step and the rounding to bf16 in one pass over memory, which is what
// bounds it.
#include "common.h"

enum { sumBlock = 1 << 16 };

size_t ck_square_sum_count(size_t count) { return (count + sumBlock - 1) / sumBlock; }

/// Sixteen fp32 sums over spans too short to lose digits, added up in fp64.
CK_INLINE double square_sum(const float *values, size_t count) {
    double total = 0;
    for (size_t start = 0; start < count; start += 4096) {
        size_t end = ck_min(start + 4096, count), i = start;
        float sums[16] = {0};
        for (; i + 16 <= end; i += 16)
            for (size_t j = 0; j < 16; j++) sums[j] += values[i + j] * values[i + j];
        for (size_t j = 0; i < end; i++, j++) sums[j] += values[i] * values[i];
        for (size_t j = 0; j < 16; j++) total += (double)sums[j];
    }
    return total;
}

CK_INLINE void square_sums(const float *values, size_t count, double *sums, size_t begin, size_t end) {
    for (size_t block = begin; block < end; block++)
        sums[block] = square_sum(values + block * sumBlock, ck_min(sumBlock, count - block * sumBlock));
}

/// What the elements of one step share, worked out in fp64 as the library does.
typedef struct factors {
    float scale, keep, one, beta2, two, rate, root, epsilon;
} factors;

static factors factors_of(const ck_adamw_settings *s) {
    double correction1 = 1 - pow(s->beta1, s->step), correction2 = 1 - pow(s->beta2, s->step);
    return (factors){
        .scale = (float)s->gradientScale,
        .keep = (float)(1 - s->rate * s->weightDecay),
        .one = (float)(1 - s->beta1),
        .beta2 = (float)s->beta2,
        .two = (float)(1 - s->beta2),
        .rate = (float)(s->rate / correction1),
        .root = (float)sqrt(correction2),
        .epsilon = (float)s->epsilon,
    };
}

#define CK_ADAMW_PARAMETERS \
    float *master, const void *gradient, bool isBfloat16, float *first, float *second, ck_bfloat16 *weights, \
        factors f, size_t begin, size_t end
#define CK_ADAMW_ARGUMENTS master, gradient, isBfloat16, first, second, weights, f, begin, end

#if defined(__x86_64__)
CK_AVX512_INLINE void adamw_vectors(CK_ADAMW_PARAMETERS) {
    __m512 scale = _mm512_set1_ps(f.scale), keep = _mm512_set1_ps(f.keep), one = _mm512_set1_ps(f.one);
    __m512 beta2 = _mm512_set1_ps(f.beta2), two = _mm512_set1_ps(f.two), rate = _mm512_set1_ps(f.rate);
    __m512 root = _mm512_set1_ps(f.root), epsilon = _mm512_set1_ps(f.epsilon);
    for (size_t i = begin; i < end; i += 16) {
        __mmask16 mask = ck_mask16(end - i);
        __m512 g = isBfloat16
                       ? ck_widen(_mm256_maskz_loadu_epi16(mask, (const ck_bfloat16 *)gradient + i))
                       : _mm512_maskz_loadu_ps(mask, (const float *)gradient + i);
        g = _mm512_mul_ps(g, scale);
        __m512 m = _mm512_maskz_loadu_ps(mask, first + i), v = _mm512_maskz_loadu_ps(mask, second + i);
        m = _mm512_fmadd_ps(_mm512_sub_ps(g, m), one, m);
        v = _mm512_fmadd_ps(_mm512_mul_ps(g, g), two, _mm512_mul_ps(v, beta2));
        __m512 divisor = _mm512_add_ps(_mm512_div_ps(_mm512_sqrt_ps(v), root), epsilon);
        __m512 p = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, master + i), keep);
        p = _mm512_fnmadd_ps(rate, _mm512_div_ps(m, divisor), p);
        _mm512_mask_storeu_ps(first + i, mask, m);
        _mm512_mask_storeu_ps(second + i, mask, v);
        _mm512_mask_storeu_ps(master + i, mask, p);
        if (weights) _mm256_mask_storeu_epi16(weights + i, mask, ck_narrow(p));
    }
}
CK_AVX512 static void adamw_avx512(CK_ADAMW_PARAMETERS) {
    if (isBfloat16) adamw_vectors(master, gradient, true, first, second, weights, f, begin, end);
    else adamw_vectors(master, gradient, false, first, second, weights, f, begin, end);
}
CK_AVX512 static void square_sums_avx512(const float *values, size_t count, double *sums, size_t begin, size_t end) {
    square_sums(values, count, sums, begin, end);
}
#endif

CK_INLINE void adamw_simply(CK_ADAMW_PARAMETERS) {
    for (size_t i = begin; i < end; i++) {
        float g = isBfloat16 ? ck_to_float(((const ck_bfloat16 *)gradient)[i]) : ((const float *)gradient)[i];
        g *= f.scale;
        float m = first[i] + (g - first[i]) * f.one, v = second[i] * f.beta2 + g * g * f.two;
        float p = master[i] * f.keep - f.rate * (m / (sqrtf(v) / f.root + f.epsilon));
        first[i] = m;
        second[i] = v;
        master[i] = p;
        if (weights) weights[i] = ck_from_float(p);
    }
}

void ck_square_sums_f32(const float *values, size_t count, double *sums, size_t begin, size_t end) {
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) {
        square_sums_avx512(values, count, sums, begin, end);
        return;
    }
#endif
    square_sums(values, count, sums, begin, end);
}

void ck_adamw(
    float *master, const void *gradient, bool isBfloat16, float *first, float *second, ck_bfloat16 *weights,
    const ck_adamw_settings *settings, size_t begin, size_t end) {
    factors f = factors_of(settings);
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) {
        adamw_avx512(CK_ADAMW_ARGUMENTS);
        return;
    }
#endif
    adamw_simply(CK_ADAMW_ARGUMENTS);
}
