// What every file of the shim uses: handles to tensors and back, and the wall that exceptions do not pass.
#pragma once

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "include/ct_tensor.h"

namespace omma {

using Pointer = c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

/// A tensor that shares the handle's object; the handle stays the caller's.
inline at::Tensor borrow(ct_tensor handle) {
    if (handle == nullptr) return at::Tensor();
    return at::Tensor(Pointer::reclaim_copy(reinterpret_cast<c10::TensorImpl *>(handle)));
}

/// Gives the tensor's reference to the caller; NULL for an undefined one.
inline ct_tensor give(at::Tensor &&tensor) {
    if (!tensor.defined()) return nullptr;
    return reinterpret_cast<ct_tensor>(tensor.unsafeReleaseTensorImpl());
}

inline std::vector<at::Tensor> borrow(const ct_tensor *handles, int32_t count) {
    std::vector<at::Tensor> tensors;
    tensors.reserve(count);
    for (int32_t i = 0; i < count; i++) tensors.push_back(borrow(handles[i]));
    return tensors;
}

inline std::optional<at::Tensor> optional(ct_tensor handle) {
    if (handle == nullptr) return std::nullopt;
    return borrow(handle);
}

inline at::ScalarType type(int32_t dtype) { return static_cast<at::ScalarType>(dtype); }

inline c10::Device device(ct_device device) {
    return c10::Device(static_cast<c10::DeviceType>(device.kind), static_cast<c10::DeviceIndex>(device.index));
}

inline at::TensorOptions options(int32_t dtype, ct_device where) {
    return at::TensorOptions().dtype(type(dtype)).device(device(where));
}

inline at::IntArrayRef list(const int64_t *values, int32_t count) {
    return at::IntArrayRef(values, static_cast<size_t>(count));
}

inline void set(ct_error *error, int32_t code, const char *message) {
    error->code = code;
    error->message = strdup(message);
}

/// A failure that a caller's callback reported.
struct CallbackError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <class Body>
int32_t guarded(ct_error *error, Body &&body) noexcept {
    try {
        body();
        return CT_OK;
    } catch (const c10::OutOfMemoryError &e) {
        set(error, CT_OUT_OF_MEMORY, e.what_without_backtrace());
    } catch (const c10::NotImplementedError &e) {
        set(error, CT_NOT_IMPLEMENTED, e.what_without_backtrace());
    } catch (const c10::Error &e) {
        const char *message = e.what_without_backtrace();
        // The CPU allocator reports exhaustion as a plain error.
        const bool memory = std::strstr(message, "can't allocate memory") != nullptr;
        set(error, memory ? CT_OUT_OF_MEMORY : CT_ERROR, message);
    } catch (const CallbackError &e) {
        set(error, CT_CALLBACK_FAILED, e.what());
    } catch (const std::bad_alloc &) {
        set(error, CT_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception &e) {
        set(error, CT_ERROR, e.what());
    } catch (...) {
        set(error, CT_ERROR, "unknown C++ exception");
    }
    return error->code;
}

/// Runs `body`, which gives a tensor, and hands its reference to the caller.
template <class Body>
ct_tensor produce(ct_error *error, Body &&body) noexcept {
    ct_tensor result = nullptr;
    guarded(error, [&] { result = give(body()); });
    return result;
}

}  // namespace omma
