// Operations: one line each over ATen.
#include "kernels.h"
#include "shim.h"

#include "include/ct_ops.h"

using namespace omma;

#define UNARY(name, expression) \
    ct_tensor ct_##name(ct_tensor a, ct_error *error) { \
        return produce(error, [&] { at::Tensor x = borrow(a); return expression; }); \
    }
#define BINARY(name, expression) \
    ct_tensor ct_##name(ct_tensor a, ct_tensor b, ct_error *error) { \
        return produce(error, [&] { at::Tensor x = borrow(a), y = borrow(b); return expression; }); \
    }
#define SCALAR(name, expression) \
    ct_tensor ct_##name(ct_tensor a, double y, ct_error *error) { \
        return produce(error, [&] { at::Tensor x = borrow(a); return expression; }); \
    }
#define REDUCTION(name) \
    ct_tensor ct_##name(ct_tensor a, const int64_t *dims, int32_t count, bool keep, ct_error *error) { \
        return produce(error, [&] { return at::name(borrow(a), list(dims, count), keep); }); \
    }

namespace {
/// A whole number stays one, so that integer tensors keep their type.
at::Scalar scalar(double value) {
    if (value == static_cast<double>(static_cast<int64_t>(value)) && std::abs(value) < 9e15) {
        return at::Scalar(static_cast<int64_t>(value));
    }
    return at::Scalar(value);
}

template <class Library>
at::Tensor activated(Activation activation, const at::Tensor &x, const Library &library) {
    if (auto quick = quick_activation(activation, x, std::nullopt)) return *quick;
    return library();
}

std::optional<at::ScalarType> optional_type(int32_t dtype) {
    if (dtype < 0) return std::nullopt;
    return type(dtype);
}
}  // namespace

extern "C" {

UNARY(neg, at::neg(x))
UNARY(exp, at::exp(x))
UNARY(log, at::log(x))
UNARY(sqrt, at::sqrt(x))
UNARY(rsqrt, at::rsqrt(x))
UNARY(sin, at::sin(x))
UNARY(cos, at::cos(x))
UNARY(tanh, at::tanh(x))
UNARY(sigmoid, at::sigmoid(x))
UNARY(silu, activated(Activation::silu, x, [&] { return at::silu(x); }))
UNARY(relu, at::relu(x))
UNARY(abs, at::abs(x))
UNARY(square, at::square(x))
UNARY(floor, at::floor(x))
UNARY(round, at::round(x))
UNARY(reciprocal, at::reciprocal(x))
UNARY(isfinite, at::isfinite(x))
UNARY(logical_not, at::logical_not(x))
UNARY(softplus, at::softplus(x))
UNARY(norm, at::linalg_vector_norm(x))
UNARY(all, at::all(x))
UNARY(any, at::any(x))
UNARY(nonzero, at::nonzero(x))

BINARY(add, at::add(x, y))
BINARY(sub, at::sub(x, y))
BINARY(mul, at::mul(x, y))
BINARY(div, at::div(x, y))
BINARY(maximum, at::maximum(x, y))
BINARY(minimum, at::minimum(x, y))
BINARY(eq, at::eq(x, y))
BINARY(ne, at::ne(x, y))
BINARY(lt, at::lt(x, y))
BINARY(le, at::le(x, y))
BINARY(gt, at::gt(x, y))
BINARY(ge, at::ge(x, y))
BINARY(logical_and, at::logical_and(x, y))
BINARY(logical_or, at::logical_or(x, y))
BINARY(floor_divide, at::floor_divide(x, y))
BINARY(remainder, at::remainder(x, y))
BINARY(matmul, at::matmul(x, y))

SCALAR(add_scalar, at::add(x, scalar(y)))
SCALAR(mul_scalar, at::mul(x, scalar(y)))
SCALAR(div_scalar, at::div(x, scalar(y)))
SCALAR(pow_scalar, at::pow(x, scalar(y)))
SCALAR(eq_scalar, at::eq(x, scalar(y)))
SCALAR(ne_scalar, at::ne(x, scalar(y)))
SCALAR(lt_scalar, at::lt(x, scalar(y)))
SCALAR(le_scalar, at::le(x, scalar(y)))
SCALAR(gt_scalar, at::gt(x, scalar(y)))
SCALAR(ge_scalar, at::ge(x, scalar(y)))

REDUCTION(amax)
REDUCTION(amin)

ct_tensor ct_sum(ct_tensor a, const int64_t *dims, int32_t count, bool keep, ct_error *error) {
    return produce(error, [&] { return count ? at::sum(borrow(a), list(dims, count), keep) : at::sum(borrow(a)); });
}

ct_tensor ct_mean(ct_tensor a, const int64_t *dims, int32_t count, bool keep, ct_error *error) {
    return produce(error, [&] { return count ? at::mean(borrow(a), list(dims, count), keep) : at::mean(borrow(a)); });
}

ct_tensor ct_logsumexp(ct_tensor a, const int64_t *dims, int32_t count, bool keep, ct_error *error) {
    return produce(error, [&] { return at::logsumexp(borrow(a), list(dims, count), keep); });
}

ct_tensor ct_gelu(ct_tensor a, bool tanh_form, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor x = borrow(a);
        return activated(tanh_form ? Activation::gelu_tanh : Activation::gelu, x, [&] {
            return at::gelu(x, tanh_form ? "tanh" : "none");
        });
    });
}

ct_tensor ct_clamp(ct_tensor a, double low, double high, ct_error *error) {
    return produce(error, [&] { return at::clamp(borrow(a), scalar(low), scalar(high)); });
}

ct_tensor ct_where(ct_tensor condition, ct_tensor a, ct_tensor b, ct_error *error) {
    return produce(error, [&] { return at::where(borrow(condition), borrow(a), borrow(b)); });
}

ct_tensor ct_masked_fill(ct_tensor a, ct_tensor mask, double value, ct_error *error) {
    return produce(error, [&] { return at::masked_fill(borrow(a), borrow(mask), value); });
}

ct_tensor ct_argmax(ct_tensor a, int64_t dim, bool keep, ct_error *error) {
    return produce(error, [&] { return at::argmax(borrow(a), dim, keep); });
}

ct_tensor ct_cumsum(ct_tensor a, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::cumsum(borrow(a), dim); });
}

ct_tensor ct_softmax(ct_tensor a, int64_t dim, int32_t dtype, ct_error *error) {
    return produce(error, [&] { return at::softmax(borrow(a), dim, optional_type(dtype)); });
}

ct_tensor ct_log_softmax(ct_tensor a, int64_t dim, int32_t dtype, ct_error *error) {
    return produce(error, [&] { return at::log_softmax(borrow(a), dim, optional_type(dtype)); });
}

int32_t ct_topk(ct_tensor a, int64_t k, int64_t dim, bool largest, bool sorted, ct_tensor *results, ct_error *error) {
    return guarded(error, [&] {
        auto [values, indices] = at::topk(borrow(a), k, dim, largest, sorted);
        results[0] = give(std::move(values));
        results[1] = give(std::move(indices));
    });
}

int32_t ct_sort(ct_tensor a, int64_t dim, bool descending, bool stable, ct_tensor *results, ct_error *error) {
    return guarded(error, [&] {
        auto [values, indices] = at::sort(borrow(a), stable, dim, descending);
        results[0] = give(std::move(values));
        results[1] = give(std::move(indices));
    });
}

bool ct_equal(ct_tensor a, ct_tensor b, ct_error *error) {
    bool result = false;
    guarded(error, [&] { result = at::equal(borrow(a), borrow(b)); });
    return result;
}

ct_tensor ct_reshape(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error) {
    return produce(error, [&] { return at::reshape(borrow(a), list(sizes, count)); });
}

ct_tensor ct_view(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error) {
    return produce(error, [&] { return borrow(a).view(list(sizes, count)); });
}

ct_tensor ct_permute(ct_tensor a, const int64_t *dims, int32_t count, ct_error *error) {
    return produce(error, [&] { return at::permute(borrow(a), list(dims, count)); });
}

ct_tensor ct_expand(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error) {
    return produce(error, [&] { return borrow(a).expand(list(sizes, count)); });
}

ct_tensor ct_transpose(ct_tensor a, int64_t dim0, int64_t dim1, ct_error *error) {
    return produce(error, [&] { return at::transpose(borrow(a), dim0, dim1); });
}

ct_tensor ct_squeeze(ct_tensor a, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::squeeze(borrow(a), dim); });
}

ct_tensor ct_unsqueeze(ct_tensor a, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::unsqueeze(borrow(a), dim); });
}

ct_tensor ct_slice(ct_tensor a, int64_t dim, int64_t start, int64_t end, int64_t step, ct_error *error) {
    return produce(error, [&] { return at::slice(borrow(a), dim, start, end, step); });
}

ct_tensor ct_select(ct_tensor a, int64_t dim, int64_t index, ct_error *error) {
    return produce(error, [&] { return at::select(borrow(a), dim, index); });
}

ct_tensor ct_cat(const ct_tensor *tensors, int32_t count, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::cat(borrow(tensors, count), dim); });
}

ct_tensor ct_stack(const ct_tensor *tensors, int32_t count, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::stack(borrow(tensors, count), dim); });
}

int32_t ct_split(ct_tensor a, const int64_t *sizes, int32_t count, int64_t dim, ct_tensor *results, ct_error *error) {
    return guarded(error, [&] {
        auto parts = at::split_with_sizes(borrow(a), list(sizes, count), dim);
        for (int32_t i = 0; i < count; i++) results[i] = give(std::move(parts[i]));
    });
}

ct_tensor ct_index_select(ct_tensor a, int64_t dim, ct_tensor index, ct_error *error) {
    return produce(error, [&] { return at::index_select(borrow(a), dim, borrow(index)); });
}

ct_tensor ct_gather(ct_tensor a, int64_t dim, ct_tensor index, ct_error *error) {
    return produce(error, [&] { return at::gather(borrow(a), dim, borrow(index)); });
}

ct_tensor ct_index_copy(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error) {
    return produce(error, [&] { return at::index_copy(borrow(a), dim, borrow(index), borrow(source)); });
}

ct_tensor ct_index_add(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error) {
    return produce(error, [&] { return at::index_add(borrow(a), dim, borrow(index), borrow(source)); });
}

ct_tensor ct_scatter(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error) {
    return produce(error, [&] { return at::scatter(borrow(a), dim, borrow(index), borrow(source)); });
}

ct_tensor ct_repeat_interleave(ct_tensor a, int64_t repeats, int64_t dim, ct_error *error) {
    return produce(error, [&] { return at::repeat_interleave(borrow(a), repeats, dim); });
}

ct_tensor ct_repeat(ct_tensor a, const int64_t *repeats, int32_t count, ct_error *error) {
    return produce(error, [&] { return borrow(a).repeat(list(repeats, count)); });
}

ct_tensor ct_flip(ct_tensor a, const int64_t *dims, int32_t count, ct_error *error) {
    return produce(error, [&] { return at::flip(borrow(a), list(dims, count)); });
}

ct_tensor ct_tril(ct_tensor a, int64_t diagonal, ct_error *error) {
    return produce(error, [&] { return at::tril(borrow(a), diagonal); });
}

ct_tensor ct_triu(ct_tensor a, int64_t diagonal, ct_error *error) {
    return produce(error, [&] { return at::triu(borrow(a), diagonal); });
}

ct_tensor ct_pad(ct_tensor a, const int64_t *pads, int32_t count, double value, ct_error *error) {
    return produce(error, [&] { return at::constant_pad_nd(borrow(a), list(pads, count), value); });
}

ct_tensor ct_one_hot(ct_tensor a, int64_t classes, ct_error *error) {
    return produce(error, [&] { return at::one_hot(borrow(a), classes); });
}

int32_t ct_add_(ct_tensor a, ct_tensor b, double alpha, ct_error *error) {
    return guarded(error, [&] { borrow(a).add_(borrow(b), scalar(alpha)); });
}

int32_t ct_mul_(ct_tensor a, double b, ct_error *error) {
    return guarded(error, [&] { borrow(a).mul_(scalar(b)); });
}

int32_t ct_index_copy_(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error) {
    return guarded(error, [&] { borrow(a).index_copy_(dim, borrow(index), borrow(source)); });
}

int32_t ct_index_add_(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error) {
    return guarded(error, [&] { borrow(a).index_add_(dim, borrow(index), borrow(source)); });
}

ct_tensor ct_linear(ct_tensor x, ct_tensor weight, ct_tensor bias, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor input = borrow(x), w = borrow(weight);
        const std::optional<at::Tensor> b = optional(bias);
        if (auto quick = quick_linear(input, w, b)) return *quick;
        return at::linear(input, w, b);
    });
}

ct_tensor ct_embedding(ct_tensor weight, ct_tensor indices, ct_error *error) {
    return produce(error, [&] { return at::embedding(borrow(weight), borrow(indices)); });
}

ct_tensor ct_layer_norm(ct_tensor x, ct_tensor weight, ct_tensor bias, int64_t size, double epsilon, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor input = borrow(x);
        const std::optional<at::Tensor> w = optional(weight), b = optional(bias);
        if (input.dim() > 0 && input.size(-1) == size)
            if (auto quick = quick_layer_norm(input, std::nullopt, w, b, epsilon, nullptr)) return *quick;
        return at::layer_norm(input, {size}, w, b, epsilon);
    });
}

ct_tensor ct_scaled_dot_product_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, ct_tensor mask, double dropout, bool causal, double scale,
    bool grouped, ct_error *error) {
    return produce(error, [&] {
        return at::scaled_dot_product_attention(
            borrow(query), borrow(key), borrow(value), optional(mask), dropout, causal, scale, grouped);
    });
}

ct_tensor ct_conv2d(
    ct_tensor x, ct_tensor weight, ct_tensor bias, const int64_t stride[2], const int64_t padding[2], int64_t groups,
    ct_error *error) {
    return produce(error, [&] {
        return at::conv2d(borrow(x), borrow(weight), optional(bias), list(stride, 2), list(padding, 2), {1, 1}, groups);
    });
}

ct_tensor ct_adaptive_average_pool2d(ct_tensor x, int64_t height, int64_t width, ct_error *error) {
    return produce(error, [&] { return at::adaptive_avg_pool2d(borrow(x), {height, width}); });
}

ct_tensor ct_bicubic_resize2d(ct_tensor x, int64_t height, int64_t width, bool antialias, ct_error *error) {
    return produce(error, [&] {
        const int64_t size[2] = {height, width};
        return antialias ? at::_upsample_bicubic2d_aa(borrow(x), list(size, 2), false)
                         : at::upsample_bicubic2d(borrow(x), list(size, 2), false);
    });
}

ct_tensor ct_cross_entropy(ct_tensor logits, ct_tensor targets, int32_t reduction, int64_t ignore, ct_error *error) {
    return produce(error, [&] {
        return at::cross_entropy_loss(borrow(logits), borrow(targets), std::nullopt, reduction, ignore);
    });
}

ct_tensor ct_dropout(ct_tensor x, double probability, bool train, ct_error *error) {
    return produce(error, [&] { return at::dropout(borrow(x), probability, train); });
}

int32_t ct_adamw(
    const ct_tensor *parameters, const ct_tensor *gradients, const ct_tensor *first_moments,
    const ct_tensor *second_moments, const ct_tensor *steps, int32_t count, double rate, double beta1, double beta2,
    double weight_decay, double epsilon, ct_error *error) {
    return guarded(error, [&] {
        auto p = borrow(parameters, count), g = borrow(gradients, count), m = borrow(first_moments, count),
             v = borrow(second_moments, count), s = borrow(steps, count);
        for (auto &step : s) step.add_(1);
        at::_fused_adamw_(
            p, g, m, v, {}, s, rate, beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false);
    });
}

}  // extern "C"
