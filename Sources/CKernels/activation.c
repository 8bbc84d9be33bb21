// Activations of bf16 in one pass, alone or times another tensor.
#include "common.h"

#define CK_ACTIVATION_PARAMETERS \
    ck_activation kind, const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *factor, ptrdiff_t factorStride, \
        ck_bfloat16 *y, ptrdiff_t yStride, size_t size, size_t begin, size_t end
#define CK_ACTIVATION_ARGUMENTS kind, x, xStride, factor, factorStride, y, yStride, size, begin, end

/// erfc(z) · exp(z²) = t · p(t) with t = 1 / (1 + 0.38 z), for z >= 0 within 1.1e-6 of itself, so that the far negative
/// side of the error-function GELU keeps its digits. Highest power first.
static const float erfcCoefficients[7] = {
    -0.1254149421f, 0.3360270090f, -0.0698999614f, 0.2478246893f, 0.1805981644f, 0.2165766323f, 0.2142873755f,
};
static const float erfcPole = 0.38f;
static const float tanhCubic = 0.044715f, rootTwoOverPi = 0.797884561f, rootHalf = 0.707106781f;

#if defined(__x86_64__)

/// 1 / (1 + e^-x)
CK_AVX512_INLINE __m512 logistic(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    return _mm512_div_ps(one, _mm512_add_ps(one, ck_exp(_mm512_xor_ps(x, _mm512_set1_ps(-0.0f)))));
}

CK_AVX512_INLINE __m512 activate(const ck_activation kind, __m512 x) {
    __m512 one = _mm512_set1_ps(1);
    switch (kind) {
        case CK_SILU: {
            __m512 divisor = _mm512_add_ps(one, ck_exp(_mm512_xor_ps(x, _mm512_set1_ps(-0.0f))));
            return _mm512_div_ps(x, divisor);
        }
        case CK_QUICK_GELU: {
            __m512 inner = ck_widen(ck_narrow(_mm512_mul_ps(x, _mm512_set1_ps(1.702f))));
            return _mm512_mul_ps(x, ck_widen(ck_narrow(logistic(inner))));
        }
        case CK_GELU_TANH: {
            __m512 cubic = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
            __m512 inner = _mm512_fmadd_ps(cubic, _mm512_set1_ps(tanhCubic), x);
            // (1 + tanh u) / 2 = logistic(2u), which keeps its digits far out.
            return _mm512_mul_ps(x, logistic(_mm512_mul_ps(inner, _mm512_set1_ps(2 * rootTwoOverPi))));
        }
        case CK_GELU: break;
    }
    __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(rootHalf));
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(erfcPole), one));
    __m512 p = _mm512_set1_ps(erfcCoefficients[0]);
    CK_UNROLL for (int i = 1; i < 7; i++) p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(erfcCoefficients[i]));
    p = _mm512_mul_ps(p, t);
    __m512 square = _mm512_mul_ps(z, z);
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, _mm512_set1_ps(0.5f)), ck_exp(_mm512_sub_ps(_mm512_setzero_ps(), square)));
    __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(one, tail), negative, tail));
}

#define CK_ACTIVATE_ROWS(kind) \
    for (size_t row = begin; row < end; row++) { \
        const ck_bfloat16 *in = x + (ptrdiff_t)row * xStride; \
        const ck_bfloat16 *other = factor ? factor + (ptrdiff_t)row * factorStride : NULL; \
        ck_bfloat16 *out = y + (ptrdiff_t)row * yStride; \
        for (size_t i = 0; i < size; i += 16) { \
            __mmask16 mask = ck_mask16(size - i); \
            __m256i value = ck_narrow(activate(kind, ck_widen(_mm256_maskz_loadu_epi16(mask, in + i)))); \
            if (other) \
                value = ck_narrow( \
                    _mm512_mul_ps(ck_widen(value), ck_widen(_mm256_maskz_loadu_epi16(mask, other + i)))); \
            _mm256_mask_storeu_epi16(out + i, mask, value); \
        } \
    } \
    return

CK_AVX512 static void activation_avx512(CK_ACTIVATION_PARAMETERS) {
    switch (kind) {
        case CK_SILU: CK_ACTIVATE_ROWS(CK_SILU);
        case CK_GELU: CK_ACTIVATE_ROWS(CK_GELU);
        case CK_GELU_TANH: CK_ACTIVATE_ROWS(CK_GELU_TANH);
        case CK_QUICK_GELU: CK_ACTIVATE_ROWS(CK_QUICK_GELU);
    }
}

#endif

CK_INLINE float activate_simply(ck_activation kind, float x) {
    switch (kind) {
        case CK_SILU: return x / (1 + expf(-x));
        case CK_QUICK_GELU: {
            float inner = ck_round_bf16(x * 1.702f);
            return x * ck_round_bf16(1 / (1 + expf(-inner)));
        }
        case CK_GELU_TANH: return x / (1 + expf(-2 * rootTwoOverPi * (x + tanhCubic * x * x * x)));
        case CK_GELU: break;
    }
    return x * 0.5f * erfcf(-x * rootHalf);
}

CK_INLINE void activation_simply(CK_ACTIVATION_PARAMETERS) {
    for (size_t row = begin; row < end; row++)
        for (size_t i = 0; i < size; i++) {
            float value = ck_round_bf16(activate_simply(kind, ck_to_float(x[(ptrdiff_t)row * xStride + (ptrdiff_t)i])));
            if (factor) value *= ck_to_float(factor[(ptrdiff_t)row * factorStride + (ptrdiff_t)i]);
            y[(ptrdiff_t)row * yStride + (ptrdiff_t)i] = ck_from_float(value);
        }
}

void ck_activation_bf16(CK_ACTIVATION_PARAMETERS) {
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) {
        activation_avx512(CK_ACTIVATION_ARGUMENTS);
        return;
    }
#endif
    activation_simply(CK_ACTIVATION_ARGUMENTS);
}
