// 4-bit NormalFloat as bitsandbytes packs it: a torch composite would write eight bytes of indices for each value.
#include "include/ct_quantized.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "shim.h"

using namespace omma;

namespace {

constexpr int64_t block = 64;
/// Scales that share a scale.
constexpr int64_t outer_block = 256;
/// Blocks that one thread takes at least.
constexpr int64_t grain = 512;

/// Quantiles of a normal distribution, scaled to [-1, 1] (QLoRA, appendix E).
constexpr std::array<float, 16> levels = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
    -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
    0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f,
    1.0f};

/// The signed 8-bit numbers with a moving exponent in which scales are stored (Dettmers 2016).
std::array<float, 256> dynamic_levels() {
    std::array<float, 256> values{};
    size_t count = 0;
    for (int exponent = 0; exponent < 7; exponent++) {
        const int items = 1 << exponent;
        const auto size = static_cast<float>(std::pow(10.0, exponent - 6));
        // As torch.linspace has them: from either end to the middle.
        const float step = (1.0f - 0.1f) / static_cast<float>(items);
        const auto boundary = [&](int i) {
            return i < (items + 1) / 2 ? 0.1f + step * static_cast<float>(i)
                                       : 1.0f - step * static_cast<float>(items - i);
        };
        for (int i = 0; i < items; i++) {
            const float mean = (boundary(i) + boundary(i + 1)) / 2.0f;
            values[count++] = size * mean;
            values[count++] = -(size * mean);
        }
    }
    values[count++] = 0.0f;
    values[count++] = 1.0f;
    std::sort(values.begin(), values.end());
    return values;
}

const std::array<float, 256> &scale_levels() {
    static const std::array<float, 256> values = dynamic_levels();
    return values;
}

/// Which of sorted levels is nearest; the lower one where two are.
template <size_t count>
uint8_t nearest(const std::array<float, count> &levels, float value) {
    size_t low = 0, high = count - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (value > (levels[middle] + levels[middle + 1]) / 2) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return static_cast<uint8_t>(low);
}

/// Clang and GCC, which built the library, do not mangle the templated accessor alike.
template <class Element>
const Element *elements(const at::Tensor &x) {
    return static_cast<const Element *>(x.const_data_ptr());
}

int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// What maps a block to [-1, 1].
float inverse(float largest) { return 1.0f / std::max(largest, 1e-38f); }

float clamped(float value) { return std::min(1.0f, std::max(-1.0f, value)); }

/// - Parameters:
///   - unit: values that have the same scale.
///   - scale_of: gives a scale by its number.
template <class Element, class Scale>
void unpack(const uint8_t *codes, Scale &&scale_of, int64_t unit, Element *values, int64_t count) {
    at::parallel_for(0, blocks_of(count, unit), grain, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const float scale = scale_of(index);
            Element table[16];
            for (int i = 0; i < 16; i++) table[i] = static_cast<Element>(levels[i] * scale);
            const int64_t start = index * unit, stop = std::min(count, start + unit);
            int64_t i = start;
            if (i & 1) {
                values[i] = table[codes[i / 2] & 15];
                i++;
            }
            for (; i + 1 < stop; i += 2) {
                const uint8_t pair = codes[i / 2];
                values[i] = table[pair >> 4];
                values[i + 1] = table[pair & 15];
            }
            if (i < stop) values[i] = table[codes[i / 2] >> 4];
        }
    });
}

/// The scale of a whole matrix's block.
auto scale_of_block(const at::Tensor &scales, const at::Tensor &outer, double offset) {
    return [inner = elements<uint8_t>(scales), outer = elements<float>(outer), offset = static_cast<float>(offset)](
               int64_t index) { return scale_levels()[inner[index]] * outer[index / outer_block] + offset; };
}

/// The same values on a device, by operations that each has.
at::Tensor unpacked_there(
    const at::Tensor &codes, const at::Tensor &scales, const at::Tensor *outer, double offset, int64_t unit,
    at::IntArrayRef shape, int64_t count, at::ScalarType dtype) {
    const auto there = codes.device();
    const auto table = [&](const float *values, int64_t size) {
        return at::from_blob(const_cast<float *>(values), {size}, at::kFloat).to(there, at::kFloat, false, /*copy=*/true);
    };
    const auto &of_scales = scale_levels();
    at::Tensor scale = scales;
    if (outer != nullptr) {
        scale = table(of_scales.data(), 256).index_select(0, scales.to(at::kInt));
        scale = scale * outer->repeat_interleave(outer_block).narrow(0, 0, scale.numel()) + static_cast<float>(offset);
    }
    const at::Tensor pairs = codes.to(at::kInt);
    const at::Tensor high = at::floor_divide(pairs, 16);
    const at::Tensor indices = at::stack({high, pairs - high * 16}, 1).view({-1}).narrow(0, 0, count);
    const at::Tensor values = table(levels.data(), 16).index_select(0, indices);
    return (values * scale.repeat_interleave(unit).narrow(0, 0, count)).to(dtype).view(shape);
}

}  // namespace

int32_t ct_nf4_quantize(ct_tensor a, ct_tensor results[3], double *offset, ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor source = borrow(a).detach();
        TORCH_CHECK(source.is_cpu() && source.is_floating_point(), "only float tensors on the CPU are packed");
        const at::Tensor x = source.contiguous();
        const int64_t count = x.numel(), blocks = blocks_of(count, block);
        TORCH_CHECK(count > 0, "there is nothing to pack");
        const auto bytes = at::TensorOptions().dtype(at::kByte);
        at::Tensor codes = at::empty({(count + 1) / 2}, bytes), scales = at::empty({blocks}, bytes);
        at::Tensor outer = at::empty({blocks_of(blocks, outer_block)}, at::kFloat);
        std::vector<float> largest(static_cast<size_t>(blocks));
        auto *packed = static_cast<uint8_t *>(codes.data_ptr());
        AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "nf4_quantize", [&] {
            const auto *values = elements<scalar_t>(x);
            at::parallel_for(0, blocks, grain, [&](int64_t begin, int64_t end) {
                for (int64_t index = begin; index < end; index++) {
                    const int64_t start = index * block, stop = std::min(count, start + block);
                    float top = 0;
                    for (int64_t i = start; i < stop; i++) top = std::max(top, std::abs(static_cast<float>(values[i])));
                    largest[static_cast<size_t>(index)] = top;
                    const float factor = inverse(top);
                    const auto code = [&](int64_t i) -> uint8_t {
                        return i < stop ? nearest(levels, clamped(static_cast<float>(values[i]) * factor)) : 7;
                    };
                    for (int64_t i = start; i < stop; i += 2) {
                        packed[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
                    }
                }
            });
        });
        double sum = 0;
        for (const float value : largest) sum += value;
        const auto mean = static_cast<float>(sum / static_cast<double>(blocks));
        auto *scale = static_cast<uint8_t *>(scales.data_ptr());
        auto *own = static_cast<float *>(outer.data_ptr());
        for (int64_t start = 0; start < blocks; start += outer_block) {
            const int64_t stop = std::min(blocks, start + outer_block);
            float top = 0;
            for (int64_t i = start; i < stop; i++) {
                top = std::max(top, std::abs(largest[static_cast<size_t>(i)] - mean));
            }
            own[start / outer_block] = top;
            const float factor = inverse(top);
            for (int64_t i = start; i < stop; i++) {
                scale[i] = nearest(scale_levels(), clamped((largest[static_cast<size_t>(i)] - mean) * factor));
            }
        }
        *offset = mean;
        results[0] = give(std::move(codes));
        results[1] = give(std::move(scales));
        results[2] = give(std::move(outer));
    });
}

ct_tensor ct_nf4_dequantize(
    ct_tensor codes, ct_tensor scales, ct_tensor outer, double offset, int64_t unit, const int64_t *sizes, int32_t count,
    int32_t dtype, ct_error *error) {
    return produce(error, [&] {
        const at::Tensor packed = borrow(codes), inner = borrow(scales);
        const bool is_piece = outer == nullptr;
        const at::Tensor own = is_piece ? at::Tensor() : borrow(outer);
        int64_t size = 1;
        for (int32_t i = 0; i < count; i++) size *= sizes[i];
        TORCH_CHECK(unit > 0 && (is_piece || unit == block), "a scale is for ", block, " values of a whole matrix");
        const int64_t blocks = blocks_of(size, unit);
        TORCH_CHECK(
            packed.scalar_type() == at::kByte && packed.is_contiguous() && packed.numel() == (size + 1) / 2
                && inner.scalar_type() == (is_piece ? at::kFloat : at::kByte) && inner.is_contiguous()
                && inner.numel() == blocks
                && (is_piece
                    || (own.scalar_type() == at::kFloat && own.is_contiguous()
                        && own.numel() == blocks_of(blocks, outer_block))),
            "codes and scales do not fit the shape");
        TORCH_CHECK(type(dtype) == at::kBFloat16 || type(dtype) == at::kFloat, "values come back as float32 or bfloat16");
        if (!packed.is_cpu()) {
            return unpacked_there(
                packed, inner, is_piece ? nullptr : &own, offset, unit, list(sizes, count), size, type(dtype));
        }
        at::Tensor values = at::empty(list(sizes, count), type(dtype));
        const auto fill = [&](auto *target) {
            if (is_piece) {
                const float *own_scales = elements<float>(inner);
                unpack(elements<uint8_t>(packed), [=](int64_t index) { return own_scales[index]; }, unit, target, size);
            } else {
                unpack(elements<uint8_t>(packed), scale_of_block(inner, own, offset), unit, target, size);
            }
        };
        if (type(dtype) == at::kBFloat16) {
            fill(static_cast<at::BFloat16 *>(values.data_ptr()));
        } else {
            fill(static_cast<float *>(values.data_ptr()));
        }
        return values;
    });
}

int32_t ct_nf4_piece(
    ct_tensor codes, ct_tensor scales, ct_tensor outer, double offset, const int64_t sizes[2], int32_t dimension,
    const int64_t *ranges, int32_t count, int64_t unit, ct_tensor results[2], ct_error *error) {
    return guarded(error, [&] {
        const at::Tensor packed = borrow(codes), inner = borrow(scales), own = borrow(outer);
        const int64_t rows = sizes[0], columns = sizes[1], size = rows * columns;
        TORCH_CHECK(
            packed.is_cpu() && packed.numel() == (size + 1) / 2 && inner.numel() == blocks_of(size, block)
                && own.numel() == blocks_of(inner.numel(), outer_block) && (dimension == 0 || dimension == 1),
            "codes and scales do not fit the shape");
        TORCH_CHECK(unit > 0 && block % unit == 0 && columns % unit == 0, "units that cut blocks");
        int64_t length = 0;
        for (int32_t i = 0; i < count; i++) {
            const int64_t start = ranges[2 * i], end = ranges[2 * i + 1];
            TORCH_CHECK(
                0 <= start && start <= end && end <= sizes[dimension]
                    && (dimension == 0 || (start % unit == 0 && end % unit == 0)),
                "a range outside the matrix, or within a unit");
            length += end - start;
        }
        const int64_t total = length * (dimension == 0 ? columns : rows);
        const auto bytes = at::TensorOptions().dtype(at::kByte);
        at::Tensor piece = at::zeros({(total + 1) / 2}, bytes), factors = at::empty({total / unit}, at::kFloat);
        const auto *from = elements<uint8_t>(packed);
        auto *to = static_cast<uint8_t *>(piece.data_ptr());
        auto *factor = static_cast<float *>(factors.data_ptr());
        const auto scale_of = scale_of_block(inner, own, offset);
        int64_t written = 0;
        const auto copy = [&](int64_t start, int64_t end) {
            for (int64_t i = start; i < end; i++, written++) {
                if (written % unit == 0) factor[written / unit] = scale_of(i / block);
                const auto code = static_cast<uint8_t>(i & 1 ? from[i / 2] & 15 : from[i / 2] >> 4);
                to[written / 2] |= static_cast<uint8_t>(written & 1 ? code : code << 4);
            }
        };
        if (dimension == 0) {
            for (int32_t i = 0; i < count; i++) copy(ranges[2 * i] * columns, ranges[2 * i + 1] * columns);
        } else {
            for (int64_t row = 0; row < rows; row++) {
                for (int32_t i = 0; i < count; i++) {
                    copy(row * columns + ranges[2 * i], row * columns + ranges[2 * i + 1]);
                }
            }
        }
        results[0] = give(std::move(piece));
        results[1] = give(std::move(factors));
    });
}
