/* quantize.h: what quantising a model takes, told from its family's tables: which pictures it is calibrated with, in which passes, which layers stay
 * in high precision, and its folders written. The order of samples is samples.h's, running them engine/run/pass.h's, one folder export.h's. */
#ifndef VG_ENGINE_QUANTIZE_QUANTIZE_H
#define VG_ENGINE_QUANTIZE_QUANTIZE_H

#include "engine/quantize/export.h"
#include "engine/run/run.h"

#define VG_QUANTIZE_EXPERTS_MAX 2
#define VG_QUANTIZE_PASSES_MAX  3

/* Folders of the denoiser, in the order of their passes; static. Returns their count. */
int vg_quantize_experts(const vg_model *model, const char *names[VG_QUANTIZE_EXPERTS_MAX]);

/* What a picture is to the model: a reference where it has a mode with references, else the clip's first picture. VG_E_ARG: it takes none. */
vg_status vg_quantize_role(const vg_model *model, vg_role *role, vg_err *err);

typedef struct vg_quantize_pass {
    int expert;
    bool measure;
    double boundary_ratio;
    int steps; /* of a sample that are this pass's */
} vg_quantize_pass;

/* The passes over the samples. One expert: it is measured. Two: the first is measured with first_boundary (VG_UNSET_DOUBLE: that of params), run
 * quantised, then the second is measured. params: of a sample. VG_E_ARG: an expert has no step. */
vg_status vg_quantize_passes(const vg_model *model, const vg_generate_params *params,
                             double first_boundary, vg_quantize_pass passes[VG_QUANTIZE_PASSES_MAX],
                             int *count, vg_err *err);

/* Rules for the policy of an export, malloc'd: what public exports of this family keep in BF16 (unless all), `edge` blocks at either end of every
 * kind of block, then `more`. VG_E_ARG: edge blocks leave none. */
vg_status vg_quantize_rules(const vg_model *model, bool all, int edge, const char *more,
                            char **rules, vg_err *err);

/* What an export of one folder would be, by these params' scheme and rules. Errors: those of vg_export_plan. */
vg_status vg_quantize_count(const vg_model *model, const vg_generate_params *params,
                            const char *expert, vg_export_counts *counts, vg_err *err);
/* Weights and config of one folder to `dir`, which is there; the config comes last. options: all but the policy and what the family says. */
vg_status vg_quantize_export(const vg_model *model, const vg_generate_params *params,
                             const char *expert, const char *dir, vg_export_options options,
                             vg_export_counts *counts, vg_err *err);
#endif
