/* A flat C interface to libtorch.
 *
 * Rules that every function keeps:
 * - A `ct_tensor` is the retained `TensorImpl*` itself. A function returns a handle with one reference that the caller
 *   must give back with `ct_release`, and borrows the handles it is given. NULL stands for "no tensor" where a comment
 *   says so.
 * - No C++ exception leaves a function: it comes back in the caller's `ct_error`, whose `message` the caller frees with
 *   `ct_error_free`. A function that returns a handle returns NULL then; one that returns `int32_t` returns the code.
 * - No state is kept between calls but libtorch's own (gradient mode and thread counts are per thread).
 */
#pragma once

#include "ct_attention.h"
#include "ct_autograd.h"
#include "ct_distributed.h"
#include "ct_fused.h"
#include "ct_ops.h"
#include "ct_quantized.h"
#include "ct_runtime.h"
#include "ct_tensor.h"
