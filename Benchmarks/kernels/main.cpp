// Usage: [THREADS=n] kernels [linear] [attention] [decode] [rows] ...  (nothing: all)
#include "race.h"

#include <c10/core/InferenceMode.h>

#include <cstdlib>
#include <cstring>

int main(int count, char **arguments) {
    c10::InferenceMode noGrad;
    const char *threads = std::getenv("THREADS");
    if (threads) race::threadCounts = {std::atoi(threads)};
    std::printf("instruction set: %s, libtorch threads: %d\n", ck_level_name(ck_features()), at::get_num_threads());
    auto wanted = [&](const char *name) {
        for (int i = 1; i < count; i++)
            if (std::strcmp(arguments[i], name) == 0) return true;
        return count == 1;
    };
    if (wanted("linear")) raceLinear();
    if (wanted("attention")) raceAttention();
    if (wanted("rows")) raceRows();
    if (wanted("decode")) raceDecodeAttention();
}
