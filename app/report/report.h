/* report.h: what a comparison found: metrics per frame (metrics.json, .csv) and the final table
 * (text, Markdown).
 *
 * metrics.json: {"reference": "bf16", "frames": 17,
 *   "psnr": {"mean": 31.2, "min": 28.9, "max": 33.0, "worst_frame": 12, "identical_frames": 0,
 *            "frames": [..17..]},
 *   "ssim": {..}, "latent_rel_l2": {"mean": 0.031}}
 *
 * One member for each row of engine/metrics/metrics.def. Frames count from 1, in the files as on the
 * screens; worst_frame 0: none. A metric that was not measured is null. The PSNR of identical pictures is
 * infinite, which JSON cannot say: it is the string "inf". The mean is over the frames that are not
 * infinite ("identical_frames" counts the others), and "inf" when all are: so one differing frame
 * is never hidden by identical ones. */
#ifndef VG_APP_REPORT_REPORT_H
#define VG_APP_REPORT_REPORT_H

#include "kernels/base/json.h"
#include <stdio.h>
#include "app/media/frames.h"
#include "engine/metrics/metrics.h"

#define VG_REPORT_METRICS_FILE "metrics.json"
#define VG_REPORT_METRICS_CSV  "metrics.csv"

typedef struct vg_report_metric {
    bool measured;
    double mean, min, max;
    int worst_frame;      /* index; -1 for a figure of the whole clip */
    int identical_frames; /* frames with an infinite value */
    double *frames;       /* [count of vg_report_metrics] or NULL; owned */
} vg_report_metric;

typedef struct vg_report_metrics {
    char reference[64]; /* name of the variant compared against */
    int frames;
    vg_report_metric metric[VG_METRIC_COUNT];
} vg_report_metrics;
/* Free the figures per frame and zero the rest. NULL is a no-op. */
void vg_report_metrics_deinit(vg_report_metrics *metrics);

/* Compare a variant with its reference frame by frame.
 *   latents, reference_latents  F32 [latents_count] each, or NULL: what compares latents stays unmeasured
 *   backend                     for metrics that run a network, or NULL
 *   out                         zeroed or deinit'ed before; filled on success
 * Errors: VG_E_SHAPE (sizes or counts differ: names both), VG_E_CANCELLED, those of the sources.
 * Tests: test_report. */
vg_status vg_report_metrics_measure(const char *reference_name, const vg_frame_source *frames,
                                    const vg_frame_source *reference, const float *latents,
                                    const float *reference_latents, size_t latents_count,
                                    vg_backend *backend, vg_frames_progress progress,
                                    void *progress_user, vg_report_metrics *out, vg_err *err);

/* dir/metrics.json, atomically. */
vg_status vg_report_metrics_write(const char *dir, const vg_report_metrics *metrics, vg_err *err);
/* VG_E_MISSING when there is none, VG_E_FORMAT when it is damaged. */
vg_status vg_report_metrics_read(const char *dir, vg_report_metrics *metrics, vg_err *err);
/* A figure as JSON has it: a number, "inf", null for NaN; the caller deletes. Reading: false, and *value as it was, for anything else. */
cJSON *vg_report_figure_json(double value);
/* Back from what vg_report_figure_json made; only finite numbers, "inf" and null are taken. */
bool vg_report_figure_read(const cJSON *item, double *value);
/* NULL on out of memory; the caller deletes. */
cJSON *vg_report_metrics_json(const vg_report_metrics *metrics);
/* One row per frame, which count from 1: frame,psnr,ssim; "inf" as such, unmeasured cells empty. Atomic. */
vg_status vg_report_metrics_write_csv(const char *path, const vg_report_metrics *metrics,
                                      vg_err *err);

/* One variant in the final table. Unknown numbers are negative (times) or 0 (bytes) and print as
 * "-". */
typedef struct vg_report_row {
    const char *variant; /* "bf16", "fp8" */
    bool reference;      /* its metrics print as "ref" */
    int steps;
    double denoise_seconds;           /* inside the denoise loop */
    double wall_seconds;              /* load, text, calibration, denoise, decode */
    size_t peak_bytes;                /* highest memory of the backend */
    const char *peak_stage;           /* stage that set it, or NULL */
    size_t calibration_peak_bytes;    /* of calibration, which does not count above; 0 none */
    size_t planned_bytes;             /* what the plan said it would be; 0 unknown */
    size_t weight_bytes;              /* denoiser weights as loaded */
    double joules_per_step;           /* of the GPU while denoising; NaN or negative: unknown */
    const char *joules_from;          /* "energy counter", "power readings" */
    const char *clip;                 /* absolute path, or NULL; printed below the table */
    const vg_report_metrics *metrics; /* NULL = not measured */
    char attention[320]; /* what its self-attention ran in, for below the table; "": BF16 */
    const char *note;    /* e.g. "failed: out of memory", or NULL; printed below the table */
} vg_report_row;

/* Columns: variant, denoise s/it, wall s/it, wall s, peak memory, weights, and the metrics, at most 80 columns wide with the usual names; then the worst frames (counted from
 * 1, as in clips) and what the figures mean, then clips (and the comparison clip, if not NULL).
 * Control characters in names are replaced by '?'. */
void vg_report_print(FILE *out, const vg_report_row *rows, int count, const char *comparison_clip);
/* The same rows as a Markdown table. */
void vg_report_print_markdown(FILE *out, const vg_report_row *rows, int count,
                              const char *comparison_clip);

/* "PSNR 31.2 dB  SSIM 0.953", "reference", for captions and status lines; never longer than size. timings: "0.42 s/it  " in front, which
 * makes the same job's clip another one at every run. */
void vg_report_caption(const vg_report_row *row, bool timings, char *text, size_t size);
/* "3.4 GiB", "812 MiB", "-" for 0. */
void vg_report_bytes(size_t bytes, char *text, size_t size);
#endif
