/* Attention of packed, variable-length sequences. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Softmax attention within segments: tokens of segment i of `query` ([tokens, heads, head size]) see only tokens of
 * segment i of `key` and `value` ([tokens, key-value heads, head size], heads a multiple of key-value heads).
 * `query_offsets` and `key_offsets` hold `segments + 1` cumulated lengths. `causal` is aligned at the ends: the last
 * query sees all keys. Differentiable; never makes a mask over all tokens. */
ct_tensor ct_packed_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, const int64_t *query_offsets, const int64_t *key_offsets,
    int32_t segments, bool causal, double scale, ct_error *error);

#ifdef __cplusplus
}
#endif
