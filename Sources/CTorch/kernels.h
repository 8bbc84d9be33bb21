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

/// The norms of rows, of x or of x + delta; with `delta`, the sum is stored in `sum`.
std::optional<at::Tensor> quick_rms_norm(
    const at::Tensor &x, const std::optional<at::Tensor> &delta, const at::Tensor &weight, double epsilon,
    at::Tensor *sum);
std::optional<at::Tensor> quick_layer_norm(
    const at::Tensor &x, const std::optional<at::Tensor> &delta, const std::optional<at::Tensor> &weight,
    const std::optional<at::Tensor> &bias, double epsilon, at::Tensor *sum);

enum class Activation { silu, gelu, gelu_tanh, quick_gelu };
/// activation(x), times `factor` if there is one.
std::optional<at::Tensor> quick_activation(
    Activation activation, const at::Tensor &x, const std::optional<at::Tensor> &factor);

/// silu(x · gateᵀ) · (x · upᵀ) for few rows.
std::optional<at::Tensor> quick_gated_linear(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &up);

/// Heads of [tokens, heads, head size] rotated by tables of [tokens, head size / 2].
std::optional<at::Tensor> quick_rotated(const at::Tensor &x, const at::Tensor &cosine, const at::Tensor &sine);

}  // namespace omma
