/* bpe_impl.h: the inside of bpe.h, shared by bpe_load.c and bpe.c. */
#ifndef VG_ENGINE_TEXT_BPE_IMPL_H
#define VG_ENGINE_TEXT_BPE_IMPL_H

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/pretokenize.h"

/* Two neighbours that become one token. Among several the lowest rank goes first. */
typedef struct vg_merge {
    int32_t left, right; /* ids; left -1: an empty place of the table */
    int32_t id, rank;
} vg_merge;

struct vg_bpe {
    vg_added_tokens added;
    vg_pretokenizer *pieces;
    bool nfc;
    int32_t bytes[256]; /* ids of single bytes */
    vg_merge *merges;   /* by vg_merge_place */
    size_t merges_mask; /* places - 1; places are a power of two, at least one is empty */
    int end;            /* the vocabulary's ids are below; added tokens have their own */
};

/* Where the search for a pair begins; it goes on to the next place, round the table. */
static inline size_t vg_merge_place(int32_t left, int32_t right, size_t mask)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return (size_t)(key >> 32) & mask;
}
#endif
