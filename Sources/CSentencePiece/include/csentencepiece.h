// A flat C interface over libsentencepiece; no exception and no C++ type leaves it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csp_model csp_model;

/// Reads a serialised model. On failure NULL, with the reason in `error` (cut to `error_size`, always terminated).
csp_model *csp_load(const uint8_t *bytes, size_t count, char *error, size_t error_size);
void csp_free(csp_model *model);

int32_t csp_piece_count(const csp_model *model);
/// The spelling of a piece, which lives as long as the model; `id` must be in range.
const char *csp_piece(const csp_model *model, int32_t id, size_t *length);
/// The id of a spelling; the unknown id if there is none.
int32_t csp_piece_id(const csp_model *model, const char *bytes, size_t count);

enum { csp_normal = 0, csp_unknown = 1, csp_control = 2, csp_byte = 3, csp_unused = 4 };
int32_t csp_kind(const csp_model *model, int32_t id);

int32_t csp_unknown_id(const csp_model *model);
int32_t csp_beginning_id(const csp_model *model);
int32_t csp_end_id(const csp_model *model);

/// Encodes UTF-8. `emit` gets each id with the place in the text that it stands for, in bytes. 0 on success.
int32_t csp_encode(const csp_model *model, const uint8_t *bytes, size_t count, void *context,
                   void (*emit)(void *context, int32_t id, uint32_t begin, uint32_t end));

#ifdef __cplusplus
}
#endif
