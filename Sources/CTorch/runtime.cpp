// Threads, devices, random generators.
#include "include/ct_runtime.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <torch/version.h>

#include "shim.h"

using namespace omma;

namespace {
at::Generator &generator_of(ct_generator generator) { return *reinterpret_cast<at::Generator *>(generator); }

std::optional<at::Generator> optional_generator(ct_generator generator) {
    if (generator == nullptr) return std::nullopt;
    return generator_of(generator);
}

/// MKL otherwise takes other paths, which sum in another order, for memory that is not aligned as it likes: a weight in a
/// mapped file then gives other last bits than the same weight in a buffer, and a resumed training or a saved model no
/// longer equals the first to the bit. Costs nothing measurable. Read at MKL's first use.
__attribute__((constructor)) void choose_reproducible_products() { setenv("MKL_CBWR", "AUTO", /*overwrite=*/0); }

/// Whether libtorch's part for CUDA is loaded. libtorch itself looks for it at the first question about CUDA and keeps
/// what it found: asked too early, it says no for as long as the process lives.
bool cuda_is_loaded() { return at::CUDAHooksRegistry()->Has("CUDAHooks"); }

bool cuda_works() {
    return cuda_is_loaded() && at::globalContext().hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
}
}  // namespace

extern "C" {

const char *ct_version(void) { return TORCH_VERSION; }

void ct_set_threads(int32_t count) { at::set_num_threads(count); }

int32_t ct_threads(void) { return at::get_num_threads(); }

void ct_set_deterministic(bool value) { at::globalContext().setDeterministicAlgorithms(value, /*warn_only=*/true); }

bool ct_load_cuda(char **reason) {
    if (!cuda_is_loaded()) {
#ifdef __APPLE__
        *reason = strdup("CUDA does not exist on macOS");
        return false;
#else
        if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
            const char *message = dlerror();
            *reason = strdup(message ? message : "libtorch_cuda.so could not be opened");
            return false;
        }
#endif
    }
    ct_error error = {CT_OK, nullptr};
    bool found = false;
    guarded(&error, [&] { found = cuda_works(); });
    if (!found) *reason = error.message ? error.message : strdup("libtorch has CUDA, but no device answers");
    return found;
}

bool ct_has_device(int32_t kind) {
    ct_error error = {CT_OK, nullptr};
    bool found = false;
    guarded(&error, [&] {
        switch (kind) {
            case CT_CPU: case CT_META: found = true; break;
            case CT_CUDA: found = cuda_works(); break;
            case CT_MPS: found = at::globalContext().hasMPS(); break;
            default: break;
        }
    });
    ct_error_free(&error);
    return found;
}

int32_t ct_synchronize(ct_device where, ct_error *error) {
    return guarded(error, [&] {
        const c10::Device waited = device(where);
        if (waited.is_cpu() || waited.is_meta()) return;
        c10::impl::getDeviceGuardImpl(waited.type())->synchronizeDevice(waited.has_index() ? waited.index() : 0);
    });
}

ct_generator ct_generator_create(uint64_t seed, ct_device where, ct_error *error) {
    at::Generator *result = nullptr;
    guarded(error, [&] {
        at::Generator generator;
        if (where.kind == CT_CPU) {
            generator = at::detail::createCPUGenerator(seed);
        } else {
            generator = at::globalContext().defaultGenerator(device(where)).clone();
            generator.set_current_seed(seed);
        }
        result = new at::Generator(std::move(generator));
    });
    return reinterpret_cast<ct_generator>(result);
}

void ct_generator_release(ct_generator generator) { delete reinterpret_cast<at::Generator *>(generator); }

ct_tensor ct_generator_state(ct_generator generator, ct_error *error) {
    return produce(error, [&] { return generator_of(generator).get_state(); });
}

int32_t ct_generator_set_state(ct_generator generator, ct_tensor state, ct_error *error) {
    return guarded(error, [&] { generator_of(generator).set_state(borrow(state)); });
}

int32_t ct_normal_(ct_tensor tensor, double mean, double standard_deviation, ct_generator generator, ct_error *error) {
    return guarded(error, [&] { borrow(tensor).normal_(mean, standard_deviation, optional_generator(generator)); });
}

int32_t ct_uniform_(ct_tensor tensor, double from, double to, ct_generator generator, ct_error *error) {
    return guarded(error, [&] { borrow(tensor).uniform_(from, to, optional_generator(generator)); });
}

ct_tensor ct_multinomial(ct_tensor probabilities, int64_t count, ct_generator generator, ct_error *error) {
    return produce(
        error, [&] { return at::multinomial(borrow(probabilities), count, false, optional_generator(generator)); });
}

ct_tensor ct_random_permutation(int64_t count, ct_generator generator, ct_error *error) {
    return produce(error, [&] { return at::randperm(count, optional_generator(generator)); });
}

}  // extern "C"
