// Writing RGB8 as PNG and JPEG.
#include "internal.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>
#include <string.h>

struct sink {
    cm_write write;
    void *context;
    cm_status status;
};

static void on_png_write(png_structp png, png_bytep bytes, size_t count) {
    struct sink *sink = png_get_io_ptr(png);
    if (sink->write(sink->context, bytes, count)) return;
    sink->status = CM_IO;
    png_error(png, "stop");
}

static void on_png_flush(png_structp png) { (void)png; }

static void on_png_error(png_structp png, png_const_charp message) {
    (void)message;
    longjmp(png_jmpbuf(png), 1);
}

static void on_png_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

cm_failure cm_encode_png(
    const uint8_t *pixels, int64_t width, int64_t height, int level, cm_write write, void *context) {
    struct sink sink = {write, context, CM_OUT_OF_MEMORY};
    if (width > 0x7FFFFFFF || height > 0x7FFFFFFF) return cm_fail(CM_TOO_LARGE, "a side is too long for PNG");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_png_error, on_png_warning);
    png_infop header = png ? png_create_info_struct(png) : NULL;
    if (!header) {
        png_destroy_write_struct(&png, NULL);
        return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to encode it");
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &header);
        return cm_fail(sink.status, "it could not be encoded");
    }
    png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_write_fn(png, &sink, on_png_write, on_png_flush);
    png_set_compression_level(png, level);
    png_set_IHDR(png, header, (uint32_t)width, (uint32_t)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, header);
    for (int64_t y = 0; y < height; y++) png_write_row(png, pixels + y * width * 3);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &header);
    return cm_ok();
}

struct jpeg_writer {
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf escape;
    struct sink sink;
    uint8_t buffer[16384];
};

static void on_jpeg_error(j_common_ptr state) { longjmp(((struct jpeg_writer *)state->err)->escape, 1); }
static void on_jpeg_message(j_common_ptr state, int level) { (void)state, (void)level; }
static void on_jpeg_output(j_common_ptr state) { (void)state; }

static void begin(j_compress_ptr state) {
    struct jpeg_writer *writer = (struct jpeg_writer *)state->err;
    writer->destination.next_output_byte = writer->buffer;
    writer->destination.free_in_buffer = sizeof writer->buffer;
}

static void flush(j_compress_ptr state, size_t count) {
    struct jpeg_writer *writer = (struct jpeg_writer *)state->err;
    if (writer->sink.write(writer->sink.context, writer->buffer, count)) return;
    writer->sink.status = CM_IO;
    longjmp(writer->escape, 1);
}

static boolean on_jpeg_full(j_compress_ptr state) {
    flush(state, sizeof((struct jpeg_writer *)state->err)->buffer);
    begin(state);
    return TRUE;
}

static void end(j_compress_ptr state) {
    struct jpeg_writer *writer = (struct jpeg_writer *)state->err;
    flush(state, sizeof writer->buffer - writer->destination.free_in_buffer);
}

cm_failure cm_encode_jpeg(
    const uint8_t *pixels, int64_t width, int64_t height, int quality, cm_write write, void *context) {
    if (width > 65500 || height > 65500) return cm_fail(CM_TOO_LARGE, "a side is longer than 65,500 pixels");
    struct jpeg_compress_struct state;
    struct jpeg_writer writer;
    memset(&state, 0, sizeof state);
    memset(&writer, 0, sizeof writer);
    writer.sink = (struct sink){write, context, CM_OUT_OF_MEMORY};
    state.err = jpeg_std_error(&writer.errors);
    writer.errors.error_exit = on_jpeg_error;
    writer.errors.emit_message = on_jpeg_message;
    writer.errors.output_message = on_jpeg_output;
    if (setjmp(writer.escape)) {
        jpeg_destroy_compress(&state);
        return cm_fail(writer.sink.status, "it could not be encoded");
    }
    jpeg_create_compress(&state);
    writer.destination.init_destination = begin;
    writer.destination.empty_output_buffer = on_jpeg_full;
    writer.destination.term_destination = end;
    state.dest = &writer.destination;
    state.image_width = (JDIMENSION)width;
    state.image_height = (JDIMENSION)height;
    state.input_components = 3;
    state.in_color_space = JCS_RGB;
    jpeg_set_defaults(&state);
    jpeg_set_quality(&state, quality, TRUE);
    // Halved chroma smears coloured text; whoever asks for high quality wants it whole.
    if (quality >= 90) state.comp_info[0].h_samp_factor = state.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&state, TRUE);
    while (state.next_scanline < state.image_height) {
        JSAMPROW row = (JSAMPROW)(pixels + (int64_t)state.next_scanline * width * 3);
        jpeg_write_scanlines(&state, &row, 1);
    }
    jpeg_finish_compress(&state);
    jpeg_destroy_compress(&state);
    return cm_ok();
}
