/* added_tokens.h: tokens that are cut out of a text before anything else is done with it (`</s>`, `<|im_start|>`), as the files of
 * HuggingFace tokenizers list them and as their libraries find them. Private to engine/text. */
#ifndef VG_ENGINE_TEXT_ADDED_TOKENS_H
#define VG_ENGINE_TEXT_ADDED_TOKENS_H

#include "kernels/base/json.h"

typedef struct vg_added_token {
    char *text;
    size_t length;
    int id;
    bool lstrip, rstrip; /* white space on this side goes with it */
    bool single_word;    /* only where no letter or digit touches it */
    bool normalized;     /* looked for in normalised text */
} vg_added_token;

typedef struct vg_added_tokens {
    vg_added_token *tokens;
    int count;
    int end;          /* all ids are below */
    bool starts[256]; /* some token starts with this byte */
} vg_added_tokens;    /* all zero is empty */

/* Free the texts; empty afterwards. */
void vg_added_tokens_deinit(vg_added_tokens *list);
/* One more; a text that is there already keeps its first meaning. flags: an object with lstrip, rstrip, single_word, normalized, or NULL. name:
 * the file, in messages. Errors: VG_E_FORMAT, VG_E_NOMEM. */
vg_status vg_added_tokens_add(vg_added_tokens *list, const char *name, const char *text, int64_t id,
                              const cJSON *flags, vg_err *err);
/* tokenizer_config.json: {"added_tokens_decoder": {"0": {"content": "<pad>", ...}}}; nothing where the key is missing. */
vg_status vg_added_tokens_add_decoder(vg_added_tokens *list, const char *name, const cJSON *config,
                                      vg_err *err);
/* tokenizer.json: {"added_tokens": [{"id": 0, "content": "<pad>", ...}]}; nothing where the key is missing. */
vg_status vg_added_tokens_add_list(vg_added_tokens *list, const char *name, const cJSON *root,
                                   vg_err *err);
/* added_tokens.json: {"<color-0>": 384, ...}. */
vg_status vg_added_tokens_add_map(vg_added_tokens *list, const char *name, const cJSON *map,
                                  vg_err *err);
/* The id of this text, or -1. */
int vg_added_tokens_find(const vg_added_tokens *list, const char *text);

/* Which tokens are looked for, and how. */
enum {
    VG_ADDED_RAW = 1,        /* those with "normalized": false */
    VG_ADDED_NORMALIZED = 2, /* the others */
    VG_ADDED_ALL = 3,
    VG_ADDED_PYTHON = 4, /* white space is str.isspace()'s, as for tokenizers written in Python */
};

typedef struct vg_added_hit {
    size_t begin, end; /* what it takes of the text, white space that goes with it included */
    int id;
} vg_added_hit;
/* The leftmost and there longest token at or behind `from`, where the last hit ended. text is valid UTF-8. False: there is none. */
bool vg_added_tokens_next(const vg_added_tokens *list, unsigned which, const char *text,
                          size_t size, size_t from, vg_added_hit *hit);

/* The code point at text, its bytes in *length; -1 and one byte where there is none. */
int32_t vg_added_code_at(const char *text, size_t size, size_t *length);
/* Unicode White_Space. */
bool vg_added_is_space(int32_t code);
/* Begin of the character that ends at `at` > 0. */
size_t vg_added_back_one(const char *text, size_t at);
#endif
