/* Several processes that compute together: a store where they meet, and collective operations (c10d with Gloo, and NCCL between
 * GPUs). */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_store_s *ct_store;
typedef struct ct_group_s *ct_group;

/* Connects to the store at `host:port`, all of whose keys begin with `prefix`; the process that is the server keeps it.
 * The server listens on the address of `host` where it is one of this machine's, on all addresses otherwise. From then on the
 * process ignores SIGPIPE, unless it has a handler of its own: a peer that has gone is an error of the call. */
ct_store ct_store_connect(
    const char *host, uint16_t port, bool is_server, int64_t timeout_ms, const char *prefix, ct_error *error);
/* Another connection: calls on one connection wait for each other. */
ct_store ct_store_clone(ct_store store, ct_error *error);
/* The same connection, with `prefix` before all keys. */
ct_store ct_store_prefixed(ct_store store, const char *prefix, ct_error *error);
void ct_store_release(ct_store store);
int32_t ct_store_set(ct_store store, const char *key, const void *bytes, size_t count, ct_error *error);
/* Waits for the key. `bytes` (malloc'ed) gets its value. */
int32_t ct_store_get(
    ct_store store, const char *key, int64_t timeout_ms, void **bytes, size_t *count, ct_error *error);
/* Whether the key is there; does not wait. */
int32_t ct_store_has(ct_store store, const char *key, bool *found, ct_error *error);
/* Adds to a number (0 if new), and gives the sum. */
int32_t ct_store_add(ct_store store, const char *key, int64_t value, int64_t *sum, ct_error *error);

enum { CT_SUM = 0, CT_MINIMUM = 1, CT_MAXIMUM = 2 };

/* A member of a group of `size` processes that meet in `store`. `address` (may be NULL) is one of this machine's
 * addresses or names, `interface` (may be NULL) a network interface by which others reach it. */
ct_group ct_group_create(
    ct_store store, int32_t rank, int32_t size, int64_t timeout_ms, const char *address, const char *interface,
    ct_error *error);
void ct_group_release(ct_group group);

/* Whether the group takes tensors of `device` as they are: NCCL connects the GPUs of all its members then, each member's
 * one. Found when first asked for, which all members must do at the same time; else tensors must go through the CPU. */
int32_t ct_group_reaches(ct_group group, ct_device device, int64_t timeout_ms, bool *reaches, ct_error *error);

/* The name under which GPUs meet. */
typedef struct {
    char bytes[128];
} ct_unique_id;

/* Functions of NCCL, as nccl.h declares them; they give 0, or the number of an error. */
typedef struct {
    int (*get_unique_id)(ct_unique_id *id);
    int (*init_rank)(void **communicator, int size, ct_unique_id id, int rank);
    int (*abort)(void *communicator);
    int (*async_error)(void *communicator, int *error);
    const char *(*error_string)(int error);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*all_reduce)(
        const void *from, void *to, size_t count, int type, int operation, void *communicator, void *stream);
    int (*broadcast)(const void *from, void *to, size_t count, int type, int root, void *communicator, void *stream);
    int (*all_gather)(const void *from, void *to, size_t count, int type, void *communicator, void *stream);
    int (*reduce_scatter)(
        const void *from, void *to, size_t count, int type, int operation, void *communicator, void *stream);
    int (*send)(const void *from, size_t count, int type, int member, void *communicator, void *stream);
    int (*receive)(void *to, size_t count, int type, int member, void *communicator, void *stream);
    /* Whether two members may have the same device, which NCCL refuses. */
    bool shares_devices;
} ct_collectives;

/* Functions to use in the place of NCCL's from now on, for any device; NULL for NCCL again. They must stay valid. */
void ct_collectives_use(const ct_collectives *functions);

/* All members must call the same operations in the same order, with contiguous tensors of the same shape and type, all of
 * the CPU or all of a device that the group reaches. Each waits until it is done, `timeout_ms` at most. */
int32_t ct_group_all_reduce(ct_group group, ct_tensor tensor, int32_t operation, int64_t timeout_ms, ct_error *error);
int32_t ct_group_broadcast(ct_group group, ct_tensor tensor, int32_t root, int64_t timeout_ms, ct_error *error);
/* `output` has one `input` of each member after another. */
int32_t ct_group_all_gather(
    ct_group group, ct_tensor output, ct_tensor input, int64_t timeout_ms, ct_error *error);
/* The same for `root` alone; `output` is NULL elsewhere. */
int32_t ct_group_gather(
    ct_group group, ct_tensor output, ct_tensor input, int32_t root, int64_t timeout_ms, ct_error *error);
/* `output` gets this member's part of the sum of all `input`s. */
int32_t ct_group_reduce_scatter(
    ct_group group, ct_tensor output, ct_tensor input, int64_t timeout_ms, ct_error *error);
/* Sends `input_counts[i]` rows to member i, and gets `output_counts[i]` rows from it. */
int32_t ct_group_all_to_all(
    ct_group group, ct_tensor output, ct_tensor input, const int64_t *output_counts, const int64_t *input_counts,
    int64_t timeout_ms, ct_error *error);
int32_t ct_group_barrier(ct_group group, int64_t timeout_ms, ct_error *error);

#ifdef __cplusplus
}
#endif
