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
