/* Threads, devices, random generators. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

const char *ct_version(void);
/* Set once, before other threads touch libtorch: later threads take the last value. */
void ct_set_threads(int32_t count);
int32_t ct_threads(void);
void ct_set_deterministic(bool value);

/* Opens libtorch's CUDA part. Returns true if kernels are registered and a device answers; otherwise `reason`
 * (malloc'ed) says why not. */
bool ct_load_cuda(char **reason);
bool ct_has_device(int32_t kind);
int32_t ct_synchronize(ct_device device, ct_error *error);

/* Counts the bytes of tensors on the CPU that are made from now on, by all threads, or stops counting. */
void ct_count_memory(bool enabled);
/* What is held of them now, and at most since `ct_reset_peak`. */
int64_t ct_counted_memory(void);
int64_t ct_peak_memory(void);
void ct_reset_peak(void);

/* What tensors hold on a device that is not the CPU, and held at most since `ct_device_reset_peak`, in bytes. False where
 * the device does not count. */
bool ct_device_memory(ct_device device, int64_t *held, int64_t *peak);
void ct_device_reset_peak(ct_device device);

ct_generator ct_generator_create(uint64_t seed, ct_device device, ct_error *error);
void ct_generator_release(ct_generator generator);
/* The generator's state as a byte tensor. */
ct_tensor ct_generator_state(ct_generator generator, ct_error *error);
int32_t ct_generator_set_state(ct_generator generator, ct_tensor state, ct_error *error);

/* In place; `generator` must be on the tensor's device. */
int32_t ct_normal_(ct_tensor tensor, double mean, double standard_deviation, ct_generator generator, ct_error *error);
int32_t ct_uniform_(ct_tensor tensor, double from, double to, ct_generator generator, ct_error *error);
ct_tensor ct_multinomial(ct_tensor probabilities, int64_t count, ct_generator generator, ct_error *error);
ct_tensor ct_random_permutation(int64_t count, ct_generator generator, ct_error *error);

#ifdef __cplusplus
}
#endif
