/* check.h: is a quantised checkpoint what it says it is? For each folder of a denoiser (transformer, transformer_2):
 *
 *   config     quantization_config (or hf_quant_config.json, or the files' metadata): method, algorithm and strategy, and whether the tensors agree
 *   tensors    index and shards, the family's weight table, scales of every FP8 layer: there, of a shape that fits, finite, above 0, and not one
 *              that nobody set; leftovers; how many layers are FP8 of those that the architecture lets be
 *   values     read once, in pieces: NaN codes, NaN and infinity; against a source in higher precision, the error of every layer
 *   sizes      of the files, of the architecture in BF16, of the source's files
 *
 * What is wrong is a finding; an error is returned only when the check itself could not be made. Source: modelopt-fp8 1.2 to 1.6, 5. */
#ifndef VG_ENGINE_QUANTIZE_CHECK_H
#define VG_ENGINE_QUANTIZE_CHECK_H

#include <stdatomic.h>
#include "engine/checkpoint/quantization.h"
#include "engine/layers/linear.h"
#include "engine/layers/weight_table.h"
#include "engine/quantize/findings.h"

#define VG_CHECK_FOLDERS_MAX 4

/* How far weights are from those they were made of: |q s - w|. */
typedef struct vg_check_error {
    int layers;   /* FP8 layers compared */
    double rms;   /* of all of them, over the source's root mean square */
    double worst; /* the largest error of one value, relative to it, where E4M3 is normal */
    char worst_layer[VG_WEIGHT_NAME_BYTES]; /* the layer of the largest rms, and that */
    double worst_rms;
    int others, others_differ; /* tensors in high precision: compared, not the source's rounded */
} vg_check_error;

typedef struct vg_check_folder {
    char name[64];
    vg_quantization_label label;
    int files, tensors;
    int of_dtype[VG_DTYPE_COUNT], of_other_dtype; /* tensors */
    int layers
        [VG_PRECISION_COUNT]; /* linear layers that may be FP8, or are, by how they are stored */
    int fp8, input_scales;    /* FP8 weights; static input scales of them */
    int quantisable;          /* by the architecture; -1 unknown */
    int strays;               /* the quantiser's own states, ignored */
    uint64_t parameters;      /* without scales and strays */
    uint64_t disk_bytes;      /* of all files of the folder */
    uint64_t bf16_bytes;      /* in BF16, what stays in FP32 in that */
    uint64_t source_bytes;    /* of the source's files; 0: none */
    uint64_t codes, nan_codes, largest_codes, zero_codes; /* of E4M3 weights that were read */
    vg_check_error error;
} vg_check_folder;

typedef struct vg_check_report {
    vg_findings findings;
    char family[32]; /* "" none runs it */
    vg_check_folder folders[VG_CHECK_FOLDERS_MAX];
    int count;
    uint64_t repo_bytes, source_repo_bytes; /* all files of checkpoint and source */
    bool values;                            /* weights were read, not headers alone */
} vg_check_report;

typedef struct vg_check_options {
    const char *source; /* folder of the checkpoint it was made of, or NULL */
    bool headers_only;
    int threads; /* 0 all */
    const atomic_int *cancel;
    void (*progress)(void *user, const char *folder, uint64_t done,
                     uint64_t of); /* bytes; or NULL */
    void *user;
} vg_check_options;

/* dir: a diffusers folder. *report: the caller deinitialises, also after an error. Memory: a few MiB a thread, whatever the size of the files.
 * Errors: VG_E_NOMEM, VG_E_CANCELLED; all else is a finding. Tests: test_check. */
vg_status vg_check(const char *dir, const vg_check_options *options, vg_check_report *report,
                   vg_err *err);
void vg_check_report_deinit(vg_check_report *report);
/* FAILURE: not usable; WARNING: with caveats; NOTE: all is well. */
static inline vg_finding_level vg_check_verdict(const vg_check_report *report)
{
    return vg_findings_worst(&report->findings);
}
/* "per-tensor (all scalar scales)", in the words of the reference checker. */
const char *vg_check_granularity(const vg_check_folder *folder);
#endif
