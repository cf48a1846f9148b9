/* limits.h: the ranges of a generation's settings, once for everybody: the engine refuses what lies outside, the options table of the programs
 * shows them, vgen.json of a checkpoint is held to them. What a model itself allows (multiples of its patches, its longest clip) is a matter
 * of its family and comes on top. */
#ifndef VG_ENGINE_RUN_LIMITS_H
#define VG_ENGINE_RUN_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include "kernels/base/status.h"

#define VG_SIDE_MIN         16 /* pixels, height and width */
#define VG_SIDE_MAX         8192
#define VG_FRAMES_MIN       1
#define VG_FRAMES_MAX       4097
#define VG_STEPS_MIN        1
#define VG_STEPS_MAX        1000
#define VG_GUIDANCE_MIN     0
#define VG_GUIDANCE_MAX     100
#define VG_BOUNDARY_MIN     0
#define VG_BOUNDARY_MAX     1
#define VG_FLOW_SHIFT_MIN   0.01
#define VG_FLOW_SHIFT_MAX   100
#define VG_CONDITIONING_MIN 0
#define VG_CONDITIONING_MAX 10
#define VG_REFERENCES_MAX   8 /* pictures */
#define VG_EDGE_MIN         0 /* blocks, or steps */
#define VG_EDGE_MAX         1000
#define VG_COSINE_MIN       0
#define VG_COSINE_MAX       1
#define VG_TEXT_TOKENS_MIN  1
#define VG_TEXT_TOKENS_MAX  4096

struct vg_generate_params;

typedef struct vg_limit {
    const char *key; /* as the options table has it */
    size_t offset;   /* in vg_generate_params */
    bool whole;      /* an int, else a double */
    double min, max;
} vg_limit;
extern const vg_limit vg_limits[];
extern const int vg_limits_count;

/* Are all values that are set within their ranges? VG_E_ARG names the setting, its value and the range. */
vg_status vg_limits_check(const struct vg_generate_params *params, vg_err *err);
#endif
