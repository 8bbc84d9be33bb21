// The house's CPU kernels as operations on tensors. Each answers only where it beats libtorch's own (measured by
// Benchmarks/kernels); anything else, and whatever records gradients, is the library's.
#pragma once

#include <ATen/ATen.h>

namespace omma {

/// `x · weightᵀ + bias` for few rows; nothing if the library should do it.
std::optional<at::Tensor> quick_linear(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias);

}  // namespace omma
