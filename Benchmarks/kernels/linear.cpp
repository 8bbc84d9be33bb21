// Linear layers with few rows, at the shapes of Qwen2-VL-2B. Weights come from memory, as in decoding: every turn takes
// another copy, out of more than the caches hold.
#include "race.h"

#include <immintrin.h>

namespace {

/// The limit: reading the same bytes and doing nothing with them.
__attribute__((target("avx512f"))) void readAll(const char *bytes, size_t count) {
    size_t each = count / 4 / 64 * 64;
    __m512i total[4] = {};
    for (size_t i = 0; i < each; i += 64)
        for (int s = 0; s < 4; s++) total[s] = _mm512_xor_si512(total[s], _mm512_loadu_si512(bytes + s * each + i));
    __m512i all = _mm512_xor_si512(_mm512_xor_si512(total[0], total[1]), _mm512_xor_si512(total[2], total[3]));
    asm volatile("" ::"v"(all));
}

void raceShape(const char *name, int64_t outputs, int64_t inputs, int64_t rows, at::ScalarType type) {
    int64_t bytes = outputs * inputs * at::elementSize(type);
    int64_t copies = std::max<int64_t>(3, (int64_t(400) << 20) / bytes);
    auto options = at::TensorOptions(type);
    auto weights = at::empty({copies, outputs, inputs}, options);
    weights[0].copy_(at::randn({outputs, inputs}) / std::sqrt(double(inputs)));
    for (int64_t i = 1; i < copies; i++) weights[i].copy_(weights[0]);
    auto x = at::randn({rows, inputs}).to(type), y = at::empty({rows, outputs}, options), result = at::Tensor();
    // No candidate may find what the one before it has read.
    auto copy = [&](int turn, int candidate) { return weights[(3 * turn + candidate) % copies]; };
    auto ours = [&](int turn) {
        auto weight = copy(turn, 1);
        int64_t share = std::max<int64_t>(64, outputs / (8 * at::get_num_threads()));
        race::parallel(outputs, share, [&](int64_t begin, int64_t end) {
            if (type == at::kBFloat16)
                ck_linear_bf16(
                    race::bits(x), inputs, race::bits(weight), inputs, nullptr, race::mutableBits(y), outputs, rows,
                    inputs, begin, end);
            else
                ck_linear_f32(
                    static_cast<const float *>(x.const_data_ptr()), inputs, static_cast<const float *>(weight.const_data_ptr()), inputs, nullptr,
                    static_cast<float *>(y.mutable_data_ptr()), outputs, rows, inputs, begin, end);
        });
    };
    auto read = [&](int turn) {
        auto weight = copy(turn, 2);
        auto start = static_cast<const char *>(weight.const_data_ptr());
        race::parallel(bytes, std::max<int64_t>(1 << 18, bytes / (8 * at::get_num_threads())),
            [&](int64_t begin, int64_t end) { readAll(start + begin, end - begin); });
    };
    auto times = race::run({[&](int turn) { result = at::linear(x, copy(turn, 0)); }, ours, read});
    auto exact = at::linear(x.to(at::kDouble), weights[0].to(at::kDouble));
    race::report(
        race::format("%s %s %ldx%ld rows %ld threads %d", name, type == at::kFloat ? "f32" : "bf16", outputs, inputs,
            rows, at::get_num_threads()),
        times[0], times[1],
        race::format("%.1f GB/s = %.0f %% of reading (%.1f)  %.0f GFLOP/s  error %.2e vs %.2e", bytes / times[1] / 1e9,
            100 * times[2] / times[1], bytes / times[2] / 1e9, 2.0 * outputs * inputs * rows / times[1] / 1e9,
            race::error(y, exact), race::error(result, exact)));
}

void raceGated(int64_t outputs, int64_t inputs, int64_t rows) {
    int64_t copies = 8;
    auto gate = (at::randn({copies, outputs, inputs}) / std::sqrt(double(inputs))).to(at::kBFloat16);
    auto up = (at::randn({copies, outputs, inputs}) / std::sqrt(double(inputs))).to(at::kBFloat16);
    auto x = at::randn({rows, inputs}).to(at::kBFloat16), y = at::empty({rows, outputs}, at::kBFloat16);
    auto times = race::run({
        [&](int turn) {
            int64_t i = 2 * turn % copies;
            auto result = at::silu(at::linear(x, gate[i])) * at::linear(x, up[i]);
        },
        [&](int turn) {
            int64_t i = (2 * turn + 1) % copies, share = std::max<int64_t>(64, outputs / (8 * at::get_num_threads()));
            auto g = gate[i], u = up[i];
            race::parallel(outputs, share, [&](int64_t begin, int64_t end) {
                ck_gated_linear_bf16(
                    race::bits(x), inputs, race::bits(g), race::bits(u), inputs, race::mutableBits(y), outputs, rows,
                    inputs, begin, end);
            });
        },
    });
    race::report(
        race::format("gated %ldx%ld rows %ld threads %d", outputs, inputs, rows, at::get_num_threads()), times[0],
        times[1], race::format("%.1f GB/s", 4.0 * outputs * inputs / times[1] / 1e9));
}

}  // namespace

void raceLinear() {
    for (int threads : race::threadCounts) {
        at::set_num_threads(threads);
        for (int64_t rows : {1, 2, 4, 8, 12, 16}) raceShape("gate/up", 8960, 1536, rows, at::kBFloat16);
        for (int64_t rows : {1, 4, 16}) raceShape("down", 1536, 8960, rows, at::kBFloat16);
        for (int64_t rows : {1, 8}) raceGated(8960, 1536, rows);
        raceShape("output", 1536, 1536, 1, at::kBFloat16);
        raceShape("square", 4096, 4096, 1, at::kBFloat16);
        raceShape("head", 151936, 1536, 1, at::kBFloat16);
        for (int64_t rows : {1, 4}) raceShape("gate/up", 8960, 1536, rows, at::kFloat);
    }
}
