// Norms over rows of bf16, alone or after a residual addition: one pass over memory where separate operations take
// three to six, and one call instead of as many.
#include "common.h"

/// The two norms differ in what they subtract and how they round.
typedef enum norm_kind { NORM_RMS, NORM_LAYER } norm_kind;

#define CK_NORM_PARAMETERS \
    norm_kind kind, const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *delta, ptrdiff_t deltaStride, \
        ck_bfloat16 *sum, ptrdiff_t sumStride, const ck_bfloat16 *weight, const ck_bfloat16 *bias, float epsilon, \
        ck_bfloat16 *y, ptrdiff_t yStride, size_t size, size_t begin, size_t end
#define CK_NORM_ARGUMENTS \
    kind, x, xStride, delta, deltaStride, sum, sumStride, weight, bias, epsilon, y, yStride, size, begin, end

#if defined(__x86_64__)

CK_AVX512_INLINE __m512 load16(const ck_bfloat16 *p, __mmask16 mask) {
    return ck_widen(_mm256_maskz_loadu_epi16(mask, p));
}

CK_AVX512 static void norm_avx512(CK_NORM_PARAMETERS) {
    for (size_t row = begin; row < end; row++) {
        const ck_bfloat16 *in = x + (ptrdiff_t)row * xStride;
        ck_bfloat16 *out = y + (ptrdiff_t)row * yStride;
        __m512 total = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
        if (delta) {
            const ck_bfloat16 *other = delta + (ptrdiff_t)row * deltaStride;
            ck_bfloat16 *to = sum + (ptrdiff_t)row * sumStride;
            for (size_t i = 0; i < size; i += 16) {
                __mmask16 mask = ck_mask16(size - i);
                __m256i added = ck_narrow(_mm512_add_ps(load16(in + i, mask), load16(other + i, mask)));
                _mm256_mask_storeu_epi16(to + i, mask, added);
                __m512 value = ck_widen(added);
                total = _mm512_add_ps(total, value);
                squares = _mm512_fmadd_ps(value, value, squares);
            }
            in = to;
        } else {
            for (size_t i = 0; i < size; i += 16) {
                __m512 value = load16(in + i, ck_mask16(size - i));
                total = _mm512_add_ps(total, value);
                squares = _mm512_fmadd_ps(value, value, squares);
            }
        }
        if (kind == NORM_RMS) {
            __m512 scale = _mm512_set1_ps(1 / sqrtf(_mm512_reduce_add_ps(squares) / (float)size + epsilon));
            for (size_t i = 0; i < size; i += 16) {
                __mmask16 mask = ck_mask16(size - i);
                __m512 value = ck_widen(ck_narrow(_mm512_mul_ps(load16(in + i, mask), scale)));
                value = _mm512_mul_ps(value, load16(weight + i, mask));
                _mm256_mask_storeu_epi16(out + i, mask, ck_narrow(value));
            }
            continue;
        }
        // Squares of what remains without the mean: their difference from the mean's square would lose digits.
        float average = _mm512_reduce_add_ps(total) / (float)size;
        __m512 mean = _mm512_set1_ps(average);
        squares = _mm512_setzero_ps();
        for (size_t i = 0; i < size; i += 16) {
            __mmask16 mask = ck_mask16(size - i);
            __m512 value = _mm512_maskz_sub_ps(mask, load16(in + i, mask), mean);
            squares = _mm512_fmadd_ps(value, value, squares);
        }
        float inverse = 1 / sqrtf(_mm512_reduce_add_ps(squares) / (float)size + epsilon);
        __m512 scale = _mm512_set1_ps(inverse);
        for (size_t i = 0; i < size; i += 16) {
            __mmask16 mask = ck_mask16(size - i);
            __m512 value = _mm512_mul_ps(_mm512_sub_ps(load16(in + i, mask), mean), scale);
            __m512 factor = weight ? load16(weight + i, mask) : _mm512_set1_ps(1);
            __m512 shift = bias ? load16(bias + i, mask) : _mm512_setzero_ps();
            _mm256_mask_storeu_epi16(out + i, mask, ck_narrow(_mm512_fmadd_ps(value, factor, shift)));
        }
    }
}

#endif

/// Sums in sixteen parts, which compilers turn into vectors.
CK_INLINE float squares_around(const ck_bfloat16 *row, size_t size, float mean) {
    float sums[16] = {0}, total = 0;
    size_t i = 0;
    for (; i + 16 <= size; i += 16)
        for (size_t j = 0; j < 16; j++) {
            float value = ck_to_float(row[i + j]) - mean;
            sums[j] += value * value;
        }
    for (size_t j = 0; i < size; i++, j++) {
        float value = ck_to_float(row[i]) - mean;
        sums[j] += value * value;
    }
    for (size_t j = 0; j < 16; j++) total += sums[j];
    return total;
}

CK_INLINE void norm_simply(CK_NORM_PARAMETERS) {
    for (size_t row = begin; row < end; row++) {
        const ck_bfloat16 *in = x + (ptrdiff_t)row * xStride;
        ck_bfloat16 *out = y + (ptrdiff_t)row * yStride;
        if (delta) {
            ck_bfloat16 *to = sum + (ptrdiff_t)row * sumStride;
            for (size_t i = 0; i < size; i++)
                to[i] = ck_from_float(ck_to_float(in[i]) + ck_to_float(delta[(ptrdiff_t)row * deltaStride + (ptrdiff_t)i]));
            in = to;
        }
        float mean = 0;
        if (kind == NORM_LAYER) {
            float sums[16] = {0};
            for (size_t i = 0; i < size; i++) sums[i % 16] += ck_to_float(in[i]);
            for (size_t j = 0; j < 16; j++) mean += sums[j];
            mean /= (float)size;
        }
        float scale = 1 / sqrtf(squares_around(in, size, mean) / (float)size + epsilon);
        for (size_t i = 0; i < size; i++) {
            float value = (ck_to_float(in[i]) - mean) * scale;
            if (kind == NORM_RMS) value = ck_round_bf16(value);
            if (weight) value *= ck_to_float(weight[i]);
            if (bias) value += ck_to_float(bias[i]);
            out[i] = ck_from_float(value);
        }
    }
}

#if defined(__x86_64__)
CK_AVX2 static void norm_avx2(CK_NORM_PARAMETERS) { norm_simply(CK_NORM_ARGUMENTS); }
#endif

static void norm(CK_NORM_PARAMETERS) {
    if (size == 0) return;
#if defined(__x86_64__)
    switch (ck_features()) {
        case CK_LEVEL_AVX512_BF16: norm_avx512(CK_NORM_ARGUMENTS); return;
        case CK_LEVEL_AVX2: norm_avx2(CK_NORM_ARGUMENTS); return;
        case CK_LEVEL_PORTABLE: break;
    }
#endif
    norm_simply(CK_NORM_ARGUMENTS);
}

void ck_rms_norm_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *delta, ptrdiff_t deltaStride, ck_bfloat16 *sum,
    ptrdiff_t sumStride, const ck_bfloat16 *weight, float epsilon, ck_bfloat16 *y, ptrdiff_t yStride, size_t size,
    size_t begin, size_t end) {
    norm_kind kind = NORM_RMS;
    const ck_bfloat16 *bias = NULL;
    norm(CK_NORM_ARGUMENTS);
}

void ck_layer_norm_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *delta, ptrdiff_t deltaStride, ck_bfloat16 *sum,
    ptrdiff_t sumStride, const ck_bfloat16 *weight, const ck_bfloat16 *bias, float epsilon, ck_bfloat16 *y,
    ptrdiff_t yStride, size_t size, size_t begin, size_t end) {
    norm_kind kind = NORM_LAYER;
    norm(CK_NORM_ARGUMENTS);
}
