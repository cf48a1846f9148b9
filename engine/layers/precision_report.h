/* precision_report.h: which linear layers run in which precision, counted from a component's table and the headers of its files. */
#ifndef VG_ENGINE_LAYERS_PRECISION_REPORT_H
#define VG_ENGINE_LAYERS_PRECISION_REPORT_H

#include "engine/layers/module.h"

typedef struct vg_precision_report {
    int layers[VG_PRECISION_COUNT];      /* linear layers; [VG_PRECISION_HIGH]: in BF16 */
    int f32;                             /* those in F32 */
    unsigned inputs[VG_PRECISION_COUNT]; /* bit i: some have inputs of vg_quant_kind i */
    int dequantised; /* of those in BF16 or F32: FP8 in the files, so not what they are called */
    int scales_skipped; /* input scales of the files that no layer uses: their inputs are dynamic, or stay as they are */
    int made_static;     /* made FP8 at load, with input scales of calibration */
    size_t weight_bytes; /* all weights as loaded, scales of FP8 layers too */
} vg_precision_report;

/* Add a component's layers and bytes, as options with this compute dtype and policy would load it. Errors: those of vg_layer_choose. */
vg_status vg_precision_report_add(vg_precision_report *report, const vg_weight_table *table,
                                  const vg_weights *weights, const vg_module_options *options,
                                  vg_err *err);
/* "40 FP8 per-tensor (static), 8 BF16, 4 F32". Returns text. */
const char *vg_precision_report_text(const vg_precision_report *report, char *text, size_t size);
/* The inputs of all FP8 layers: "dynamic 1x128", "static, dynamic"; "-" without any. Returns text. */
const char *vg_precision_report_inputs(const vg_precision_report *report, char *text, size_t size);
/* {"fp8_tensor": 40, ..., "activations": "static", "weight_bytes": n}; caller deletes. NULL: out of memory. */
cJSON *vg_precision_report_json(const vg_precision_report *report);
/* "bf16", "fp8 per-tensor (400 of 406)": what the files hold, from the tensors alone. */
void vg_precision_describe(const vg_weights *weights, char *text, size_t size);
#endif
