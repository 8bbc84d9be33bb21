// Runs CKernels on libtorch's threads.
#include "kernels.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/stable/c/shim.h>

#include <atomic>

#include "ckernels.h"

using namespace omma;

namespace {

/// Runs `body(begin, end)` over [0, count) on libtorch's own threads. Shares are handed out as threads become free:
/// where another process holds a core, equal parts would make all wait for it. Results cannot depend on who takes what.
///
/// at::parallel_for is a template that is serial unless compiled with OpenMP, which clang would bring a second runtime
/// for; the C entry below is compiled into libtorch.
template <class Body>
void parallel(int64_t count, int64_t share, const Body &body) {
    const int64_t shares = (count + share - 1) / share;
    const int64_t threads = std::min<int64_t>(at::get_num_threads(), shares);
    if (threads <= 1 || at::in_parallel_region()) return body(0, count);
    struct Context {
        const Body &body;
        std::atomic<int64_t> next;
        const int64_t count, share;
    } context{body, {0}, count, share};
    const AOTITorchError code = torch_parallel_for(
        0, threads, 1,
        [](int64_t, int64_t, void *raw) {
            auto &context = *static_cast<Context *>(raw);
            for (;;) {
                const int64_t begin = context.next.fetch_add(context.share, std::memory_order_relaxed);
                if (begin >= context.count) return;
                context.body(begin, std::min(begin + context.share, context.count));
            }
        },
        &context);
    TORCH_CHECK(code == AOTI_TORCH_SUCCESS, "libtorch's threads refused a kernel");
}

/// About eight shares a thread, none under `least`.
int64_t share_of(int64_t count, int64_t least) {
    return std::max<int64_t>(least, count / (8 * std::max(1, at::get_num_threads())));
}

bool fast() { return ck_features() == CK_LEVEL_AVX512_BF16; }

/// In memory of the CPU, with a contiguous last dimension, and not part of a graph being recorded.
bool plain(const at::Tensor &tensor) {
    return tensor.is_cpu() && tensor.layout() == at::kStrided && tensor.dim() > 0 && tensor.stride(-1) == 1 &&
           !(c10::GradMode::is_enabled() && tensor.requires_grad());
}

template <class Element>
const Element *data(const at::Tensor &tensor) {
    return static_cast<const Element *>(tensor.const_data_ptr());
}
template <class Element>
const Element *data(const std::optional<at::Tensor> &tensor) {
    return tensor ? static_cast<const Element *>(tensor->const_data_ptr()) : nullptr;
}
template <class Element>
Element *mutable_data(const at::Tensor &tensor) {
    return static_cast<Element *>(tensor.mutable_data_ptr());
}

bool plain_bfloat16(const at::Tensor &tensor) { return tensor.scalar_type() == at::kBFloat16 && plain(tensor); }
bool plain_bfloat16(const std::optional<at::Tensor> &tensor) { return !tensor || plain_bfloat16(*tensor); }

/// All but the last dimension as one.
at::Tensor rows_of(const at::Tensor &x) { return x.dim() == 2 ? x : x.reshape({-1, x.size(-1)}); }

/// Runs `body` over rows of `size` elements, in shares that repay waking a thread.
template <class Body>
void parallel_rows(int64_t rows, int64_t size, const Body &body) {
    parallel(rows, std::max(share_of(rows, 1), 16384 / std::max<int64_t>(1, size) + 1), body);
}

}  // namespace

std::optional<at::Tensor> omma::quick_linear(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias) {
    const auto type = x.scalar_type();
    if (!fast() || (type != at::kBFloat16 && type != at::kFloat)) return std::nullopt;
    if (!plain(x) || !plain(weight) || weight.dim() != 2 || weight.scalar_type() != type) return std::nullopt;
    if (bias && (!plain(*bias) || bias->dim() != 1 || bias->scalar_type() != type)) return std::nullopt;
    const int64_t inputs = weight.size(1), outputs = weight.size(0);
    // Shapes that do not fit are left for the library to complain about.
    if (inputs == 0 || x.size(-1) != inputs || (bias && bias->size(0) != outputs)) return std::nullopt;
    const int64_t rows = x.numel() / inputs;
    if (rows == 0 || rows > 16) return std::nullopt;
    const at::Tensor flat = x.reshape({rows, inputs});
    auto sizes = x.sizes().vec();
    sizes.back() = outputs;
    at::Tensor y = at::empty(sizes, x.options());
    const int64_t x_stride = flat.stride(0), weight_stride = weight.stride(0);
    parallel(outputs, share_of(outputs, 64), [&](int64_t begin, int64_t end) {
        if (type == at::kBFloat16)
            ck_linear_bf16(
                data<ck_bfloat16>(flat), x_stride, data<ck_bfloat16>(weight), weight_stride, data<ck_bfloat16>(bias),
                mutable_data<ck_bfloat16>(y), outputs, rows, inputs, begin, end);
        else
            ck_linear_f32(
                data<float>(flat), x_stride, data<float>(weight), weight_stride, data<float>(bias),
                mutable_data<float>(y), outputs, rows, inputs, begin, end);
    });
    return y;
}

std::optional<at::Tensor> omma::quick_attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::vector<int64_t> &query_offsets,
    const std::vector<int64_t> &key_offsets, bool causal, double scale, at::Tensor *log_sum_exp) {
    const int64_t tokens = query.size(0), heads = query.size(1), head_size = query.size(2);
    for (const at::Tensor *t : {&query, &key, &value})
        if (!plain(*t) || t->scalar_type() != at::kBFloat16) return std::nullopt;
    if (!fast() || head_size % 2 != 0 || head_size > 256 || !(scale > 0)) return std::nullopt;
    at::Tensor output = at::empty({tokens, heads, head_size}, query.options());
    ck_attention a = {};
    a.query = data<ck_bfloat16>(query), a.key = data<ck_bfloat16>(key), a.value = data<ck_bfloat16>(value);
    a.output = mutable_data<ck_bfloat16>(output);
    if (log_sum_exp) {
        *log_sum_exp = at::empty({tokens, heads}, query.options().dtype(at::kFloat));
        a.logSumExp = mutable_data<float>(*log_sum_exp);
    }
    a.queryTokenStride = query.stride(0), a.queryHeadStride = query.stride(1);
    a.keyTokenStride = key.stride(0), a.keyHeadStride = key.stride(1);
    a.valueTokenStride = value.stride(0), a.valueHeadStride = value.stride(1);
    a.outputTokenStride = output.stride(0), a.outputHeadStride = output.stride(1);
    a.queryOffsets = query_offsets.data(), a.keyOffsets = key_offsets.data();
    a.segments = query_offsets.size() - 1;
    a.heads = heads, a.keyValueHeads = key.size(1), a.headSize = head_size;
    a.scale = static_cast<float>(scale), a.causal = causal;
    const bool decode = ck_decode_attention_fits(&a);
    const size_t bytes = decode ? ck_decode_attention_workspace(&a) : ck_attention_workspace(&a);
    const at::Tensor workspace = at::empty({static_cast<int64_t>(bytes)}, query.options().dtype(at::kByte));
    void *memory = workspace.mutable_data_ptr();
    if (decode) {
        ck_decode_attention_prepare(&a, memory);
        parallel(ck_decode_attention_count(&a), 1, [&](int64_t begin, int64_t end) {
            ck_decode_attention_run(&a, memory, begin, end);
        });
        return output;
    }
    parallel(ck_attention_pack_count(&a), 1, [&](int64_t begin, int64_t end) {
        ck_attention_pack(&a, memory, begin, end);
    });
    parallel(ck_attention_count(&a), 1, [&](int64_t begin, int64_t end) {
        ck_attention_run(&a, memory, begin, end);
    });
    return output;
}

namespace {

/// What both norms have in common: `run` gets row strides and memory.
template <class Run>
std::optional<at::Tensor> quick_norm(
    const at::Tensor &x, const std::optional<at::Tensor> &delta, const std::optional<at::Tensor> &weight,
    const std::optional<at::Tensor> &bias, at::Tensor *sum, const Run &run) {
    if (!fast() || !plain_bfloat16(x) || !plain_bfloat16(delta) || !plain_bfloat16(weight) || !plain_bfloat16(bias))
        return std::nullopt;
    const int64_t size = x.size(-1);
    if (x.numel() == 0 || (delta && delta->sizes() != x.sizes())) return std::nullopt;
    for (const auto *parameter : {&weight, &bias})
        if (*parameter && ((*parameter)->dim() != 1 || (*parameter)->size(0) != size)) return std::nullopt;
    const at::Tensor in = rows_of(x), added = delta ? rows_of(*delta) : at::Tensor();
    at::Tensor y = at::empty(x.sizes(), x.options());
    if (delta) *sum = at::empty(x.sizes(), x.options());
    parallel_rows(in.size(0), size, [&](int64_t begin, int64_t end) {
        run(data<ck_bfloat16>(in), in.stride(0), delta ? data<ck_bfloat16>(added) : nullptr,
            delta ? added.stride(0) : 0, delta ? mutable_data<ck_bfloat16>(*sum) : nullptr,
            mutable_data<ck_bfloat16>(y), size, begin, end);
    });
    return y;
}

}  // namespace

std::optional<at::Tensor> omma::quick_rms_norm(
    const at::Tensor &x, const std::optional<at::Tensor> &delta, const at::Tensor &weight, double epsilon,
    at::Tensor *sum) {
    return quick_norm(
        x, delta, weight, std::nullopt, sum,
        [&](auto *in, int64_t stride, auto *added, int64_t added_stride, auto *total, auto *y, int64_t size,
            int64_t begin, int64_t end) {
            ck_rms_norm_bf16(
                in, stride, added, added_stride, total, size, data<ck_bfloat16>(weight), static_cast<float>(epsilon), y,
                size, size, begin, end);
        });
}

std::optional<at::Tensor> omma::quick_layer_norm(
    const at::Tensor &x, const std::optional<at::Tensor> &delta, const std::optional<at::Tensor> &weight,
    const std::optional<at::Tensor> &bias, double epsilon, at::Tensor *sum) {
    return quick_norm(
        x, delta, weight, bias, sum,
        [&](auto *in, int64_t stride, auto *added, int64_t added_stride, auto *total, auto *y, int64_t size,
            int64_t begin, int64_t end) {
            ck_layer_norm_bf16(
                in, stride, added, added_stride, total, size, data<ck_bfloat16>(weight), data<ck_bfloat16>(bias),
                static_cast<float>(epsilon), y, size, size, begin, end);
        });
}

std::optional<at::Tensor> omma::quick_activation(
    Activation activation, const at::Tensor &x, const std::optional<at::Tensor> &factor) {
    if (!fast() || !plain_bfloat16(x) || !plain_bfloat16(factor) || x.numel() == 0) return std::nullopt;
    if (factor && factor->sizes() != x.sizes()) return std::nullopt;
    const ck_activation kind = activation == Activation::silu        ? CK_SILU
                               : activation == Activation::gelu      ? CK_GELU
                               : activation == Activation::gelu_tanh ? CK_GELU_TANH
                                                                     : CK_QUICK_GELU;
    const at::Tensor in = rows_of(x), times = factor ? rows_of(*factor) : at::Tensor();
    at::Tensor y = at::empty(x.sizes(), x.options());
    const int64_t size = x.size(-1);
    parallel_rows(in.size(0), size, [&](int64_t begin, int64_t end) {
        ck_activation_bf16(
            kind, data<ck_bfloat16>(in), in.stride(0), factor ? data<ck_bfloat16>(times) : nullptr,
            factor ? times.stride(0) : 0, mutable_data<ck_bfloat16>(y), size, size, begin, end);
    });
    return y;
}

std::optional<at::Tensor> omma::quick_gated_linear(const at::Tensor &x, const at::Tensor &gate, const at::Tensor &up) {
    if (!fast() || !plain_bfloat16(x) || !plain_bfloat16(gate) || !plain_bfloat16(up)) return std::nullopt;
    if (gate.dim() != 2 || gate.sizes() != up.sizes() || gate.stride(0) != up.stride(0)) return std::nullopt;
    const int64_t inputs = gate.size(1), outputs = gate.size(0);
    if (inputs == 0 || x.size(-1) != inputs) return std::nullopt;
    const int64_t rows = x.numel() / inputs;
    if (rows == 0 || rows > 16) return std::nullopt;
    const at::Tensor in = rows_of(x);
    auto sizes = x.sizes().vec();
    sizes.back() = outputs;
    at::Tensor y = at::empty(sizes, x.options());
    parallel(outputs, share_of(outputs, 64), [&](int64_t begin, int64_t end) {
        ck_gated_linear_bf16(
            data<ck_bfloat16>(in), in.stride(0), data<ck_bfloat16>(gate), data<ck_bfloat16>(up), gate.stride(0),
            mutable_data<ck_bfloat16>(y), outputs, rows, inputs, begin, end);
    });
    return y;
}

std::optional<at::Tensor> omma::quick_rotated(const at::Tensor &x, const at::Tensor &cosine, const at::Tensor &sine) {
    if (!fast() || !plain_bfloat16(x) || x.dim() != 3 || x.numel() == 0) return std::nullopt;
    for (const at::Tensor *table : {&cosine, &sine})
        if (!plain(*table) || table->scalar_type() != at::kFloat || table->dim() != 2 ||
            table->size(0) != x.size(0) || 2 * table->size(1) != x.size(2) || table->stride(0) != cosine.stride(0))
            return std::nullopt;
    const int64_t heads = x.size(1), size = x.size(2);
    at::Tensor y = at::empty(x.sizes(), x.options());
    parallel_rows(x.size(0), heads * size, [&](int64_t begin, int64_t end) {
        ck_rotary_bf16(
            data<ck_bfloat16>(x), x.stride(0), x.stride(1), mutable_data<ck_bfloat16>(y), heads * size, size, heads,
            size, data<float>(cosine), data<float>(sine), cosine.stride(0), size / 2, begin, end);
    });
    return y;
}
