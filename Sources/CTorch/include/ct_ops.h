/* Operations. Names and meanings are libtorch's. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CT_UNARY(name) ct_tensor ct_##name(ct_tensor a, ct_error *error);
#define CT_BINARY(name) ct_tensor ct_##name(ct_tensor a, ct_tensor b, ct_error *error);
#define CT_SCALAR(name) ct_tensor ct_##name(ct_tensor a, double b, ct_error *error);
#define CT_REDUCTION(name) \
    ct_tensor ct_##name(ct_tensor a, const int64_t *dims, int32_t count, bool keep, ct_error *error);

/* Elementwise. */
CT_UNARY(neg) CT_UNARY(exp) CT_UNARY(log) CT_UNARY(sqrt) CT_UNARY(rsqrt) CT_UNARY(sin) CT_UNARY(cos) CT_UNARY(tanh)
CT_UNARY(sigmoid) CT_UNARY(silu) CT_UNARY(relu) CT_UNARY(abs) CT_UNARY(square) CT_UNARY(floor) CT_UNARY(round)
CT_UNARY(reciprocal) CT_UNARY(isfinite) CT_UNARY(logical_not) CT_UNARY(softplus)
CT_BINARY(add) CT_BINARY(sub) CT_BINARY(mul) CT_BINARY(div) CT_BINARY(maximum) CT_BINARY(minimum)
CT_BINARY(eq) CT_BINARY(ne) CT_BINARY(lt) CT_BINARY(le) CT_BINARY(gt) CT_BINARY(ge)
CT_BINARY(logical_and) CT_BINARY(logical_or) CT_BINARY(floor_divide) CT_BINARY(remainder)
CT_SCALAR(add_scalar) CT_SCALAR(mul_scalar) CT_SCALAR(div_scalar) CT_SCALAR(pow_scalar) CT_SCALAR(eq_scalar)
CT_SCALAR(ne_scalar) CT_SCALAR(lt_scalar) CT_SCALAR(le_scalar) CT_SCALAR(gt_scalar) CT_SCALAR(ge_scalar)
ct_tensor ct_gelu(ct_tensor a, bool tanh_form, ct_error *error);
ct_tensor ct_clamp(ct_tensor a, double low, double high, ct_error *error);
ct_tensor ct_where(ct_tensor condition, ct_tensor a, ct_tensor b, ct_error *error);
ct_tensor ct_masked_fill(ct_tensor a, ct_tensor mask, double value, ct_error *error);

/* Reductions; `count` 0 reduces all dimensions. */
CT_REDUCTION(sum) CT_REDUCTION(mean) CT_REDUCTION(amax) CT_REDUCTION(amin) CT_REDUCTION(logsumexp)
ct_tensor ct_argmax(ct_tensor a, int64_t dim, bool keep, ct_error *error);
ct_tensor ct_norm(ct_tensor a, ct_error *error);
ct_tensor ct_all(ct_tensor a, ct_error *error);
ct_tensor ct_any(ct_tensor a, ct_error *error);
ct_tensor ct_cumsum(ct_tensor a, int64_t dim, ct_error *error);
ct_tensor ct_softmax(ct_tensor a, int64_t dim, int32_t dtype /* -1 keeps it */, ct_error *error);
ct_tensor ct_log_softmax(ct_tensor a, int64_t dim, int32_t dtype /* -1 keeps it */, ct_error *error);
/* `results` gets values and indices. */
int32_t ct_topk(ct_tensor a, int64_t k, int64_t dim, bool largest, bool sorted, ct_tensor *results, ct_error *error);
int32_t ct_sort(ct_tensor a, int64_t dim, bool descending, bool stable, ct_tensor *results, ct_error *error);
bool ct_equal(ct_tensor a, ct_tensor b, ct_error *error);

/* Shape and selection. */
ct_tensor ct_reshape(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error);
ct_tensor ct_view(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error);
ct_tensor ct_permute(ct_tensor a, const int64_t *dims, int32_t count, ct_error *error);
ct_tensor ct_expand(ct_tensor a, const int64_t *sizes, int32_t count, ct_error *error);
ct_tensor ct_transpose(ct_tensor a, int64_t dim0, int64_t dim1, ct_error *error);
ct_tensor ct_squeeze(ct_tensor a, int64_t dim, ct_error *error);
ct_tensor ct_unsqueeze(ct_tensor a, int64_t dim, ct_error *error);
ct_tensor ct_slice(ct_tensor a, int64_t dim, int64_t start, int64_t end, int64_t step, ct_error *error);
ct_tensor ct_select(ct_tensor a, int64_t dim, int64_t index, ct_error *error);
ct_tensor ct_cat(const ct_tensor *tensors, int32_t count, int64_t dim, ct_error *error);
ct_tensor ct_stack(const ct_tensor *tensors, int32_t count, int64_t dim, ct_error *error);
/* `results` gets `count` views of the given sizes. */
int32_t ct_split(ct_tensor a, const int64_t *sizes, int32_t count, int64_t dim, ct_tensor *results, ct_error *error);
ct_tensor ct_index_select(ct_tensor a, int64_t dim, ct_tensor index, ct_error *error);
ct_tensor ct_gather(ct_tensor a, int64_t dim, ct_tensor index, ct_error *error);
ct_tensor ct_index_copy(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error);
ct_tensor ct_index_add(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error);
ct_tensor ct_scatter(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error);
ct_tensor ct_nonzero(ct_tensor a, ct_error *error);
ct_tensor ct_repeat_interleave(ct_tensor a, int64_t repeats, int64_t dim, ct_error *error);
ct_tensor ct_repeat(ct_tensor a, const int64_t *repeats, int32_t count, ct_error *error);
ct_tensor ct_flip(ct_tensor a, const int64_t *dims, int32_t count, ct_error *error);
ct_tensor ct_tril(ct_tensor a, int64_t diagonal, ct_error *error);
ct_tensor ct_triu(ct_tensor a, int64_t diagonal, ct_error *error);
ct_tensor ct_pad(ct_tensor a, const int64_t *pads, int32_t count, double value, ct_error *error);
ct_tensor ct_one_hot(ct_tensor a, int64_t classes, ct_error *error);

/* In place. */
int32_t ct_add_(ct_tensor a, ct_tensor b, double alpha, ct_error *error);
int32_t ct_mul_(ct_tensor a, double b, ct_error *error);
int32_t ct_index_copy_(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error);
int32_t ct_index_add_(ct_tensor a, int64_t dim, ct_tensor index, ct_tensor source, ct_error *error);

/* Products and layers; `bias`, `weight` of norms, and `mask` may be NULL. */
ct_tensor ct_matmul(ct_tensor a, ct_tensor b, ct_error *error);
ct_tensor ct_linear(ct_tensor x, ct_tensor weight, ct_tensor bias, ct_error *error);
ct_tensor ct_embedding(ct_tensor weight, ct_tensor indices, ct_error *error);
ct_tensor ct_layer_norm(ct_tensor x, ct_tensor weight, ct_tensor bias, int64_t size, double epsilon, ct_error *error);
ct_tensor ct_scaled_dot_product_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, ct_tensor mask, double dropout, bool causal, double scale,
    bool grouped, ct_error *error);
ct_tensor ct_conv2d(
    ct_tensor x, ct_tensor weight, ct_tensor bias, const int64_t stride[2], const int64_t padding[2], int64_t groups,
    ct_error *error);
ct_tensor ct_adaptive_average_pool2d(ct_tensor x, int64_t height, int64_t width, ct_error *error);
ct_tensor ct_bicubic_resize2d(ct_tensor x, int64_t height, int64_t width, bool antialias, ct_error *error);
/* Mean (`reduction` 1), sum (2) or each (0) of the negative log likelihood; targets equal to `ignore` count nothing. */
ct_tensor ct_cross_entropy(ct_tensor logits, ct_tensor targets, int32_t reduction, int64_t ignore, ct_error *error);
ct_tensor ct_dropout(ct_tensor x, double probability, bool train, ct_error *error);

/* One AdamW step over lists of tensors, in place (decoupled weight decay, bias correction by `step`). */
int32_t ct_adamw(
    const ct_tensor *parameters, const ct_tensor *gradients, const ct_tensor *first_moments,
    const ct_tensor *second_moments, const ct_tensor *steps, int32_t count, double rate, double beta1, double beta2,
    double weight_decay, double epsilon, ct_error *error);

#undef CT_UNARY
#undef CT_BINARY
#undef CT_SCALAR
#undef CT_REDUCTION

#ifdef __cplusplus
}
#endif
