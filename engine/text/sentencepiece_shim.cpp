/* sentencepiece_shim.cpp: see sentencepiece_shim.h. */
#include "engine/text/sentencepiece_shim.h"

#include <cstdio>
#include <new>
#include <string_view>
#include <vector>

#include <sentencepiece_processor.h>

struct vg_spiece {
    sentencepiece::SentencePieceProcessor processor;
};

vg_spiece *vg_spiece_new(const void *proto, size_t size, char *message, size_t message_size)
{
    vg_spiece *sp = nullptr;
    try {
        sp = new vg_spiece;
        const auto status = sp->processor.LoadFromSerializedProto(
            std::string_view(static_cast<const char *>(proto), size));
        if (status.ok())
            return sp;
        std::snprintf(message, message_size, "%s", status.ToString().c_str());
    } catch (const std::exception &e) {
        std::snprintf(message, message_size, "%s", e.what());
    } catch (...) {
        std::snprintf(message, message_size, "libsentencepiece failed");
    }
    vg_spiece_free(sp);
    return nullptr;
}

void vg_spiece_free(vg_spiece *sp)
{
    try {
        delete sp;
    } catch (...) {
    }
}

long vg_spiece_encode(const vg_spiece *sp, const char *text, size_t size, int *ids, size_t room)
{
    try {
        std::vector<int> found;
        if (!sp->processor.Encode(std::string_view(text, size), &found).ok())
            return -1;
        for (size_t i = 0; i < found.size() && i < room; i++)
            ids[i] = found[i];
        return static_cast<long>(found.size());
    } catch (...) {
        return -1;
    }
}
