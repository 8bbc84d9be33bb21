// Counts what tensors hold: exact, whatever the system's allocator keeps for itself.
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <atomic>
#include <mutex>
#include <unordered_map>

#include "include/ct_runtime.h"
#include "shim.h"

namespace {

std::atomic<int64_t> held{0}, peak{0};

void add(int64_t bytes) {
    const int64_t now = held.fetch_add(bytes) + bytes;
    int64_t old = peak.load();
    while (now > old && !peak.compare_exchange_weak(old, now)) {
    }
}

/// Gives what another allocator gives, and remembers its size until it is freed.
struct CountingAllocator final : c10::Allocator {
    c10::Allocator *inner;
    c10::DeleterFnPtr inner_deleter;
    std::mutex mutex;
    std::unordered_map<void *, int64_t> sizes;

    explicit CountingAllocator(c10::Allocator *inner) : inner(inner), inner_deleter(inner->raw_deleter()) {}

    c10::DataPtr allocate(size_t bytes) override {
        c10::DataPtr memory = inner->allocate(bytes);
        void *address = memory.get();
        // Libraries free by address alone, so that the context must stay the address.
        if (address == nullptr || address != memory.get_context()) return memory;
        {
            const std::lock_guard<std::mutex> lock(mutex);
            sizes[address] = static_cast<int64_t>(bytes);
        }
        add(static_cast<int64_t>(bytes));
        const c10::Device device = memory.device();
        memory.release_context();
        return {address, address, &free, device};
    }

    static CountingAllocator &shared() {
        // Never destroyed: tensors that it made may outlive the counting.
        static auto *allocator = new CountingAllocator(c10::GetCPUAllocator());
        return *allocator;
    }

    static void free(void *address) {
        CountingAllocator &allocator = shared();
        int64_t bytes = 0;
        {
            const std::lock_guard<std::mutex> lock(allocator.mutex);
            const auto place = allocator.sizes.find(address);
            if (place != allocator.sizes.end()) {
                bytes = place->second;
                allocator.sizes.erase(place);
            }
        }
        // Before the memory goes back: another thread may get the same address at once.
        held -= bytes;
        allocator.inner_deleter(address);
    }

    c10::DeleterFnPtr raw_deleter() const override { return &free; }

    void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

/// Null where the device's memory is nobody's to ask about, as the CPU's, or is not in use yet.
c10::DeviceAllocator *allocator_of(ct_device where) {
    const c10::DeviceType kind = omma::device(where).type();
    if (kind == c10::DeviceType::CPU || kind == c10::DeviceType::Meta) return nullptr;
    auto *allocator = dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(kind));
    return allocator != nullptr && allocator->initialized() ? allocator : nullptr;
}

c10::DeviceIndex index_of(ct_device where) { return static_cast<c10::DeviceIndex>(std::max(0, where.index)); }

}  // namespace

extern "C" {

void ct_count_memory(bool enabled) {
    auto &counting = CountingAllocator::shared();
    // Memory that is freed by address needs the other allocator's way to free.
    if (counting.inner_deleter == nullptr) return;
    c10::SetCPUAllocator(enabled ? &counting : counting.inner, 0);
}

int64_t ct_counted_memory(void) { return held.load(); }

int64_t ct_peak_memory(void) { return peak.load(); }

void ct_reset_peak(void) { peak.store(held.load()); }

bool ct_device_memory(ct_device where, int64_t *held, int64_t *peak) {
    ct_error error = {CT_OK, nullptr};
    bool known = false;
    omma::guarded(&error, [&] {
        auto *allocator = allocator_of(where);
        if (allocator == nullptr) return;
        // The first is of all sizes together.
        const auto bytes = allocator->getDeviceStats(index_of(where)).allocated_bytes[0];
        *held = bytes.current;
        *peak = bytes.peak;
        known = true;
    });
    ct_error_free(&error);
    return known;
}

void ct_device_reset_peak(ct_device where) {
    ct_error error = {CT_OK, nullptr};
    omma::guarded(&error, [&] {
        if (auto *allocator = allocator_of(where)) allocator->resetPeakStats(index_of(where));
    });
    ct_error_free(&error);
}

}  // extern "C"
