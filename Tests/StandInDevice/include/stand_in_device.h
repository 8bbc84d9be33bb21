// A device of tests: memory of its own, and no operations but copies. See stand_in_device.cpp.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Whether this process has it. On a Mac its place is taken by a real one.
bool stand_in_device_is_there(void);

/// Operations that ran on it so far.
int64_t stand_in_device_operations(void);

/// Registers hooks that say there is CUDA, as opening its library does, and tells whether libtorch listens to them.
bool stand_in_device_opens_cuda(void);

/// Kernels of attention over several segments that ran on it so far: those in half precision, and others.
int64_t stand_in_device_flash_attentions(void);
int64_t stand_in_device_efficient_attentions(void);

/// Lets ranks that are threads of this process exchange tensors of the device as NCCL does it (true), or through the CPU's
/// memory, until it is released; whoever else wants to hold it waits. See stand_in_collectives.cpp.
void stand_in_device_hold_ranks(bool connected);
void stand_in_device_release_ranks(void);

/// Collective operations of the device so far, each counted once for every rank.
int64_t stand_in_device_collectives(void);

#ifdef __cplusplus
}
#endif
