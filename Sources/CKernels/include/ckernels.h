// CPU kernels of the house: plain functions on raw memory, each kept only because it beats libtorch in the same run
// (Benchmarks/kernels). Rules that hold for every function:
//
// - Strides and extents count elements, not bytes, unless a name says so. The innermost dimension is contiguous.
// - bf16 travels as uint16_t (ck_bfloat16). Sums are kept in fp32.
// - Nothing needs alignment, and no byte outside the given extents is read or written.
// - [begin, end) is the caller's share of the work. Any partition of the full range, in any order and on any threads,
//   gives the same bits.
// - Outputs may not overlap inputs, except where a function says that it works in place.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint16_t ck_bfloat16;

// MARK: - features.c

/// Instruction sets that kernels choose between when they run, weakest first.
typedef enum ck_level {
    CK_LEVEL_PORTABLE = 0,
    CK_LEVEL_AVX2 = 1,
    /// AVX-512 F, BW, DQ, VL and BF16.
    CK_LEVEL_AVX512_BF16 = 2,
} ck_level;

/// The level that this thread uses: the best that this processor has, or less after ck_limit_features.
ck_level ck_features(void);
/// The level's name in lower case, for reports.
const char *ck_level_name(ck_level level);
/// Forbids levels above `highest` to this thread, so that tests and benchmarks can reach the slower paths. Returns the
/// level in use.
ck_level ck_limit_features(ck_level highest);

// MARK: - gemv.c: linear layers with few rows of input, bound by reading the weights

/// y = x Wᵀ + b for few rows. x: [rows, inputs] with `xStride` between rows; weight: [outputs, inputs] with
/// `weightStride`, used where it lies (a mapped checkpoint will do); bias: [outputs] or NULL; y: [rows, outputs] with
/// `yStride`. The range runs over outputs. A row's result does not depend on how many rows there are.
/// Meant for rows <= 16: beyond, a matrix product that packs its operands wins.
void ck_linear_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *weight, ptrdiff_t weightStride,
    const ck_bfloat16 *bias, ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end);

/// The same in fp32.
void ck_linear_f32(
    const float *x, ptrdiff_t xStride, const float *weight, ptrdiff_t weightStride, const float *bias, float *y,
    ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end);

/// y = silu(x Gᵀ) · (x Uᵀ), the gated half of a SwiGLU feed-forward block, rounded to bf16 where the unfused operations
/// round: after each product, after silu and after the multiplication. gate and up: [outputs, inputs], both with
/// `weightStride`. The range runs over outputs.
void ck_gated_linear_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *gate, const ck_bfloat16 *up, ptrdiff_t weightStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t rows, size_t inputs, size_t begin, size_t end);

// MARK: - attention.c: softmax attention of many queries, within segments

/// What is attended to what. Segment i holds queries queryOffsets[i] ..< queryOffsets[i + 1] and keys
/// keyOffsets[i] ..< keyOffsets[i + 1]. query and output: [tokens, heads, headSize]; key and value:
/// [tokens, keyValueHeads, headSize], each serving heads / keyValueHeads neighbouring heads; all by token and head
/// strides. headSize: even, at most 256. Causal attention is aligned at the ends: a segment's last query sees all its
/// keys. scale > 0. A query that sees nothing gets zeros.
typedef struct ck_attention {
    const ck_bfloat16 *query, *key, *value;
    ck_bfloat16 *output;
    /// [tokens, heads], contiguous, or NULL: the natural logarithm of each query's sum of exponentials, which backward
    /// passes need; -inf where nothing is seen.
    float *logSumExp;
    ptrdiff_t queryTokenStride, queryHeadStride;
    ptrdiff_t keyTokenStride, keyHeadStride;
    ptrdiff_t valueTokenStride, valueHeadStride;
    ptrdiff_t outputTokenStride, outputHeadStride;
    const int64_t *queryOffsets, *keyOffsets;  // [segments + 1], from 0 on
    size_t segments;
    size_t heads, keyValueHeads, headSize;
    float scale;
    bool causal;
} ck_attention;

/// Bytes of workspace that the two steps below share.
size_t ck_attention_workspace(const ck_attention *attention);
/// First step, over [0, ck_attention_pack_count): keys and values into the workspace, in the order that the products
/// read them.
size_t ck_attention_pack_count(const ck_attention *attention);
void ck_attention_pack(const ck_attention *attention, void *workspace, size_t begin, size_t end);
/// Second step, over [0, ck_attention_count), once all is packed. Items are blocks of queries, head by head; they
/// differ in cost, so shares are best small.
size_t ck_attention_count(const ck_attention *attention);
void ck_attention_run(const ck_attention *attention, void *workspace, size_t begin, size_t end);

// MARK: - decode_attention.c: softmax attention of few queries against many keys, bound by reading the cache

/// Whether the functions below take this problem: few queries (queries of a segment x heads <= 128) on a processor
/// that they are written for. Otherwise ck_attention_run serves.
bool ck_decode_attention_fits(const ck_attention *attention);
/// Bytes of workspace.
size_t ck_decode_attention_workspace(const ck_attention *attention);
/// To be called once before the range is run.
void ck_decode_attention_prepare(const ck_attention *attention, void *workspace);
/// One step over [0, ck_decode_attention_count): items are blocks of keys. The output is complete when all items have
/// been run, each once.
size_t ck_decode_attention_count(const ck_attention *attention);
void ck_decode_attention_run(const ck_attention *attention, void *workspace, size_t begin, size_t end);

// MARK: - normalisation.c

/// Root-mean-square norm of rows of `size` elements, over rows [begin, end): statistics in fp32, rounded to bf16, then
/// times `weight` ([size]), as the references do. With `delta` (else NULL), sum = x + delta is formed first, rounded to
/// bf16, stored, and normed; sum may be x or delta, and y may be x (if sum is not) or delta.
void ck_rms_norm_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *delta, ptrdiff_t deltaStride, ck_bfloat16 *sum,
    ptrdiff_t sumStride, const ck_bfloat16 *weight, float epsilon, ck_bfloat16 *y, ptrdiff_t yStride, size_t size,
    size_t begin, size_t end);

/// Layer norm with biased variance, all in fp32, likewise. weight and bias may be NULL.
void ck_layer_norm_bf16(
    const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *delta, ptrdiff_t deltaStride, ck_bfloat16 *sum,
    ptrdiff_t sumStride, const ck_bfloat16 *weight, const ck_bfloat16 *bias, float epsilon, ck_bfloat16 *y,
    ptrdiff_t yStride, size_t size, size_t begin, size_t end);

// MARK: - activation.c

typedef enum ck_activation {
    CK_SILU = 0,
    /// By the error function.
    CK_GELU = 1,
    CK_GELU_TANH = 2,
    /// x · sigmoid(1.702 x), rounded to bf16 after each of its three steps, as the unfused operations do.
    CK_QUICK_GELU = 3,
} ck_activation;

/// y = activation(x), computed in fp32, over rows [begin, end) of `size` elements. With `factor` (else NULL) that is
/// rounded to bf16 and multiplied by it: SwiGLU and its kin. y may be x or factor.
void ck_activation_bf16(
    ck_activation kind, const ck_bfloat16 *x, ptrdiff_t xStride, const ck_bfloat16 *factor, ptrdiff_t factorStride,
    ck_bfloat16 *y, ptrdiff_t yStride, size_t size, size_t begin, size_t end);

// MARK: - rotary.c

/// Rotates heads of x ([tokens, heads, headSize], by strides) into y (which may be x, with the same strides), over tokens
/// [begin, end): element i < half of a head pairs with element i + half, by cosine and sine of [tokens, half]. Elements
/// from 2 · half on pass through. In fp32, rounded once.
void ck_rotary_bf16(
    const ck_bfloat16 *x, ptrdiff_t xTokenStride, ptrdiff_t xHeadStride, ck_bfloat16 *y, ptrdiff_t yTokenStride,
    ptrdiff_t yHeadStride, size_t heads, size_t headSize, const float *cosine, const float *sine,
    ptrdiff_t tableStride, size_t half, size_t begin, size_t end);

#ifdef __cplusplus
}
#endif
