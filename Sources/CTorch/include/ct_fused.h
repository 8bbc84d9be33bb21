/* Parts of a transformer block as one node of the graph each, with hand-written loops and backward passes on the CPU. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x / rms(x) * weight over the last dimension; statistics in float32, rounded to the type of `x` before the weight. */
ct_tensor ct_rms_norm(ct_tensor x, ct_tensor weight, double epsilon, ct_error *error);
/* silu(gate) * up. */
ct_tensor ct_gated_silu(ct_tensor gate, ct_tensor up, ct_error *error);
/* x * sigmoid(1.702 x). */
ct_tensor ct_quick_gelu(ct_tensor x, ct_error *error);

/* x + delta and its norm, into `results`; on the CPU without gradients in one pass. `weight` and `bias` of the layer norm
 * may be NULL. */
int32_t ct_add_rms_norm(
    ct_tensor x, ct_tensor delta, ct_tensor weight, double epsilon, ct_tensor *results, ct_error *error);
int32_t ct_add_layer_norm(
    ct_tensor x, ct_tensor delta, ct_tensor weight, ct_tensor bias, double epsilon, ct_tensor *results,
    ct_error *error);
/* silu(x gateᵀ) * (x upᵀ). */
ct_tensor ct_gated_linear(ct_tensor x, ct_tensor gate, ct_tensor up, ct_error *error);
/* x ([tokens, heads, head size]) rotated in the half-rotation layout by `cosine` and `sine` ([tokens, head size / 2],
 * float32), computed in float32. */
ct_tensor ct_rotated(ct_tensor x, ct_tensor cosine, ct_tensor sine, ct_error *error);

/* Rotates queries and keys by `cosine` and `sine` ([tokens, head size / 2], float32), and attends within segments.
 * query: [tokens, heads, head size], key and value: [tokens, key-value heads, head size]; the last two dimensions are
 * dense. Gives [tokens, heads * head size]. `offsets` has `segments` + 1 entries. */
ct_tensor ct_rotary_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, ct_tensor cosine, ct_tensor sine, const int64_t *offsets,
    int32_t segments, bool causal, double scale, ct_error *error);
/* The same for one tensor [tokens, 3, heads, head size], whose gradient is one tensor too. */
ct_tensor ct_rotary_attention_fused(
    ct_tensor query_key_value, ct_tensor cosine, ct_tensor sine, const int64_t *offsets, int32_t segments, bool causal,
    double scale, ct_error *error);

#ifdef __cplusplus
}
#endif
