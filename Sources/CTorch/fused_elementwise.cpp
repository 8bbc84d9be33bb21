// Norm and activations as one node of the graph each: a composite costs six passes over memory where one is enough.
#include "include/ct_fused.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels.h"
#include "shim.h"
#include "vector_math.h"

using namespace omma;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

/// Elements that one thread takes at least.
constexpr int64_t grain = 32768;

bool is_handled(const at::Tensor &x) {
    return x.is_cpu() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat);
}

template <class Element>
Element *memory(const at::Tensor &x) {
    return static_cast<Element *>(x.data_ptr());
}

/// Calls `body` with a null pointer of the tensor's element type.
template <class Body>
void by_type(const at::Tensor &x, Body &&body) {
    if (x.scalar_type() == at::kBFloat16) {
        body(static_cast<uint16_t *>(nullptr));
    } else {
        body(static_cast<float *>(nullptr));
    }
}

// MARK: - RMS norm

template <class Element>
OMMA_INLINE void rms_row(
    const Element *x, const Element *weight, Element *y, float *inverse, int64_t size, float epsilon) {
    float sums[16] = {};
    int64_t i = 0;
    for (; i + 16 <= size; i += 16)
        for (int64_t j = 0; j < 16; j++) sums[j] += widen(x[i + j]) * widen(x[i + j]);
    for (; i < size; i++) sums[0] += widen(x[i]) * widen(x[i]);
    float sum = 0;
    for (float part : sums) sum += part;
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(size) + epsilon);
    *inverse = scale;
    for (i = 0; i < size; i++) narrow(rounded<Element>(widen(x[i]) * scale) * widen(weight[i]), y[i]);
}

template <class Element>
OMMA_INLINE void rms_row_backward(
    const Element *g, const Element *x, const Element *weight, float inverse, Element *dx, float *dw, int64_t size) {
    float sums[16] = {};
    int64_t i = 0;
    for (; i + 16 <= size; i += 16)
        for (int64_t j = 0; j < 16; j++) sums[j] += widen(g[i + j]) * widen(weight[i + j]) * widen(x[i + j]);
    for (; i < size; i++) sums[0] += widen(g[i]) * widen(weight[i]) * widen(x[i]);
    float sum = 0;
    for (float part : sums) sum += part;
    const float mean = sum * inverse * inverse / static_cast<float>(size);
    for (i = 0; i < size; i++) {
        const float gradient = widen(g[i]), value = widen(x[i]);
        dw[i] += gradient * rounded<Element>(value * inverse);
        narrow(inverse * (gradient * widen(weight[i]) - value * mean), dx[i]);
    }
}

#define OMMA_RMS(Element)                                                                                             \
    OMMA_VECTORIZED void rms_rows(                                                                                    \
        const Element *x, const Element *w, Element *y, float *inverse, int64_t rows, int64_t size, float epsilon) {  \
        for (int64_t r = 0; r < rows; r++) rms_row(x + r * size, w, y + r * size, inverse + r, size, epsilon);        \
    }                                                                                                                 \
    OMMA_VECTORIZED void rms_rows_backward(                                                                           \
        const Element *g, const Element *x, const Element *w, const float *inverse, Element *dx, float *dw,           \
        int64_t rows, int64_t size) {                                                                                 \
        for (int64_t r = 0; r < rows; r++)                                                                            \
            rms_row_backward(g + r * size, x + r * size, w, inverse[r], dx + r * size, dw, size);                     \
    }
OMMA_RMS(uint16_t)
OMMA_RMS(float)
#undef OMMA_RMS

/// Rows whose weight gradients are added up before they meet those of other rows: fixed, so that the sum does not depend
/// on threads.
constexpr int64_t rows_per_part = 256;

struct RMSNorm : torch::autograd::Function<RMSNorm> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight, double epsilon) {
        const at::Tensor x = input.contiguous(), w = weight.contiguous();
        const int64_t size = x.size(-1), rows = x.numel() / size;
        at::Tensor y = at::empty_like(x), inverse = at::empty({rows}, x.options().dtype(at::kFloat));
        by_type(x, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, rows, std::max<int64_t>(1, grain / size), [&](int64_t from, int64_t to) {
                rms_rows(
                    memory<Element>(x) + from * size, memory<Element>(w), memory<Element>(y) + from * size,
                    memory<float>(inverse) + from, to - from, size, static_cast<float>(epsilon));
            });
        });
        context->save_for_backward({x, w, inverse});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const at::Tensor &x = saved[0], &w = saved[1], &inverse = saved[2];
        const at::Tensor g = gradients[0].contiguous();
        const int64_t size = x.size(-1), rows = x.numel() / size, parts = (rows + rows_per_part - 1) / rows_per_part;
        at::Tensor dx = at::empty_like(x), dw = at::zeros({parts, size}, inverse.options());
        by_type(x, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
                for (int64_t part = from; part < to; part++) {
                    const int64_t first = part * rows_per_part, count = std::min(rows_per_part, rows - first);
                    rms_rows_backward(
                        memory<Element>(g) + first * size, memory<Element>(x) + first * size, memory<Element>(w),
                        memory<float>(inverse) + first, memory<Element>(dx) + first * size,
                        memory<float>(dw) + part * size, count, size);
                }
            });
        });
        return {dx, dw.sum(0).to(w.scalar_type()), at::Tensor()};
    }
};

// MARK: - activations

#define OMMA_ACTIVATIONS(Element)                                                                                     \
    OMMA_VECTORIZED void gated_silu(const Element *gate, const Element *up, Element *y, int64_t count) {              \
        for (int64_t i = 0; i < count; i++) {                                                                         \
            const float x = widen(gate[i]);                                                                           \
            narrow(rounded<Element>(x * sigmoid(x)) * widen(up[i]), y[i]);                                            \
        }                                                                                                             \
    }                                                                                                                 \
    OMMA_VECTORIZED void gated_silu_backward(                                                                         \
        const Element *g, const Element *gate, const Element *up, Element *dgate, Element *dup, int64_t count) {      \
        for (int64_t i = 0; i < count; i++) {                                                                         \
            const float x = widen(gate[i]), gradient = widen(g[i]), s = sigmoid(x);                                   \
            narrow(gradient * rounded<Element>(x * s), dup[i]);                                                       \
            narrow(gradient * widen(up[i]) * s * (1.0f + x * (1.0f - s)), dgate[i]);                                  \
        }                                                                                                             \
    }                                                                                                                 \
    OMMA_VECTORIZED void quick_gelu(const Element *x, Element *y, int64_t count) {                                    \
        for (int64_t i = 0; i < count; i++) {                                                                         \
            const float value = widen(x[i]);                                                                          \
            narrow(value * rounded<Element>(sigmoid(rounded<Element>(1.702f * value))), y[i]);                        \
        }                                                                                                             \
    }                                                                                                                 \
    OMMA_VECTORIZED void quick_gelu_backward(const Element *g, const Element *x, Element *dx, int64_t count) {        \
        for (int64_t i = 0; i < count; i++) {                                                                         \
            const float value = 1.702f * widen(x[i]), s = sigmoid(value);                                             \
            narrow(widen(g[i]) * s * (1.0f + value * (1.0f - s)), dx[i]);                                             \
        }                                                                                                             \
    }
OMMA_ACTIVATIONS(uint16_t)
OMMA_ACTIVATIONS(float)
#undef OMMA_ACTIVATIONS

struct GatedSilu : torch::autograd::Function<GatedSilu> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &first, const at::Tensor &second) {
        const at::Tensor gate = first.contiguous(), up = second.contiguous();
        at::Tensor y = at::empty_like(gate);
        by_type(gate, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, gate.numel(), grain, [&](int64_t from, int64_t to) {
                gated_silu(
                    memory<Element>(gate) + from, memory<Element>(up) + from, memory<Element>(y) + from, to - from);
            });
        });
        context->save_for_backward({gate, up});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const at::Tensor &gate = saved[0], &up = saved[1], g = gradients[0].contiguous();
        at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
        by_type(gate, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, gate.numel(), grain, [&](int64_t from, int64_t to) {
                gated_silu_backward(
                    memory<Element>(g) + from, memory<Element>(gate) + from, memory<Element>(up) + from,
                    memory<Element>(dgate) + from, memory<Element>(dup) + from, to - from);
            });
        });
        return {dgate, dup};
    }
};

struct QuickGelu : torch::autograd::Function<QuickGelu> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input) {
        const at::Tensor x = input.contiguous();
        at::Tensor y = at::empty_like(x);
        by_type(x, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, x.numel(), grain, [&](int64_t from, int64_t to) {
                quick_gelu(memory<Element>(x) + from, memory<Element>(y) + from, to - from);
            });
        });
        context->save_for_backward({x});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const at::Tensor x = context->get_saved_variables()[0], g = gradients[0].contiguous();
        at::Tensor dx = at::empty_like(x);
        by_type(x, [&](auto *type) {
            using Element = std::remove_pointer_t<decltype(type)>;
            at::parallel_for(0, x.numel(), grain, [&](int64_t from, int64_t to) {
                quick_gelu_backward(
                    memory<Element>(g) + from, memory<Element>(x) + from, memory<Element>(dx) + from, to - from);
            });
        });
        return {dx};
    }
};

at::Tensor rms_norm(const at::Tensor &x, const at::Tensor &weight, double epsilon) {
    TORCH_CHECK(x.dim() > 0 && x.size(-1) == weight.numel(), "a weight of ", weight.sizes(), " for ", x.sizes());
    if (auto quick = quick_rms_norm(x, std::nullopt, weight, epsilon, nullptr)) return *quick;
    if (is_handled(x) && x.scalar_type() == weight.scalar_type() && x.numel() > 0) {
        return RMSNorm::apply(x, weight, epsilon);
    }
    const at::Tensor wide = x.to(at::kFloat);
    return (wide * (wide.square().mean(-1, true) + epsilon).rsqrt()).to(x.scalar_type()) * weight;
}

at::Tensor gated_silu(const at::Tensor &gate, const at::Tensor &up) {
    TORCH_CHECK(gate.sizes() == up.sizes(), "gate ", gate.sizes(), " and up ", up.sizes(), " differ");
    if (auto quick = quick_activation(Activation::silu, gate, up)) return *quick;
    if (is_handled(gate) && gate.scalar_type() == up.scalar_type()) return GatedSilu::apply(gate, up);
    return at::silu(gate) * up;
}

}  // namespace

extern "C" {

ct_tensor ct_rms_norm(ct_tensor x, ct_tensor weight, double epsilon, ct_error *error) {
    return produce(error, [&] { return rms_norm(borrow(x), borrow(weight), epsilon); });
}

ct_tensor ct_gated_silu(ct_tensor gate, ct_tensor up, ct_error *error) {
    return produce(error, [&] { return gated_silu(borrow(gate), borrow(up)); });
}

ct_tensor ct_quick_gelu(ct_tensor input, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor x = borrow(input);
        if (auto quick = quick_activation(Activation::quick_gelu, x, std::nullopt)) return *quick;
        return is_handled(x) ? QuickGelu::apply(x) : x * (x * 1.702).sigmoid();
    });
}

int32_t ct_add_rms_norm(
    ct_tensor input, ct_tensor delta, ct_tensor weights, double epsilon, ct_tensor *results, ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor x = borrow(input), other = borrow(delta), weight = borrow(weights);
        at::Tensor sum;
        auto y = quick_rms_norm(x, other, weight, epsilon, &sum);
        if (!y) {
            sum = x + other;
            y = rms_norm(sum, weight, epsilon);
        }
        results[0] = give(std::move(sum));
        results[1] = give(std::move(*y));
    });
}

int32_t ct_add_layer_norm(
    ct_tensor input, ct_tensor delta, ct_tensor weight, ct_tensor bias, double epsilon, ct_tensor *results,
    ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor x = borrow(input), other = borrow(delta);
        at::Tensor sum;
        auto y = quick_layer_norm(x, other, optional(weight), optional(bias), epsilon, &sum);
        if (!y) {
            sum = x + other;
            y = at::layer_norm(sum, {sum.size(-1)}, optional(weight), optional(bias), epsilon);
        }
        results[0] = give(std::move(sum));
        results[1] = give(std::move(*y));
    });
}

ct_tensor ct_gated_linear(ct_tensor input, ct_tensor gates, ct_tensor ups, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor x = borrow(input), gate = borrow(gates), up = borrow(ups);
        if (auto quick = quick_gated_linear(x, gate, up)) return *quick;
        return gated_silu(at::linear(x, gate), at::linear(x, up));
    });
}

ct_tensor ct_rotated(ct_tensor input, ct_tensor cosines, ct_tensor sines, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor x = borrow(input), cosine = borrow(cosines), sine = borrow(sines);
        if (auto quick = quick_rotated(x, cosine, sine)) return *quick;
        const int64_t half = x.size(-1) / 2;
        const at::Tensor wide = x.to(at::kFloat), c = cosine.unsqueeze(1), s = sine.unsqueeze(1);
        const at::Tensor first = wide.narrow(2, 0, half), second = wide.narrow(2, half, half);
        return at::cat({first * c - second * s, second * c + first * s}, 2).to(x.scalar_type());
    });
}

}  // extern "C"
