/* experts.c: which transformer is loaded. One is resident at a time; while it runs, the files of the one that follows come into memory. */
#include "engine/run/denoise.h"

#include "engine/checkpoint/quantization.h"
#include "engine/layers/precision_report.h"
#include "engine/run/emit.h"

#include <stdlib.h>

static void stop_prefetch(vg_denoise_run *r)
{
    vg_prefetch_stop(r->prefetch);
    r->prefetch = NULL;
}

static void close_expert(vg_denoise_run *r)
{
    if (r->denoiser)
        r->family->denoiser->close(r->denoiser);
    r->be->ops->trim(
        r->be); /* the next expert finds the memory as this one did, and as it was planned */
    r->denoiser = NULL;
    r->expert = -1;
}

void vg_expert_release(vg_denoise_run *r)
{
    stop_prefetch(r);
    close_expert(r);
}

typedef struct collect {
    vg_denoise_run *run;
    vg_status status;
    vg_err *err;
} collect;

static void collect_amax(void *user, const char *layer, float amax)
{
    collect *c = user;
    const char *component = c->run->family->experts[c->run->expert];
    if (c->status == VG_OK)
        c->status = vg_calibration_add(c->run->calibration, component, layer, amax, c->err);
}

vg_status vg_expert_finish(vg_denoise_run *r, vg_err *err)
{
    collect c = {r, VG_OK, err};
    vg_status status = VG_OK;
    if (r->denoiser && r->calibration)
        status = r->family->denoiser->calibrate_each(r->denoiser, collect_amax, &c, err);
    close_expert(r);
    return status != VG_OK ? status : c.status;
}

vg_status vg_expert_open(vg_denoise_run *r, int expert, vg_err *err)
{
    vg_precision_policy policy;
    vg_module_options options = {.compute = vg_compute_dtype(r->p->compute),
                                 .policy = &policy,
                                 .input_scales = r->p->input_scales,
                                 .streamed = r->streamed[expert]};
    char *dir = NULL;
    vg_status status = vg_params_policy(r->p, &policy, err);
    if (status == VG_OK)
        status = vg_model_weights_dir(r->model, r->family->experts[expert], &dir, err);
    if (status == VG_OK)
        status = r->family->denoiser->open(r->engine, r->model, expert, dir, &options, &r->denoiser,
                                           err);
    vg_precision_policy_deinit(&policy);
    free(dir);
    VG_TRY(status);
    r->expert = expert;
    return VG_OK;
}

static vg_status bind(vg_denoise_run *r, const vg_binding *binding, vg_err *err)
{
    const vg_denoiser *d = r->family->denoiser;
    VG_TRY(d->bind(r->denoiser, binding, err));
    if (!r->calibration)
        return VG_OK;
    /* Once more with recording on, for the layers that see the conditions. */
    VG_TRY(d->calibrate_begin(r->denoiser, err));
    return d->bind(r->denoiser, binding, err);
}

vg_status vg_expert_bind(vg_denoise_run *r, vg_err *err)
{
    int steps = vg_scheduler_steps(r->scheduler);
    double *timesteps = malloc((size_t)steps * sizeof *timesteps);
    if (!timesteps)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a schedule of %d steps", steps);
    for (int i = 0; i < steps; i++)
        timesteps[i] = vg_scheduler_timestep(r->scheduler, i);
    const vg_binding binding = {.conditions = r->conditions,
                                .latent = r->shape,
                                .params = r->p,
                                .timesteps = timesteps,
                                .steps = steps,
                                .guided = r->guided,
                                .cancel = r->cb ? r->cb->cancel : NULL};
    vg_status status = bind(r, &binding, err);
    free(timesteps);
    return status;
}

static void prefetch_next(vg_denoise_run *r)
{
    char *dir;
    int next = r->expert;
    for (int i = vg_scheduler_at(r->scheduler); i < vg_scheduler_steps(r->scheduler); i++) {
        int expert = vg_model_expert(r->model, r->p, vg_scheduler_timestep(r->scheduler, i));
        if (expert != r->expert)
            next = expert;
    }
    if (next == r->expert ||
        vg_model_weights_dir(r->model, r->family->experts[next], &dir, NULL) != VG_OK)
        return;
    r->prefetch = vg_prefetch_start(dir);
    free(dir);
}

/* What an FP8 checkpoint is loaded as, so that nobody has to guess whether it was: what it calls itself, how its layers run, what of it is not
 * used. */
static void tell_quantised(const vg_denoise_run *r, const char *name, const vg_weights *weights)
{
    vg_weight_table table = {.component = name};
    vg_precision_policy policy;
    vg_precision_report report = {0};
    vg_quantization_label label = {.algo = ""};
    vg_module_options options = {.compute = vg_compute_dtype(r->p->compute), .policy = &policy};
    cJSON *holder = NULL;
    char *dir = NULL, text[160];
    vg_status status = vg_params_policy(r->p, &policy, NULL);
    if (status == VG_OK)
        status = vg_model_component_dir(r->model, name, &dir, NULL);
    if (status == VG_OK)
        status = r->family->weight_table(r->model, name, &table, NULL);
    if (status == VG_OK)
        status = vg_precision_report_add(&report, &table, weights, &options, NULL);
    if (status == VG_OK) {
        (void)vg_quantization_find(dir, weights, &holder, &label);
        vg_emit_note(r->cb, VG_STAGE_LOAD,
                     "%s: detected %s FP8 checkpoint (quant_algo=%s): %s; %d input scales skipped; "
                     "FP8 products by %s",
                     name, *label.method ? label.method : "an unlabelled",
                     *label.algo ? label.algo : "-",
                     vg_precision_report_text(&report, text, sizeof text), report.scales_skipped,
                     r->be->ops->kind == VG_DEVICE_CUDA ? "cuBLASLt" : "the CPU backend");
    }
    cJSON_Delete(holder);
    vg_weight_table_deinit(&table);
    vg_precision_policy_deinit(&policy);
    free(dir);
}

/* What a person should know about the weights that were found. */
static void tell_weights(const vg_denoise_run *r, const char *name)
{
    const vg_module *module = r->family->denoiser->module(r->denoiser);
    const char *unused;
    int dequantised = vg_module_dequantised(module),
        unused_count = vg_module_unused(module, &unused);
    vg_precision_census census;
    vg_precision_census_take(vg_module_weights(module), &census);
    if (census.fp8 > 0)
        tell_quantised(r, name, vg_module_weights(module));
    if (dequantised > 0)
        vg_emit_note(r->cb, VG_STAGE_LOAD,
                     "%s: %d FP8 layers of the checkpoint were dequantised, as was asked", name,
                     dequantised);
    if (unused_count > 0)
        vg_emit_note(
            r->cb, VG_STAGE_LOAD,
            "%s: %d tensors of the checkpoint are not used, the first is %s: does config.json fit the weights?",
            name, unused_count, unused);
}

vg_status vg_expert_load(vg_denoise_run *r, int expert, vg_err *err)
{
    const char *name = r->family->experts[expert];
    if (r->expert == expert)
        return VG_OK;
    stop_prefetch(r);
    VG_TRY(vg_expert_finish(r, err));
    double begin = vg_now();
    vg_emit_load(r->cb, VG_EVENT_STAGE_BEGIN, r->stage, name, 0);
    r->failed = expert;
    VG_TRY(vg_expert_open(r, expert, err));
    VG_TRY(vg_expert_bind(r, err));
    tell_weights(r, name);
    vg_emit_load(r->cb, VG_EVENT_STAGE_END, r->stage, name, vg_now() - begin);
    prefetch_next(r);
    return VG_OK;
}
