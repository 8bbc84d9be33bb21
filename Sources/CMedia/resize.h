// Shared by the implementations of the resizer.
#pragma once
#include "internal.h"

/// Pillow's fixed point for 8-bit pixels: 32 bits less 8 for the pixel and 2 for sums above one.
enum { CM_PRECISION = 22 };

/// For each output position: where its source pixels begin, how many there are, and their weights.
struct cm_weights {
    /// Output positions.
    int64_t count;
    /// Room for the weights of one position, a multiple of 4; the unused ones are 0.
    int64_t room;
    int32_t *first;
    int32_t *used;
    /// `room` weights for each position, times 2^22.
    int32_t *fixed;
    /// The same before rounding; null unless asked for.
    double *exact;
    /// The fixed weights as the vector kernels of one path want them, `packed_room` words for each position.
    int32_t *packed;
    int64_t packed_room;
};

cm_failure cm_weights_make(
    struct cm_weights *weights, int64_t in_size, float in_start, float in_end, int64_t out_size, cm_filter filter,
    int keep_exact);
void cm_weights_free(struct cm_weights *weights);

static inline uint8_t cm_clip(int32_t sum) {
    int32_t value = sum >> CM_PRECISION;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/// One pass over rows of RGB: `out` has `weights->count` pixels a row. The vector forms may read up to 64 bytes past
/// a row's end, so the caller pads the last rows.
typedef void cm_horizontal(
    const uint8_t *rows, int64_t stride, int64_t row_count, const struct cm_weights *weights, uint8_t *out,
    int64_t out_stride);
/// Row `position` of the output, from source rows of `bytes` bytes of which `rows` is the first that counts.
typedef void cm_vertical(
    const uint8_t *rows, int64_t stride, int64_t bytes, const struct cm_weights *weights, int64_t position,
    uint8_t *out);

cm_horizontal cm_horizontal_portable;
cm_vertical cm_vertical_portable;

#if defined(__x86_64__)
/// Fills `packed`; 0 for want of memory.
int cm_pack_avx2(struct cm_weights *weights);
int cm_pack_vnni(struct cm_weights *weights);
cm_horizontal cm_horizontal_avx2, cm_horizontal_vnni;
cm_vertical cm_vertical_avx2, cm_vertical_vnni;
#endif
