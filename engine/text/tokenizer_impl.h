/* tokenizer_impl.h: the inside of tokenizer.h, shared by tokenizer_load.c and tokenizer.c. */
#ifndef VG_ENGINE_TEXT_TOKENIZER_IMPL_H
#define VG_ENGINE_TEXT_TOKENIZER_IMPL_H

#include "engine/text/sentencepiece_shim.h"
#include "engine/text/spiece_model.h"
#include "engine/text/tokenizer.h"

typedef struct vg_added_token {
    char *text;
    size_t length;
    int id;
    bool lstrip, rstrip, single_word;
} vg_added_token;

struct vg_tokenizer {
    vg_spiece_model model;
    vg_spiece *sp;
    vg_added_token *added;
    int added_count;
    bool starts[256]; /* some added token starts with this byte */
    int eos, vocab;
};
#endif
