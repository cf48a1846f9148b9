/* layer_attention.h: what the tests of 8-bit attention found in each layer of a variant, for reports. */
#ifndef VG_APP_JOB_LAYER_ATTENTION_H
#define VG_APP_JOB_LAYER_ATTENTION_H

#include "kernels/base/json.h"
#include "engine/layers/attention.h"

typedef struct vg_layer_attention {
    int expert, block;
    double cosine, relative_l2, largest_error; /* the worst of its tests; NaN: not a number */
    bool missed;                               /* below the limit */
} vg_layer_attention;

typedef struct vg_layer_attentions { /* all zero: none */
    vg_layer_attention *layers;      /* by expert, then block */
    int count;
} vg_layer_attentions;
/* All zero afterwards. */
void vg_layer_attentions_deinit(vg_layer_attentions *all);
/* The newest of a layer counts. What no model can be about is left out. */
void vg_layer_attentions_take(vg_layer_attentions *all, const vg_layer_attention *found);
/* {"mode": "qk8v8", ..., "layers": [...]}: what was asked for, and what was found. Caller deletes. */
cJSON *vg_layer_attentions_json(const vg_layer_attentions *all, const vg_attention_request *asked);
/* The same as one line, for below a table: "" where attention is BF16 and was not tested. Returns buf. */
const char *vg_layer_attentions_text(const vg_layer_attentions *all,
                                     const vg_attention_request *asked, char *buf, size_t size);
#endif
