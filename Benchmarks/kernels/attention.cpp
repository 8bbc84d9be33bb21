// Attention of packed segments against at::scaled_dot_product_attention on the same strided views.
#include "race.h"

namespace {

struct Shape {
    const char *name;
    std::vector<int64_t> lengths;
    int64_t heads, keyValueHeads, headSize;
    bool causal;
};

void raceShape(const Shape &shape, double budget) {
    std::vector<int64_t> offsets = {0};
    for (int64_t length : shape.lengths) offsets.push_back(offsets.back() + length);
    int64_t tokens = offsets.back();
    // Views into one projection's output, as towers make them.
    int64_t width = (shape.heads + 2 * shape.keyValueHeads);
    auto packed = at::randn({tokens, width, shape.headSize}).to(at::kBFloat16);
    auto q = packed.narrow(1, 0, shape.heads), k = packed.narrow(1, shape.heads, shape.keyValueHeads),
         v = packed.narrow(1, shape.heads + shape.keyValueHeads, shape.keyValueHeads);
    double scale = 1 / std::sqrt(double(shape.headSize));
    auto view = [&](const at::Tensor &x, size_t i) {
        return x.narrow(0, offsets[i], shape.lengths[i]).transpose(0, 1).unsqueeze(0);
    };
    auto definition = [&](at::ScalarType type, const at::Tensor &result) {
        for (size_t i = 0; i < shape.lengths.size(); i++)
            result.narrow(0, offsets[i], shape.lengths[i])
                .copy_(at::scaled_dot_product_attention(
                           view(q, i).to(type), view(k, i).to(type), view(v, i).to(type), {}, 0, shape.causal, scale,
                           shape.heads != shape.keyValueHeads)
                           .squeeze(0)
                           .transpose(0, 1));
    };
    auto theirs = at::empty({tokens, shape.heads, shape.headSize}, at::kBFloat16), ours = at::empty_like(theirs);
    ck_attention attention = {};
    attention.query = race::bits(q), attention.key = race::bits(k), attention.value = race::bits(v);
    attention.output = race::mutableBits(ours);
    attention.queryTokenStride = q.stride(0), attention.queryHeadStride = q.stride(1);
    attention.keyTokenStride = k.stride(0), attention.keyHeadStride = k.stride(1);
    attention.valueTokenStride = v.stride(0), attention.valueHeadStride = v.stride(1);
    attention.outputTokenStride = ours.stride(0), attention.outputHeadStride = ours.stride(1);
    attention.queryOffsets = attention.keyOffsets = offsets.data();
    attention.segments = shape.lengths.size();
    attention.heads = shape.heads, attention.keyValueHeads = shape.keyValueHeads, attention.headSize = shape.headSize;
    attention.scale = scale, attention.causal = shape.causal;
    auto times = race::run(
        {[&](int) { definition(at::kBFloat16, theirs); },
         [&](int) {
             auto workspace = at::empty({int64_t(ck_attention_workspace(&attention))}, at::kByte);
             void *memory = workspace.mutable_data_ptr();
             race::parallel(ck_attention_pack_count(&attention), 1, [&](int64_t begin, int64_t end) {
                 ck_attention_pack(&attention, memory, begin, end);
             });
             race::parallel(ck_attention_count(&attention), 1, [&](int64_t begin, int64_t end) {
                 ck_attention_run(&attention, memory, begin, end);
             });
         }},
        budget);
    double operations = 0;
    for (int64_t length : shape.lengths)
        operations += 4.0 * length * length * shape.heads * shape.headSize / (shape.causal ? 2 : 1);
    std::string errors;
    if (tokens <= 2048) {
        auto exact = at::empty(theirs.sizes(), at::kDouble);
        definition(at::kDouble, exact);
        errors = race::format("error %.2e vs %.2e", race::error(ours, exact), race::error(theirs, exact));
    }
    race::report(
        race::format("%s %ld tokens %ld/%ld x %ld threads %d", shape.name, tokens, shape.heads, shape.keyValueHeads,
            shape.headSize, at::get_num_threads()),
        times[0], times[1],
        race::format("%.0f vs %.0f GFLOP/s  %s", operations / times[1] / 1e9, operations / times[0] / 1e9,
            errors.c_str()));
}

}  // namespace

void raceAttention() {
    for (int threads : race::threadCounts) {
        at::set_num_threads(threads);
        raceShape({"tower", {1024}, 16, 16, 80, false}, 1);
        raceShape({"tower", {256, 1024, 64, 700}, 16, 16, 80, false}, 1);
        raceShape({"windows", std::vector<int64_t>(32, 64), 16, 16, 80, false}, 1);
        raceShape({"tower", {1025}, 16, 16, 64, false}, 1);
        raceShape({"tower", {729}, 16, 16, 72, false}, 1);
        raceShape({"tower", {1025}, 16, 16, 128, false}, 1);
        raceShape({"tower", {256}, 16, 16, 104, false}, 1);
        raceShape({"prefill", {128}, 12, 2, 128, true}, 1);
        raceShape({"prefill", {512}, 12, 2, 128, true}, 1);
        raceShape({"prefill", {2048}, 12, 2, 128, true}, 1.5);
        raceShape({"tower", {6144}, 16, 16, 80, false}, threads == 1 ? 8 : 10);
    }
}
