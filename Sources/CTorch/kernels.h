// The house's CPU kernels as operations on tensors. Each answers only where it beats libtorch's own (measured by
// Benchmarks/kernels); anything else, and whatever records gradients, is the library's.
#pragma once

#include <ATen/ATen.h>

namespace omma {

/// `x · weightᵀ + bias` for few rows; nothing if the library should do it.
std::optional<at::Tensor> quick_linear(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias);

/// Attention as ct_packed_attention defines it, whose checks have passed. Writes log-sum-exps ([tokens, heads], float32)
/// to `log_sum_exp` unless that is NULL.
std::optional<at::Tensor> quick_attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::vector<int64_t> &query_offsets,
    const std::vector<int64_t> &key_offsets, bool causal, double scale, at::Tensor *log_sum_exp);

}  // namespace omma
