// Attention of packed, variable-length sequences: one node of the graph, however many segments there are.
#include "include/ct_attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <deque>

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

/// Kernels that take all segments at once, where the device has them.
enum class Kernel { none, flash, efficient };

bool has_own_kernel(const char *operation, const at::Tensor &like) {
    const auto found = c10::Dispatcher::singleton().findSchema({operation, ""});
    return found && found->hasKernelForDispatchKey(c10::legacyExtractDispatchKey(like.key_set()));
}

/// libtorch knows what the device's generation, the type and the head size allow; asked as for one sequence with as many
/// key-value heads as heads.
Kernel kernel_for(const at::Tensor &q) {
    if (!has_own_kernel("aten::_fused_sdp_choice", q)) return Kernel::none;
    const at::Tensor one = rows(q, 0, q.size(0));
    // In the order of at::SDPBackend: without one, flash, efficient, cuDNN.
    const int64_t choice = at::_fused_sdp_choice(one, one, one);
    const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
    if (choice == 1 || choice == 3) {
        const bool fits = half && q.size(2) % 8 == 0 && q.size(2) <= 256;
        return fits && has_own_kernel("aten::_flash_attention_forward", q) ? Kernel::flash : Kernel::none;
    }
    return choice == 2 && has_own_kernel("aten::_efficient_attention_forward", q) ? Kernel::efficient : Kernel::none;
}

/// Offsets on the device. All layers of a pass ask for the same ones.
at::Tensor placed(const std::vector<int64_t> &offsets, c10::Device device) {
    struct Placed {
        std::vector<int64_t> offsets;
        at::Tensor tensor;
    };
    // A pass has those of the tower and of the decoder, and of keys where they are others.
    static thread_local std::deque<Placed> recent;
    for (const Placed &known : recent) {
        if (known.tensor.device() == device && known.offsets == offsets) return known.tensor;
    }
    const c10::InferenceMode kept_for_gradients(false);
    const std::vector<int32_t> narrow(offsets.begin(), offsets.end());
    recent.push_front({offsets, at::tensor(narrow, at::kInt).to(device)});
    if (recent.size() > 6) recent.pop_back();
    return recent.front().tensor;
}

int64_t longest(const std::vector<int64_t> &offsets) {
    int64_t most = 0;
    for (size_t i = 1; i < offsets.size(); i++) most = std::max(most, offsets[i] - offsets[i - 1]);
    return most;
}

/// All segments in one kernel, whose causal masks are aligned at the ends, as ours; libtorch records its gradients.
at::Tensor all_at_once(
    Kernel kernel, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const Segments &s) {
    const at::Tensor q_offsets = placed(s.queries, query.device()), k_offsets = placed(s.keys, query.device());
    const auto dense = [](const at::Tensor &x) { return x.stride(2) == 1 ? x : x.contiguous(); };
    const at::Tensor q = dense(query), k = dense(key), v = dense(value);
    if (kernel == Kernel::flash) {
        return std::get<0>(at::_flash_attention_forward(
            q, k, v, q_offsets, k_offsets, longest(s.queries), longest(s.keys), /*dropout_p=*/0.0, s.causal,
            /*return_debug_mask=*/false, s.scale));
    }
    const bool learns = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
    constexpr int64_t no_mask = 0, causal_from_lower_right = 2;
    return std::get<0>(at::_efficient_attention_forward(
                           q.unsqueeze(0), repeat_heads(k, q.size(1)).unsqueeze(0),
                           repeat_heads(v, q.size(1)).unsqueeze(0), /*bias=*/std::nullopt, q_offsets, k_offsets,
                           longest(s.queries), longest(s.keys), /*dropout_p=*/0.0,
                           s.causal ? causal_from_lower_right : no_mask, /*compute_log_sumexp=*/learns, s.scale))
        .squeeze(0);
}

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
        if (kernels) return PackedAttention::apply(q, k, v, s);
        const Kernel kernel = q.is_cpu() ? Kernel::none : kernel_for(q);
        return kernel == Kernel::none ? segment_by_segment(q, k, v, s) : all_at_once(kernel, q, k, v, s);
    });
}
