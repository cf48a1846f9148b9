/* snapshot_report.c: a snapshot as rows of the table, and as the result object of --json. See snapshot.h. */
#include "app/job/kind.h"

#include <math.h>
#include <stdlib.h>
#include "app/media/frames.h"

vg_report_row *vg_snapshot_rows(const vg_snapshot *s, vg_lines *paths)
{
    vg_report_row *rows = vg_xcalloc((size_t)s->variants_count, sizeof *rows);
    for (int i = 0; i < s->variants_count; i++) {
        const vg_variant_snapshot *v = &s->variants[i];
        rows[i] = (vg_report_row){
            .variant = v->label,
            .reference = i == 0 && s->variants_count > 1,
            .steps = v->step,
            .denoise_seconds = v->step ? v->denoise_s : -1,
            .wall_seconds = v->wall_s > 0 ? v->wall_s : -1,
            .peak_bytes = v->peak_bytes,
            .calibration_peak_bytes = v->calibration_peak_bytes,
            .planned_bytes = s->memory_is_device ? v->planned_bytes : 0,
            .peak_stage = v->peak_stage[0] ? v->peak_stage : NULL,
            .weight_bytes = v->weight_bytes,
            .joules_per_step = vg_energy_of(&v->energy, v->s_per_it),
            .joules_from = vg_energy_source(&v->energy),
            .metrics = v->metrics.frames ? &v->metrics : NULL,
        };
        const vg_attention_request asked = vg_settings_attention(&s->job->variants[i].resolved);
        vg_layer_attentions_text(&v->attention, &asked, rows[i].attention,
                                 sizeof rows[i].attention);
        if (v->clip_ready) {
            vg_lines_add(paths, vg_job_variant_path(s->job, i, VG_VARIANT_CLIP));
            rows[i].clip = paths->items[paths->count - 1];
        }
        if (v->state != VG_JOB_DONE)
            rows[i].note = vg_job_state_text(v->state);
    }
    return rows;
}

static void add_number(cJSON *o, const char *key, double value, bool known)
{
    if (known && isfinite(value))
        cJSON_AddNumberToObject(o, key, value);
    else
        cJSON_AddNullToObject(o, key);
}

static void add_path(cJSON *o, const char *key, char *owned, bool known)
{
    if (known)
        cJSON_AddStringToObject(o, key, owned);
    else
        cJSON_AddNullToObject(o, key);
    free(owned);
}

static cJSON *outputs_json(const vg_job_outputs *outputs)
{
    cJSON *o = cJSON_CreateObject();
    if (outputs->output)
        cJSON_AddStringToObject(o, "output", outputs->output);
    if (outputs->save_latents)
        cJSON_AddStringToObject(o, "save_latents", outputs->save_latents);
    if (outputs->save_frames)
        cJSON_AddStringToObject(o, "save_frames", outputs->save_frames);
    return o;
}

static cJSON *variant_json(const vg_snapshot *s, int i)
{
    const vg_variant_snapshot *v = &s->variants[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "quantization", vg_scheme_name(vg_job_variant_scheme(s->job, i)));
    cJSON_AddStringToObject(o, "id", v->id);
    cJSON_AddStringToObject(o, "label", v->label);
    cJSON_AddItemToObject(o, "overlay", vg_variant_overlay_json(&s->job->variants[i].overlay));
    cJSON_AddStringToObject(o, "state", vg_job_state_text(v->state));
    cJSON_AddBoolToObject(o, "reference", i == 0);
    cJSON_AddNumberToObject(o, "steps_done", v->step);
    cJSON_AddNumberToObject(o, "steps", v->steps);
    add_path(o, "clip", vg_job_variant_path(s->job, i, VG_VARIANT_CLIP), v->clip_ready);
    char *latents = vg_job_variant_path(s->job, i, VG_VARIANT_LATENTS);
    add_path(o, "latents", latents, vg_file_exists(latents));
    char *frames = vg_job_variant_path(s->job, i, VG_FRAMES_FILE_CLIP);
    if (!vg_file_exists(frames)) {
        free(frames);
        frames = vg_job_variant_path(s->job, i, VG_FRAMES_FILE_TENSORS);
    }
    add_path(o, "frames", frames, vg_file_exists(frames));
    cJSON_AddItemToObject(o, "outputs", outputs_json(&s->job->variants[i].outputs));
    add_number(o, "denoise_s_per_it", v->s_per_it, true);
    add_number(o, "wall_s_per_it", v->step ? v->wall_s / v->step : NAN, true);
    cJSON *timings = cJSON_AddObjectToObject(o, "timings");
    for (int k = 0; k < VG_STAGE_COUNT; k++) {
        char key[40];
        snprintf(key, sizeof key, "%s_s", vg_stage_name((vg_stage)k));
        add_number(timings, key,
                   k == VG_STAGE_DENOISE && v->denoise_s > 0 ? v->denoise_s : v->stage_s[k], true);
    }
    add_number(timings, "wall_s", v->wall_s, v->wall_s > 0);
    add_number(o, "peak_bytes", (double)v->peak_bytes, v->peak_bytes > 0);
    cJSON_AddStringToObject(o, "peak_stage", v->peak_stage);
    add_number(o, "calibration_peak_bytes", (double)v->calibration_peak_bytes,
               v->calibration_peak_bytes > 0);
    add_number(o, "planned_bytes", (double)v->planned_bytes, v->planned_bytes > 0);
    add_number(o, "weight_bytes", (double)v->weight_bytes, v->weight_bytes > 0);
    cJSON_AddStringToObject(o, "precision", v->precision);
    const vg_attention_request asked = vg_settings_attention(&s->job->variants[i].resolved);
    cJSON_AddItemToObject(o, "attention", vg_layer_attentions_json(&v->attention, &asked));
    vg_energy_json(o, "joules_per_step", &v->energy, v->s_per_it);
    cJSON *gpu = v->gauges ? vg_gauges_json(v->gauges) : NULL;
    cJSON_AddItemToObject(o, "gpu", gpu ? gpu : cJSON_CreateNull());
    cJSON *metrics = v->metrics.frames ? vg_report_metrics_json(&v->metrics) : NULL;
    cJSON_AddItemToObject(o, "metrics", metrics ? metrics : cJSON_CreateNull());
    return o;
}

void vg_snapshot_report_clips(const vg_snapshot *s, cJSON *o)
{
    const vg_job *job = s->job;
    cJSON *model = cJSON_AddObjectToObject(o, "model");
    cJSON_AddStringToObject(model, "dir", job->model_dir);
    cJSON_AddStringToObject(model, "family", job->family ? job->family : "");
    cJSON_AddStringToObject(model, "weights_identity", job->identity ? job->identity : "");
    cJSON_AddItemToObject(o, "settings", vg_settings_to_json(&job->resolved));
    cJSON *variants = cJSON_AddArrayToObject(o, "variants");
    for (int i = 0; i < s->variants_count; i++)
        cJSON_AddItemToArray(variants, variant_json(s, i));
    char *comparison = vg_job_path(job, VG_JOB_COMPARISON);
    add_path(o, "comparison_clip", comparison, s->comparison_ready && vg_file_exists(comparison));
    if (job->comparison_output)
        cJSON_AddStringToObject(o, "comparison_output", job->comparison_output);
}

cJSON *vg_snapshot_json(const vg_snapshot *s)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "job", s->job->id);
    cJSON_AddStringToObject(o, "kind", s->job->kind->name);
    cJSON_AddStringToObject(o, "dir", s->job->dir);
    cJSON_AddStringToObject(o, "state", vg_job_state_text(s->state));
    if (*s->message)
        cJSON_AddStringToObject(o, "message", s->message);
    cJSON_AddNumberToObject(o, "created", s->job->created);
    cJSON_AddStringToObject(o, "device", s->device);
    s->job->kind->report(s, o);
    return o;
}

void vg_snapshot_print_clips(const vg_snapshot *s, FILE *out, bool markdown)
{
    vg_lines paths = {0};
    char *comparison = vg_job_path(s->job, VG_JOB_COMPARISON);
    vg_report_row *rows = vg_snapshot_rows(s, &paths);
    bool any = false, whole = s->comparison_ready && vg_file_exists(comparison);
    for (int i = 0; i < s->variants_count; i++)
        any = any || s->variants[i].step > 0;
    if (any && markdown)
        vg_report_print_markdown(out, rows, s->variants_count, whole ? comparison : NULL);
    else if (any)
        vg_report_print(out, rows, s->variants_count, whole ? comparison : NULL);
    vg_lines_free(&paths);
    free(rows);
    free(comparison);
}
