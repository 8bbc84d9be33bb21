#include "cmedia_draw.h"

#include <pango/pangocairo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct cm_canvas {
    cairo_surface_t *surface;
    cairo_t *cairo;
};

struct cm_text {
    PangoLayout *layout;
    PangoRectangle ink, logical;
    int baseline, unknown;
};

// MARK: - canvas

cm_canvas *cm_canvas_create(int32_t width, int32_t height) {
    cm_canvas *canvas = calloc(1, sizeof *canvas);
    if (!canvas) return NULL;
    canvas->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    canvas->cairo = cairo_create(canvas->surface);
    if (cairo_status(canvas->cairo) != CAIRO_STATUS_SUCCESS) {
        cm_canvas_destroy(canvas);
        return NULL;
    }
    cairo_set_line_join(canvas->cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(canvas->cairo, CAIRO_LINE_CAP_ROUND);
    return canvas;
}

void cm_canvas_destroy(cm_canvas *canvas) {
    if (!canvas) return;
    cairo_destroy(canvas->cairo);
    cairo_surface_destroy(canvas->surface);
    free(canvas);
}

const char *cm_canvas_error(cm_canvas *canvas) {
    cairo_status_t status = cairo_status(canvas->cairo);
    return status == CAIRO_STATUS_SUCCESS ? NULL : cairo_status_to_string(status);
}

void cm_canvas_read_rgb(cm_canvas *canvas, uint8_t *rgb) {
    cairo_surface_flush(canvas->surface);
    const unsigned char *rows = cairo_image_surface_get_data(canvas->surface);
    const int stride = cairo_image_surface_get_stride(canvas->surface);
    const int width = cairo_image_surface_get_width(canvas->surface);
    const int height = cairo_image_surface_get_height(canvas->surface);
    for (int y = 0; y < height; y++) {
        const uint32_t *row = (const uint32_t *)(rows + (size_t)y * stride);
        for (int x = 0; x < width; x++) {
            const uint32_t pixel = row[x];
            *rgb++ = pixel >> 16;
            *rgb++ = pixel >> 8;
            *rgb++ = pixel;
        }
    }
}

typedef struct {
    uint8_t *bytes;
    size_t count, capacity;
} png_buffer;

static cairo_status_t append_png(void *closure, const unsigned char *data, unsigned int length) {
    png_buffer *buffer = closure;
    if (buffer->count + length > buffer->capacity) {
        size_t capacity = (buffer->count + length) * 2;
        uint8_t *bytes = realloc(buffer->bytes, capacity);
        if (!bytes) return CAIRO_STATUS_NO_MEMORY;
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->count, data, length);
    buffer->count += length;
    return CAIRO_STATUS_SUCCESS;
}

uint8_t *cm_canvas_png(cm_canvas *canvas, size_t *count) {
    png_buffer buffer = {0};
    cairo_surface_flush(canvas->surface);
    if (cairo_surface_write_to_png_stream(canvas->surface, append_png, &buffer) != CAIRO_STATUS_SUCCESS) {
        free(buffer.bytes);
        return NULL;
    }
    *count = buffer.count;
    return buffer.bytes;
}

// MARK: - state and paint

void cm_canvas_save(cm_canvas *canvas) { cairo_save(canvas->cairo); }
void cm_canvas_restore(cm_canvas *canvas) { cairo_restore(canvas->cairo); }
void cm_canvas_translate(cm_canvas *canvas, double x, double y) { cairo_translate(canvas->cairo, x, y); }
void cm_canvas_rotate(cm_canvas *canvas, double radians) { cairo_rotate(canvas->cairo, radians); }
void cm_canvas_scale(cm_canvas *canvas, double x, double y) { cairo_scale(canvas->cairo, x, y); }

void cm_canvas_set_color(cm_canvas *canvas, const double *rgba) {
    cairo_set_source_rgba(canvas->cairo, rgba[0], rgba[1], rgba[2], rgba[3]);
}

static void set_gradient(cm_canvas *canvas, cairo_pattern_t *pattern, const double *stops, size_t count) {
    for (size_t i = 0; i < count; i++, stops += 5)
        cairo_pattern_add_color_stop_rgba(pattern, stops[0], stops[1], stops[2], stops[3], stops[4]);
    cairo_set_source(canvas->cairo, pattern);
    cairo_pattern_destroy(pattern);
}

void cm_canvas_set_linear(
    cm_canvas *canvas, double x0, double y0, double x1, double y1, const double *stops, size_t count) {
    set_gradient(canvas, cairo_pattern_create_linear(x0, y0, x1, y1), stops, count);
}

void cm_canvas_set_radial(cm_canvas *canvas, double x, double y, double radius, const double *stops, size_t count) {
    set_gradient(canvas, cairo_pattern_create_radial(x, y, 0, x, y, radius), stops, count);
}

// MARK: - paths

void cm_canvas_new_path(cm_canvas *canvas) { cairo_new_path(canvas->cairo); }
void cm_canvas_move(cm_canvas *canvas, double x, double y) { cairo_move_to(canvas->cairo, x, y); }
void cm_canvas_line(cm_canvas *canvas, double x, double y) { cairo_line_to(canvas->cairo, x, y); }
void cm_canvas_curve(cm_canvas *canvas, double x1, double y1, double x2, double y2, double x3, double y3) {
    cairo_curve_to(canvas->cairo, x1, y1, x2, y2, x3, y3);
}
void cm_canvas_close(cm_canvas *canvas) { cairo_close_path(canvas->cairo); }

void cm_canvas_fill(cm_canvas *canvas, int even_odd) {
    cairo_set_fill_rule(canvas->cairo, even_odd ? CAIRO_FILL_RULE_EVEN_ODD : CAIRO_FILL_RULE_WINDING);
    cairo_fill(canvas->cairo);
}

void cm_canvas_stroke(cm_canvas *canvas, double width) {
    cairo_set_line_width(canvas->cairo, width);
    cairo_stroke(canvas->cairo);
}

void cm_canvas_paint(cm_canvas *canvas) { cairo_paint(canvas->cairo); }

int cm_canvas_image(cm_canvas *canvas, const uint8_t *rgb, int32_t width, int32_t height, double opacity) {
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return 0;
    }
    unsigned char *rows = cairo_image_surface_get_data(surface);
    const int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < height; y++) {
        uint32_t *row = (uint32_t *)(rows + (size_t)y * stride);
        for (int x = 0; x < width; x++, rgb += 3)
            row[x] = 0xff000000u | (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    }
    cairo_surface_mark_dirty(surface);
    cairo_save(canvas->cairo);
    cairo_set_source_surface(canvas->cairo, surface, 0, 0);
    cairo_paint_with_alpha(canvas->cairo, opacity);
    cairo_restore(canvas->cairo);
    cairo_surface_destroy(surface);
    return 1;
}

// MARK: - text

/// Cairo (seen with 1.16) throws glyphs out of its process-wide cache while another thread draws with them, even when the
/// threads share no font: whatever touches fonts happens under this lock. Shapes need none.
static pthread_mutex_t font_lock = PTHREAD_MUTEX_INITIALIZER;

/// The context that all text is shaped in; to be called under the lock. Hinting is off: glyph shapes then depend on the
/// font alone and not on the machine's settings.
static PangoContext *shared_context(void) {
    static PangoContext *context = NULL;
    if (context) return context;
    context = pango_font_map_create_context(pango_cairo_font_map_new());
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    pango_cairo_context_set_font_options(context, options);
    cairo_font_options_destroy(options);
    pango_cairo_context_set_resolution(context, 96);
    pango_context_set_round_glyph_positions(context, FALSE);
    return context;
}

cm_text *cm_text_create(
    const char *utf8, int32_t bytes, const char *family, double size, int32_t weight, int italic, char **resolved) {
    *resolved = NULL;
    pthread_mutex_lock(&font_lock);
    PangoContext *context = shared_context();
    PangoFontDescription *wanted = pango_font_description_new();
    pango_font_description_set_family(wanted, family);
    pango_font_description_set_absolute_size(wanted, size * PANGO_SCALE);
    pango_font_description_set_weight(wanted, (PangoWeight)weight);
    pango_font_description_set_style(wanted, italic ? PANGO_STYLE_ITALIC : PANGO_STYLE_NORMAL);

    // Fontconfig always finds something: without this look a missing family would be drawn in another one.
    PangoFont *font = pango_context_load_font(context, wanted);
    PangoFontDescription *found = font ? pango_font_describe(font) : NULL;
    const char *name = found ? pango_font_description_get_family(found) : NULL;
    const int same = name && g_ascii_strcasecmp(name, family) == 0;
    if (!same) *resolved = strdup(name ? name : "");
    if (found) pango_font_description_free(found);
    if (font) g_object_unref(font);

    cm_text *text = same ? calloc(1, sizeof *text) : NULL;
    if (text) {
        text->layout = pango_layout_new(context);
        pango_layout_set_single_paragraph_mode(text->layout, TRUE);
        pango_layout_set_auto_dir(text->layout, FALSE);
        pango_layout_set_font_description(text->layout, wanted);
        PangoAttrList *attributes = pango_attr_list_new();
        pango_attr_list_insert(attributes, pango_attr_fallback_new(FALSE));
        pango_layout_set_attributes(text->layout, attributes);
        pango_attr_list_unref(attributes);
        pango_layout_set_text(text->layout, utf8, bytes);
        text->unknown = pango_layout_get_unknown_glyphs_count(text->layout);
        pango_layout_get_extents(text->layout, &text->ink, &text->logical);
        text->baseline = pango_layout_get_baseline(text->layout);
    }
    pango_font_description_free(wanted);
    pthread_mutex_unlock(&font_lock);
    return text;
}

void cm_text_destroy(cm_text *text) {
    if (!text) return;
    pthread_mutex_lock(&font_lock);
    g_object_unref(text->layout);
    pthread_mutex_unlock(&font_lock);
    free(text);
}

int32_t cm_text_unknown_glyphs(const cm_text *text) { return text->unknown; }

static cm_rect from_pango(PangoRectangle rect, int baseline) {
    const double scale = PANGO_SCALE;
    return (cm_rect){rect.x / scale, (rect.y - baseline) / scale, rect.width / scale, rect.height / scale};
}

void cm_text_extents(const cm_text *text, cm_rect *ink, cm_rect *logical) {
    *ink = from_pango(text->ink, text->baseline);
    *logical = from_pango(text->logical, text->baseline);
}

cm_rect cm_text_character(const cm_text *text, int32_t byte) {
    PangoRectangle place;
    pthread_mutex_lock(&font_lock);
    pango_layout_index_to_pos(text->layout, byte, &place);
    pthread_mutex_unlock(&font_lock);
    return from_pango(place, text->baseline);
}

void cm_text_draw(cm_canvas *canvas, cm_text *text, double x, double y) {
    pthread_mutex_lock(&font_lock);
    cairo_move_to(canvas->cairo, x, y - text->baseline / (double)PANGO_SCALE);
    pango_cairo_show_layout(canvas->cairo, text->layout);
    cairo_new_path(canvas->cairo);
    pthread_mutex_unlock(&font_lock);
}
