// Inner loops that several kernels share.
#pragma once

#include "common.h"

#if defined(__x86_64__)

enum { prefetchDistance = 4096 };  // bytes

/// sums[m] lanes = x[m] · w[0...3]; lanes from `streams` on are unused.
CK_AVX512_INLINE void products_bf16(
    const ck_bfloat16 *const w[4], const ck_bfloat16 *x, ptrdiff_t xStride, size_t inputs, const int streams,
    const int rows, const bool prefetch, __m128 *sums) {
    __m512 total[8][4];
    CK_UNROLL for (int m = 0; m < rows; m++)
        CK_UNROLL for (int s = 0; s < 4; s++) total[m][s] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 32 <= inputs; k += 32) {
        __m512bh weight[4];
        CK_UNROLL for (int s = 0; s < streams; s++) {
            if (prefetch) _mm_prefetch((const char *)(w[s] + k) + prefetchDistance, _MM_HINT_T1);
            weight[s] = ck_load32(w[s] + k);
        }
        CK_UNROLL for (int m = 0; m < rows; m++) {
            __m512bh input = ck_load32(x + m * xStride + k);
            CK_UNROLL for (int s = 0; s < streams; s++)
                total[m][s] = _mm512_dpbf16_ps(total[m][s], weight[s], input);
        }
    }
    if (k < inputs) {
        __mmask32 mask = ck_mask32(inputs - k);
        __m512bh weight[4];
        CK_UNROLL for (int s = 0; s < streams; s++) weight[s] = ck_load32_masked(w[s] + k, mask);
        CK_UNROLL for (int m = 0; m < rows; m++) {
            __m512bh input = ck_load32_masked(x + m * xStride + k, mask);
            CK_UNROLL for (int s = 0; s < streams; s++)
                total[m][s] = _mm512_dpbf16_ps(total[m][s], weight[s], input);
        }
    }
    CK_UNROLL for (int m = 0; m < rows; m++) sums[m] = ck_sum4(total[m][0], total[m][1], total[m][2], total[m][3]);
}

/// 2^x for x <= 0 within 3e-6, far finer than the bf16 that it becomes.
CK_AVX512_INLINE __m512 exp2_below_one(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, 0x09);  // x - floor(x)
    __m512 p = _mm512_set1_ps(1.3534000e-2f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.2011597e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4144282e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9300378e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0000026f));
    return _mm512_scalef_ps(p, x);
}

/// weights = 2^(scores · factor - offset) as bf16, over `count` keys (a multiple of 32). Returns their sums by lane.
CK_AVX512_INLINE __m512 exponentials(const float *scores, size_t count, float factor, float offset, ck_bfloat16 *weights) {
    __m512 scale = _mm512_set1_ps(factor), shift = _mm512_set1_ps(-offset);
    __m512 total0 = _mm512_setzero_ps(), total1 = _mm512_setzero_ps();
    for (size_t i = 0; i < count; i += 32) {
        __m512 low = exp2_below_one(_mm512_fmadd_ps(_mm512_loadu_ps(scores + i), scale, shift));
        __m512 high = exp2_below_one(_mm512_fmadd_ps(_mm512_loadu_ps(scores + i + 16), scale, shift));
        total0 = _mm512_add_ps(total0, low);
        total1 = _mm512_add_ps(total1, high);
        _mm512_storeu_si512(weights + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    return _mm512_add_ps(total0, total1);
}

#endif
