// NCCL by its C interface: opened at run time, as CUDA is, so that the same program runs where there is neither.
#include "device_collectives.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <dlfcn.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "shim.h"

using namespace omma;

namespace {

constexpr int in_progress = 7;

std::atomic<const ct_collectives *> substitute{nullptr};

/// The functions of the NCCL that libtorch's part for CUDA brought along, or of the machine's own.
const ct_collectives *open_nccl() {
    static const ct_collectives *const opened = []() -> const ct_collectives * {
        void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_GLOBAL);
        if (library == nullptr) return nullptr;
        static ct_collectives functions = {};
        bool is_whole = true;
        const auto find = [&](auto &function, const char *name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
            is_whole = is_whole && function != nullptr;
        };
        find(functions.get_unique_id, "ncclGetUniqueId");
        find(functions.init_rank, "ncclCommInitRank");
        find(functions.abort, "ncclCommAbort");
        find(functions.async_error, "ncclCommGetAsyncError");
        find(functions.error_string, "ncclGetErrorString");
        find(functions.group_start, "ncclGroupStart");
        find(functions.group_end, "ncclGroupEnd");
        find(functions.all_reduce, "ncclAllReduce");
        find(functions.broadcast, "ncclBroadcast");
        find(functions.all_gather, "ncclAllGather");
        find(functions.reduce_scatter, "ncclReduceScatter");
        find(functions.send, "ncclSend");
        find(functions.receive, "ncclRecv");
        return is_whole ? &functions : nullptr;
    }();
    return opened;
}

const ct_collectives *library_for(c10::Device device) {
    if (const ct_collectives *given = substitute) return given;
    return device.is_cuda() ? open_nccl() : nullptr;
}

/// As nccl.h numbers them.
int type_of(const at::Tensor &tensor) {
    switch (tensor.scalar_type()) {
        case at::kChar: return 0;
        case at::kByte: case at::kBool: return 1;
        case at::kInt: return 2;
        case at::kLong: return 4;
        case at::kHalf: return 6;
        case at::kFloat: return 7;
        case at::kDouble: return 8;
        case at::kBFloat16: return 9;
        default: TORCH_CHECK(false, "processes cannot exchange ", tensor.scalar_type(), " between GPUs");
    }
}

/// By which two processes see that they were given the same GPU.
std::string name_of(c10::Device device) {
    char machine[256] = {};
    gethostname(machine, sizeof machine - 1);
    const char *visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return std::string(machine) + " " + device.str() + " of " + (visible ? visible : "all");
}

std::vector<uint8_t> bytes(const std::string &text) { return {text.begin(), text.end()}; }

}  // namespace

extern "C" void ct_collectives_use(const ct_collectives *functions) { substitute = functions; }

DeviceConnection::DeviceConnection(const ct_collectives &library, int rank, int size, c10::Device device)
    : library_(library), rank_(rank), size_(size), device_(device) {}

std::unique_ptr<DeviceConnection> DeviceConnection::meet(
    c10d::Store &store, int rank, int size, c10::Device device, Milliseconds timeout) {
    const ct_collectives *library = library_for(device);
    const std::string none = "none";
    store.set("device/" + std::to_string(rank), bytes(library ? name_of(device) : none));
    std::vector<std::string> keys, names;
    for (int other = 0; other < size; other++) keys.push_back("device/" + std::to_string(other));
    store.wait(keys, timeout);
    for (const std::string &key : keys) {
        const auto value = store.get(key);
        names.emplace_back(value.begin(), value.end());
    }
    const std::set<std::string> distinct(names.begin(), names.end());
    if (library == nullptr || distinct.contains(none)) return nullptr;
    if (!library->shares_devices && distinct.size() != names.size()) return nullptr;

    std::unique_ptr<DeviceConnection> made(new DeviceConnection(*library, rank, size, device));
    ct_unique_id id = {};
    if (rank == 0) {
        made->check(library->get_unique_id(&id));
        store.set("device/id", std::vector<uint8_t>(id.bytes, id.bytes + sizeof id.bytes));
    } else {
        store.wait({"device/id"}, timeout);
        const auto value = store.get("device/id");
        TORCH_CHECK(value.size() == sizeof id.bytes, "the name under which GPUs meet has another length");
        std::memcpy(id.bytes, value.data(), sizeof id.bytes);
    }
    const c10::DeviceGuard guard(device);
    made->stream_ = c10::impl::getDeviceGuardImpl(device.type())->getStreamFromGlobalPool(device, true);
    made->check(library->init_rank(&made->communicator_, size, id, rank));
    return made;
}

DeviceConnection::~DeviceConnection() {
    if (communicator_ == nullptr) return;
    // Ending in an orderly way waits for the others, who may be gone.
    library_.abort(communicator_);
}

void DeviceConnection::check(int result) const {
    if (result != 0) throw std::runtime_error(std::string("NCCL: ") + library_.error_string(result));
}

void DeviceConnection::fail(const std::string &problem) {
    // Frees the stream from work that never ends.
    if (communicator_ != nullptr) library_.abort(communicator_);
    communicator_ = nullptr;
    throw std::runtime_error("NCCL: " + problem);
}

void DeviceConnection::fail_if_broken() {
    int problem = 0;
    const int asked = library_.async_error(communicator_, &problem);
    if (asked != 0) fail(library_.error_string(asked));
    if (problem != 0 && problem != in_progress) fail(library_.error_string(problem));
}

template <class Enqueue>
void DeviceConnection::run(Milliseconds timeout, Enqueue &&enqueue) {
    if (communicator_ == nullptr) throw std::runtime_error("NCCL: the connection ended with an earlier failure");
    using Clock = std::chrono::steady_clock;
    const auto *device = c10::impl::getDeviceGuardImpl(device_.type());
    const c10::DeviceGuard guard(device_);
    c10::Event before(device_.type()), after(device_.type());
    before.record(device->getStream(device_));
    before.block(*stream_);
    const int result = enqueue(device->getStreamNativeHandle(*stream_));
    if (result != 0) fail(library_.error_string(result));
    after.record(*stream_);
    // The tensors may be freed or overwritten once this returns, on whatever stream.
    const auto start = Clock::now();
    for (int64_t turn = 0; !after.query(); turn++) {
        const auto waited = Clock::now() - start;
        if (waited < std::chrono::microseconds(50)) {
            std::this_thread::yield();
            continue;
        }
        std::this_thread::sleep_for(std::min<Clock::duration>(waited / 50, Milliseconds(5)));
        if (turn % 16 == 0) fail_if_broken();
        if (waited > timeout) fail("timed out after " + std::to_string(timeout.count()) + " ms");
    }
    fail_if_broken();
}

template <class Enqueue>
void DeviceConnection::run_messages(Milliseconds timeout, Enqueue &&enqueue) {
    run(timeout, [&](void *stream) {
        int result = library_.group_start();
        if (result == 0) result = enqueue(stream);
        const int ended = library_.group_end();
        return result != 0 ? result : ended;
    });
}

void DeviceConnection::all_reduce(const at::Tensor &tensor, int32_t operation, Milliseconds timeout) {
    // As nccl.h numbers them.
    const int kind = operation == CT_MINIMUM ? 3 : operation == CT_MAXIMUM ? 2 : 0;
    if (tensor.numel() == 0) return;
    run(timeout, [&](void *stream) {
        void *data = tensor.data_ptr();
        return library_.all_reduce(data, data, tensor.numel(), type_of(tensor), kind, communicator_, stream);
    });
}

void DeviceConnection::broadcast(const at::Tensor &tensor, int root, Milliseconds timeout) {
    if (tensor.numel() == 0) return;
    run(timeout, [&](void *stream) {
        void *data = tensor.data_ptr();
        return library_.broadcast(data, data, tensor.numel(), type_of(tensor), root, communicator_, stream);
    });
}

void DeviceConnection::all_gather(const at::Tensor &output, const at::Tensor &input, Milliseconds timeout) {
    TORCH_CHECK(output.numel() == input.numel() * size_, "the output has no room for all members");
    if (input.numel() == 0) return;
    run(timeout, [&](void *stream) {
        return library_.all_gather(
            input.data_ptr(), output.data_ptr(), input.numel(), type_of(input), communicator_, stream);
    });
}

void DeviceConnection::reduce_scatter(const at::Tensor &output, const at::Tensor &input, Milliseconds timeout) {
    TORCH_CHECK(input.numel() == output.numel() * size_, "the input has no part for each member");
    if (output.numel() == 0) return;
    run(timeout, [&](void *stream) {
        return library_.reduce_scatter(
            input.data_ptr(), output.data_ptr(), output.numel(), type_of(input), /*sum*/ 0, communicator_, stream);
    });
}

void DeviceConnection::gather(const at::Tensor &output, const at::Tensor &input, int root, Milliseconds timeout) {
    if (input.numel() == 0) return;
    const int type = type_of(input);
    run_messages(timeout, [&](void *stream) {
        int result = library_.send(input.data_ptr(), input.numel(), type, root, communicator_, stream);
        for (int other = 0; rank_ == root && result == 0 && other < size_; other++) {
            auto *place = static_cast<char *>(output.data_ptr()) + other * input.nbytes();
            result = library_.receive(place, input.numel(), type, other, communicator_, stream);
        }
        return result;
    });
}

void DeviceConnection::all_to_all(
    const at::Tensor &output, const at::Tensor &input, const int64_t *output_counts, const int64_t *input_counts,
    Milliseconds timeout) {
    const auto row = [](const at::Tensor &x) { return x.size(0) == 0 ? 0 : x.numel() / x.size(0); };
    const int64_t width = std::max(row(input), row(output));
    const int64_t item = static_cast<int64_t>(input.element_size());
    const int type = type_of(input);
    run_messages(timeout, [&](void *stream) {
        int result = 0;
        const auto *from = static_cast<const char *>(input.data_ptr());
        auto *to = static_cast<char *>(output.data_ptr());
        for (int other = 0; result == 0 && other < size_; other++) {
            const int64_t sent = input_counts[other] * width, received = output_counts[other] * width;
            if (sent > 0) result = library_.send(from, sent, type, other, communicator_, stream);
            if (received > 0 && result == 0) {
                result = library_.receive(to, received, type, other, communicator_, stream);
            }
            from += sent * item;
            to += received * item;
        }
        return result;
    });
}
