// One optimizer step over flat fp32 master weights with clipping and bf16 weights, against the library's fused AdamW with
// what must stand around it.
#include <ATen/Functions.h>

#include "race.h"

void raceAdamW() {
    for (int threads : race::threadCounts) {
        at::set_num_threads(threads);
        int64_t count = int64_t(16) << 20;
        auto state = [&] {
            return std::vector<at::Tensor>{at::randn({count}), at::randn({count}), at::zeros({count}), at::zeros({count})};
        };
        auto theirs = state(), ours = state();
        auto step = at::zeros({}), weights = at::empty({count}, at::kBFloat16), leaves = at::empty_like(weights);
        auto memory = [](const at::Tensor &x) { return static_cast<float *>(x.mutable_data_ptr()); };
        std::vector<double> sums(ck_square_sum_count(count));
        double norm = 0;
        int done = 0;
        auto times = race::run(
            {[&](int) {
                 norm = theirs[1].norm().item<double>();
                 theirs[1].mul_(0.999);
                 step.add_(1);
                 at::_fused_adamw_(
                     {theirs[0]}, {theirs[1]}, {theirs[2]}, {theirs[3]}, {}, {step}, 1e-3, 0.9, 0.95, 0.1, 1e-8, false,
                     false);
                 weights.copy_(theirs[0]);
             },
             [&](int) {
                 race::parallel(sums.size(), 4, [&](int64_t begin, int64_t end) {
                     ck_square_sums_f32(memory(ours[1]), count, sums.data(), begin, end);
                 });
                 ck_adamw_settings settings = {1e-3, 0.9, 0.95, 1e-8, 0.1, 0.999, double(++done)};
                 race::parallel(count, 1 << 16, [&](int64_t begin, int64_t end) {
                     ck_adamw(
                         memory(ours[0]), memory(ours[1]), false, memory(ours[2]), memory(ours[3]),
                         race::mutableBits(leaves), &settings, begin, end);
                 });
             }},
            2);
        race::report(
            race::format("clip, adamw, to bf16: %ld values threads %d", count, at::get_num_threads()), times[0],
            times[1], race::format("%.1f GB/s", 34.0 * count / times[1] / 1e9));
    }
}
