// Collective operations of several processes among the memories of their GPUs.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Stream.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <memory>

#include "include/ct_distributed.h"

namespace omma {

/// One process's end of what connects the GPUs of a group. Operations wait until they are done; one that fails, or takes
/// longer than it may, ends the connection.
class DeviceConnection {
  public:
    using Milliseconds = std::chrono::milliseconds;

    /// Meets the others in the store; all members must do so at the same time.
    ///
    /// Null where the devices of some cannot be connected: without NCCL, or where two processes share a GPU.
    static std::unique_ptr<DeviceConnection> meet(
        c10d::Store &store, int rank, int size, c10::Device device, Milliseconds timeout);
    ~DeviceConnection();
    DeviceConnection(const DeviceConnection &) = delete;

    c10::Device device() const { return device_; }

    void all_reduce(const at::Tensor &tensor, int32_t operation, Milliseconds timeout);
    void broadcast(const at::Tensor &tensor, int root, Milliseconds timeout);
    void all_gather(const at::Tensor &output, const at::Tensor &input, Milliseconds timeout);
    void reduce_scatter(const at::Tensor &output, const at::Tensor &input, Milliseconds timeout);
    /// `output` is undefined on all but the root.
    void gather(const at::Tensor &output, const at::Tensor &input, int root, Milliseconds timeout);
    /// Counts are of rows.
    void all_to_all(
        const at::Tensor &output, const at::Tensor &input, const int64_t *output_counts, const int64_t *input_counts,
        Milliseconds timeout);

  private:
    DeviceConnection(const ct_collectives &library, int rank, int size, c10::Device device);

    /// Lets `enqueue` put work behind what the device was asked before, and waits for it.
    template <class Enqueue>
    void run(Milliseconds timeout, Enqueue &&enqueue);
    /// The same for messages, which are sent and received together.
    template <class Enqueue>
    void run_messages(Milliseconds timeout, Enqueue &&enqueue);
    void check(int result) const;
    /// Ends the connection where something went wrong behind its back.
    void fail_if_broken();
    [[noreturn]] void fail(const std::string &problem);

    const ct_collectives &library_;
    const int rank_, size_;
    const c10::Device device_;
    std::optional<c10::Stream> stream_;
    void *communicator_ = nullptr;
};

}  // namespace omma
