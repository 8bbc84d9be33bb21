// Shared by the decoders: reading numbers out of untrusted bytes, and the pixel arithmetic that Pillow defines.
#pragma once
#include "cmedia.h"

static inline cm_failure cm_ok(void) { return (cm_failure){CM_OK, 0}; }
static inline cm_failure cm_fail(cm_status status, const char *reason) { return (cm_failure){status, reason}; }

static inline uint32_t cm_be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t cm_be32(const uint8_t *p) { return cm_be16(p) << 16 | cm_be16(p + 2); }
static inline uint32_t cm_le16(const uint8_t *p) { return (uint32_t)p[1] << 8 | p[0]; }
static inline uint32_t cm_le32(const uint8_t *p) { return cm_le16(p + 2) << 16 | cm_le16(p); }

/// `round(a * b / 255)`, as Pillow's MULDIV255 rounds it.
static inline uint32_t cm_muldiv255(uint32_t a, uint32_t b) {
    uint32_t t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/// One channel over white, as Pillow's `Image.paste` with a mask blends.
static inline uint8_t cm_over_white(uint32_t value, uint32_t alpha) {
    uint32_t t = 255 * (255 - alpha) + value * alpha + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/// The orientation (1...8) in a TIFF structure such as EXIF's; 1 where it is absent or makes no sense.
int cm_exif_orientation(const uint8_t *tiff, size_t count);

cm_failure cm_probe_jpeg(const uint8_t *bytes, size_t count, cm_info *info);
cm_failure cm_probe_png(const uint8_t *bytes, size_t count, cm_info *info);
cm_failure cm_probe_webp(const uint8_t *bytes, size_t count, cm_info *info);
cm_failure cm_probe_gif(const uint8_t *bytes, size_t count, cm_info *info);
cm_failure cm_probe_bmp(const uint8_t *bytes, size_t count, cm_info *info);
cm_failure cm_probe_tiff(const uint8_t *bytes, size_t count, cm_info *info);

cm_failure cm_decode_jpeg(const uint8_t *bytes, size_t count, const cm_info *info, int eighths, uint8_t *out);
cm_failure cm_decode_png(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out);
cm_failure cm_decode_webp(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out);
cm_failure cm_decode_gif(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out);
cm_failure cm_decode_bmp(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out);
cm_failure cm_decode_tiff(const uint8_t *bytes, size_t count, const cm_info *info, cm_policy policy, uint8_t *out);
