#include "cmedia_file.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cm_failure explain(int code) {
    switch (code) {
        case ENOENT:
        case ENOTDIR: return cm_fail(CM_IO, "there is no such file");
        case EACCES:
        case EPERM: return cm_fail(CM_IO, "permission is denied");
        case EISDIR: return cm_fail(CM_IO, "it is a folder");
        case EMFILE:
        case ENFILE: return cm_fail(CM_IO, "too many files are open");
        case ENAMETOOLONG: return cm_fail(CM_IO, "the path is too long");
        case ENOSPC: return cm_fail(CM_IO, "the disk is full");
        default: return cm_fail(CM_IO, "the system reports an input or output error");
    }
}

cm_failure cm_file_open(const char *path, cm_file *file) {
    file->size = 0;
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->descriptor < 0) return explain(errno);
    struct stat status;
    cm_failure failure = cm_ok();
    if (fstat(file->descriptor, &status) != 0) failure = explain(errno);
    else if (S_ISDIR(status.st_mode)) failure = cm_fail(CM_IO, "it is a folder");
    else if (!S_ISREG(status.st_mode)) failure = cm_fail(CM_IO, "it is not a regular file");
    else file->size = status.st_size;
    if (failure.status != CM_OK) cm_file_close(file);
    return failure;
}

cm_failure cm_file_read(const cm_file *file, uint8_t *out) {
    for (int64_t at = 0; at < file->size;) {
        ssize_t got = read(file->descriptor, out + at, (size_t)(file->size - at));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return explain(errno);
        if (got == 0) return cm_fail(CM_IO, "it became shorter while it was read");
        at += got;
    }
    return cm_ok();
}

void cm_file_close(cm_file *file) {
    if (file->descriptor >= 0) close(file->descriptor);
    file->descriptor = -1;
}

cm_failure cm_file_write(const char *path, const uint8_t *bytes, size_t count) {
    // A half-written picture must never stand under the final name.
    size_t length = strlen(path);
    char *draft = malloc(length + 8);
    if (!draft) return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to write it");
    memcpy(draft, path, length);
    memcpy(draft + length, ".XXXXXX", 8);
    int descriptor = mkstemp(draft);
    cm_failure failure = cm_ok();
    if (descriptor < 0) {
        failure = explain(errno);
    } else {
        for (size_t at = 0; at < count && failure.status == CM_OK;) {
            ssize_t put = write(descriptor, bytes + at, count - at);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) failure = explain(errno);
            else at += (size_t)put;
        }
        mode_t mask = umask(0);
        umask(mask);
        if (failure.status == CM_OK && fchmod(descriptor, 0666 & ~mask) != 0) failure = explain(errno);
        if (close(descriptor) != 0 && failure.status == CM_OK) failure = explain(errno);
        if (failure.status == CM_OK && rename(draft, path) != 0) failure = explain(errno);
        if (failure.status != CM_OK) unlink(draft);
    }
    free(draft);
    return failure;
}
