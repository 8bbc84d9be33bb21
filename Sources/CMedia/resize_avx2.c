// The resizer's passes for AVX2. A 23-bit weight is split into its low 15 bits and the rest, so that two 16-bit
// multiply-adds give the same 32-bit sum as Pillow's multiplication, modulo 2^32 and hence exactly.
#include "resize.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define TARGET __attribute__((target("avx2")))

int cm_pack_avx2(struct cm_weights *weights) {
    // For each two taps: the pair of low parts, then the pair of high parts.
    weights->packed_room = weights->room;
    weights->packed = malloc((size_t)weights->count * (size_t)weights->room * sizeof *weights->packed);
    if (!weights->packed) return 0;
    for (int64_t at = 0; at < weights->count * weights->room; at += 2) {
        uint32_t first = (uint32_t)weights->fixed[at], second = (uint32_t)weights->fixed[at + 1];
        uint32_t low = (first & 0x7FFF) | (second & 0x7FFF) << 16;
        uint32_t high = (uint32_t)((int32_t)first >> 15 & 0xFFFF) | (uint32_t)((int32_t)second >> 15) << 16;
        weights->packed[at] = (int32_t)low;
        weights->packed[at + 1] = (int32_t)high;
    }
    return 1;
}

TARGET static inline __m256i joined(__m256i low, __m256i high) {
    __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, 15));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (CM_PRECISION - 1))), CM_PRECISION);
}

TARGET void cm_horizontal_avx2(
    const uint8_t *rows, int64_t stride, int64_t row_count, const struct cm_weights *weights, uint8_t *out,
    int64_t out_stride) {
    // Bytes of four pixels to 16-bit pairs (red red, green green, blue blue, nothing) of the first and second two.
    const __m256i first_two = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i second_two = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    for (int64_t y = 0; y < row_count; y += 4) {
        const uint8_t *in[4];
        uint8_t *to[4];
        for (int64_t r = 0; r < 4; r++) {
            int64_t row = y + r < row_count ? y + r : row_count - 1;
            in[r] = rows + row * stride;
            to[r] = out + row * out_stride;
        }
        for (int64_t o = 0; o < weights->count; o++) {
            int64_t at = (int64_t)weights->first[o] * 3;
            const int32_t *weight = weights->packed + o * weights->packed_room;
            __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
            for (int32_t x = 0; x < weights->used[o]; x += 4, at += 12, weight += 4) {
                __m256i a = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(in[0] + at))),
                    _mm_loadu_si128((const __m128i *)(in[1] + at)), 1);
                __m256i b = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(in[2] + at))),
                    _mm_loadu_si128((const __m128i *)(in[3] + at)), 1);
                __m256i l = _mm256_set1_epi32(weight[0]), h = _mm256_set1_epi32(weight[1]);
                __m256i pair_a = _mm256_shuffle_epi8(a, first_two), pair_b = _mm256_shuffle_epi8(b, first_two);
                low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(pair_a, l));
                high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(pair_a, h));
                low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(pair_b, l));
                high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(pair_b, h));
                l = _mm256_set1_epi32(weight[2]), h = _mm256_set1_epi32(weight[3]);
                pair_a = _mm256_shuffle_epi8(a, second_two), pair_b = _mm256_shuffle_epi8(b, second_two);
                low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(pair_a, l));
                high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(pair_a, h));
                low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(pair_b, l));
                high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(pair_b, h));
            }
            __m256i words = _mm256_packs_epi32(joined(low0, high0), joined(low1, high1));
            __m256i bytes = _mm256_packus_epi16(words, words);
            // Each half now holds a pixel of rows 0 and 2, or of 1 and 3, as four bytes.
            uint32_t pixel[4] = {
                (uint32_t)_mm256_extract_epi32(bytes, 0), (uint32_t)_mm256_extract_epi32(bytes, 4),
                (uint32_t)_mm256_extract_epi32(bytes, 1), (uint32_t)_mm256_extract_epi32(bytes, 5)};
            // The fourth byte is overwritten by the next pixel; after the last one there is none.
            size_t width = o + 1 < weights->count ? 4 : 3;
            if (width == 4)
                for (int r = 0; r < 4; r++) memcpy(to[r] + o * 3, &pixel[r], 4);
            else
                for (int r = 0; r < 4; r++) memcpy(to[r] + o * 3, &pixel[r], 3);
        }
    }
}

TARGET void cm_vertical_avx2(
    const uint8_t *rows, int64_t stride, int64_t bytes, const struct cm_weights *weights, int64_t position,
    uint8_t *out) {
    if (bytes < 32) {
        cm_vertical_portable(rows, stride, bytes, weights, position, out);
        return;
    }
    const int32_t *packed = weights->packed + position * weights->packed_room;
    int32_t used = weights->used[position];
    const __m256i zero = _mm256_setzero_si256();
    for (int64_t at = 0; at < bytes; at += 32) {
        // The last block overlaps the one before rather than run past the row.
        if (at + 32 > bytes) at = bytes - 32;
        __m256i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
        for (int32_t y = 0; y < used; y += 2) {
            const uint8_t *from = rows + y * stride + at;
            __m256i a = _mm256_loadu_si256((const __m256i *)from);
            __m256i b = _mm256_loadu_si256((const __m256i *)(y + 1 < used ? from + stride : from));
            __m256i l = _mm256_set1_epi32(packed[y]), h = _mm256_set1_epi32(packed[y + 1]);
            __m256i front = _mm256_unpacklo_epi8(a, b), back = _mm256_unpackhi_epi8(a, b);
            __m256i pair[4] = {
                _mm256_unpacklo_epi8(front, zero), _mm256_unpackhi_epi8(front, zero),
                _mm256_unpacklo_epi8(back, zero), _mm256_unpackhi_epi8(back, zero)};
            for (int part = 0; part < 4; part++) {
                low[part] = _mm256_add_epi32(low[part], _mm256_madd_epi16(pair[part], l));
                high[part] = _mm256_add_epi32(high[part], _mm256_madd_epi16(pair[part], h));
            }
        }
        __m256i front = _mm256_packs_epi32(joined(low[0], high[0]), joined(low[1], high[1]));
        __m256i back = _mm256_packs_epi32(joined(low[2], high[2]), joined(low[3], high[3]));
        _mm256_storeu_si256((__m256i *)(out + at), _mm256_packus_epi16(front, back));
    }
}
#endif
