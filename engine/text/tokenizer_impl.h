/* tokenizer_impl.h: the inside of tokenizer.h, shared by tokenizer_load.c and tokenizer.c. */
#ifndef VG_ENGINE_TEXT_TOKENIZER_IMPL_H
#define VG_ENGINE_TEXT_TOKENIZER_IMPL_H

#include "engine/text/added_tokens.h"
#include "engine/text/sentencepiece_shim.h"
#include "engine/text/spiece_model.h"
#include "engine/text/tokenizer.h"

struct vg_tokenizer {
    vg_spiece_model model;
    vg_spiece *sp;
    vg_added_tokens added;
    int eos;
};
#endif
