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

#ifdef __cplusplus
}
#endif
