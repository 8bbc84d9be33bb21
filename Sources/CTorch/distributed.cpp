// Several processes that compute together, over libtorch's c10d.
#include "include/ct_distributed.h"

#define USE_C10D_GLOO 1
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device_collectives.h"
#include "shim.h"

using namespace omma;
using std::chrono::milliseconds;

namespace {

struct StoreHandle {
    c10::intrusive_ptr<c10d::Store> store;
};

struct GroupHandle {
    c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
    c10::intrusive_ptr<c10d::Store> store;
    int32_t rank, size;
    /// Null before somebody asked, and where the group reaches no GPUs.
    std::unique_ptr<DeviceConnection> devices;
    bool asked = false;
};

c10d::Store &store_of(ct_store store) { return *reinterpret_cast<StoreHandle *>(store)->store; }
GroupHandle &group_of(ct_group group) { return *reinterpret_cast<GroupHandle *>(group); }

/// A socket that listens on `host` alone; none where that is not this machine's address.
std::optional<int> listen_on(const char *host, uint16_t port) {
    addrinfo hints = {}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) return std::nullopt;
    std::optional<int> result;
    int problem = 0;
    for (addrinfo *address = found; address && !result; address = address->ai_next) {
        const int descriptor = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
        if (descriptor < 0) continue;
        const int on = 1;
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 && listen(descriptor, 2048) == 0) {
            result = descriptor;
        } else {
            problem = errno;
            close(descriptor);
        }
    }
    freeaddrinfo(found);
    if (!result && problem == EADDRINUSE) throw std::runtime_error("another program listens there already");
    return result;
}

at::Tensor checked(ct_tensor handle) {
    at::Tensor tensor = borrow(handle);
    TORCH_CHECK(tensor.defined() && tensor.is_contiguous(), "collective operations take contiguous tensors");
    // Operations below know nothing of gradients.
    return tensor.detach();
}

/// What takes the tensor to the other members: null for the CPU's.
DeviceConnection *devices_for(ct_group group, const at::Tensor &tensor) {
    if (tensor.is_cpu()) return nullptr;
    DeviceConnection *devices = group_of(group).devices.get();
    TORCH_CHECK(
        devices != nullptr && devices->device() == tensor.device(), "the processes are not connected from ",
        tensor.device(), " to each other");
    return devices;
}

void wait(const c10::intrusive_ptr<c10d::Work> &work, int64_t timeout_ms) {
    work->wait(milliseconds(timeout_ms));
}

template <class Options>
Options limited(int64_t timeout_ms) {
    Options options;
    options.timeout = milliseconds(timeout_ms);
    return options;
}

/// Gloo writes to its peers without a word about the signal that comes when one of them has gone, and that signal ends a
/// program: the error, which names the peer, would never be seen. Python's programs ignore it from the start.
void ignore_broken_pipes() {
    struct sigaction current = {};
    if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

/// libtorch's recorder of collectives enters new groups into a map without its lock, and a first operation on each of two
/// groups from two threads at a time, as siblings have, can break that map. Nobody reads the record here, so it is off
/// unless somebody asks for one. Read at the first operation.
__attribute__((constructor)) void turn_flight_recorder_off() { setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/0); }
}  // namespace

extern "C" {

ct_store ct_store_connect(
    const char *host, uint16_t port, bool is_server, int64_t timeout_ms, const char *prefix, ct_error *error) {
    StoreHandle *result = nullptr;
    ignore_broken_pipes();
    guarded(error, [&] {
        c10d::TCPStoreOptions options;
        options.port = port;
        options.isServer = is_server;
        options.waitWorkers = false;
        options.timeout = milliseconds(timeout_ms);
        if (is_server) options.masterListenFd = listen_on(host, port);
        auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
        result = new StoreHandle{c10::make_intrusive<c10d::PrefixStore>(prefix, std::move(store))};
    });
    return reinterpret_cast<ct_store>(result);
}

ct_store ct_store_clone(ct_store store, ct_error *error) {
    StoreHandle *result = nullptr;
    guarded(error, [&] { result = new StoreHandle{store_of(store).clone()}; });
    return reinterpret_cast<ct_store>(result);
}

ct_store ct_store_prefixed(ct_store store, const char *prefix, ct_error *error) {
    StoreHandle *result = nullptr;
    guarded(error, [&] {
        auto &inner = reinterpret_cast<StoreHandle *>(store)->store;
        result = new StoreHandle{c10::make_intrusive<c10d::PrefixStore>(prefix, inner)};
    });
    return reinterpret_cast<ct_store>(result);
}

void ct_store_release(ct_store store) { delete reinterpret_cast<StoreHandle *>(store); }

int32_t ct_store_set(ct_store store, const char *key, const void *bytes, size_t count, ct_error *error) {
    return guarded(error, [&] {
        const auto *start = static_cast<const uint8_t *>(bytes);
        store_of(store).set(key, std::vector<uint8_t>(start, start + count));
    });
}

int32_t ct_store_get(
    ct_store store, const char *key, int64_t timeout_ms, void **bytes, size_t *count, ct_error *error) {
    return guarded(error, [&] {
        store_of(store).wait({key}, milliseconds(timeout_ms));
        const auto value = store_of(store).get(key);
        void *copy = std::malloc(std::max<size_t>(value.size(), 1));
        if (copy == nullptr) throw std::bad_alloc();
        std::memcpy(copy, value.data(), value.size());
        *bytes = copy;
        *count = value.size();
    });
}

int32_t ct_store_has(ct_store store, const char *key, bool *found, ct_error *error) {
    return guarded(error, [&] { *found = store_of(store).check({key}); });
}

int32_t ct_store_add(ct_store store, const char *key, int64_t value, int64_t *sum, ct_error *error) {
    return guarded(error, [&] { *sum = store_of(store).add(key, value); });
}

ct_group ct_group_create(
    ct_store store, int32_t rank, int32_t size, int64_t timeout_ms, const char *address, const char *interface,
    ct_error *error) {
    GroupHandle *result = nullptr;
    guarded(error, [&] {
        auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(timeout_ms));
        options->devices.push_back(
            interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
            : address ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                      : c10d::ProcessGroupGloo::createDefaultDevice());
        auto &place = reinterpret_cast<StoreHandle *>(store)->store;
        auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(place, rank, size, std::move(options));
        result = new GroupHandle{std::move(group), place, rank, size};
    });
    return reinterpret_cast<ct_group>(result);
}

void ct_group_release(ct_group group) {
    // Members that are gone may make this fail, and there is nothing left to do about it.
    try {
        delete reinterpret_cast<GroupHandle *>(group);
    } catch (...) {
    }
}

int32_t ct_group_reaches(ct_group group, ct_device where, int64_t timeout_ms, bool *reaches, ct_error *error) {
    return guarded(error, [&] {
        GroupHandle &own = group_of(group);
        const c10::Device wanted = device(where);
        if (!own.asked) {
            own.asked = true;
            own.devices = DeviceConnection::meet(*own.store, own.rank, own.size, wanted, milliseconds(timeout_ms));
        }
        *reaches = own.devices != nullptr && own.devices->device() == wanted;
    });
}

int32_t ct_group_all_reduce(ct_group group, ct_tensor tensor, int32_t operation, int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        std::vector<at::Tensor> tensors = {checked(tensor)};
        if (auto *devices = devices_for(group, tensors[0])) {
            return devices->all_reduce(tensors[0], operation, milliseconds(timeout_ms));
        }
        auto options = limited<c10d::AllreduceOptions>(timeout_ms);
        options.reduceOp = operation == CT_MINIMUM ? c10d::ReduceOp::MIN
                           : operation == CT_MAXIMUM ? c10d::ReduceOp::MAX
                                                     : c10d::ReduceOp::SUM;
        wait(group_of(group).group->allreduce(tensors, options), timeout_ms);
    });
}

int32_t ct_group_broadcast(ct_group group, ct_tensor tensor, int32_t root, int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        std::vector<at::Tensor> tensors = {checked(tensor)};
        if (auto *devices = devices_for(group, tensors[0])) {
            return devices->broadcast(tensors[0], root, milliseconds(timeout_ms));
        }
        auto options = limited<c10d::BroadcastOptions>(timeout_ms);
        options.rootRank = root;
        wait(group_of(group).group->broadcast(tensors, options), timeout_ms);
    });
}

int32_t ct_group_all_gather(
    ct_group group, ct_tensor output, ct_tensor input, int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor own = checked(input), all = checked(output);
        if (auto *devices = devices_for(group, own)) {
            return devices->all_gather(all, own, milliseconds(timeout_ms));
        }
        // Gloo wants one row of the output for each member.
        auto from = own.view({1, -1}), to = all.view({group_of(group).size, -1});
        wait(
            group_of(group).group->_allgather_base(to, from, limited<c10d::AllgatherOptions>(timeout_ms)), timeout_ms);
    });
}

int32_t ct_group_gather(
    ct_group group, ct_tensor output, ct_tensor input, int32_t root, int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        std::vector<at::Tensor> from = {checked(input).view({-1})};
        if (auto *devices = devices_for(group, from[0])) {
            const at::Tensor all = output == nullptr ? at::Tensor() : checked(output);
            return devices->gather(all, from[0], root, milliseconds(timeout_ms));
        }
        std::vector<std::vector<at::Tensor>> to;
        if (output != nullptr) to.push_back(checked(output).view({group_of(group).size, -1}).unbind(0));
        auto options = limited<c10d::GatherOptions>(timeout_ms);
        options.rootRank = root;
        wait(group_of(group).group->gather(to, from, options), timeout_ms);
    });
}

int32_t ct_group_reduce_scatter(
    ct_group group, ct_tensor output, ct_tensor input, int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        auto from = checked(input).view({-1}), to = checked(output).view({-1});
        if (auto *devices = devices_for(group, from)) {
            return devices->reduce_scatter(to, from, milliseconds(timeout_ms));
        }
        wait(
            group_of(group).group->_reduce_scatter_base(to, from, limited<c10d::ReduceScatterOptions>(timeout_ms)),
            timeout_ms);
    });
}

int32_t ct_group_all_to_all(
    ct_group group, ct_tensor output, ct_tensor input, const int64_t *output_counts, const int64_t *input_counts,
    int64_t timeout_ms, ct_error *error) {
    return guarded(error, [&] {
        auto from = checked(input), to = checked(output);
        if (auto *devices = devices_for(group, from)) {
            return devices->all_to_all(to, from, output_counts, input_counts, milliseconds(timeout_ms));
        }
        const int32_t size = group_of(group).size;
        std::vector<int64_t> received(output_counts, output_counts + size), sent(input_counts, input_counts + size);
        wait(
            group_of(group).group->alltoall_base(
                to, from, received, sent, limited<c10d::AllToAllOptions>(timeout_ms)),
            timeout_ms);
    });
}

int32_t ct_group_barrier(ct_group group, int64_t timeout_ms, ct_error *error) {
    return guarded(
        error, [&] { wait(group_of(group).group->barrier(limited<c10d::BarrierOptions>(timeout_ms)), timeout_ms); });
}

}  // extern "C"
