// Softmax attention of many queries within segments, as an online softmax over blocks of keys (Milakov and Gimelshein
// 2018; Dao et al. 2022), with both products on the processor's bf16 dot products.
//
// Keys and values are first repacked, once for each segment and key-value head, into the order in which the products
// read them:
//   keys    [panel of 64 keys][pair of head elements][64 keys][2]
//   values  [pair of keys][head size, up to a multiple of 16][2]
// Then six queries at a time meet a block of keys: scores into a buffer that fits the first-level cache, exponentials
// into another as bf16, and their product with the values onto the sums so far.
#include "tiles.h"

#include <stdlib.h>

enum {
    /// Queries of one item of work, a multiple of `rowTile`: enough to reuse a block of keys from the second-level cache.
    blockQueries = 96,
    /// Keys between two corrections of the sums so far.
    blockKeys = 512,
    /// Queries of one register tile: 6 x 4 accumulators, 4 vectors of keys and one query leave little of 32 registers.
    rowTile = 6,
    panelKeys = 64,
    largestHead = 256,
};

CK_INLINE size_t padded_head(const ck_attention *a) { return (a->headSize + 15) / 16 * 16; }

/// Number of blocks of `size` tokens, if each segment starts a new one; a few may be empty. The sum is kept to what can
/// be known for one segment without walking over all.
CK_INLINE size_t blocks_before(const int64_t *offsets, size_t segment, size_t size) {
    return (size_t)offsets[segment] / size + segment;
}

/// Keys that the workspace holds for each key-value head: every segment's, with room to fill its last panel.
CK_INLINE size_t packed_keys(const ck_attention *a) {
    return blocks_before(a->keyOffsets, a->segments, panelKeys) * panelKeys;
}
CK_INLINE size_t packed_start(const ck_attention *a, size_t segment) {
    return blocks_before(a->keyOffsets, segment, panelKeys) * panelKeys;
}

/// The segment that holds block `index`, and the block's number within it.
static size_t find_block(const int64_t *offsets, size_t segments, size_t size, size_t index, size_t *within) {
    size_t low = 0, high = segments;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (blocks_before(offsets, middle, size) <= index) low = middle; else high = middle;
    }
    *within = index - blocks_before(offsets, low, size);
    return low;
}

static bool packs(void) { return ck_features() == CK_LEVEL_AVX512_BF16; }

size_t ck_attention_workspace(const ck_attention *a) {
    if (!packs()) return 0;
    return a->keyValueHeads * packed_keys(a) * (a->headSize + padded_head(a)) * sizeof(ck_bfloat16) + 64;
}

size_t ck_attention_pack_count(const ck_attention *a) {
    return packs() ? a->keyValueHeads * blocks_before(a->keyOffsets, a->segments, blockKeys) : 0;
}

size_t ck_attention_count(const ck_attention *a) {
    return a->heads * blocks_before(a->queryOffsets, a->segments, blockQueries);
}

/// One block of queries of one head.
typedef struct item {
    size_t head, segment;
    size_t firstQuery, queries;  // within the segment
    size_t segmentQueries, segmentKeys;
} item;

static bool find_item(const ck_attention *a, size_t index, item *found) {
    size_t blocks = blocks_before(a->queryOffsets, a->segments, blockQueries), block;
    found->head = index / blocks;
    found->segment = find_block(a->queryOffsets, a->segments, blockQueries, index % blocks, &block);
    found->segmentQueries = (size_t)(a->queryOffsets[found->segment + 1] - a->queryOffsets[found->segment]);
    found->segmentKeys = (size_t)(a->keyOffsets[found->segment + 1] - a->keyOffsets[found->segment]);
    found->firstQuery = block * blockQueries;
    if (found->firstQuery >= found->segmentQueries) return false;
    found->queries = ck_min(blockQueries, found->segmentQueries - found->firstQuery);
    return true;
}

/// Keys that query `index` of a segment may see.
CK_INLINE size_t visible(const ck_attention *a, const item *item, size_t index) {
    if (!a->causal) return item->segmentKeys;
    size_t seen = item->segmentKeys + index + 1;
    return seen > item->segmentQueries ? ck_min(seen - item->segmentQueries, item->segmentKeys) : 0;
}

#if defined(__x86_64__)

// MARK: - packing

CK_AVX512_INLINE void transpose16(__m512i r[16]) {
    __m512i t[16];
    CK_UNROLL for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    CK_UNROLL for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    CK_UNROLL for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    CK_UNROLL for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

/// 64 keys from `keys` on, of which `count` exist; the others become zeros.
CK_AVX512 static void pack_keys(
    const ck_bfloat16 *keys, ptrdiff_t stride, size_t count, size_t headSize, ck_bfloat16 *panel) {
    for (size_t group = 0; group < 4; group++)
        for (size_t d = 0; d < headSize; d += 32) {
            __mmask32 mask = ck_mask32(headSize - d);
            __m512i rows[16];
            CK_UNROLL for (size_t i = 0; i < 16; i++) {
                size_t key = group * 16 + i;
                rows[i] = key < count ? _mm512_maskz_loadu_epi16(mask, keys + (ptrdiff_t)key * stride + d)
                                      : _mm512_setzero_si512();
            }
            transpose16(rows);
            ck_bfloat16 *to = panel + (d / 2 * panelKeys + group * 16) * 2;
            size_t pairs = ck_min(16, (headSize - d) / 2);
            if (pairs == 16) {
                CK_UNROLL for (size_t i = 0; i < 16; i++) _mm512_store_si512(to + i * panelKeys * 2, rows[i]);
            } else {
                CK_UNROLL for (size_t i = 0; i < 16; i++)
                    if (i < pairs) _mm512_store_si512(to + i * panelKeys * 2, rows[i]);
            }
        }
}

CK_AVX512 static void pack_values(
    const ck_bfloat16 *values, ptrdiff_t stride, size_t count, size_t headSize, ck_bfloat16 *to) {
    size_t padded = (headSize + 15) / 16 * 16;
    for (size_t key = 0; key < panelKeys; key += 2)
        for (size_t d = 0; d < padded; d += 16) {
            __mmask16 mask = ck_mask16(headSize - d);
            __mmask16 first = key < count ? mask : 0, second = key + 1 < count ? mask : 0;
            const ck_bfloat16 *from = values + (ptrdiff_t)key * stride + d;
            __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first, from));
            __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(second, second ? from + stride : from));
            _mm512_store_si512(to + (key / 2 * padded + d) * 2, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
}

CK_INLINE ck_bfloat16 *aligned(void *workspace) { return (ck_bfloat16 *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63); }

static void pack_range(const ck_attention *a, void *workspace, size_t begin, size_t end) {
    size_t blocks = blocks_before(a->keyOffsets, a->segments, blockKeys), padded = padded_head(a);
    ck_bfloat16 *allKeys = aligned(workspace), *allValues = allKeys + a->keyValueHeads * packed_keys(a) * a->headSize;
    for (size_t index = begin; index < end; index++) {
        size_t head = index / blocks, block;
        size_t segment = find_block(a->keyOffsets, a->segments, blockKeys, index % blocks, &block);
        size_t count = (size_t)(a->keyOffsets[segment + 1] - a->keyOffsets[segment]);
        size_t last = ck_min(count, (block + 1) * blockKeys);
        for (size_t first = block * blockKeys; first < last; first += panelKeys) {
            ptrdiff_t token = (ptrdiff_t)((size_t)a->keyOffsets[segment] + first);
            size_t place = head * packed_keys(a) + packed_start(a, segment) + first;
            pack_keys(
                a->key + token * a->keyTokenStride + (ptrdiff_t)head * a->keyHeadStride, a->keyTokenStride,
                count - first, a->headSize, allKeys + place * a->headSize);
            pack_values(
                a->value + token * a->valueTokenStride + (ptrdiff_t)head * a->valueHeadStride, a->valueTokenStride,
                count - first, a->headSize, allValues + place * padded);
        }
    }
}

// MARK: - products

CK_AVX512_INLINE __m512bh broadcast_pair(const ck_bfloat16 *p) {
    int pair;
    memcpy(&pair, p, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

enum { scoreStride = blockKeys + 16, weightStride = blockKeys + 32 };

/// Scores of six queries against `vectors` x 16 keys of a panel. `limits` (or NULL) tells each query how many of the
/// keys it sees; the others get -inf. `highest` gathers the largest score of each query, lane by lane.
CK_AVX512_INLINE void score_tile(
    const ck_bfloat16 *queries, size_t headSize, const ck_bfloat16 *panel, const int vectors, float *scores,
    const int32_t *limits, __m512 *highest) {
    __m512 sum[rowTile][4];
    CK_UNROLL for (int r = 0; r < rowTile; r++)
        CK_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_setzero_ps();
    for (size_t d = 0; d < headSize; d += 2) {
        __m512bh key[4];
        CK_UNROLL for (int v = 0; v < vectors; v++) key[v] = ck_load32(panel + (d / 2 * panelKeys + 16 * (size_t)v) * 2);
        CK_UNROLL for (int r = 0; r < rowTile; r++) {
            __m512bh query = broadcast_pair(queries + (size_t)r * headSize + d);
            CK_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], query, key[v]);
        }
    }
    if (limits) {
        __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        CK_UNROLL for (int r = 0; r < rowTile; r++)
            CK_UNROLL for (int v = 0; v < vectors; v++) {
                __mmask16 hidden = _mm512_cmpge_epi32_mask(lanes, _mm512_set1_epi32(limits[r] - 16 * v));
                sum[r][v] = _mm512_mask_mov_ps(sum[r][v], hidden, _mm512_set1_ps(-INFINITY));
            }
    }
    CK_UNROLL for (int r = 0; r < rowTile; r++) {
        __m512 high = highest[r];
        CK_UNROLL for (int v = 0; v < vectors; v++) {
            high = _mm512_max_ps(sum[r][v], high);
            _mm512_storeu_ps(scores + r * scoreStride + 16 * v, sum[r][v]);
        }
        highest[r] = high;
    }
}

/// Scores of six queries against the first `count` keys of a block (panels are padded, so more may be touched).
CK_AVX512 __attribute__((noinline)) static void score_block(
    const ck_bfloat16 *queries, size_t headSize, const ck_bfloat16 *keys, size_t count, const int32_t *limits,
    float *scores, __m512 *highest) {
    int32_t least = limits[0];
    for (int r = 1; r < rowTile; r++) least = limits[r] < least ? limits[r] : least;
    for (size_t first = 0; first < count; first += panelKeys) {
        const ck_bfloat16 *panel = keys + first * headSize;
        size_t vectors = (ck_min(panelKeys, count - first) + 15) / 16;
        if (vectors == 4 && first + panelKeys <= (size_t)least) {
            score_tile(queries, headSize, panel, 4, scores + first, NULL, highest);
            continue;
        }
        int32_t here[rowTile];
        for (int r = 0; r < rowTile; r++) here[r] = limits[r] - (int32_t)first;
        switch (vectors) {
            case 1: score_tile(queries, headSize, panel, 1, scores + first, here, highest); break;
            case 2: score_tile(queries, headSize, panel, 2, scores + first, here, highest); break;
            case 3: score_tile(queries, headSize, panel, 3, scores + first, here, highest); break;
            default: score_tile(queries, headSize, panel, 4, scores + first, here, highest); break;
        }
    }
}

/// output = output · correction + weights · values, for six queries and `vectors` x 16 elements of the head.
CK_AVX512_INLINE void value_tile(
    const ck_bfloat16 *weights, size_t pairs, const ck_bfloat16 *values, size_t padded, const int vectors,
    const float *correction, float *output) {
    __m512 sum[rowTile][4];
    CK_UNROLL for (int r = 0; r < rowTile; r++)
        CK_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = _mm512_mul_ps(
                _mm512_load_ps(output + (size_t)r * padded + 16 * v), _mm512_set1_ps(correction[r]));
    for (size_t k = 0; k < pairs; k++) {
        __m512bh value[4];
        CK_UNROLL for (int v = 0; v < vectors; v++) value[v] = ck_load32(values + (k * padded + 16 * (size_t)v) * 2);
        CK_UNROLL for (int r = 0; r < rowTile; r++) {
            __m512bh weight = broadcast_pair(weights + r * weightStride + 2 * k);
            CK_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], weight, value[v]);
        }
    }
    CK_UNROLL for (int r = 0; r < rowTile; r++)
        CK_UNROLL for (int v = 0; v < vectors; v++)
            _mm512_store_ps(output + (size_t)r * padded + 16 * v, sum[r][v]);
}

CK_AVX512 __attribute__((noinline)) static void value_block(
    const ck_bfloat16 *weights, size_t pairs, const ck_bfloat16 *values, size_t padded, const float *correction,
    float *output) {
    size_t vectors = padded / 16;
    // Even shares of at most four vectors: 5 goes as 3 and 2, not as 4 and 1.
    size_t passes = (vectors + 3) / 4;
    for (size_t pass = 0; pass < passes; pass++) {
        size_t first = vectors * pass / passes, count = vectors * (pass + 1) / passes - first;
        const ck_bfloat16 *from = values + first * 32;
        float *to = output + first * 16;
        switch (count) {
            case 1: value_tile(weights, pairs, from, padded, 1, correction, to); break;
            case 2: value_tile(weights, pairs, from, padded, 2, correction, to); break;
            case 3: value_tile(weights, pairs, from, padded, 3, correction, to); break;
            default: value_tile(weights, pairs, from, padded, 4, correction, to); break;
        }
    }
}

CK_AVX512 static void attend_item(const ck_attention *a, const item *item, void *workspace) {
    _Alignas(64) ck_bfloat16 queries[blockQueries * largestHead];
    _Alignas(64) float output[blockQueries * largestHead];
    _Alignas(64) float scores[rowTile * scoreStride];
    _Alignas(64) ck_bfloat16 weights[rowTile * weightStride];
    __m512 total[blockQueries];
    float highest[blockQueries];
    size_t headSize = a->headSize, padded = padded_head(a);
    size_t rows = (item->queries + rowTile - 1) / rowTile * rowTile;
    size_t keyHead = item->head / (a->heads / a->keyValueHeads);
    size_t place = keyHead * packed_keys(a) + packed_start(a, item->segment);
    const ck_bfloat16 *keys = aligned(workspace) + place * headSize;
    const ck_bfloat16 *values =
        aligned(workspace) + a->keyValueHeads * packed_keys(a) * headSize + place * padded;
    ptrdiff_t token = (ptrdiff_t)((size_t)a->queryOffsets[item->segment] + item->firstQuery);
    const ck_bfloat16 *from =
        a->query + token * a->queryTokenStride + (ptrdiff_t)item->head * a->queryHeadStride;
    for (size_t i = 0; i < rows; i++) {
        if (i < item->queries) memcpy(queries + i * headSize, from + (ptrdiff_t)i * a->queryTokenStride, headSize * 2);
        else memset(queries + i * headSize, 0, headSize * 2);
        total[i] = _mm512_setzero_ps();
        highest[i] = -INFINITY;
    }
    memset(output, 0, rows * padded * sizeof(float));
    float factor = a->scale * 1.44269504f;

    size_t most = visible(a, item, item->firstQuery + item->queries - 1);
    for (size_t block = 0; block < most; block += blockKeys)
        for (size_t row = 0; row < rows; row += rowTile) {
            int32_t limits[rowTile];
            size_t count = 0;
            for (size_t r = 0; r < rowTile; r++) {
                size_t seen = row + r < item->queries ? visible(a, item, item->firstQuery + row + r) : 0;
                seen = seen > block ? ck_min(seen - block, blockKeys) : 0;
                limits[r] = (int32_t)seen;
                if (seen > count) count = seen;
            }
            if (count == 0) continue;
            // Rows that only fill up the tile may see anything; hiding keys from them would cost masks.
            for (size_t r = item->queries > row ? item->queries - row : 0; r < rowTile; r++) limits[r] = (int32_t)count;

            __m512 high[rowTile];
            for (int r = 0; r < rowTile; r++) high[r] = _mm512_set1_ps(-INFINITY);
            score_block(queries + row * headSize, headSize, keys + block * headSize, count, limits, scores, high);

            size_t touched = (count + 15) / 16 * 16, even = (count + 31) / 32 * 32;
            float correction[rowTile];
            for (size_t r = 0; r < rowTile; r++) {
                if (even > touched) _mm512_storeu_ps(scores + r * scoreStride + touched, _mm512_set1_ps(-INFINITY));
                float before = highest[row + r], now = _mm512_reduce_max_ps(high[r]);
                now = now > before ? now : before;
                highest[row + r] = now;
                // With nothing visible yet any finite offset will do: all weights are zero.
                float offset = now == -INFINITY ? 0 : now * factor;
                correction[r] = now == before ? 1 : before == -INFINITY ? 0 : exp2f(before * factor - offset);
                __m512 sum = exponentials(scores + r * scoreStride, even, factor, offset, weights + r * weightStride);
                total[row + r] = _mm512_fmadd_ps(total[row + r], _mm512_set1_ps(correction[r]), sum);
            }
            value_block(
                weights, touched / 2, values + block * padded, padded, correction, output + row * padded);
        }

    ck_bfloat16 *to = a->output + token * a->outputTokenStride + (ptrdiff_t)item->head * a->outputHeadStride;
    for (size_t i = 0; i < item->queries; i++) {
        float sum = _mm512_reduce_add_ps(total[i]);
        if (a->logSumExp)
            a->logSumExp[((size_t)token + i) * a->heads + item->head] = highest[i] * a->scale + logf(sum);
        __m512 inverse = _mm512_set1_ps(sum == 0 ? 0 : 1 / sum);
        for (size_t d = 0; d < headSize; d += 16)
            _mm256_mask_storeu_epi16(
                to + (ptrdiff_t)i * a->outputTokenStride + d, ck_mask16(headSize - d),
                ck_narrow(_mm512_mul_ps(_mm512_load_ps(output + i * padded + d), inverse)));
    }
}

#endif

// MARK: - other processors

CK_INLINE void attend_simply(const ck_attention *a, const item *item) {
    size_t keyHead = item->head / (a->heads / a->keyValueHeads), headSize = a->headSize;
    for (size_t i = 0; i < item->queries; i++) {
        ptrdiff_t token = (ptrdiff_t)((size_t)a->queryOffsets[item->segment] + item->firstQuery + i);
        const ck_bfloat16 *query = a->query + token * a->queryTokenStride + (ptrdiff_t)item->head * a->queryHeadStride;
        float sums[largestHead] = {0}, total = 0, highest = -INFINITY;
        size_t count = visible(a, item, item->firstQuery + i);
        for (size_t j = 0; j < count; j++) {
            ptrdiff_t other = (ptrdiff_t)((size_t)a->keyOffsets[item->segment] + j);
            const ck_bfloat16 *key = a->key + other * a->keyTokenStride + (ptrdiff_t)keyHead * a->keyHeadStride;
            const ck_bfloat16 *value = a->value + other * a->valueTokenStride + (ptrdiff_t)keyHead * a->valueHeadStride;
            float score = 0;
            for (size_t d = 0; d < headSize; d++) score += ck_to_float(query[d]) * ck_to_float(key[d]);
            score *= a->scale;
            if (score > highest) {
                float correction = expf(highest - score);
                for (size_t d = 0; d < headSize; d++) sums[d] *= correction;
                total *= correction;
                highest = score;
            }
            // Where all scores so far are -inf, the weight is zero and not exp(-inf + inf).
            float weight = score == -INFINITY ? 0 : expf(score - highest);
            total += weight;
            for (size_t d = 0; d < headSize; d++) sums[d] += weight * ck_to_float(value[d]);
        }
        ck_bfloat16 *output = a->output + token * a->outputTokenStride + (ptrdiff_t)item->head * a->outputHeadStride;
        for (size_t d = 0; d < headSize; d++) output[d] = ck_from_float(total == 0 ? 0 : sums[d] / total);
        if (a->logSumExp) a->logSumExp[(size_t)token * a->heads + item->head] = highest + logf(total);
    }
}

static void attend_portable(const ck_attention *a, const item *item) { attend_simply(a, item); }
#if defined(__x86_64__)
CK_AVX2 static void attend_avx2(const ck_attention *a, const item *item) { attend_simply(a, item); }
#endif

// MARK: - entries

void ck_attention_pack(const ck_attention *attention, void *workspace, size_t begin, size_t end) {
#if defined(__x86_64__)
    if (packs()) pack_range(attention, workspace, begin, end);
#endif
}

void ck_attention_run(const ck_attention *attention, void *workspace, size_t begin, size_t end) {
    for (size_t index = begin; index < end; index++) {
        item item;
        if (!find_item(attention, index, &item)) continue;
#if defined(__x86_64__)
        if (packs()) {
            attend_item(attention, &item, workspace);
            continue;
        }
        if (ck_features() == CK_LEVEL_AVX2) {
            attend_avx2(attention, &item);
            continue;
        }
#endif
        attend_portable(attention, &item);
    }
}
