// Drawing over Cairo and Pango, flattened to opaque handles. A canvas or a text belongs to one thread at a time; different
// ones may be used by different threads. A lock inside serializes what touches fonts.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_canvas cm_canvas;
typedef struct cm_text cm_text;

typedef struct {
    double x, y, width, height;
} cm_rect;

/// NULL when Cairo cannot make a surface of that size.
cm_canvas *_Nullable cm_canvas_create(int32_t width, int32_t height);
void cm_canvas_destroy(cm_canvas *_Nullable canvas);
/// NULL while all is well, else Cairo's words; a failed canvas ignores further drawing.
const char *_Nullable cm_canvas_error(cm_canvas *_Nonnull canvas);
/// Writes width * height * 3 bytes.
void cm_canvas_read_rgb(cm_canvas *_Nonnull canvas, uint8_t *_Nonnull rgb);
/// A malloc'd PNG, to be freed by the caller; NULL on failure.
uint8_t *_Nullable cm_canvas_png(cm_canvas *_Nonnull canvas, size_t *_Nonnull count);

void cm_canvas_save(cm_canvas *_Nonnull canvas);
void cm_canvas_restore(cm_canvas *_Nonnull canvas);
void cm_canvas_translate(cm_canvas *_Nonnull canvas, double x, double y);
void cm_canvas_rotate(cm_canvas *_Nonnull canvas, double radians);
void cm_canvas_scale(cm_canvas *_Nonnull canvas, double x, double y);

void cm_canvas_set_color(cm_canvas *_Nonnull canvas, const double *_Nonnull rgba);
/// `stops` holds `count` runs of offset, red, green, blue, alpha.
void cm_canvas_set_linear(
    cm_canvas *_Nonnull canvas, double x0, double y0, double x1, double y1, const double *_Nonnull stops, size_t count);
void cm_canvas_set_radial(
    cm_canvas *_Nonnull canvas, double x, double y, double radius, const double *_Nonnull stops, size_t count);

void cm_canvas_new_path(cm_canvas *_Nonnull canvas);
void cm_canvas_move(cm_canvas *_Nonnull canvas, double x, double y);
void cm_canvas_line(cm_canvas *_Nonnull canvas, double x, double y);
void cm_canvas_curve(
    cm_canvas *_Nonnull canvas, double x1, double y1, double x2, double y2, double x3, double y3);
void cm_canvas_close(cm_canvas *_Nonnull canvas);
void cm_canvas_fill(cm_canvas *_Nonnull canvas, int even_odd);
void cm_canvas_stroke(cm_canvas *_Nonnull canvas, double width);
void cm_canvas_paint(cm_canvas *_Nonnull canvas);
/// Draws `rgb` (width * height * 3 bytes) with its top left corner at the origin; 0 when memory is short.
int cm_canvas_image(
    cm_canvas *_Nonnull canvas, const uint8_t *_Nonnull rgb, int32_t width, int32_t height, double opacity);

/// Shapes one line of UTF-8. On failure returns NULL and sets `resolved` to a malloc'd name of the family that the
/// system offers instead (or NULL when memory is short).
cm_text *_Nullable cm_text_create(
    const char *_Nonnull utf8, int32_t bytes, const char *_Nonnull family, double size, int32_t weight, int italic,
    char *_Nullable *_Nonnull resolved);
void cm_text_destroy(cm_text *_Nullable text);
/// Characters for which the family has no glyph.
int32_t cm_text_unknown_glyphs(const cm_text *_Nonnull text);
/// Extents relative to the start of the baseline, y down.
void cm_text_extents(const cm_text *_Nonnull text, cm_rect *_Nonnull ink, cm_rect *_Nonnull logical);
/// The place of the character that starts at a byte of the text, relative to the start of the baseline, as high as the line.
cm_rect cm_text_character(const cm_text *_Nonnull text, int32_t byte);
/// Draws with the start of the baseline at (x, y), in the canvas's current source.
void cm_text_draw(cm_canvas *_Nonnull canvas, cm_text *_Nonnull text, double x, double y);

#ifdef __cplusplus
}
#endif
