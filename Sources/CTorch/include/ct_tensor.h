/* Handles, errors, creation, properties and copies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_tensor_s *ct_tensor;
typedef struct ct_generator_s *ct_generator;

enum {
    CT_OK = 0,
    CT_ERROR = 1,
    CT_OUT_OF_MEMORY = 2,
    CT_NOT_IMPLEMENTED = 3,
    CT_CALLBACK_FAILED = 4,
};

typedef struct {
    int32_t code;
    char *message; /* malloc'ed, or NULL */
} ct_error;

void ct_error_free(ct_error *error);

/* Element types, by libtorch's own numbers. */
enum {
    CT_U8 = 0,
    CT_I8 = 1,
    CT_I16 = 2,
    CT_I32 = 3,
    CT_I64 = 4,
    CT_F16 = 5,
    CT_F32 = 6,
    CT_F64 = 7,
    CT_BOOL = 11,
    CT_BF16 = 15,
};

/* Device kinds, by libtorch's own numbers; `index` -1 is the current one. */
enum { CT_CPU = 0, CT_CUDA = 1, CT_MPS = 13, CT_META = 14 };
typedef struct {
    int32_t kind;
    int32_t index;
} ct_device;

void ct_retain(ct_tensor tensor);
void ct_release(ct_tensor tensor);

/* Creation. */
ct_tensor ct_empty(const int64_t *sizes, int32_t count, int32_t dtype, ct_device device, ct_error *error);
ct_tensor ct_full(const int64_t *sizes, int32_t count, double value, int32_t dtype, ct_device device, ct_error *error);
ct_tensor ct_arange(double start, double end, double step, int32_t dtype, ct_device device, ct_error *error);
/* Copies `sizes` × element size bytes from `data` to a CPU tensor. */
ct_tensor ct_from_bytes(const void *data, const int64_t *sizes, int32_t count, int32_t dtype, ct_error *error);
/* Uses `data` in place; `release(context)` is called once, when the last view of it is gone, or on failure. */
ct_tensor ct_from_memory(
    void *data, const int64_t *sizes, int32_t count, int32_t dtype, void *context, void (*release)(void *),
    ct_error *error);

/* Properties. */
int32_t ct_rank(ct_tensor tensor);
void ct_sizes(ct_tensor tensor, int64_t *sizes);
void ct_strides(ct_tensor tensor, int64_t *strides);
int64_t ct_element_count(ct_tensor tensor);
int32_t ct_dtype(ct_tensor tensor);
ct_device ct_device_of(ct_tensor tensor);
bool ct_is_contiguous(ct_tensor tensor);
bool ct_same_storage(ct_tensor a, ct_tensor b);
/* The first element's address, NULL for a tensor without data. */
void *ct_data(ct_tensor tensor);

/* Conversions and copies. */
ct_tensor ct_to_dtype(ct_tensor tensor, int32_t dtype, ct_error *error);
ct_tensor ct_to_device(ct_tensor tensor, ct_device device, bool non_blocking, ct_error *error);
/* A copy on the device of a tensor on the CPU, made beside what the device is computing, and whole when this returns. For
   use by the device's default stream. */
ct_tensor ct_fetch(ct_tensor tensor, ct_device device, ct_error *error);
ct_tensor ct_clone(ct_tensor tensor, ct_error *error);
ct_tensor ct_contiguous(ct_tensor tensor, ct_error *error);
int32_t ct_copy_(ct_tensor destination, ct_tensor source, ct_error *error);
int32_t ct_fill_(ct_tensor tensor, double value, ct_error *error);
/* Copies the contiguous CPU form of `tensor` to `destination`, which holds `bytes` bytes. */
int32_t ct_read_bytes(ct_tensor tensor, void *destination, size_t bytes, ct_error *error);
double ct_item(ct_tensor tensor, ct_error *error);

#ifdef __cplusplus
}
#endif
