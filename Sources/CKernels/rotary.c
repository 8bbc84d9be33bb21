// Rotary positions in the half-rotation layout.
#include "common.h"

#define CK_ROTARY_PARAMETERS \
    const ck_bfloat16 *x, ptrdiff_t xTokenStride, ptrdiff_t xHeadStride, ck_bfloat16 *y, ptrdiff_t yTokenStride, \
        ptrdiff_t yHeadStride, size_t heads, size_t headSize, const float *cosine, const float *sine, \
        ptrdiff_t tableStride, size_t half, size_t begin, size_t end
#define CK_ROTARY_ARGUMENTS \
    x, xTokenStride, xHeadStride, y, yTokenStride, yHeadStride, heads, headSize, cosine, sine, tableStride, half, \
        begin, end

/// Elements behind the rotated ones pass through.
CK_INLINE void copy_rest(const ck_bfloat16 *from, ck_bfloat16 *to, size_t headSize, size_t half) {
    if (headSize > 2 * half && from != to)
        memcpy(to + 2 * half, from + 2 * half, (headSize - 2 * half) * sizeof(ck_bfloat16));
}

#if defined(__x86_64__)
CK_AVX512 static void rotary_avx512(CK_ROTARY_PARAMETERS) {
    for (size_t token = begin; token < end; token++)
        for (size_t head = 0; head < heads; head++) {
            const ck_bfloat16 *from = x + (ptrdiff_t)token * xTokenStride + (ptrdiff_t)head * xHeadStride;
            ck_bfloat16 *to = y + (ptrdiff_t)token * yTokenStride + (ptrdiff_t)head * yHeadStride;
            copy_rest(from, to, headSize, half);
            for (size_t i = 0; i < half; i += 16) {
                __mmask16 mask = ck_mask16(half - i);
                __m512 c = _mm512_maskz_loadu_ps(mask, cosine + (ptrdiff_t)token * tableStride + i);
                __m512 s = _mm512_maskz_loadu_ps(mask, sine + (ptrdiff_t)token * tableStride + i);
                __m512 first = ck_widen(_mm256_maskz_loadu_epi16(mask, from + i));
                __m512 second = ck_widen(_mm256_maskz_loadu_epi16(mask, from + half + i));
                // Both products are rounded to fp32 before they meet, as in the unfused operations.
                __m512 one = _mm512_sub_ps(_mm512_mul_ps(first, c), _mm512_mul_ps(second, s));
                __m512 two = _mm512_add_ps(_mm512_mul_ps(second, c), _mm512_mul_ps(first, s));
                _mm256_mask_storeu_epi16(to + i, mask, ck_narrow(one));
                _mm256_mask_storeu_epi16(to + half + i, mask, ck_narrow(two));
            }
        }
}
#endif

CK_INLINE void rotary_simply(CK_ROTARY_PARAMETERS) {
    for (size_t token = begin; token < end; token++)
        for (size_t head = 0; head < heads; head++) {
            const ck_bfloat16 *from = x + (ptrdiff_t)token * xTokenStride + (ptrdiff_t)head * xHeadStride;
            ck_bfloat16 *to = y + (ptrdiff_t)token * yTokenStride + (ptrdiff_t)head * yHeadStride;
            copy_rest(from, to, headSize, half);
            for (size_t i = 0; i < half; i++) {
                float c = cosine[(ptrdiff_t)token * tableStride + (ptrdiff_t)i];
                float s = sine[(ptrdiff_t)token * tableStride + (ptrdiff_t)i];
                float first = ck_to_float(from[i]), second = ck_to_float(from[half + i]);
                float fc = first * c, ss = second * s, sc = second * c, fs = first * s;
                to[i] = ck_from_float(fc - ss);
                to[half + i] = ck_from_float(sc + fs);
            }
        }
}

#if defined(__x86_64__)
CK_AVX2 static void rotary_avx2(CK_ROTARY_PARAMETERS) { rotary_simply(CK_ROTARY_ARGUMENTS); }
#endif

void ck_rotary_bf16(CK_ROTARY_PARAMETERS) {
#if defined(__x86_64__)
    switch (ck_features()) {
        case CK_LEVEL_AVX512_BF16: rotary_avx512(CK_ROTARY_ARGUMENTS); return;
        case CK_LEVEL_AVX2: rotary_avx2(CK_ROTARY_ARGUMENTS); return;
        case CK_LEVEL_PORTABLE: break;
    }
#endif
    rotary_simply(CK_ROTARY_ARGUMENTS);
}
