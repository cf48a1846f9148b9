/* store_memory.h: a store (sequence.h) that keeps the pieces of a generation in this process: for measuring, and for tests. A piece is not
 * kept whose save function is set to NULL. */
#ifndef VG_ENGINE_RUN_STORE_MEMORY_H
#define VG_ENGINE_RUN_STORE_MEMORY_H

#include "engine/run/sequence.h"

typedef struct vg_memory_store {
    vg_store store;           /* for vg_sequence; its user is this struct, which must not move */
    vg_conditions conditions; /* count 0: none */
    vg_input_scales *scales;  /* NULL: none */
    vg_denoise_state state;   /* latents NULL: none */
    vg_latents latents;       /* values NULL: none */
    vg_frames frames;         /* rgb NULL: none */
} vg_memory_store;

/* Nothing is kept yet. */
void vg_memory_store_init(vg_memory_store *store);
/* Free all pieces; all zero afterwards. */
void vg_memory_store_deinit(vg_memory_store *store);
#endif
