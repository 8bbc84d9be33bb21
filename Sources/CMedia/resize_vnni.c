// The resizer's passes for AVX-512 with VNNI. A weight is three signed digits to the base 256, so that three
// byte-by-byte multiply-adds give the same 32-bit sum as Pillow's multiplication, modulo 2^32 and hence exactly.
#include "resize.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

int cm_pack_vnni(struct cm_weights *weights) {
    // For each four taps: the four lowest digits, the four middle ones, the four highest.
    weights->packed_room = weights->room / 4 * 3;
    weights->packed = malloc((size_t)weights->count * (size_t)weights->packed_room * sizeof *weights->packed);
    if (!weights->packed) return 0;
    int32_t *to = weights->packed;
    for (int64_t at = 0; at < weights->count * weights->room; at += 4, to += 3) {
        int8_t digits[3][4];
        for (int tap = 0; tap < 4; tap++) {
            int32_t rest = weights->fixed[at + tap];
            for (int digit = 0; digit < 3; digit++) {
                digits[digit][tap] = (int8_t)rest;
                rest = (rest - digits[digit][tap]) >> 8;
            }
        }
        memcpy(to, digits, sizeof digits);
    }
    return 1;
}

TARGET static inline __m512i joined(__m512i low, __m512i middle, __m512i high) {
    __m512i sum = _mm512_add_epi32(low, _mm512_slli_epi32(middle, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_slli_epi32(high, 16)), CM_PRECISION);
}

TARGET static inline __m512i four_rows(const uint8_t *const *in, int64_t at) {
    __m512i rows = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(in[0] + at)));
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(in[1] + at)), 1);
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(in[2] + at)), 2);
    return _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(in[3] + at)), 3);
}

TARGET void cm_horizontal_vnni(
    const uint8_t *rows, int64_t stride, int64_t row_count, const struct cm_weights *weights, uint8_t *out,
    int64_t out_stride) {
    // Bytes of four pixels to four reds, four greens, four blues.
    const __m512i by_colour = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    const __m512i half = _mm512_set1_epi32(1 << (CM_PRECISION - 1)), zero = _mm512_setzero_si512();
    for (int64_t y = 0; y < row_count; y += 8) {
        const uint8_t *in[8];
        uint8_t *to[8];
        for (int64_t r = 0; r < 8; r++) {
            int64_t row = y + r < row_count ? y + r : row_count - 1;
            in[r] = rows + row * stride;
            to[r] = out + row * out_stride;
        }
        for (int64_t o = 0; o < weights->count; o++) {
            int64_t at = (int64_t)weights->first[o] * 3;
            const int32_t *weight = weights->packed + o * weights->packed_room;
            __m512i low0 = half, low1 = half, middle0 = zero, middle1 = zero, high0 = zero, high1 = zero;
            for (int32_t x = 0; x < weights->used[o]; x += 4, at += 12, weight += 3) {
                __m512i a = _mm512_shuffle_epi8(four_rows(in, at), by_colour);
                __m512i b = _mm512_shuffle_epi8(four_rows(in + 4, at), by_colour);
                __m512i l = _mm512_set1_epi32(weight[0]), m = _mm512_set1_epi32(weight[1]);
                __m512i h = _mm512_set1_epi32(weight[2]);
                low0 = _mm512_dpbusd_epi32(low0, a, l);
                middle0 = _mm512_dpbusd_epi32(middle0, a, m);
                high0 = _mm512_dpbusd_epi32(high0, a, h);
                low1 = _mm512_dpbusd_epi32(low1, b, l);
                middle1 = _mm512_dpbusd_epi32(middle1, b, m);
                high1 = _mm512_dpbusd_epi32(high1, b, h);
            }
            __m512i words = _mm512_packs_epi32(joined(low0, middle0, high0), joined(low1, middle1, high1));
            __m512i bytes = _mm512_packus_epi16(words, words);
            // Quarter q now holds a pixel of row q and one of row q + 4, as four bytes each.
            uint32_t pixel[16];
            _mm512_storeu_si512(pixel, bytes);
            // The fourth byte is overwritten by the next pixel; after the last one there is none.
            if (o + 1 < weights->count)
                for (int q = 0; q < 4; q++) {
                    memcpy(to[q] + o * 3, &pixel[q * 4], 4);
                    memcpy(to[q + 4] + o * 3, &pixel[q * 4 + 1], 4);
                }
            else
                for (int q = 0; q < 4; q++) {
                    memcpy(to[q] + o * 3, &pixel[q * 4], 3);
                    memcpy(to[q + 4] + o * 3, &pixel[q * 4 + 1], 3);
                }
        }
    }
}

TARGET void cm_vertical_vnni(
    const uint8_t *rows, int64_t stride, int64_t bytes, const struct cm_weights *weights, int64_t position,
    uint8_t *out) {
    const int32_t *packed = weights->packed + position * weights->packed_room;
    int32_t used = weights->used[position];
    const __m512i half = _mm512_set1_epi32(1 << (CM_PRECISION - 1)), zero = _mm512_setzero_si512();
    for (int64_t at = 0; at < bytes; at += 64) {
        __mmask64 mask = bytes - at >= 64 ? ~0ull : (1ull << (bytes - at)) - 1;
        __m512i low[4] = {half, half, half, half}, middle[4] = {zero, zero, zero, zero};
        __m512i high[4] = {zero, zero, zero, zero};
        const int32_t *weight = packed;
        for (int32_t y = 0; y < used; y += 4, weight += 3) {
            // Rows past the last have weight 0; reading the last again keeps the reads inside the picture.
            int32_t left = used - y - 1;
            const uint8_t *from = rows + y * stride + at;
            __m512i a = _mm512_maskz_loadu_epi8(mask, from);
            __m512i b = _mm512_maskz_loadu_epi8(mask, from + (left < 1 ? left : 1) * stride);
            __m512i c = _mm512_maskz_loadu_epi8(mask, from + (left < 2 ? left : 2) * stride);
            __m512i d = _mm512_maskz_loadu_epi8(mask, from + (left < 3 ? left : 3) * stride);
            __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
            __m512i cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
            __m512i taps[4] = {
                _mm512_unpacklo_epi16(ab0, cd0), _mm512_unpackhi_epi16(ab0, cd0), _mm512_unpacklo_epi16(ab1, cd1),
                _mm512_unpackhi_epi16(ab1, cd1)};
            __m512i l = _mm512_set1_epi32(weight[0]), m = _mm512_set1_epi32(weight[1]);
            __m512i h = _mm512_set1_epi32(weight[2]);
            for (int part = 0; part < 4; part++) {
                low[part] = _mm512_dpbusd_epi32(low[part], taps[part], l);
                middle[part] = _mm512_dpbusd_epi32(middle[part], taps[part], m);
                high[part] = _mm512_dpbusd_epi32(high[part], taps[part], h);
            }
        }
        __m512i front = _mm512_packs_epi32(
            joined(low[0], middle[0], high[0]), joined(low[1], middle[1], high[1]));
        __m512i back = _mm512_packs_epi32(
            joined(low[2], middle[2], high[2]), joined(low[3], middle[3], high[3]));
        _mm512_mask_storeu_epi8(out + at, mask, _mm512_packus_epi16(front, back));
    }
}
#endif
