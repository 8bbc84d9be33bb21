// Loops over plain memory that compilers turn into the widest vectors of the processor at hand.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__)
#define OMMA_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define OMMA_VECTORIZED
#endif
#define OMMA_INLINE static inline __attribute__((always_inline))

namespace omma {

OMMA_INLINE float widen(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}
OMMA_INLINE float widen(float value) { return value; }

/// Rounds to nearest, ties to even. A NaN stays one: processors make none whose lower bits could carry over.
OMMA_INLINE void narrow(float value, uint16_t &result) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    result = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
OMMA_INLINE void narrow(float value, float &result) { result = value; }

/// The value after a round trip through `Element`.
template <class Element>
OMMA_INLINE float rounded(float value) {
    Element result;
    narrow(value, result);
    return widen(result);
}

/// e^x to about a unit in the last place (Cody and Waite's reduction, Cephes' polynomial); 0 and infinity at the
/// ends.
OMMA_INLINE float exponential(float x) {
    const float clamped = x < -87.3f ? -87.3f : (x > 88.7f ? 88.7f : x);
    const float n = std::nearbyintf(clamped * 1.44269504088896341f);
    const float r = std::fmaf(n, -1.42860682030941723e-6f, std::fmaf(n, -0.693145751953125f, clamped));
    float p = 1.9875691500e-4f;
    p = std::fmaf(p, r, 1.3981999507e-3f);
    p = std::fmaf(p, r, 8.3334519073e-3f);
    p = std::fmaf(p, r, 4.1665795894e-2f);
    p = std::fmaf(p, r, 1.6666665459e-1f);
    p = std::fmaf(p, r, 5.0000001201e-1f);
    const float value = std::fmaf(p * r, r, r + 1.0f);
    // 2^n in two factors, so that n = 128 does not overflow before its time.
    const int32_t whole = static_cast<int32_t>(n);
    const int32_t half = whole >> 1;
    const uint32_t first = static_cast<uint32_t>(half + 127) << 23, second = static_cast<uint32_t>(whole - half + 127) << 23;
    float a, b;
    std::memcpy(&a, &first, 4);
    std::memcpy(&b, &second, 4);
    const float result = value * a * b;
    return x != x ? x : (x < -87.3f ? 0.0f : (x > 88.72f ? INFINITY : result));
}

OMMA_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

}  // namespace omma
