// Reading a whole file under a limit.
#pragma once
#include "cmedia.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A regular file, open for reading; close it with `cm_file_close`.
typedef struct cm_file {
    int descriptor;
    int64_t size;
} cm_file;

/// Opens `path` if it is a regular file; never blocks on a pipe or device.
cm_failure cm_file_open(const char *path, cm_file *file);

/// Reads exactly `file->size` bytes into `out`.
cm_failure cm_file_read(const cm_file *file, uint8_t *out);

void cm_file_close(cm_file *file);

/// Replaces the file at `path` by `count` bytes.
cm_failure cm_file_write(const char *path, const uint8_t *bytes, size_t count);

#ifdef __cplusplus
}
#endif
