// Norms, activations and rotary positions against the library's own operation, or what model code composes of them.
#include "race.h"

namespace {

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); }

void print(const char *what, int64_t rows, int64_t size, const std::vector<double> &times, double bytes) {
    race::report(
        race::format("%s %ldx%ld threads %d", what, rows, size, at::get_num_threads()), times[0], times[1],
        race::format("%.1f GB/s", bytes / times[1] / 1e9));
}

void each(int64_t rows, int64_t size, const std::function<void(int64_t, int64_t)> &body) {
    race::parallel(rows, std::max<int64_t>(1, 16384 / size), body);
}

void raceNorms(int64_t rows, int64_t size) {
    auto x = random({rows, size}), delta = random({rows, size}), weight = random({size}), bias = random({size});
    auto y = at::empty_like(x), sum = at::empty_like(x);
    at::Tensor kept;
    auto rms = [&](const at::Tensor &x) {
        auto wide = x.to(at::kFloat);
        return (wide * (wide.square().mean(-1, true) + 1e-6).rsqrt()).to(at::kBFloat16) * weight;
    };
    auto run = [&](bool layer, bool add) {
        each(rows, size, [&](int64_t begin, int64_t end) {
            auto d = add ? race::bits(delta) : nullptr;
            auto s = add ? race::mutableBits(sum) : nullptr;
            if (layer)
                ck_layer_norm_bf16(
                    race::bits(x), size, d, size, s, size, race::bits(weight), race::bits(bias), 1e-6f,
                    race::mutableBits(y), size, size, begin, end);
            else
                ck_rms_norm_bf16(
                    race::bits(x), size, d, size, s, size, race::bits(weight), 1e-6f, race::mutableBits(y), size, size,
                    begin, end);
        });
    };
    double bytes = 4.0 * rows * size;
    print("rms norm", rows, size, race::run({[&](int) { kept = rms(x); }, [&](int) { run(false, false); }}, 0.3), bytes);
    print("add, rms norm", rows, size,
        race::run({[&](int) { kept = rms(x + delta); }, [&](int) { run(false, true); }}, 0.3), 2 * bytes);
    print("layer norm", rows, size,
        race::run({[&](int) { kept = at::layer_norm(x, {size}, weight, bias, 1e-6); }, [&](int) { run(true, false); }},
            0.3), bytes);
    print("add, layer norm", rows, size,
        race::run({[&](int) { kept = at::layer_norm(x + delta, {size}, weight, bias, 1e-6); },
            [&](int) { run(true, true); }}, 0.3), 2 * bytes);
}

void raceActivations(int64_t rows, int64_t size) {
    auto x = random({rows, size}), factor = random({rows, size}), y = at::empty_like(x);
    at::Tensor kept;
    auto run = [&](ck_activation kind, bool times) {
        each(rows, size, [&](int64_t begin, int64_t end) {
            ck_activation_bf16(
                kind, race::bits(x), size, times ? race::bits(factor) : nullptr, size, race::mutableBits(y), size, size,
                begin, end);
        });
    };
    double bytes = 4.0 * rows * size;
    print("silu times", rows, size,
        race::run({[&](int) { kept = at::silu(x) * factor; }, [&](int) { run(CK_SILU, true); }}, 0.3), 1.5 * bytes);
    print("silu", rows, size,
        race::run({[&](int) { kept = at::silu(x); }, [&](int) { run(CK_SILU, false); }}, 0.3), bytes);
    print("gelu", rows, size,
        race::run({[&](int) { kept = at::gelu(x); }, [&](int) { run(CK_GELU, false); }}, 0.3), bytes);
    print("gelu tanh", rows, size,
        race::run({[&](int) { kept = at::gelu(x, "tanh"); }, [&](int) { run(CK_GELU_TANH, false); }}, 0.3), bytes);
    print("quick gelu", rows, size,
        race::run({[&](int) { kept = x * (x * 1.702).sigmoid(); }, [&](int) { run(CK_QUICK_GELU, false); }}, 0.3), bytes);
}

void raceRotary(int64_t tokens, int64_t heads, int64_t size) {
    auto x = random({tokens, heads, size}), y = at::empty_like(x);
    auto cosine = at::randn({tokens, size / 2}), sine = at::randn({tokens, size / 2});
    at::Tensor kept;
    auto times = race::run({
        [&](int) {
            auto wide = x.to(at::kFloat);
            auto first = wide.narrow(2, 0, size / 2), second = wide.narrow(2, size / 2, size / 2);
            auto c = cosine.unsqueeze(1), s = sine.unsqueeze(1);
            kept = at::cat({first * c - second * s, second * c + first * s}, 2).to(at::kBFloat16);
        },
        [&](int) {
            each(tokens, heads * size, [&](int64_t begin, int64_t end) {
                ck_rotary_bf16(
                    race::bits(x), heads * size, size, race::mutableBits(y), heads * size, size, heads, size,
                    static_cast<const float *>(cosine.const_data_ptr()),
                    static_cast<const float *>(sine.const_data_ptr()), size / 2, size / 2, begin, end);
            });
        },
    }, 0.3);
    print("rotary", tokens, heads * size, times, 4.0 * tokens * heads * size);
}

}  // namespace

void raceRows() {
    for (int threads : race::threadCounts) {
        at::set_num_threads(threads);
        for (int64_t rows : {1, 512}) raceNorms(rows, 1536);
        raceNorms(1024, 1280);
        raceActivations(1, 8960);
        raceActivations(512, 8960);
        raceActivations(1024, 5120);
        for (int64_t tokens : {1, 512}) raceRotary(tokens, 12, 128);
        raceRotary(1024, 16, 80);
    }
}
