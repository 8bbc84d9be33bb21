/* Gradients: recording, backward, and functions whose backward is the caller's. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

bool ct_requires_grad(ct_tensor tensor);
int32_t ct_set_requires_grad(ct_tensor tensor, bool value, ct_error *error);
bool ct_is_leaf(ct_tensor tensor);
/* The accumulated gradient, or NULL. */
ct_tensor ct_grad(ct_tensor tensor);
/* `gradient` may be NULL, which clears it. */
int32_t ct_set_grad(ct_tensor tensor, ct_tensor gradient, ct_error *error);
ct_tensor ct_detach(ct_tensor tensor, ct_error *error);

/* Of the calling thread. Returns the former mode. */
bool ct_set_grad_enabled(bool enabled);
bool ct_is_grad_enabled(void);

/* Adds d(sum of tensors · gradients)/d(leaf) to the leaves' gradients. A NULL gradient means one (scalars only). */
int32_t ct_backward(const ct_tensor *tensors, const ct_tensor *gradients, int32_t count, bool retain_graph, ct_error *error);
/* Gradients for `inputs` alone; `results` gets a handle or NULL (unused) for each. */
int32_t ct_gradients(
    const ct_tensor *outputs, const ct_tensor *output_gradients, int32_t output_count, const ct_tensor *inputs,
    int32_t input_count, bool retain_graph, ct_tensor *results, ct_error *error);

/* Computes input gradients from output gradients (entries may be NULL). Writes owned handles or NULL to
 * `input_gradients`. Returns 0, or after setting `message` (malloc'ed) CT_OUT_OF_MEMORY where that is why, or another. */
typedef int32_t (*ct_backward_function)(
    void *context, const ct_tensor *output_gradients, int32_t output_count, ct_tensor *input_gradients,
    int32_t input_count, char **message);

/* Joins `outputs` (computed without recording) to `inputs` by a node whose backward is `backward`; `results` gets the
 * outputs with their history. `release(context)` is called once, after a backward pass that keeps no graph or when the
 * node is gone. A node that `is_leaf` runs before others that are ready, and keeps its context for other passes. */
int32_t ct_attach_backward(
    const ct_tensor *inputs, int32_t input_count, const ct_tensor *outputs, int32_t output_count, void *context,
    ct_backward_function backward, void (*release)(void *), bool is_leaf, ct_tensor *results, ct_error *error);

#ifdef __cplusplus
}
#endif
