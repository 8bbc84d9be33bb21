#include "common.h"

#include <stdatomic.h>

static ck_level detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bf16"))
        return CK_LEVEL_AVX512_BF16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CK_LEVEL_AVX2;
#endif
    return CK_LEVEL_PORTABLE;
}

// -1 until first asked. Two threads that ask at once both store the same answer.
static atomic_int best = -1;
// Of this thread: what else goes on in the process keeps its kernels, whose sums have other last bits at other levels.
static _Thread_local ck_level limit = CK_LEVEL_AVX512_BF16;

ck_level ck_features(void) {
    int level = atomic_load_explicit(&best, memory_order_relaxed);
    if (level < 0) {
        level = detect();
        atomic_store_explicit(&best, level, memory_order_relaxed);
    }
    return level < (int)limit ? (ck_level)level : limit;
}

ck_level ck_limit_features(ck_level highest) {
    limit = highest;
    return ck_features();
}

const char *ck_level_name(ck_level level) {
    switch (level) {
        case CK_LEVEL_AVX512_BF16: return "avx512bf16";
        case CK_LEVEL_AVX2: return "avx2";
        case CK_LEVEL_PORTABLE: break;
    }
    return "portable";
}
