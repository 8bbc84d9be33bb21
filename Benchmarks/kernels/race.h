// Side-by-side timing. The machine may be shared, so only ratios count: candidates take turns within one process, and
// the least time of each stands for it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/stable/c/shim.h>

#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ckernels.h"

namespace race {

/// Numbers of threads to race at.
inline std::vector<int> threadCounts = {1, 2};

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// On one thread only time on the core counts, whoever else wants it in between.
inline double clock() {
    if (at::get_num_threads() > 1) return now();
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

/// Least seconds of each candidate over turns taken in order, for about `budget` seconds in all. Each turn gets its
/// number, so that a candidate can move on to memory that is not in a cache.
inline std::vector<double> run(const std::vector<std::function<void(int)>> &candidates, double budget = 1.0) {
    std::vector<double> least(candidates.size(), std::numeric_limits<double>::infinity());
    double start = clock();
    for (int turn = 0; turn < 4 || (clock() - start < budget && turn < 2000); turn++)
        for (size_t i = 0; i < candidates.size(); i++) {
            double before = clock();
            candidates[i](turn);
            double time = clock() - before;
            if (turn > 0) least[i] = std::min(least[i], time);
        }
    return least;
}

/// Runs `body(begin, end)` over [0, count) on libtorch's threads. Shares are handed out as threads become free, since
/// a neighbour on one core would otherwise hold up the rest.
template <class Body> void parallel(int64_t count, int64_t share, const Body &body) {
    int64_t shares = (count + share - 1) / share;
    int64_t threads = std::min<int64_t>(at::get_num_threads(), shares);
    if (threads <= 1) return body(0, count);
    struct Context {
        const Body &body;
        std::atomic<int64_t> next;
        int64_t count, share;
    } context{body, {0}, count, share};
    torch_parallel_for(
        0, threads, 1,
        [](int64_t, int64_t, void *raw) {
            auto &context = *static_cast<Context *>(raw);
            for (;;) {
                int64_t begin = context.next.fetch_add(context.share);
                if (begin >= context.count) return;
                context.body(begin, std::min(begin + context.share, context.count));
            }
        },
        &context);
}

inline const ck_bfloat16 *bits(const at::Tensor &tensor) {
    return reinterpret_cast<const ck_bfloat16 *>(tensor.const_data_ptr());
}
inline ck_bfloat16 *mutableBits(const at::Tensor &tensor) {
    return reinterpret_cast<ck_bfloat16 *>(tensor.mutable_data_ptr());
}

/// Relative root-mean-square error against fp64.
inline double error(const at::Tensor &value, const at::Tensor &reference) {
    auto exact = reference.to(at::kDouble);
    return ((value.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

/// One line: both times, the ratio, both errors if the reference is known, and whatever `note` says.
inline void report(const std::string &what, double library, double ours, const std::string &note = "") {
    std::printf(
        "%-52s library %9.4f ms   ours %9.4f ms   ratio %6.2f   %s\n", what.c_str(), library * 1e3, ours * 1e3,
        library / ours, note.c_str());
    std::fflush(stdout);
}

inline std::string format(const char *pattern, auto... values) {
    char buffer[256];
    std::snprintf(buffer, sizeof buffer, pattern, values...);
    return buffer;
}

}  // namespace race

void raceLinear();
void raceAttention();
void raceRows();
void raceDecodeAttention();
