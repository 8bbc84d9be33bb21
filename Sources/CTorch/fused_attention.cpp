// Rotation and attention of packed sequences as one node, for training in bf16 on the CPU: scores are matrix products of
// the size of a segment, which oneDNN runs several times faster than libtorch's flash kernel does, and fit the caches.
#include "include/ct_fused.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "shim.h"
#include "vector_math.h"

using namespace omma;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

/// Segments are padded to multiples of this, so that few shapes of products occur: each new one costs a compilation.
constexpr int64_t multiple = 16;

struct Layout {
    std::vector<int64_t> offsets;
    int64_t heads, key_heads, size;
    bool causal;
    double scale;

    int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
    int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }
    int64_t padded(int64_t i) const { return (length(i) + multiple - 1) / multiple * multiple; }
    int64_t shared() const { return heads / key_heads; }
    /// Rows before segment `i` with padding, and elements of scores.
    std::vector<int64_t> rows() const {
        std::vector<int64_t> result = {0};
        for (int64_t i = 0; i < count(); i++) result.push_back(result.back() + padded(i));
        return result;
    }
    std::vector<int64_t> scores() const {
        std::vector<int64_t> result = {0};
        for (int64_t i = 0; i < count(); i++) result.push_back(result.back() + heads * padded(i) * padded(i));
        return result;
    }
};

uint16_t *memory(const at::Tensor &x) { return static_cast<uint16_t *>(x.data_ptr()); }

/// A part of a flat tensor in a shape.
at::Tensor part(const at::Tensor &flat, int64_t from, at::IntArrayRef shape) {
    return flat.narrow(0, from, c10::multiply_integers(shape)).view(shape);
}

/// Rows of [tokens, heads, size] with `stride` between tokens, rotated into [heads, padded, size]. Without tables the rows
/// are copied.
OMMA_VECTORIZED void gather(
    const uint16_t *from, int64_t stride, const float *cosine, const float *sine, uint16_t *to, int64_t heads,
    int64_t length, int64_t padded, int64_t size) {
    const int64_t half = size / 2;
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t t = 0; t < length; t++) {
            const uint16_t *x = from + t * stride + h * size;
            uint16_t *y = to + (h * padded + t) * size;
            if (cosine == nullptr) {
                std::memcpy(y, x, size * 2);
                continue;
            }
            const float *c = cosine + t * half, *s = sine + t * half;
            for (int64_t i = 0; i < half; i++) {
                const float a = widen(x[i]), b = widen(x[i + half]);
                narrow(a * c[i] - b * s[i], y[i]);
                narrow(b * c[i] + a * s[i], y[i + half]);
            }
        }
        std::memset(to + (h * padded + length) * size, 0, (padded - length) * size * 2);
    }
}

/// The way back: [heads, padded, size] into rows of [tokens, heads, size], turned by the negative angles.
OMMA_VECTORIZED void scatter(
    const uint16_t *from, const float *cosine, const float *sine, uint16_t *to, int64_t stride, int64_t heads,
    int64_t length, int64_t padded, int64_t size) {
    const int64_t half = size / 2;
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t t = 0; t < length; t++) {
            const uint16_t *x = from + (h * padded + t) * size;
            uint16_t *y = to + t * stride + h * size;
            if (cosine == nullptr) {
                std::memcpy(y, x, size * 2);
                continue;
            }
            const float *c = cosine + t * half, *s = sine + t * half;
            for (int64_t i = 0; i < half; i++) {
                const float a = widen(x[i]), b = widen(x[i + half]);
                narrow(a * c[i] + b * s[i], y[i]);
                narrow(b * c[i] - a * s[i], y[i + half]);
            }
        }
    }
}

/// Softmax of each row's first `limit` scores times `scale`, in place; what lies behind becomes 0.
OMMA_VECTORIZED void softmax_row(uint16_t *row, int64_t limit, int64_t width, float scale) {
    float tops[16];
    for (int64_t j = 0; j < 16; j++) tops[j] = -INFINITY;
    int64_t i = 0;
    for (; i + 16 <= limit; i += 16)
        for (int64_t j = 0; j < 16; j++) tops[j] = std::max(tops[j], widen(row[i + j]));
    for (; i < limit; i++) tops[0] = std::max(tops[0], widen(row[i]));
    float top = tops[0];
    for (float value : tops) top = std::max(top, value);
    float values[1024 + 16], sums[16] = {};
    for (i = 0; i < limit; i++) values[i] = exponential((widen(row[i]) - top) * scale);
    for (i = 0; i + 16 <= limit; i += 16)
        for (int64_t j = 0; j < 16; j++) sums[j] += values[i + j];
    for (; i < limit; i++) sums[0] += values[i];
    float sum = 0;
    for (float value : sums) sum += value;
    const float inverse = 1.0f / sum;
    for (i = 0; i < limit; i++) narrow(values[i] * inverse, row[i]);
    std::memset(row + limit, 0, (width - limit) * 2);
}

/// `gradient` of a row of probabilities becomes that of its scores, in place.
OMMA_VECTORIZED void softmax_row_backward(const uint16_t *p, uint16_t *gradient, int64_t limit, int64_t width, float scale) {
    float sums[16] = {};
    int64_t i = 0;
    for (; i + 16 <= limit; i += 16)
        for (int64_t j = 0; j < 16; j++) sums[j] += widen(p[i + j]) * widen(gradient[i + j]);
    for (; i < limit; i++) sums[0] += widen(p[i]) * widen(gradient[i]);
    float sum = 0;
    for (float value : sums) sum += value;
    for (i = 0; i < limit; i++) narrow(widen(p[i]) * (widen(gradient[i]) - sum) * scale, gradient[i]);
    std::memset(gradient + limit, 0, (width - limit) * 2);
}

/// Calls `body` with each row of a segment's scores and the number of keys that it may see; none for padding.
template <class Body>
void each_row(const Layout &l, int64_t i, Body &&body) {
    const int64_t length = l.length(i), padded = l.padded(i);
    for (int64_t h = 0; h < l.heads; h++)
        for (int64_t t = 0; t < padded; t++)
            body((h * padded + t) * padded, t >= length ? 0 : (l.causal ? t + 1 : length), padded);
}

struct Inputs {
    at::Tensor query, key, value;
};

struct Packed {
    at::Tensor query, key, value, probabilities;
};

at::Tensor attend(const Inputs &in, const at::Tensor &cosine, const at::Tensor &sine, const Layout &l, Packed &packed) {
    const auto rows = l.rows(), scores = l.scores();
    const auto options = in.query.options();
    packed.query = at::empty({rows.back() * l.heads * l.size}, options);
    packed.key = at::empty({rows.back() * l.key_heads * l.size}, options);
    packed.value = at::empty({rows.back() * l.key_heads * l.size}, options);
    packed.probabilities = at::empty({scores.back()}, options);
    at::Tensor out = at::empty({in.query.size(0), l.heads * l.size}, options);
    const int64_t half = l.size / 2;
    at::parallel_for(0, l.count(), 1, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++) {
            const int64_t length = l.length(i), padded = l.padded(i), start = l.offsets[i];
            if (length == 0) continue;
            const float *c = static_cast<const float *>(cosine.const_data_ptr()) + start * half, *s = static_cast<const float *>(sine.const_data_ptr()) + start * half;
            gather(
                memory(in.query) + start * in.query.stride(0), in.query.stride(0), c, s,
                memory(packed.query) + rows[i] * l.heads * l.size, l.heads, length, padded, l.size);
            gather(
                memory(in.key) + start * in.key.stride(0), in.key.stride(0), c, s,
                memory(packed.key) + rows[i] * l.key_heads * l.size, l.key_heads, length, padded, l.size);
            gather(
                memory(in.value) + start * in.value.stride(0), in.value.stride(0), nullptr, nullptr,
                memory(packed.value) + rows[i] * l.key_heads * l.size, l.key_heads, length, padded, l.size);
            const int64_t together = l.shared() * padded;
            at::Tensor q = part(packed.query, rows[i] * l.heads * l.size, {l.key_heads, together, l.size});
            at::Tensor k = part(packed.key, rows[i] * l.key_heads * l.size, {l.key_heads, padded, l.size});
            at::Tensor v = part(packed.value, rows[i] * l.key_heads * l.size, {l.key_heads, padded, l.size});
            at::Tensor p = part(packed.probabilities, scores[i], {l.key_heads, together, padded});
            at::bmm_out(p, q, k.transpose(1, 2));
            each_row(l, i, [&](int64_t row, int64_t limit, int64_t width) {
                softmax_row(memory(p) + row, limit, width, static_cast<float>(l.scale));
            });
            const at::Tensor o = at::bmm(p, v);
            scatter(
                memory(o), nullptr, nullptr, memory(out) + start * l.heads * l.size, l.heads * l.size, l.heads, length,
                padded, l.size);
        }
    });
    return out;
}

/// Writes the gradients of queries, keys and values into `to`, whose strides are its own business.
void attend_backward(
    const Packed &packed, const at::Tensor &cosine, const at::Tensor &sine, const Layout &l, const at::Tensor &gradient,
    const Inputs &to) {
    const auto rows = l.rows(), scores = l.scores();
    const int64_t half = l.size / 2;
    at::parallel_for(0, l.count(), 1, [&](int64_t from, int64_t end) {
        for (int64_t i = from; i < end; i++) {
            const int64_t length = l.length(i), padded = l.padded(i), start = l.offsets[i];
            if (length == 0) continue;
            const float *c = static_cast<const float *>(cosine.const_data_ptr()) + start * half, *s = static_cast<const float *>(sine.const_data_ptr()) + start * half;
            const int64_t together = l.shared() * padded;
            const at::Tensor q = part(packed.query, rows[i] * l.heads * l.size, {l.key_heads, together, l.size});
            const at::Tensor k = part(packed.key, rows[i] * l.key_heads * l.size, {l.key_heads, padded, l.size});
            const at::Tensor v = part(packed.value, rows[i] * l.key_heads * l.size, {l.key_heads, padded, l.size});
            const at::Tensor p = part(packed.probabilities, scores[i], {l.key_heads, together, padded});
            at::Tensor g = at::empty({l.key_heads, together, l.size}, gradient.options());
            gather(
                memory(gradient) + start * l.heads * l.size, l.heads * l.size, nullptr, nullptr, memory(g), l.heads, length,
                padded, l.size);
            const at::Tensor dv = at::bmm(p.transpose(1, 2), g);
            at::Tensor dp = at::bmm(g, v.transpose(1, 2));
            each_row(l, i, [&](int64_t row, int64_t limit, int64_t width) {
                softmax_row_backward(memory(p) + row, memory(dp) + row, limit, width, static_cast<float>(l.scale));
            });
            const at::Tensor dq = at::bmm(dp, k), dk = at::bmm(dp.transpose(1, 2), q);
            scatter(
                memory(dq), c, s, memory(to.query) + start * to.query.stride(0), to.query.stride(0), l.heads, length, padded,
                l.size);
            scatter(
                memory(dk), c, s, memory(to.key) + start * to.key.stride(0), to.key.stride(0), l.key_heads, length, padded,
                l.size);
            scatter(
                memory(dv), nullptr, nullptr, memory(to.value) + start * to.value.stride(0), to.value.stride(0),
                l.key_heads, length, padded, l.size);
        }
    });
}

void remember(AutogradContext *context, const Packed &p, const at::Tensor &cosine, const at::Tensor &sine, const Layout &l) {
    context->save_for_backward({p.query, p.key, p.value, p.probabilities, cosine, sine});
    context->saved_data["offsets"] = l.offsets;
    context->saved_data["heads"] = l.heads;
    context->saved_data["key_heads"] = l.key_heads;
    context->saved_data["size"] = l.size;
    context->saved_data["causal"] = l.causal;
    context->saved_data["scale"] = l.scale;
}

Layout recall(AutogradContext *context) {
    auto &data = context->saved_data;
    return {data["offsets"].toIntVector(), data["heads"].toInt(), data["key_heads"].toInt(), data["size"].toInt(),
            data["causal"].toBool(), data["scale"].toDouble()};
}

struct RotaryAttention : torch::autograd::Function<RotaryAttention> {
    static at::Tensor forward(
        AutogradContext *context, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
        const at::Tensor &cosine, const at::Tensor &sine, const Layout &l) {
        Packed packed;
        at::Tensor out = attend({query, key, value}, cosine, sine, l, packed);
        remember(context, packed, cosine, sine, l);
        return out;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const Layout l = recall(context);
        const at::Tensor gradient = gradients[0].contiguous();
        const int64_t tokens = gradient.size(0);
        const Inputs to = {
            at::empty({tokens, l.heads, l.size}, gradient.options()),
            at::empty({tokens, l.key_heads, l.size}, gradient.options()),
            at::empty({tokens, l.key_heads, l.size}, gradient.options())};
        attend_backward({saved[0], saved[1], saved[2], saved[3]}, saved[4], saved[5], l, gradient, to);
        return {to.query, to.key, to.value, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

struct FusedRotaryAttention : torch::autograd::Function<FusedRotaryAttention> {
    static at::Tensor forward(
        AutogradContext *context, const at::Tensor &fused, const at::Tensor &cosine, const at::Tensor &sine, const Layout &l) {
        Packed packed;
        at::Tensor out =
            attend({fused.select(1, 0), fused.select(1, 1), fused.select(1, 2)}, cosine, sine, l, packed);
        remember(context, packed, cosine, sine, l);
        return out;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const Layout l = recall(context);
        const at::Tensor gradient = gradients[0].contiguous();
        at::Tensor all = at::empty({gradient.size(0), 3, l.heads, l.size}, gradient.options());
        attend_backward(
            {saved[0], saved[1], saved[2], saved[3]}, saved[4], saved[5], l, gradient,
            {all.select(1, 0), all.select(1, 1), all.select(1, 2)});
        return {all, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

void check(const at::Tensor &x, const Layout &l, const char *name) {
    TORCH_CHECK(
        x.is_cpu() && x.scalar_type() == at::kBFloat16, name, " must be bf16 on the CPU, it is ", x.toString());
    TORCH_CHECK(x.size(-1) == l.size && l.size % 2 == 0, name, " has heads of ", x.size(-1), ", not ", l.size);
    TORCH_CHECK(x.stride(-1) == 1 && x.stride(-2) == l.size, name, " is not dense in its heads");
}

void check(const at::Tensor &cosine, const at::Tensor &sine, const Layout &l) {
    for (const at::Tensor &table : {cosine, sine})
        TORCH_CHECK(
            table.is_cpu() && table.scalar_type() == at::kFloat && table.is_contiguous() && table.dim() == 2 &&
                table.size(0) == l.offsets.back() && table.size(1) == l.size / 2,
            "rotary tables of ", table.sizes(), " for ", l.offsets.back(), " tokens and heads of ", l.size);
    for (int64_t i = 0; i < l.count(); i++)
        TORCH_CHECK(l.length(i) >= 0 && l.length(i) <= 1024, "segment ", i, " has ", l.length(i), " tokens");
}

}  // namespace

extern "C" {

ct_tensor ct_rotary_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, ct_tensor cosine, ct_tensor sine, const int64_t *offsets,
    int32_t segments, bool causal, double scale, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor q = borrow(query), k = borrow(key), v = borrow(value), c = borrow(cosine), s = borrow(sine);
        TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.sizes() == k.sizes(), "query, key and value are [tokens, heads, size]");
        TORCH_CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, q.size(1), " heads over ", k.size(1), " key-value heads");
        const Layout l = {{offsets, offsets + segments + 1}, q.size(1), k.size(1), q.size(2), causal, scale};
        TORCH_CHECK(l.offsets.back() == q.size(0) && q.size(0) == k.size(0), "offsets do not cover the tokens");
        check(q, l, "query");
        check(k, l, "key");
        check(v, l, "value");
        check(c, s, l);
        return RotaryAttention::apply(q, k, v, c, s, l);
    });
}

ct_tensor ct_rotary_attention_fused(
    ct_tensor query_key_value, ct_tensor cosine, ct_tensor sine, const int64_t *offsets, int32_t segments, bool causal,
    double scale, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor x = borrow(query_key_value).contiguous(), c = borrow(cosine), s = borrow(sine);
        TORCH_CHECK(x.dim() == 4 && x.size(1) == 3, "expected [tokens, 3, heads, size], got ", x.sizes());
        const Layout l = {{offsets, offsets + segments + 1}, x.size(2), x.size(2), x.size(3), causal, scale};
        TORCH_CHECK(l.offsets.back() == x.size(0), "offsets do not cover the tokens");
        check(x, l, "query_key_value");
        check(c, s, l);
        return FusedRotaryAttention::apply(x, c, s, l);
    });
}

}  // extern "C"
