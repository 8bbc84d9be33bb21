// Pictures at the C boundary: probing, decoding and writing files, orientation, and Pillow-exact resizing.
//
// Every function takes plain pointers into memory that the caller owns, reports by `cm_failure`, and never keeps a
// pointer after it returns. Reasons are constant strings in our own words: the libraries' own messages may hold
// addresses or parts of the file, and must not reach a client.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What went wrong, as a kind that callers can branch on.
typedef enum cm_status {
    CM_OK = 0,
    /// The bytes are no picture in a format known here.
    CM_UNKNOWN_FORMAT,
    /// The file ends before the picture does.
    CM_TRUNCATED,
    /// The bytes contradict themselves.
    CM_CORRUPT,
    /// A feature of the format that is deliberately not read.
    CM_UNSUPPORTED,
    /// A declared size is beyond what the format or this library allows.
    CM_TOO_LARGE,
    CM_OUT_OF_MEMORY,
    /// A file could not be opened or read.
    CM_IO,
} cm_status;

/// A status and the reason in our own words; `reason` is constant and never null after a failure.
typedef struct cm_failure {
    cm_status status;
    const char *reason;
} cm_failure;

typedef enum cm_format {
    CM_FORMAT_UNKNOWN = 0,
    CM_FORMAT_JPEG,
    CM_FORMAT_PNG,
    CM_FORMAT_WEBP,
    CM_FORMAT_GIF,
    CM_FORMAT_BMP,
    CM_FORMAT_TIFF,
} cm_format;

/// What a file's header says.
typedef struct cm_info {
    cm_format format;
    /// Pixels as stored, before orientation.
    int64_t width, height;
    /// EXIF orientation 1...8; 1 where the file has none or an invalid one.
    int32_t orientation;
    int32_t has_alpha;
    int32_t is_animated;
} cm_info;

/// How transparency and depth become RGB8.
typedef enum cm_policy {
    /// As Pillow's `convert("RGB")`: alpha is dropped, 16-bit grey is clipped at 255.
    CM_AS_PILLOW = 0,
    /// For people's eyes: transparency over white, 16-bit grey keeps its high byte.
    CM_OVER_WHITE = 1,
} cm_policy;

/// Reads the header only; allocates next to nothing.
cm_failure cm_probe(const uint8_t *bytes, size_t count, cm_info *info);

/// The format by its first bytes.
cm_format cm_sniff(const uint8_t *bytes, size_t count);

/// Decodes the first picture of a file into `out`: `height * width * 3` bytes as `info` (from `cm_probe`) says.
///
/// JPEG alone honours `eighths` (1...8, 8 is full size): it then fills `ceil(height * eighths / 8)` rows of
/// `ceil(width * eighths / 8)` pixels.
cm_failure cm_decode(
    const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, int eighths, uint8_t *out);

/// Applies an EXIF orientation: `out` is upright, with width and height exchanged for 5...8.
void cm_orient(const uint8_t *pixels, int64_t width, int64_t height, int orientation, uint8_t *out);

/// Where an encoder hands over its bytes, piece by piece; returns 0 to stop with `CM_IO`.
typedef int (*cm_write)(void *context, const uint8_t *bytes, size_t count);

/// Writes 8-bit RGB as PNG; `level` is zlib's 0...9.
cm_failure cm_encode_png(
    const uint8_t *pixels, int64_t width, int64_t height, int level, cm_write write, void *context);

/// Writes 8-bit RGB as baseline JPEG with 4:2:0 chroma (4:4:4 from quality 90), `quality` 1...100.
cm_failure cm_encode_jpeg(
    const uint8_t *pixels, int64_t width, int64_t height, int quality, cm_write write, void *context);

// MARK: - resizing

typedef enum cm_filter {
    CM_NEAREST = 0,
    CM_BOX,
    CM_BILINEAR,
    CM_HAMMING,
    CM_BICUBIC,
    CM_LANCZOS,
} cm_filter;

/// Which of the bit-identical implementations runs; all but `CM_PATH_BEST` exist for tests.
typedef enum cm_path {
    CM_PATH_BEST = 0,
    CM_PATH_PORTABLE,
    CM_PATH_AVX2,
    CM_PATH_AVX512_VNNI,
} cm_path;

/// Whether this processor has what `path` needs.
int cm_path_available(cm_path path);

/// Resizes interleaved 8-bit pixels exactly as Pillow 11.3 does: a horizontal pass into 8 bits, then a vertical one,
/// each skipped where it would change nothing.
///
/// `box` is left, top, right, bottom in source pixels and lies within the picture. Fails only for want of memory.
cm_failure cm_resize(
    const uint8_t *pixels, int64_t width, int64_t height, int channels, const float box[4], cm_filter filter,
    uint8_t *out, int64_t out_width, int64_t out_height, cm_path path);

/// Resizes one plane of floats with antialiasing as torch's `interpolate(antialias=True)` does: float weights, no
/// rounding between the passes, no clamp. `filter` is bilinear or bicubic.
cm_failure cm_resize_plane(
    const float *plane, int64_t width, int64_t height, cm_filter filter, float *out, int64_t out_width,
    int64_t out_height);

#ifdef __cplusplus
}
#endif
