// A device that is no GPU and refuses what a GPU refuses: operations on tensors of which some are its own and some are the
// CPU's. So tests on any machine see where a model, a loss or an optimiser leaves a tensor behind.
//
// It takes the place of Apple's `mps` in libtorch, which Linux has no use for. Its memory is the CPU's; each operation
// checks where its tensors are, and then runs on copies of them. That is slow, and meant for models of tests.
#include "include/stand_in_device.h"

#ifdef __APPLE__

bool stand_in_device_is_there(void) { return false; }
int64_t stand_in_device_operations(void) { return 0; }
bool stand_in_device_opens_cuda(void) { return false; }
int64_t stand_in_device_flash_attentions(void) { return 0; }
int64_t stand_in_device_efficient_attentions(void) { return 0; }

#else

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <mutex>

#include "streams.h"

namespace {

constexpr c10::DeviceType kind = c10::DeviceType::MPS;
const c10::Device own(kind, 0);
std::atomic<int64_t> operations{0};

struct Guard final : c10::impl::DeviceGuardImplInterface {
    static constexpr c10::DeviceType static_type = kind;
    c10::DeviceType type() const override { return kind; }
    c10::Device exchangeDevice(c10::Device) const override { return own; }
    c10::Device getDevice() const override { return own; }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, own); }
    c10::Stream getDefaultStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, own); }
    c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
    // Operations are done when they return, but for those of a stream from the pool.
    c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
        return c10::Stream(c10::Stream::UNSAFE, own, stand_in::Streams::shared().add());
    }
    void *getStreamNativeHandle(const c10::Stream stream) const override {
        return stand_in::Streams::shared().find(stream.id());
    }
    void destroyEvent(void *, const c10::DeviceIndex) const noexcept override {}
    void record(void **event, const c10::Stream &stream, const c10::DeviceIndex, const c10::EventFlag) const override {
        *event = stand_in::Streams::shared().find(stream.id());
    }
    void block(void *, const c10::Stream &) const override {}
    bool queryEvent(void *event) const override {
        return event == nullptr || static_cast<stand_in::Stream *>(event)->pending == 0;
    }
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }
    bool queryStream(const c10::Stream &) const override { return true; }
    void synchronizeStream(const c10::Stream &) const override {}
    void synchronizeDevice(const c10::DeviceIndex) const override {}
};

/// By which libtorch asks whether there is such a device; it finds them by their name.
struct MPSHooks final : at::MPSHooksInterface {
    explicit MPSHooks(at::MPSHooksArgs) {}
    bool hasMPS() const override { return true; }
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    void init() const override {}
    void deviceSynchronize() const override {}
    c10::DeviceIndex deviceCount() const override { return 1; }
    c10::DeviceIndex getCurrentDevice() const override { return 0; }
    void setCurrentDevice(c10::DeviceIndex) const override {}
    c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
    c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
};

/// The CPU's memory under another name, counted as GPUs count theirs.
struct Allocator final : c10::DeviceAllocator {
    struct Held {
        c10::DataPtr memory;
        int64_t bytes;
    };
    std::mutex mutex;
    c10::CachingAllocator::Stat stat;

    void add(int64_t bytes) {
        const std::lock_guard lock(mutex);
        if (bytes >= 0) {
            stat.increase(bytes);
        } else {
            stat.decrease(-bytes);
        }
    }
    static void free(void *context);
    c10::DataPtr allocate(size_t bytes) override {
        c10::DataPtr there = at::getCPUAllocator()->allocate(bytes);
        void *data = there.get();
        add(static_cast<int64_t>(bytes));
        return {data, new Held{std::move(there), static_cast<int64_t>(bytes)}, &free, own};
    }
    bool initialized() override { return true; }
    void emptyCache(c10::MempoolId_t) override {}
    void recordStream(const c10::DataPtr &, c10::Stream) override {}
    c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
        const std::lock_guard lock(mutex);
        c10::CachingDeviceAllocator::DeviceStats stats;
        stats.allocated_bytes[0] = stat;
        return stats;
    }
    void resetAccumulatedStats(c10::DeviceIndex) override {}
    void resetPeakStats(c10::DeviceIndex) override {
        const std::lock_guard lock(mutex);
        stat.reset_peak();
    }
    void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }
} allocator;

void Allocator::free(void *context) {
    const auto *held = static_cast<Held *>(context);
    allocator.add(-held->bytes);
    delete held;
}

/// The same memory as a tensor of the CPU.
at::Tensor seen_by_cpu(const at::Tensor &tensor) {
    if (tensor.is_cpu()) return tensor;
    return at::from_blob(
        tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void *) {},
        at::TensorOptions().dtype(tensor.dtype()).device(at::kCPU));
}

at::Tensor empty(
    c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>,
    std::optional<bool>, std::optional<at::MemoryFormat> format) {
    return at::detail::empty_generic(
        size, &allocator, c10::DispatchKeySet(c10::DispatchKey::MPS), c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>) {
    return at::detail::empty_strided_generic(
        size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::MPS), c10::dtype_or_default(dtype));
}

at::Tensor &copy_(at::Tensor &self, const at::Tensor &source, bool) {
    seen_by_cpu(self).copy_(seen_by_cpu(source));
    return self;
}

at::Tensor copy_from(const at::Tensor &source, const at::Tensor &target, bool) {
    seen_by_cpu(target).copy_(seen_by_cpu(source));
    return target;
}

at::Tensor copy_from_and_resize(const at::Tensor &source, const at::Tensor &target) {
    if (target.sizes() != source.sizes()) {
        const int64_t bytes = source.numel() * static_cast<int64_t>(source.element_size());
        auto *storage = target.storage().unsafeGetStorageImpl();
        if (static_cast<int64_t>(storage->nbytes()) < bytes) {
            storage->set_data_ptr_noswap(allocator.allocate(bytes));
            storage->set_nbytes(bytes);
        }
        target.unsafeGetTensorImpl()->set_sizes_contiguous(source.sizes());
    }
    return copy_from(source, target, false);
}

const at::Tensor &resize_(const at::Tensor &self, c10::IntArrayRef size, std::optional<at::MemoryFormat>) {
    int64_t count = 1;
    for (const int64_t side : size) count *= side;
    const int64_t bytes = (count + self.storage_offset()) * static_cast<int64_t>(self.element_size());
    auto *storage = self.storage().unsafeGetStorageImpl();
    if (static_cast<int64_t>(storage->nbytes()) < bytes) {
        c10::DataPtr larger = allocator.allocate(bytes);
        if (storage->nbytes() > 0) std::memcpy(larger.get(), storage->data(), storage->nbytes());
        storage->set_data_ptr_noswap(std::move(larger));
        storage->set_nbytes(bytes);
    }
    self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
    return self;
}

/// As on a GPU: of the CPU's tensors only single numbers may come along.
void check(const c10::OperatorHandle &op, const at::Tensor &tensor) {
    TORCH_CHECK(
        !tensor.defined() || tensor.device() == own || tensor.dim() == 0,
        "Expected all tensors to be on the same device, but found at least two devices, ", own, " and ", tensor.device(),
        ", of shape ", tensor.sizes(), " (", op.schema().name(), ")");
}

void run(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
    operations++;
    const size_t count = op.schema().arguments().size();
    for (const c10::IValue &value : torch::jit::last(*stack, count)) {
        if (value.isTensor()) {
            check(op, value.toTensor());
        } else if (value.isTensorList()) {
            for (const at::Tensor &tensor : value.toTensorVector()) check(op, tensor);
        }
        // Lists of optional tensors are indices, which may stay behind.
    }
    at::native::cpu_fallback(op, stack);
}

C10_REGISTER_GUARD_IMPL(MPS, Guard);
using at::MPSHooksRegistry;
using at::RegistererMPSHooksRegistry;
REGISTER_MPS_HOOKS(MPSHooks);
REGISTER_ALLOCATOR(c10::DeviceType::MPS, &allocator);

at::Tensor convolution(
    const at::Tensor &input, const at::Tensor &weight, const std::optional<at::Tensor> &bias, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups) {
    const auto added = bias && bias->defined() ? std::optional<at::Tensor>(seen_by_cpu(*bias)) : std::nullopt;
    return at::convolution(
               seen_by_cpu(input), seen_by_cpu(weight), added, stride, padding, dilation, transposed, output_padding, groups)
        .to(own);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor &gradient, const at::Tensor &input, const at::Tensor &weight, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups,
    std::array<bool, 3> wanted) {
    auto [a, b, c] = at::convolution_backward(
        seen_by_cpu(gradient), seen_by_cpu(input), seen_by_cpu(weight), at::IntArrayRef{weight.size(0)}, stride, padding,
        dilation, transposed, output_padding, groups, wanted);
    const auto there = [](const at::Tensor &tensor) { return tensor.defined() ? tensor.to(own) : tensor; };
    return {there(a), there(b), there(c)};
}

/// Attention by its definition: libtorch's choice among kernels asks for a Mac's.
at::Tensor attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::optional<at::Tensor> &mask,
    double dropout, bool causal, std::optional<double> scale, bool grouped) {
    return std::get<0>(
        at::_scaled_dot_product_attention_math(query, key, value, mask, dropout, causal, {}, scale, grouped));
}

std::atomic<int64_t> flash_attentions{0}, efficient_attentions{0};

/// The least that kernels of attention of a GPU must be given, and what they compute, by its definition: segments of
/// [tokens, heads, size] between offsets, masks aligned at the ends.
struct Packed {
    at::Tensor query, key, value, mask;
    int64_t heads, shared;

    Packed(
        const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &q_offsets,
        const at::Tensor &k_offsets, int64_t longest_q, int64_t longest_k, bool causal) {
        TORCH_CHECK(q_offsets.device() == own && k_offsets.device() == own, "offsets are elsewhere");
        TORCH_CHECK(q_offsets.scalar_type() == at::kInt && k_offsets.scalar_type() == at::kInt, "offsets are not int32");
        TORCH_CHECK(q.stride(-1) == 1 && k.stride(-1) == 1 && v.stride(-1) == 1, "heads are not dense");
        heads = q.size(1);
        shared = heads / k.size(1);
        const auto wide = [](const at::Tensor &x) { return seen_by_cpu(x).to(at::kDouble); };
        query = wide(q);
        key = wide(k).repeat_interleave(shared, 1);
        value = wide(v).repeat_interleave(shared, 1);
        mask = at::full({q.size(0), k.size(0)}, -std::numeric_limits<double>::infinity(), at::kDouble);
        const at::Tensor a = seen_by_cpu(q_offsets), b = seen_by_cpu(k_offsets);
        for (int64_t i = 0; i + 1 < a.size(0); i++) {
            const int64_t q0 = a[i].item<int>(), q1 = a[i + 1].item<int>(), k0 = b[i].item<int>(), k1 = b[i + 1].item<int>();
            TORCH_CHECK(q1 - q0 <= longest_q && k1 - k0 <= longest_k, "a segment is longer than the longest");
            for (int64_t row = q0; row < q1; row++) {
                const int64_t end = causal ? k1 - (q1 - 1 - row) : k1;
                mask[row].slice(0, k0, end).zero_();
            }
        }
    }

    at::Tensor weights(double scale) const {
        return (at::einsum("qhd,khd->hqk", {query, key}) * scale + mask).softmax(-1);
    }
    at::Tensor output(double scale) const { return at::einsum("hqk,khd->qhd", {weights(scale), value}); }

    /// Of query, key and value.
    std::array<at::Tensor, 3> gradients(const at::Tensor &given, double scale) const {
        const at::Tensor w = weights(scale), d = seen_by_cpu(given).to(at::kDouble);
        const at::Tensor dw = at::einsum("qhd,khd->hqk", {d, value});
        const at::Tensor ds = w * (dw - (dw * w).sum(-1, true)) * scale;
        const auto joined = [&](const at::Tensor &x) {
            return x.view({x.size(0), x.size(1) / shared, shared, x.size(2)}).sum(2);
        };
        return {
            at::einsum("hqk,khd->qhd", {ds, key}), joined(at::einsum("hqk,qhd->khd", {ds, query})),
            joined(at::einsum("hqk,qhd->khd", {w, d}))};
    }
};

at::Tensor there(const at::Tensor &tensor, at::ScalarType type) { return tensor.to(type).to(own); }

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::optional<at::Tensor> &q_offsets,
    const std::optional<at::Tensor> &k_offsets, int64_t longest_q, int64_t longest_k, double, bool causal, bool,
    std::optional<double> scale, std::optional<int64_t>, std::optional<int64_t>, const std::optional<at::Tensor> &,
    const std::optional<at::Tensor> &) {
    flash_attentions++;
    const auto type = query.scalar_type();
    TORCH_CHECK(type == at::kHalf || type == at::kBFloat16, "FlashAttention only supports fp16 and bf16 data type");
    TORCH_CHECK(query.dim() == 3 && query.size(2) % 8 == 0, "head size must be a multiple of 8");
    const Packed packed(query, key, value, *q_offsets, *k_offsets, longest_q, longest_k, causal);
    const at::Tensor nothing = there(at::empty({0}), at::kFloat);
    return {there(packed.output(*scale), type), nothing, nothing, nothing, nothing};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention_backward(
    const at::Tensor &given, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const at::Tensor &,
    const at::Tensor &, const at::Tensor &q_offsets, const at::Tensor &k_offsets, int64_t longest_q, int64_t longest_k,
    double, bool causal, const at::Tensor &, const at::Tensor &, std::optional<double> scale, std::optional<int64_t>,
    std::optional<int64_t>) {
    const Packed packed(query, key, value, q_offsets, k_offsets, longest_q, longest_k, causal);
    const auto [a, b, c] = packed.gradients(given, *scale);
    const auto type = query.scalar_type();
    return {there(a, type), there(b, type), there(c, type)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt> efficient_attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::optional<at::Tensor> &,
    const std::optional<at::Tensor> &q_offsets, const std::optional<at::Tensor> &k_offsets,
    std::optional<c10::SymInt> longest_q, std::optional<c10::SymInt> longest_k, double, int64_t mask, bool keeps_sums,
    std::optional<double> scale, const std::optional<at::Tensor> &, std::optional<int64_t>) {
    efficient_attentions++;
    TORCH_CHECK(query.dim() == 4 && query.size(0) == 1, "cu_seqlen only supports batch_size=1");
    TORCH_CHECK(query.size(2) == key.size(2), "as many key-value heads as heads");
    // Causal masks from the upper left (1) are others than ours.
    TORCH_CHECK(mask == 0 || mask == 2, "a mask of kind ", mask);
    TORCH_CHECK(keeps_sums == query.requires_grad() || !query.requires_grad(), "gradients need the sums");
    const int64_t most_q = longest_q->expect_int(), most_k = longest_k->expect_int();
    const Packed packed(query[0], key[0], value[0], *q_offsets, *k_offsets, most_q, most_k, mask == 2);
    const at::Tensor nothing = there(at::empty({0}), at::kFloat);
    return {
        there(packed.output(*scale).unsqueeze(0), query.scalar_type()), nothing, nothing, nothing, most_q, most_k};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> efficient_attention_backward(
    const at::Tensor &given, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
    const std::optional<at::Tensor> &, const at::Tensor &, const std::optional<at::Tensor> &q_offsets,
    const std::optional<at::Tensor> &k_offsets, c10::SymInt longest_q, c10::SymInt longest_k, const at::Tensor &, double,
    const at::Tensor &, const at::Tensor &, int64_t mask, bool, std::optional<double> scale, std::optional<int64_t>,
    std::optional<int64_t>, bool) {
    const Packed packed(
        query[0], key[0], value[0], *q_offsets, *k_offsets, longest_q.expect_int(), longest_k.expect_int(), mask == 2);
    const auto [a, b, c] = packed.gradients(given[0], *scale);
    const auto type = query.scalar_type();
    return {
        there(a.unsqueeze(0), type), there(b.unsqueeze(0), type), there(c.unsqueeze(0), type), at::Tensor()};
}

/// Half precision takes one kernel, and everything else the other, as on a GPU.
int64_t choice(
    const at::Tensor &query, const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &, double, bool,
    std::optional<double>, bool) {
    const auto type = query.scalar_type();
    return type == at::kHalf || type == at::kBFloat16 ? 1 : 2;
}

TORCH_LIBRARY_IMPL(aten, AutogradMPS, m) { m.impl("scaled_dot_product_attention", &attention); }

TORCH_LIBRARY_IMPL(_, MPS, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run>()); }

TORCH_LIBRARY_IMPL(aten, MPS, m) {
    m.impl("empty.memory_format", &empty);
    m.impl("empty_strided", &empty_strided);
    m.impl("copy_", &copy_);
    m.impl("_copy_from", &copy_from);
    m.impl("_copy_from_and_resize", &copy_from_and_resize);
    m.impl("resize_", &resize_);
    m.impl("as_strided", &at::native::as_strided_tensorimpl);
    m.impl("view", &at::native::view);
    m.impl("_reshape_alias", &at::native::_reshape_alias);
    m.impl("convolution_overrideable", &convolution);
    m.impl("convolution_backward_overrideable", &convolution_backward);
    m.impl("unfold", &at::native::unfold);
    m.impl("scaled_dot_product_attention", &attention);
    m.impl("_fused_sdp_choice", &choice);
    m.impl("_flash_attention_forward", &flash_attention);
    m.impl("_flash_attention_backward", &flash_attention_backward);
    m.impl("_efficient_attention_forward", &efficient_attention);
    m.impl("_efficient_attention_backward", &efficient_attention_backward);
}

}  // namespace

int64_t stand_in_device_flash_attentions(void) { return flash_attentions; }
int64_t stand_in_device_efficient_attentions(void) { return efficient_attentions; }

bool stand_in_device_is_there(void) { return true; }
int64_t stand_in_device_operations(void) { return operations; }

bool stand_in_device_opens_cuda(void) {
    struct CUDAHooks final : at::CUDAHooksInterface {
        bool hasCUDA() const override { return true; }
        c10::DeviceIndex deviceCount() const override { return 1; }
    };
    at::CUDAHooksRegistry()->Register(
        "CUDAHooks",
        [](at::CUDAHooksArgs) -> std::unique_ptr<at::CUDAHooksInterface> { return std::make_unique<CUDAHooks>(); });
    return at::globalContext().hasCUDA();
}

#endif
