/* inputs.h: what a person gives: prompts, and pictures and videos, each with its role. And modes: which roles go together. */
#ifndef VG_ENGINE_RUN_INPUTS_H
#define VG_ENGINE_RUN_INPUTS_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum vg_role {
#define VG_ROLE(id, name, what) VG_ROLE_##id,
#include "engine/run/roles.def"
#undef VG_ROLE
    VG_ROLE_COUNT
} vg_role;
const char *vg_role_name(vg_role role); /* "last-image" */
const char *vg_role_what(vg_role role); /* "picture to end with" */

typedef struct vg_frames {
    int count, height, width;
    uint8_t *rgb; /* [count, height, width, 3] */
} vg_frames;
void vg_frames_deinit(vg_frames *f); /* frees rgb; all zero = empty */

/* A picture (one frame) or a video, of any size: the family brings it to the clip's. Borrowed. rgb NULL: only its size is known yet, which
 * is enough for settings and plans. */
typedef struct vg_media {
    vg_role role;
    vg_frames frames;
} vg_media;

/* Borrowed. Several references keep their order, up to VG_REFERENCES_MAX; any other role comes once. */
typedef struct vg_inputs {
    const char *prompt, *negative_prompt; /* UTF-8; NULL = "" */
    const vg_media *media;
    int media_count;
} vg_inputs;

/* Number `nth` (from 0) of a role; NULL: there is none. */
const vg_media *vg_inputs_find(const vg_inputs *inputs, vg_role role, int nth);
/* How many media of a role were given. */
int vg_inputs_count(const vg_inputs *inputs, vg_role role);

/* ---- modes: rows of a family ---- */

#define VG_ROLE_BIT(id) (1u << VG_ROLE_##id)

typedef struct vg_mode {
    const char *name;    /* "flf2v", a row of engine/family/modes.def */
    const char *help;    /* "a clip between two pictures" */
    unsigned needs, may; /* VG_ROLE_BITs: roles it cannot do without, roles that it takes as well */
    unsigned one_of;     /* roles of which it needs one at least, and takes all; 0: none */
    int frames_min;      /* the shortest clip; 0: any */
} vg_mode;

/* The mode that is asked for by name, or (asked NULL) the one that takes everything given and lacks least; the first of several. A mode may lack
 * roles here: vg_mode_check is stricter. Errors, VG_E_ARG: no such mode, a role that it does not take, a role given twice. */
vg_status vg_mode_choose(const vg_mode *const *modes, int count, const char *asked,
                         const vg_inputs *inputs, const vg_mode **mode, vg_err *err);
/* Is everything there that the mode needs, pixels too? VG_E_ARG names what to give. */
vg_status vg_mode_check(const vg_mode *mode, const vg_inputs *inputs, vg_err *err);
#endif
