// Softmax attention of a few queries against a cache of keys and values: bound by reading the cache once.
//
// Keys are cut into blocks of a fixed size whatever the threads, each block is softmaxed by itself, and whoever
// finishes a sequence's last block adds all of them up in order. So one call to the threads suffices, and their number
// changes nothing. Heads that share keys and values are rows of one small product.
#include "tiles.h"

#include <stdatomic.h>

enum {
    /// Keys of one item of work.
    blockKeys = 128,
    /// Keys, and values, that all heads meet before the next ones are read: a cache holds all heads of a token together,
    /// and reading it straight through is twice as fast as one head at a time.
    scoreKeys = 16,
    valueKeys = 32,
    /// Distance of prefetching into the second-level cache; without, the arithmetic leaves room for too few loads.
    keysAhead = 32,
    /// Rows of one register tile; 6 x 4 accumulators.
    rowTile = 6,
    largestHead = 256,
    /// Queries of a segment x heads.
    largestRows = 128,
};

/// A block leaves floats: largest score and sum of each row, then each row's unscaled output, its elements in the order
/// that unpacking leaves. Rows are heads, and within them queries, so that those that share keys are neighbours.
CK_INLINE size_t padded_head(const ck_attention *a) { return (a->headSize + 31) / 32 * 32; }
CK_INLINE size_t group_size(const ck_attention *a) { return a->heads / a->keyValueHeads; }

/// Number of blocks in the segments before this one, at least: exact enough to be known without walking over them.
CK_INLINE size_t blocks_before(const ck_attention *a, size_t segment) {
    return (size_t)a->keyOffsets[segment] / blockKeys + segment;
}

static size_t most_queries(const ck_attention *a) {
    int64_t most = 0;
    for (size_t i = 0; i < a->segments; i++) {
        int64_t count = a->queryOffsets[i + 1] - a->queryOffsets[i];
        if (count > most) most = count;
    }
    return (size_t)most;
}

CK_INLINE size_t slot_size(const ck_attention *a, size_t queries) {
    return queries * a->heads * (2 + padded_head(a));
}

bool ck_decode_attention_fits(const ck_attention *a) {
    return ck_features() == CK_LEVEL_AVX512_BF16 && a->headSize <= largestHead &&
           most_queries(a) * a->heads <= largestRows;
}

size_t ck_decode_attention_count(const ck_attention *a) { return blocks_before(a, a->segments); }

size_t ck_decode_attention_workspace(const ck_attention *a) {
    return ck_decode_attention_count(a) * slot_size(a, most_queries(a)) * sizeof(float) +
           a->segments * sizeof(atomic_size_t) + 64;
}

#if defined(__x86_64__)

/// Where a call keeps what its blocks leave.
typedef struct store {
    atomic_size_t *finished;  // blocks done, of each segment
    float *slots;
    size_t slotSize;
} store;

static store store_of(const ck_attention *a, void *workspace) {
    atomic_size_t *finished = (atomic_size_t *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63);
    return (store){finished, (float *)(finished + a->segments), slot_size(a, most_queries(a))};
}

CK_AVX512 static void score_rows(
    const ck_bfloat16 *queries, size_t headSize, size_t rows, const ck_bfloat16 *keys, ptrdiff_t stride, size_t count,
    float *scores) {
    for (size_t j = 0; j < count; j += 4) {
        for (size_t s = 0; s < 4; s++)
            for (size_t line = 0; line < headSize * 2; line += 64)
                _mm_prefetch((const char *)(keys + (ptrdiff_t)(j + s + keysAhead) * stride) + line, _MM_HINT_T1);
        const ck_bfloat16 *w[4];
        for (size_t s = 0; s < 4; s++) w[s] = keys + (ptrdiff_t)ck_min(j + s, count - 1) * stride;
        __m128 sums[rowTile];
        switch (rows) {
            case 1: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 1, false, sums); break;
            case 2: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 2, false, sums); break;
            case 3: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 3, false, sums); break;
            case 4: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 4, false, sums); break;
            case 5: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 5, false, sums); break;
            default: products_bf16(w, queries, (ptrdiff_t)headSize, headSize, 4, 6, false, sums); break;
        }
        for (size_t m = 0; m < rows; m++) _mm_storeu_ps(scores + m * blockKeys + j, sums[m]);
    }
}

/// One pair of values, 32 elements of the head: the elements of both keys side by side, in the order that unpacking
/// leaves (four of the low half, then four of the high half of each quarter).
CK_AVX512_INLINE void value_pair(
    const ck_bfloat16 *first, const ck_bfloat16 *second, __mmask32 mask, __mmask32 secondMask, __m512bh pair[2]) {
    __m512i a = _mm512_maskz_loadu_epi16(mask, first), b = _mm512_maskz_loadu_epi16(secondMask, second);
    pair[0] = (__m512bh)_mm512_unpacklo_epi16(a, b);
    pair[1] = (__m512bh)_mm512_unpackhi_epi16(a, b);
}

/// output[row] += weights[row] · values, over `chunks` x 32 elements of the head.
CK_AVX512_INLINE void value_columns(
    const ck_bfloat16 *weights, const int rows, const ck_bfloat16 *values, ptrdiff_t stride, size_t count,
    const int chunks, const __mmask32 *masks, float *output, size_t padded) {
    __m512 sum[rowTile][4];
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int v = 0; v < 2 * chunks; v++)
            sum[r][v] = _mm512_loadu_ps(output + (size_t)r * padded + 16 * v);
    for (size_t j = 0; j < count; j += 2) {
        const ck_bfloat16 *first = values + (ptrdiff_t)j * stride;
        bool both = j + 1 < count;
        const ck_bfloat16 *second = both ? first + stride : first;
        CK_UNROLL for (int c = 0; c < chunks; c++) {
            _mm_prefetch((const char *)(first + keysAhead * stride + 32 * c), _MM_HINT_T1);
            _mm_prefetch((const char *)(second + keysAhead * stride + 32 * c), _MM_HINT_T1);
        }
        __m512bh pair[4];
        CK_UNROLL for (int c = 0; c < chunks; c++)
            value_pair(first + 32 * c, second + 32 * c, masks[c], both ? masks[c] : 0, pair + 2 * c);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            int bits;
            memcpy(&bits, weights + (size_t)r * blockKeys + j, sizeof bits);
            __m512bh weight = (__m512bh)_mm512_set1_epi32(bits);
            CK_UNROLL for (int v = 0; v < 2 * chunks; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], weight, pair[v]);
        }
    }
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int v = 0; v < 2 * chunks; v++)
            _mm512_storeu_ps(output + (size_t)r * padded + 16 * v, sum[r][v]);
}

#define CK_COLUMNS(rows) \
    case rows: \
        if (chunks == 2) value_columns(weights, rows, from, stride, count, 2, masks, to, padded); \
        else value_columns(weights, rows, from, stride, count, 1, masks, to, padded); \
        break
CK_AVX512 static void value_rows(
    const ck_bfloat16 *weights, size_t rows, const ck_bfloat16 *values, ptrdiff_t stride, size_t count, size_t headSize,
    float *output, size_t padded) {
    for (size_t d = 0; d < headSize; d += 64) {
        int chunks = headSize - d > 32 ? 2 : 1;
        __mmask32 masks[2] = {ck_mask32(headSize - d), chunks == 2 ? ck_mask32(headSize - d - 32) : 0};
        const ck_bfloat16 *from = values + d;
        float *to = output + d;
        switch (rows) {
            CK_COLUMNS(1); CK_COLUMNS(2); CK_COLUMNS(3); CK_COLUMNS(4); CK_COLUMNS(5);
            default: CK_COLUMNS(6);
        }
    }
}

/// Adds the blocks of one segment up, in order.
CK_AVX512 static void combine(const ck_attention *a, const store *store, size_t segment, size_t blocks, size_t queries) {
    size_t padded = padded_head(a), headSize = a->headSize, rows = queries * a->heads;
    const float *slots = store->slots + blocks_before(a, segment) * store->slotSize;
    __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    __m512i high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    for (size_t row = 0; row < rows; row++) {
        float highest = -INFINITY, total = 0;
        for (size_t b = 0; b < blocks; b++) {
            float here = slots[b * store->slotSize + row];
            if (here > highest) highest = here;
        }
        __m512 sums[largestHead / 16];
        for (size_t v = 0; v < padded / 16; v++) sums[v] = _mm512_setzero_ps();
        for (size_t b = 0; b < blocks; b++) {
            const float *block = slots + b * store->slotSize;
            // Blocks that this row may not see. What is not a number stays so.
            if (block[row] == -INFINITY && block[rows + row] == 0) continue;
            float correction = block[row] == highest ? 1 : exp2f(block[row] - highest);
            total += block[rows + row] * correction;
            const float *output = block + 2 * rows + row * padded;
            for (size_t v = 0; v < padded / 16; v++)
                sums[v] = _mm512_fmadd_ps(_mm512_loadu_ps(output + 16 * v), _mm512_set1_ps(correction), sums[v]);
        }
        size_t query = (size_t)a->queryOffsets[segment] + row % queries, head = row / queries;
        ck_bfloat16 *to = a->output + (ptrdiff_t)query * a->outputTokenStride + (ptrdiff_t)head * a->outputHeadStride;
        __m512 inverse = _mm512_set1_ps(total == 0 ? 0 : 1 / total);
        for (size_t d = 0; d < headSize; d += 32) {
            __m512 one = _mm512_mul_ps(_mm512_permutex2var_ps(sums[d / 16], low, sums[d / 16 + 1]), inverse);
            __m512 two = _mm512_mul_ps(_mm512_permutex2var_ps(sums[d / 16], high, sums[d / 16 + 1]), inverse);
            _mm512_mask_storeu_epi16(to + d, ck_mask32(headSize - d), (__m512i)_mm512_cvtne2ps_pbh(two, one));
        }
        if (a->logSumExp) a->logSumExp[query * a->heads + head] = highest * 0.693147181f + logf(total);
    }
}

CK_AVX512 static void decode_block(const ck_attention *a, const store *store, size_t segment, size_t block) {
    size_t queries = (size_t)(a->queryOffsets[segment + 1] - a->queryOffsets[segment]);
    size_t keys = (size_t)(a->keyOffsets[segment + 1] - a->keyOffsets[segment]);
    size_t shared = queries * group_size(a), rows = queries * a->heads, headSize = a->headSize;
    size_t padded = padded_head(a), begin = block * blockKeys, count = ck_min(blockKeys, keys - begin);
    ptrdiff_t token = (ptrdiff_t)((size_t)a->keyOffsets[segment] + begin);
    const ck_bfloat16 *key = a->key + token * a->keyTokenStride, *value = a->value + token * a->valueTokenStride;
    float *slot = store->slots + (blocks_before(a, segment) + block) * store->slotSize, *output = slot + 2 * rows;

    _Alignas(64) float scores[largestRows * blockKeys];
    // Gathered queries make way for the weights once the scores are there.
    _Alignas(64) ck_bfloat16 memory[largestRows * (largestHead > blockKeys ? largestHead : blockKeys)];
    ck_bfloat16 *gathered = memory, *weights = memory;
    for (size_t row = 0; row < rows; row++)
        memcpy(
            gathered + row * headSize,
            a->query + (a->queryOffsets[segment] + (ptrdiff_t)(row % queries)) * a->queryTokenStride +
                (ptrdiff_t)(row / queries) * a->queryHeadStride,
            headSize * sizeof(ck_bfloat16));
    for (size_t j = 0; j < count; j += scoreKeys)
        for (size_t row = 0; row < rows; row += ck_min(rowTile, shared - row % shared)) {
            const ck_bfloat16 *from =
                key + (ptrdiff_t)j * a->keyTokenStride + (ptrdiff_t)(row / shared) * a->keyHeadStride;
            score_rows(
                gathered + row * headSize, headSize, ck_min(rowTile, shared - row % shared), from, a->keyTokenStride,
                ck_min(scoreKeys, count - j), scores + row * blockKeys + j);
        }

    size_t even = (count + 31) / 32 * 32;
    float factor = a->scale * 1.44269504f;
    for (size_t row = 0; row < rows; row++) {
        size_t visible = count;
        if (a->causal) {
            size_t seen = keys + row % queries + 1;
            seen = seen > queries + begin ? seen - queries - begin : 0;
            visible = ck_min(visible, seen);
        }
        float *mine = scores + row * blockKeys;
        __m512 high = _mm512_set1_ps(-INFINITY);
        for (size_t j = 0; j < even; j += 16) {
            __mmask16 mask = visible > j ? ck_mask16(visible - j) : 0;
            __m512 score = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), mask, mine + j);
            _mm512_storeu_ps(mine + j, score);
            high = _mm512_max_ps(score, high);
        }
        float highest = _mm512_reduce_max_ps(high) * factor;
        __m512 sum = exponentials(mine, even, factor, highest == -INFINITY ? 0 : highest, weights + row * blockKeys);
        slot[row] = highest;
        slot[rows + row] = _mm512_reduce_add_ps(sum);
    }

    memset(output, 0, rows * padded * sizeof(float));
    for (size_t j = 0; j < count; j += valueKeys)
        for (size_t row = 0; row < rows; row += ck_min(rowTile, shared - row % shared)) {
            const ck_bfloat16 *from =
                value + (ptrdiff_t)j * a->valueTokenStride + (ptrdiff_t)(row / shared) * a->valueHeadStride;
            value_rows(
                weights + row * blockKeys + j, ck_min(rowTile, shared - row % shared), from, a->valueTokenStride,
                ck_min(valueKeys, count - j), headSize, output + row * padded, padded);
        }

    size_t blocks = (keys + blockKeys - 1) / blockKeys;
    size_t before = atomic_fetch_add_explicit(&store->finished[segment], 1, memory_order_acq_rel);
    if (before + 1 == blocks) combine(a, store, segment, blocks, queries);
}

#endif

void ck_decode_attention_prepare(const ck_attention *a, void *workspace) {
#if defined(__x86_64__)
    memset(store_of(a, workspace).finished, 0, a->segments * sizeof(atomic_size_t));
    // Nothing would ever write what sees no keys.
    for (size_t i = 0; i < a->segments; i++) {
        if (a->keyOffsets[i + 1] > a->keyOffsets[i]) continue;
        for (int64_t token = a->queryOffsets[i]; token < a->queryOffsets[i + 1]; token++)
            for (size_t head = 0; head < a->heads; head++) {
                memset(
                    a->output + token * a->outputTokenStride + (ptrdiff_t)head * a->outputHeadStride, 0,
                    a->headSize * sizeof(ck_bfloat16));
                if (a->logSumExp) a->logSumExp[(size_t)token * a->heads + head] = -INFINITY;
            }
    }
#else
    (void)a, (void)workspace;
#endif
}

void ck_decode_attention_run(const ck_attention *a, void *workspace, size_t begin, size_t end) {
#if defined(__x86_64__)
    store store = store_of(a, workspace);
    size_t segment = 0;
    for (size_t index = begin; index < end; index++) {
        while (segment + 1 < a->segments && blocks_before(a, segment + 1) <= index) segment++;
        size_t block = index - blocks_before(a, segment);
        if (block * blockKeys >= (size_t)(a->keyOffsets[segment + 1] - a->keyOffsets[segment])) continue;
        if (a->queryOffsets[segment + 1] == a->queryOffsets[segment]) continue;
        decode_block(a, &store, segment, block);
    }
#else
    (void)a, (void)workspace, (void)begin, (void)end;
#endif
}
