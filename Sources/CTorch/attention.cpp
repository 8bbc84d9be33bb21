// Attention of packed, variable-length sequences: one node of the graph, however many segments there are.
#include "include/ct_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels.h"
#include "shim.h"

using namespace omma;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

struct Segments {
    std::vector<int64_t> queries, keys;
    bool causal;
    double scale;
    int64_t count() const { return static_cast<int64_t>(queries.size()) - 1; }
};

/// Rows `from..<to` of [tokens, heads, size] as the [1, heads, tokens, size] that libtorch's kernels take.
at::Tensor rows(const at::Tensor &packed, int64_t from, int64_t to) {
    return packed.narrow(0, from, to - from).transpose(0, 1).unsqueeze(0);
}

/// Additive mask of a causal segment with more keys than queries, aligned at the ends. libtorch's own causal flag is
/// aligned at the starts.
std::optional<at::Tensor> end_aligned_mask(const Segments &s, int64_t i, const at::Tensor &like) {
    const int64_t queries = s.queries[i + 1] - s.queries[i], keys = s.keys[i + 1] - s.keys[i];
    if (!s.causal || queries == keys || queries == 1) return std::nullopt;
    at::Tensor mask = at::full({queries, keys}, -std::numeric_limits<double>::infinity(), like.options());
    return mask.triu_(keys - queries + 1);
}

bool start_aligned_causal(const Segments &s, int64_t i) {
    const int64_t queries = s.queries[i + 1] - s.queries[i], keys = s.keys[i + 1] - s.keys[i];
    return s.causal && queries == keys;
}

at::Tensor repeat_heads(const at::Tensor &x, int64_t heads) {
    return x.size(1) == heads ? x : x.repeat_interleave(heads / x.size(1), 1);
}

/// Forward and backward by libtorch's CPU kernels, segment by segment.
struct PackedAttention : torch::autograd::Function<PackedAttention> {
    static at::Tensor forward(
        AutogradContext *context, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
        const Segments &s) {
        const int64_t heads = query.size(1);
        at::Tensor sums;
        const auto quick = quick_attention(query, key, value, s.queries, s.keys, s.causal, s.scale, &sums);
        at::Tensor out = quick ? *quick : at::empty({query.size(0), heads, query.size(2)}, query.options());
        variable_list saved = {query, key, value, out};
        if (quick) {
            for (int64_t i = 0; i < s.count(); i++)
                saved.push_back(rows(sums.unsqueeze(2), s.queries[i], s.queries[i + 1]).squeeze(3));
            remember(context, saved, s);
            return out;
        }
        at::Tensor k = repeat_heads(key, heads), v = repeat_heads(value, heads);
        for (int64_t i = 0; i < s.count(); i++) {
            if (s.queries[i] == s.queries[i + 1]) {
                saved.push_back(at::Tensor());
                continue;
            }
            auto [part, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
                rows(query, s.queries[i], s.queries[i + 1]), rows(k, s.keys[i], s.keys[i + 1]),
                rows(v, s.keys[i], s.keys[i + 1]), 0.0, start_aligned_causal(s, i), end_aligned_mask(s, i, query),
                s.scale);
            out.narrow(0, s.queries[i], s.queries[i + 1] - s.queries[i]).copy_(part.squeeze(0).transpose(0, 1));
            saved.push_back(logsumexp);
        }
        remember(context, saved, s);
        return out;
    }

    static void remember(AutogradContext *context, const variable_list &saved, const Segments &s) {
        context->save_for_backward(saved);
        context->saved_data["queries"] = s.queries;
        context->saved_data["keys"] = s.keys;
        context->saved_data["causal"] = s.causal;
        context->saved_data["scale"] = s.scale;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const Segments s = {
            context->saved_data["queries"].toIntVector(), context->saved_data["keys"].toIntVector(),
            context->saved_data["causal"].toBool(), context->saved_data["scale"].toDouble()};
        const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2], &out = saved[3];
        const int64_t heads = query.size(1), shared = heads / key.size(1);
        const at::Tensor gradient = gradients[0].contiguous();
        at::Tensor k = repeat_heads(key, heads), v = repeat_heads(value, heads);
        at::Tensor dq = at::zeros({query.size(0), heads, query.size(2)}, query.options());
        at::Tensor dk = at::zeros({k.size(0), heads, k.size(2)}, k.options()), dv = at::zeros_like(dk);
        for (int64_t i = 0; i < s.count(); i++) {
            const int64_t q0 = s.queries[i], q1 = s.queries[i + 1], k0 = s.keys[i], k1 = s.keys[i + 1];
            if (q0 == q1) continue;
            auto [a, b, c] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
                rows(gradient, q0, q1), rows(query, q0, q1), rows(k, k0, k1), rows(v, k0, k1), rows(out, q0, q1),
                saved[4 + i], 0.0, start_aligned_causal(s, i), end_aligned_mask(s, i, query), s.scale);
            dq.narrow(0, q0, q1 - q0).copy_(a.squeeze(0).transpose(0, 1));
            dk.narrow(0, k0, k1 - k0).copy_(b.squeeze(0).transpose(0, 1));
            dv.narrow(0, k0, k1 - k0).copy_(c.squeeze(0).transpose(0, 1));
        }
        if (shared > 1) {
            dk = dk.view({dk.size(0), key.size(1), shared, dk.size(2)}).sum(2);
            dv = dv.view({dv.size(0), key.size(1), shared, dv.size(2)}).sum(2);
        }
        return {dq, dk, dv, at::Tensor()};
    }
};

/// Any device: libtorch's own choice of kernel for each segment, recorded by its own nodes.
at::Tensor segment_by_segment(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Segments &s) {
    std::vector<at::Tensor> parts;
    for (int64_t i = 0; i < s.count(); i++) {
        if (s.queries[i] == s.queries[i + 1]) continue;
        at::Tensor part = at::scaled_dot_product_attention(
            rows(q, s.queries[i], s.queries[i + 1]), rows(k, s.keys[i], s.keys[i + 1]),
            rows(v, s.keys[i], s.keys[i + 1]), end_aligned_mask(s, i, q), 0.0, start_aligned_causal(s, i), s.scale,
            /*enable_gqa=*/q.size(1) != k.size(1));
        parts.push_back(part.squeeze(0).transpose(0, 1));
    }
    return at::cat(parts, 0);
}

void check(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const Segments &s) {
    TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.dim() == 3, "query, key and value are [tokens, heads, head size]");
    TORCH_CHECK(k.sizes() == v.sizes(), "key ", k.sizes(), " and value ", v.sizes(), " differ");
    TORCH_CHECK(q.size(2) == k.size(2), "head sizes ", q.size(2), " and ", k.size(2), " differ");
    TORCH_CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, q.size(1), " heads over ", k.size(1), " key-value heads");
    for (int64_t i = 0; i < s.count(); i++) {
        const int64_t queries = s.queries[i + 1] - s.queries[i], keys = s.keys[i + 1] - s.keys[i];
        TORCH_CHECK(queries >= 0 && keys >= 0, "offsets go backwards at segment ", i);
        TORCH_CHECK(queries == 0 || keys > 0, "segment ", i, " has queries and no keys");
        TORCH_CHECK(!s.causal || queries <= keys, "causal segment ", i, " has more queries than keys");
    }
    TORCH_CHECK(s.queries.front() == 0 && s.queries.back() == q.size(0), "offsets do not cover the queries");
    TORCH_CHECK(s.keys.front() == 0 && s.keys.back() == k.size(0), "offsets do not cover the keys");
}

}  // namespace

extern "C" ct_tensor ct_packed_attention(
    ct_tensor query, ct_tensor key, ct_tensor value, const int64_t *query_offsets, const int64_t *key_offsets,
    int32_t segments, bool causal, double scale, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor q = borrow(query), k = borrow(key), v = borrow(value);
        const Segments s = {
            {query_offsets, query_offsets + segments + 1}, {key_offsets, key_offsets + segments + 1}, causal, scale};
        check(q, k, v, s);
        if (q.is_meta() || q.size(0) == 0) return at::empty_like(q, at::MemoryFormat::Contiguous);
        const bool kernels = q.is_cpu() && q.scalar_type() != at::kDouble && q.stride(2) == 1 && k.stride(2) == 1 &&
                             v.stride(2) == 1;
        return kernels ? PackedAttention::apply(q, k, v, s) : segment_by_segment(q, k, v, s);
    });
}
