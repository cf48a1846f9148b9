/* precision_report.h: which linear layers run in which precision, counted from a component's table and the headers of its files. */
#ifndef VG_ENGINE_LAYERS_PRECISION_REPORT_H
#define VG_ENGINE_LAYERS_PRECISION_REPORT_H

#include "engine/layers/module.h"

typedef struct vg_precision_report {
    int fp8_tensor, fp8_block, fp8_channel, bf16, f32; /* linear layers */
    char act[32];        /* "static", "dynamic", "dynamic 1x128", "weight-only", "-" */
    size_t weight_bytes; /* all weights as loaded, scales of FP8 layers too */
} vg_precision_report;

/* Add a component's layers and bytes, as `options` would load it. Errors: those of vg_layer_choose. */
vg_status vg_precision_report_add(vg_precision_report *report, const vg_weight_table *table,
                                  const vg_weights *weights, const vg_module_options *options,
                                  vg_err *err);
/* "bf16", "fp8 per-tensor (400 of 406)": what the files hold, from the tensors alone. */
void vg_precision_describe(const vg_weights *weights, char *text, size_t size);
#endif
