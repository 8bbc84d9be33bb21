// One query token against a cache of keys and values that comes from memory, against at::scaled_dot_product_attention.
#include "race.h"

namespace {

void raceShape(int64_t queries, int64_t keys, int64_t heads, int64_t keyValueHeads, int64_t headSize) {
    int64_t bytes = 4 * keys * keyValueHeads * headSize, copies = std::max<int64_t>(2, (int64_t(200) << 20) / bytes);
    auto cache = at::empty({copies, 2, keys, keyValueHeads, headSize}, at::kBFloat16);
    cache[0].copy_(at::randn({2, keys, keyValueHeads, headSize}));
    for (int64_t i = 1; i < copies; i++) cache[i].copy_(cache[0]);
    auto q = at::randn({queries, heads, headSize}).to(at::kBFloat16), ours = at::empty_like(q), theirs = at::Tensor();
    double scale = 1 / std::sqrt(double(headSize));
    auto view = [](const at::Tensor &x) { return x.transpose(0, 1).unsqueeze(0); };
    auto mask = at::full({queries, keys}, -std::numeric_limits<double>::infinity()).triu_(keys - queries + 1);
    auto attend = [&](const at::Tensor &kv, at::ScalarType type) {
        return at::scaled_dot_product_attention(
            view(q.to(type)), view(kv[0].to(type)), view(kv[1].to(type)),
            queries == 1 ? std::nullopt : std::optional<at::Tensor>(mask.to(type)), 0, false, scale,
            heads != keyValueHeads);
    };
    std::vector<int64_t> queryOffsets = {0, queries}, keyOffsets = {0, keys};
    std::vector<float> sink(64);
    auto run = [&](int turn, bool decode) {
        auto kv = cache[turn % copies];
        ck_attention a = {};
        a.query = race::bits(q), a.key = race::bits(kv[0]), a.value = race::bits(kv[1]);
        a.output = race::mutableBits(ours);
        a.queryTokenStride = a.outputTokenStride = heads * headSize, a.queryHeadStride = a.outputHeadStride = headSize;
        a.keyTokenStride = a.valueTokenStride = keyValueHeads * headSize;
        a.keyHeadStride = a.valueHeadStride = headSize;
        a.queryOffsets = queryOffsets.data(), a.keyOffsets = keyOffsets.data(), a.segments = 1;
        a.heads = heads, a.keyValueHeads = keyValueHeads, a.headSize = headSize, a.scale = scale, a.causal = true;
        auto workspace = at::empty(
            {int64_t(decode ? ck_decode_attention_workspace(&a) : ck_attention_workspace(&a))}, at::kByte);
        void *memory = workspace.mutable_data_ptr();
        if (decode) {
            ck_decode_attention_prepare(&a, memory);
            race::parallel(ck_decode_attention_count(&a), 1, [&](int64_t begin, int64_t end) {
                ck_decode_attention_run(&a, memory, begin, end);
            });
        } else {
            race::parallel(ck_attention_pack_count(&a), 1, [&](int64_t begin, int64_t end) {
                ck_attention_pack(&a, memory, begin, end);
            });
            race::parallel(ck_attention_count(&a), 1, [&](int64_t begin, int64_t end) {
                ck_attention_run(&a, memory, begin, end);
            });
        }
    };
    auto times = race::run({
        [&](int turn) { theirs = attend(cache[3 * turn % copies], at::kBFloat16); },
        [&](int turn) { run(3 * turn + 1, false); },
        [&](int turn) { run(3 * turn + 2, true); },
    });
    auto exact = attend(cache[0], at::kDouble);
    race::report(
        race::format("decode %ld query, %ld keys %ld/%ld x %ld threads %d", queries, keys, heads, keyValueHeads,
            headSize, at::get_num_threads()),
        times[0], times[2],
        race::format("%.1f GB/s, ck_attention %.2f of this rate  error %.2e vs %.2e", bytes / times[2] / 1e9,
            times[2] / times[1], race::error(view(ours), exact), race::error(theirs, exact)));
}

}  // namespace

void raceDecodeAttention() {
    for (int threads : race::threadCounts) {
        at::set_num_threads(threads);
        for (int64_t keys : {100, 1024, 8192}) raceShape(1, keys, 12, 2, 128);
        raceShape(1, 1024, 28, 4, 128);
        raceShape(1, 1024, 16, 16, 128);
        raceShape(1, 1024, 32, 8, 80);
        for (int64_t queries : {2, 3, 5}) raceShape(queries, 1024, 12, 2, 128);
        for (int64_t queries : {2, 4, 8}) raceShape(queries, 1024, 16, 16, 128);
    }
}
