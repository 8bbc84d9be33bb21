#include "csentencepiece.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

struct csp_model {
    sentencepiece::SentencePieceProcessor processor;
};

static void say(const char *text, char *error, size_t size) {
    if (size == 0) return;
    size_t count = std::min(size - 1, std::strlen(text));
    std::memcpy(error, text, count);
    error[count] = 0;
}

extern "C" csp_model *csp_load(const uint8_t *bytes, size_t count, char *error, size_t error_size) {
    try {
        auto model = std::make_unique<csp_model>();
        auto status = model->processor.LoadFromSerializedProto({reinterpret_cast<const char *>(bytes), count});
        if (status.ok()) return model.release();
        say(status.error_message(), error, error_size);
    } catch (const std::exception &exception) {
        say(exception.what(), error, error_size);
    } catch (...) {
        say("an unknown error", error, error_size);
    }
    return nullptr;
}

extern "C" void csp_free(csp_model *model) { delete model; }

extern "C" int32_t csp_piece_count(const csp_model *model) { return model->processor.GetPieceSize(); }

extern "C" const char *csp_piece(const csp_model *model, int32_t id, size_t *length) {
    const std::string &piece = model->processor.IdToPiece(id);
    *length = piece.size();
    return piece.data();
}

extern "C" int32_t csp_piece_id(const csp_model *model, const char *bytes, size_t count) {
    return model->processor.PieceToId({bytes, count});
}

extern "C" int32_t csp_kind(const csp_model *model, int32_t id) {
    const auto &processor = model->processor;
    if (processor.IsUnknown(id)) return csp_unknown;
    if (processor.IsControl(id)) return csp_control;
    if (processor.IsByte(id)) return csp_byte;
    if (processor.IsUnused(id)) return csp_unused;
    return csp_normal;
}

extern "C" int32_t csp_unknown_id(const csp_model *model) { return model->processor.unk_id(); }
extern "C" int32_t csp_beginning_id(const csp_model *model) { return model->processor.bos_id(); }
extern "C" int32_t csp_end_id(const csp_model *model) { return model->processor.eos_id(); }

extern "C" int32_t csp_encode(const csp_model *model, const uint8_t *bytes, size_t count, void *context,
                              void (*emit)(void *context, int32_t id, uint32_t begin, uint32_t end)) {
    try {
        auto text = model->processor.EncodeAsImmutableProto({reinterpret_cast<const char *>(bytes), count});
        for (size_t i = 0; i < text.pieces_size(); ++i) {
            auto piece = text.pieces(static_cast<int>(i));
            emit(context, static_cast<int32_t>(piece.id()), piece.begin(), piece.end());
        }
        return 0;
    } catch (...) {
        return 1;
    }
}
