// Activations of bf16 in one pass, alone or times another tensor.
#include "tiles.h"

#define CK_ACTIVATION_PARAMETERS \
    ck_activation kind, const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *factor, ptrdiff_t factorStride, \
        ck_bfloat16 *y, ptrdiff_t yStride, size_t size, size_t begin, size_t end
#define CK_ACTIVATION_ARGUMENTS kind, x, xStride, factor, factorStride, y, yStride, size, begin, end

/// erfc(z) · exp(z²) = t · p(t) with t = 1 / (1 + 0.54 z), for z >= 0 within 4e-5 of itself, a hundredth of what bf16
/// resolves; so the far negative side of the error-function GELU keeps its digits. Highest power first.
enum { erfcTerms = 5 };
static const float erfcCoefficients[erfcTerms] = {
    -0.1787951398f, 0.3685118944f, 0.1905441669f, 0.3156577603f, 0.3040424770f,
};
static const float erfcPole = 0.54f;
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
    // x · Φ(x) = max(x, 0) - |x| · Φ(-|x|). |x| is bounded, since infinity times zero is not what is meant and would not
    // survive the refinement of the reciprocal; NaN comes back by the maximum.
    __m512 size = _mm512_min_ps(_mm512_abs_ps(x), _mm512_set1_ps(1000));
    __m512 divisor = _mm512_fmadd_ps(size, _mm512_set1_ps(erfcPole * rootHalf), one);
    // One step of Newton's doubles the estimate's 14 bits, at a fraction of a division.
    __m512 t = _mm512_rcp14_ps(divisor);
    t = _mm512_mul_ps(t, _mm512_fnmadd_ps(divisor, t, _mm512_set1_ps(2)));
    __m512 p = _mm512_set1_ps(erfcCoefficients[0] / 2);
    CK_UNROLL for (int i = 1; i < erfcTerms; i++) p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(erfcCoefficients[i] / 2));
    // e^(-x²/2) as a power of two.
    __m512 power = _mm512_mul_ps(_mm512_mul_ps(size, size), _mm512_set1_ps(-0.72134752f));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), exp2_below_one(power));
    return _mm512_fnmadd_ps(size, tail, _mm512_max_ps(_mm512_setzero_ps(), x));
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
