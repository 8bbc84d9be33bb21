// Handles, errors, creation, properties and copies.
#include "shim.h"

using namespace omma;

extern "C" {

void ct_error_free(ct_error *error) {
    std::free(error->message);
    error->message = nullptr;
    error->code = CT_OK;
}

void ct_retain(ct_tensor tensor) {
    if (tensor) c10::raw::intrusive_ptr::incref(reinterpret_cast<c10::TensorImpl *>(tensor));
}

void ct_release(ct_tensor tensor) {
    if (tensor) Pointer::reclaim(reinterpret_cast<c10::TensorImpl *>(tensor)).reset();
}

ct_tensor ct_empty(const int64_t *sizes, int32_t count, int32_t dtype, ct_device where, ct_error *error) {
    return produce(error, [&] { return at::empty(list(sizes, count), options(dtype, where)); });
}

ct_tensor ct_full(const int64_t *sizes, int32_t count, double value, int32_t dtype, ct_device where, ct_error *error) {
    return produce(error, [&] { return at::full(list(sizes, count), value, options(dtype, where)); });
}

ct_tensor ct_arange(double start, double end, double step, int32_t dtype, ct_device where, ct_error *error) {
    return produce(error, [&] { return at::arange(start, end, step, options(dtype, where)); });
}

ct_tensor ct_from_bytes(const void *data, const int64_t *sizes, int32_t count, int32_t dtype, ct_error *error) {
    return produce(error, [&] {
        at::Tensor result = at::empty(list(sizes, count), at::TensorOptions().dtype(type(dtype)));
        if (result.nbytes() > 0) std::memcpy(result.data_ptr(), data, result.nbytes());
        return result;
    });
}

ct_tensor ct_from_memory(
    void *data, const int64_t *sizes, int32_t count, int32_t dtype, void *context, void (*release)(void *),
    ct_error *error) {
    bool owned = false;
    ct_tensor result = produce(error, [&] {
        auto deleter = [context, release](void *) { release(context); };
        at::Tensor tensor =
            at::from_blob(data, list(sizes, count), std::move(deleter), at::TensorOptions().dtype(type(dtype)));
        owned = true;
        return tensor;
    });
    if (!owned) release(context);
    return result;
}

int32_t ct_rank(ct_tensor tensor) { return static_cast<int32_t>(reinterpret_cast<c10::TensorImpl *>(tensor)->dim()); }

void ct_sizes(ct_tensor tensor, int64_t *sizes) {
    const auto values = reinterpret_cast<c10::TensorImpl *>(tensor)->sizes();
    std::copy(values.begin(), values.end(), sizes);
}

void ct_strides(ct_tensor tensor, int64_t *strides) {
    const auto values = reinterpret_cast<c10::TensorImpl *>(tensor)->strides();
    std::copy(values.begin(), values.end(), strides);
}

int64_t ct_element_count(ct_tensor tensor) { return reinterpret_cast<c10::TensorImpl *>(tensor)->numel(); }

int32_t ct_dtype(ct_tensor tensor) {
    return static_cast<int32_t>(c10::typeMetaToScalarType(reinterpret_cast<c10::TensorImpl *>(tensor)->dtype()));
}

ct_device ct_device_of(ct_tensor tensor) {
    const auto where = reinterpret_cast<c10::TensorImpl *>(tensor)->device();
    return {static_cast<int32_t>(where.type()), where.index()};
}

bool ct_is_contiguous(ct_tensor tensor) { return reinterpret_cast<c10::TensorImpl *>(tensor)->is_contiguous(); }

bool ct_same_storage(ct_tensor a, ct_tensor b) { return borrow(a).is_alias_of(borrow(b)); }

void *ct_data(ct_tensor tensor) {
    const auto *impl = reinterpret_cast<c10::TensorImpl *>(tensor);
    return impl->has_storage() && impl->numel() > 0 && !impl->is_meta() ? const_cast<void *>(impl->data()) : nullptr;
}

ct_tensor ct_to_dtype(ct_tensor tensor, int32_t dtype, ct_error *error) {
    return produce(error, [&] { return borrow(tensor).to(type(dtype)); });
}

ct_tensor ct_to_device(ct_tensor tensor, ct_device where, bool non_blocking, ct_error *error) {
    return produce(error, [&] { return borrow(tensor).to(device(where), non_blocking); });
}

ct_tensor ct_fetch(ct_tensor tensor, ct_device where, ct_error *error) {
    return produce(error, [&] {
        const c10::Device target = device(where);
#ifdef __APPLE__
        // Its GPU shares the CPU's memory, and has no streams to choose from.
        if (target.is_mps()) return borrow(tensor).to(target);
#endif
        const auto *impl = c10::impl::getDeviceGuardImpl(target.type());
        const c10::DeviceGuard guard(target);
        // One for each thread that fetches.
        thread_local std::map<std::pair<c10::DeviceType, c10::DeviceIndex>, c10::Stream> streams;
        const c10::Device here = impl->getDevice();
        const auto found = streams.find({here.type(), here.index()});
        const c10::Stream stream =
            found != streams.end()
                ? found->second
                : streams.emplace(std::pair(here.type(), here.index()), impl->getStreamFromGlobalPool(here, false))
                      .first->second;
        at::Tensor copy;
        {
            const c10::StreamGuard beside(stream);
            copy = borrow(tensor).to(target, /*non_blocking*/ true);
        }
        impl->synchronizeStream(stream);
        // Once it is freed its memory must not go back to this stream before what computes with it has ended.
        impl->recordDataPtrOnStream(copy.storage().data_ptr(), impl->getDefaultStream(here));
        return copy;
    });
}

ct_tensor ct_clone(ct_tensor tensor, ct_error *error) {
    return produce(error, [&] { return borrow(tensor).clone(); });
}

ct_tensor ct_contiguous(ct_tensor tensor, ct_error *error) {
    return produce(error, [&] { return borrow(tensor).contiguous(); });
}

int32_t ct_copy_(ct_tensor destination, ct_tensor source, ct_error *error) {
    return guarded(error, [&] { borrow(destination).copy_(borrow(source)); });
}

int32_t ct_fill_(ct_tensor tensor, double value, ct_error *error) {
    return guarded(error, [&] { borrow(tensor).fill_(value); });
}

int32_t ct_read_bytes(ct_tensor tensor, void *destination, size_t bytes, ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor source = borrow(tensor).detach().to(at::kCPU).contiguous();
        TORCH_CHECK(source.nbytes() == bytes, "the buffer holds ", bytes, " bytes, the tensor ", source.nbytes());
        if (bytes > 0) std::memcpy(destination, source.data_ptr(), bytes);
    });
}

double ct_item(ct_tensor tensor, ct_error *error) {
    double value = 0;
    guarded(error, [&] { value = borrow(tensor).item().toDouble(); });
    return value;
}

}  // extern "C"
