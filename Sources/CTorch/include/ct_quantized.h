/* Matrices in 4 bits a value: NormalFloat with doubly quantised scales (QLoRA, Dettmers et al. 2023, section 3), laid out as
 * bitsandbytes does. */
#pragma once

#include "ct_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Packs the values of `a`, a contiguous float tensor on the CPU, in blocks of 64. `results` gets codes (uint8, two values a
 * byte, the first in the upper half), the blocks' scales (uint8) and, for each 256 scales, theirs (float32); `offset` what
 * all scales are counted from. */
int32_t ct_nf4_quantize(ct_tensor a, ct_tensor results[3], double *offset, ct_error *error);
/* The values again, as a tensor of the given shape and type (float32 or bfloat16).
 *
 * Of a piece `outer` is NULL, and `scales` are float32, one for each `unit` values. */
ct_tensor ct_nf4_dequantize(
    ct_tensor codes, ct_tensor scales, ct_tensor outer, double offset, int64_t unit, const int64_t *sizes, int32_t count,
    int32_t dtype, ct_error *error);
/* Some rows (dimension 0) or columns (1) of a whole matrix of `sizes`, on the CPU: `count` ranges, each its first and the
 * one behind its last. `results` gets codes and float32 scales, one for each `unit` values, which may be any that divides
 * 64, a row, and where ranges of columns begin and end. */
int32_t ct_nf4_piece(
    ct_tensor codes, ct_tensor scales, ct_tensor outer, double offset, const int64_t sizes[2], int32_t dimension,
    const int64_t *ranges, int32_t count, int64_t unit, ct_tensor results[2], ct_error *error);

#ifdef __cplusplus
}
#endif
