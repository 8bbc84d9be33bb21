// What the kernels share: bf16 conversion, and the two ways of compiling a function for more than the baseline.
#pragma once

#include "ckernels.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CK_INLINE static inline __attribute__((always_inline))

CK_INLINE float ck_to_float(ck_bfloat16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/// Rounds to nearest, ties to even; NaN stays NaN.
CK_INLINE ck_bfloat16 ck_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (ck_bfloat16)(bits >> 16 | 0x40);
    return (ck_bfloat16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

CK_INLINE float ck_round_bf16(float value) { return ck_to_float(ck_from_float(value)); }

CK_INLINE size_t ck_min(size_t a, size_t b) { return a < b ? a : b; }

#if defined(__x86_64__)
#define CK_AVX2 __attribute__((target("avx2,fma,f16c")))
#define CK_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define CK_AVX512_INLINE CK_INLINE CK_AVX512
#define CK_UNROLL _Pragma("clang loop unroll(full)")

/// The first `count` of 32 (or 16) lanes.
CK_AVX512_INLINE __mmask32 ck_mask32(size_t count) {
    return count >= 32 ? 0xffffffffu : ((__mmask32)1 << count) - 1;
}
CK_AVX512_INLINE __mmask16 ck_mask16(size_t count) {
    return count >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1);
}

CK_AVX512_INLINE __m512bh ck_load32(const ck_bfloat16 *p) { return (__m512bh)_mm512_loadu_si512(p); }
CK_AVX512_INLINE __m512bh ck_load32_masked(const ck_bfloat16 *p, __mmask32 mask) {
    return (__m512bh)_mm512_maskz_loadu_epi16(mask, p);
}
CK_AVX512_INLINE __m512 ck_widen(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
CK_AVX512_INLINE __m256i ck_narrow(__m512 values) { return (__m256i)_mm512_cvtneps_pbh(values); }

/// e^x to about one unit in the last place, over the whole range: 0, infinity and NaN come out as they should.
CK_AVX512_INLINE __m512 ck_exp(__m512 x) {
    __m512 n = _mm512_roundscale_ps(
        _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    // ln 2 in two parts, so that the remainder keeps its low bits.
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693145752f), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-1.42860677e-6f), r);
    // Far out n and r are infinite or NaN; 1 · 2^n is then the answer.
    r = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(r), _mm512_set1_ps(1), _CMP_LT_OQ), r);
    __m512 p = _mm512_set1_ps(1.3888889e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3333333e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16666667e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66666667e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

/// The sums of four vectors' lanes, always added in the same order.
CK_AVX512_INLINE __m128 ck_sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512 abcd = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
#endif
