// Linear layers with few rows: the time goes into reading the weights once, so everything serves the memory system.
//
// - A thread reads several rows of weights at once, spaced far apart in its range. Each is a stream of its own for the
//   hardware prefetchers; rows that lie next to each other share pages and were seen to halve the rate.
// - With three rows of input or more the arithmetic fills the reorder window before enough loads are under way, so
//   lines are also asked into the second-level cache by hand, well ahead.
// - Every output has one accumulator vector, reduced in one fixed order. So neither the number of rows nor the split
//   between threads can change a bit.
#include "tiles.h"

#if defined(__x86_64__)

/// products_bf16 in fp32.
CK_AVX512_INLINE void products_f32(
    const float *const w[4], const float *x, ptrdiff_t xStride, size_t inputs, const int streams, const int rows,
    const bool prefetch, __m128 *sums) {
    __m512 total[8][4];
    CK_UNROLL for (int m = 0; m < rows; m++)
        CK_UNROLL for (int s = 0; s < 4; s++) total[m][s] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
        __m512 weight[4];
        CK_UNROLL for (int s = 0; s < streams; s++) {
            if (prefetch) _mm_prefetch((const char *)(w[s] + k) + prefetchDistance, _MM_HINT_T1);
            weight[s] = _mm512_loadu_ps(w[s] + k);
        }
        CK_UNROLL for (int m = 0; m < rows; m++) {
            __m512 input = _mm512_loadu_ps(x + m * xStride + k);
            CK_UNROLL for (int s = 0; s < streams; s++)
                total[m][s] = _mm512_fmadd_ps(weight[s], input, total[m][s]);
        }
    }
    if (k < inputs) {
        __mmask16 mask = ck_mask16(inputs - k);
        __m512 weight[4];
        CK_UNROLL for (int s = 0; s < streams; s++) weight[s] = _mm512_maskz_loadu_ps(mask, w[s] + k);
        CK_UNROLL for (int m = 0; m < rows; m++) {
            __m512 input = _mm512_maskz_loadu_ps(mask, x + m * xStride + k);
            CK_UNROLL for (int s = 0; s < streams; s++)
                total[m][s] = _mm512_fmadd_ps(weight[s], input, total[m][s]);
        }
    }
    CK_UNROLL for (int m = 0; m < rows; m++) sums[m] = ck_sum4(total[m][0], total[m][1], total[m][2], total[m][3]);
}

/// One chunk of rows against one weight row per stream. `again` says that another chunk has just read these weights.
#define CK_CASE(type, streams, rows) \
    case rows: products_##type(w, x, xStride, inputs, streams, rows, rows > 2 && !again, sums); break
#define CK_PRODUCTS(type, element) \
    CK_AVX512 __attribute__((noinline)) static void chunk_##type( \
        const element *const w[4], const element *x, ptrdiff_t xStride, size_t inputs, int streams, int rows, \
        bool again, __m128 *sums) { \
        if (streams == 4) { \
            switch (rows) { \
                CK_CASE(type, 4, 1); CK_CASE(type, 4, 2); CK_CASE(type, 4, 3); \
                CK_CASE(type, 4, 4); CK_CASE(type, 4, 5); CK_CASE(type, 4, 6); default: __builtin_trap(); \
            } \
        } else if (streams == 3) { \
            switch (rows) { \
                CK_CASE(type, 3, 4); CK_CASE(type, 3, 5); CK_CASE(type, 3, 6); CK_CASE(type, 3, 7); \
                CK_CASE(type, 3, 8); default: __builtin_trap(); \
            } \
        } else { \
            switch (rows) { \
                CK_CASE(type, 1, 1); CK_CASE(type, 1, 2); CK_CASE(type, 1, 3); CK_CASE(type, 1, 4); \
                CK_CASE(type, 1, 5); CK_CASE(type, 1, 6); CK_CASE(type, 1, 7); CK_CASE(type, 1, 8); \
                default: __builtin_trap(); \
            } \
        } \
    }
CK_PRODUCTS(bf16, ck_bfloat16)
CK_PRODUCTS(f32, float)

/// How rows are cut into chunks that fit the registers: up to six against four streams, or up to eight against three.
typedef struct plan {
    size_t chunks;
    int streams;
} plan;

static plan plan_for(size_t rows) {
    if (rows <= 6) return (plan){1, 4};
    return (plan){(rows + 7) / 8, 3};
}

/// Chunk `index` of `chunks`: even shares, so that no chunk is too small to pay.
CK_INLINE size_t chunk_start(size_t rows, size_t chunks, size_t index) { return rows * index / chunks; }

#define CK_LINEAR_AVX512(type, element, widened, narrowed) \
    CK_AVX512 static void linear_avx512_##type( \
        const element *x, ptrdiff_t xStride, const element *weight, ptrdiff_t weightStride, const element *bias, \
        element *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) { \
        plan plan = plan_for(rows); \
        size_t each = (end - begin) / (size_t)plan.streams; \
        /* What the streams do not divide comes last, one weight row at a time. */ \
        size_t rest = begin + each * (size_t)plan.streams; \
        for (size_t step = 0; step < each + (end - rest); step++) { \
            int streams = step < each ? plan.streams : 1; \
            size_t outputs[4]; \
            const element *w[4] = {0}; \
            for (int s = 0; s < streams; s++) { \
                outputs[s] = step < each ? begin + (size_t)s * each + step : rest + (step - each); \
                w[s] = weight + (ptrdiff_t)outputs[s] * weightStride; \
            } \
            for (size_t c = 0; c < plan.chunks; c++) { \
                size_t first = chunk_start(rows, plan.chunks, c), last = chunk_start(rows, plan.chunks, c + 1); \
                __m128 sums[8]; \
                chunk_##type( \
                    w, x + (ptrdiff_t)first * xStride, xStride, inputs, streams, (int)(last - first), c > 0, sums); \
                for (size_t m = first; m < last; m++) { \
                    float lanes[4]; \
                    _mm_storeu_ps(lanes, sums[m - first]); \
                    for (int s = 0; s < streams; s++) { \
                        float value = lanes[s] + (bias ? widened(bias[outputs[s]]) : 0); \
                        y[(ptrdiff_t)m * yStride + (ptrdiff_t)outputs[s]] = narrowed(value); \
                    } \
                } \
            } \
        } \
    }
#define CK_SAME(value) (value)
CK_LINEAR_AVX512(bf16, ck_bfloat16, ck_to_float, ck_from_float)
CK_LINEAR_AVX512(f32, float, CK_SAME, CK_SAME)

CK_AVX512 static void gated_avx512(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *gate, const ck_bfloat16 *up, ptrdiff_t weightStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    size_t each = (end - begin + 1) / 2, chunks = (rows + 5) / 6;
    for (size_t step = 0; step < each; step++) {
        // An odd range's last step reads its only row twice.
        size_t outputs[2] = {begin + step, ck_min(begin + each + step, end - 1)};
        const ck_bfloat16 *w[4] = {
            gate + (ptrdiff_t)outputs[0] * weightStride, gate + (ptrdiff_t)outputs[1] * weightStride,
            up + (ptrdiff_t)outputs[0] * weightStride, up + (ptrdiff_t)outputs[1] * weightStride,
        };
        for (size_t c = 0; c < chunks; c++) {
            size_t first = chunk_start(rows, chunks, c), last = chunk_start(rows, chunks, c + 1);
            __m128 sums[8];
            chunk_bf16(
                w, x + (ptrdiff_t)first * xStride, xStride, inputs, 4, (int)(last - first), c > 0, sums);
            for (size_t m = first; m < last; m++) {
                __m512 both = ck_widen(ck_narrow(_mm512_castps128_ps512(sums[m - first])));
                __m512 silu = _mm512_div_ps(
                    both, _mm512_add_ps(
                              _mm512_set1_ps(1), ck_exp(_mm512_xor_ps(both, _mm512_set1_ps(-0.0f)))));
                float gates[4], ups[4];
                _mm_storeu_ps(gates, _mm512_castps512_ps128(ck_widen(ck_narrow(silu))));
                _mm_storeu_ps(ups, _mm512_castps512_ps128(both));
                for (int s = 0; s < 2; s++)
                    y[(ptrdiff_t)m * yStride + (ptrdiff_t)outputs[s]] = ck_from_float(gates[s] * ups[2 + s]);
            }
        }
    }
}

#endif

// MARK: - other processors

/// Sixteen partial sums, which compilers turn into whatever vectors the target has.
#define CK_DOT(type, element, widened) \
    CK_INLINE float dot_##type(const element *a, const element *b, size_t count) { \
        float sums[16] = {0}; \
        size_t i = 0; \
        for (; i + 16 <= count; i += 16) \
            for (size_t j = 0; j < 16; j++) sums[j] += widened(a[i + j]) * widened(b[i + j]); \
        for (size_t j = 0; i < count; i++, j++) sums[j] += widened(a[i]) * widened(b[i]); \
        for (size_t width = 8; width > 0; width /= 2) \
            for (size_t j = 0; j < width; j++) sums[j] += sums[j + width]; \
        return sums[0]; \
    }
CK_DOT(bf16, ck_bfloat16, ck_to_float)
#undef CK_SAME
#define CK_SAME(value) (value)
CK_DOT(f32, float, CK_SAME)

CK_INLINE void linear_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *weight, ptrdiff_t weightStride,
    const ck_bfloat16 *bias, ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    for (size_t n = begin; n < end; n++)
        for (size_t m = 0; m < rows; m++) {
            float value = dot_bf16(x + (ptrdiff_t)m * xStride, weight + (ptrdiff_t)n * weightStride, inputs);
            y[(ptrdiff_t)m * yStride + (ptrdiff_t)n] = ck_from_float(value + (bias ? ck_to_float(bias[n]) : 0));
        }
}

CK_INLINE void linear_f32(
    const float *x, ptrdiff_t xStride, const float *weight, ptrdiff_t weightStride, const float *bias, float *y,
    ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    for (size_t n = begin; n < end; n++)
        for (size_t m = 0; m < rows; m++) {
            float value = dot_f32(x + (ptrdiff_t)m * xStride, weight + (ptrdiff_t)n * weightStride, inputs);
            y[(ptrdiff_t)m * yStride + (ptrdiff_t)n] = value + (bias ? bias[n] : 0);
        }
}

CK_INLINE void gated(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *gate, const ck_bfloat16 *up, ptrdiff_t weightStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    for (size_t n = begin; n < end; n++)
        for (size_t m = 0; m < rows; m++) {
            const ck_bfloat16 *input = x + (ptrdiff_t)m * xStride;
            float g = ck_round_bf16(dot_bf16(input, gate + (ptrdiff_t)n * weightStride, inputs));
            float u = ck_round_bf16(dot_bf16(input, up + (ptrdiff_t)n * weightStride, inputs));
            y[(ptrdiff_t)m * yStride + (ptrdiff_t)n] = ck_from_float(ck_round_bf16(g / (1 + expf(-g))) * u);
        }
}

#define CK_LINEAR_ARGUMENTS x, xStride, weight, weightStride, bias, y, yStride, rows, inputs, begin, end
#define CK_GATED_ARGUMENTS x, xStride, gate, up, weightStride, y, yStride, rows, inputs, begin, end

#if defined(__x86_64__)
CK_AVX2 static void linear_avx2_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *weight, ptrdiff_t weightStride,
    const ck_bfloat16 *bias, ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    linear_bf16(CK_LINEAR_ARGUMENTS);
}
CK_AVX2 static void linear_avx2_f32(
    const float *x, ptrdiff_t xStride, const float *weight, ptrdiff_t weightStride, const float *bias, float *y,
    ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    linear_f32(CK_LINEAR_ARGUMENTS);
}
CK_AVX2 static void gated_avx2(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *gate, const ck_bfloat16 *up, ptrdiff_t weightStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    gated(CK_GATED_ARGUMENTS);
}
#endif

// MARK: - entries

void ck_linear_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *weight, ptrdiff_t weightStride,
    const ck_bfloat16 *bias, ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    if (rows == 0 || begin >= end) return;
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) return linear_avx512_bf16(CK_LINEAR_ARGUMENTS);
    if (ck_features() == CK_LEVEL_AVX2) return linear_avx2_bf16(CK_LINEAR_ARGUMENTS);
#endif
    linear_bf16(CK_LINEAR_ARGUMENTS);
}

void ck_linear_f32(
    const float *x, ptrdiff_t xStride, const float *weight, ptrdiff_t weightStride, const float *bias, float *y,
    ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    if (rows == 0 || begin >= end) return;
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) return linear_avx512_f32(CK_LINEAR_ARGUMENTS);
    if (ck_features() == CK_LEVEL_AVX2) return linear_avx2_f32(CK_LINEAR_ARGUMENTS);
#endif
    linear_f32(CK_LINEAR_ARGUMENTS);
}

void ck_gated_linear_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *gate, const ck_bfloat16 *up, ptrdiff_t weightStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end) {
    if (rows == 0 || begin >= end) return;
#if defined(__x86_64__)
    if (ck_features() == CK_LEVEL_AVX512_BF16) return gated_avx512(CK_GATED_ARGUMENTS);
    if (ck_features() == CK_LEVEL_AVX2) return gated_avx2(CK_GATED_ARGUMENTS);
#endif
    gated(CK_GATED_ARGUMENTS);
}
