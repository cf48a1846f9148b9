/* rehearse.c: parts of a run on a backend that only counts. See rehearse.h. */
#include "engine/checkpoint/dummy.h"
#include "engine/run/denoise.h"
#include "engine/run/rehearse.h"

#include <stdio.h>
#include <string.h>

#define REHEARSED_STEPS 3 /* until the scheduler has all of its history */

/* Which device a plan is for: with a limit, the CPU is treated as one that has memory of its own. */
static vg_device_kind kind_of(const vg_generate_params *p)
{
    return p->memory_limit ? VG_DEVICE_CUDA : p->device;
}

static size_t library_bytes(const vg_generate_params *p)
{
    return p->device == VG_DEVICE_CUDA ? VG_CUDA_LIBRARY_BYTES : 0;
}

/* The largest conditions that a run may have, without values. */
static void blank_conditions(const vg_model *model, const vg_generate_params *p,
                             vg_conditions *conditions)
{
    static float nothing; /* never read */
    vg_condition_spec specs[VG_CONDITIONS_MAX];
    conditions->count = model->family->conditions(model, p, specs);
    for (int i = 0; i < conditions->count; i++) {
        vg_condition *c = &conditions->list[i];
        *c = (vg_condition){.ndim = specs[i].ndim, .values = &nothing};
        snprintf(c->name, sizeof c->name, "%s", specs[i].name);
        memcpy(c->shape, specs[i].shape, sizeof c->shape);
    }
}

/* What the backend has counted since it held only weights. */
static void measure(const vg_backend *be, const vg_generate_params *p, size_t weights,
                    size_t weights_seen, vg_plan_stage *s)
{
    s->activations = be->bytes_peak - weights;
    s->workspace = be->reached - be->bytes_peak + library_bytes(p); /* staging, holes */
    /* Views into files are weights as well. */
    s->weights = be->ops->host_memory ? weights_seen : weights;
}

static vg_status run_steps(vg_denoise_run *r, vg_err *err)
{
    VG_TRY(vg_expert_bind(r, err));
    VG_TRY(vg_denoise_predict(r, 0, err));
    vg_guided v = vg_denoise_answer(r);
    for (int i = 0; i < REHEARSED_STEPS && i < r->p->steps; i++)
        VG_TRY(vg_scheduler_step(r->scheduler, &v, &r->x, err));
    return VG_OK;
}

static vg_status rehearse(vg_denoise_run *r, int expert, vg_plan_stage *s, vg_err *err)
{
    const vg_denoiser *d = r->family->denoiser;
    vg_backend *be = r->be;
    VG_TRY(vg_denoise_run_begin(r, NULL, err));
    size_t before = be->bytes_now;
    VG_TRY(vg_expert_open(r, expert, err));
    size_t weights = be->bytes_now - before;
    be->bytes_peak = be->bytes_now;
    VG_TRY(run_steps(r, err));
    *s = (vg_plan_stage){.blocks = d->blocks(r->model, expert),
                         .streamed = r->streamed[expert],
                         .host = d->host_bytes(r->denoiser)};
    measure(be, r->p, weights, vg_module_bytes(d->module(r->denoiser)), s);
    return VG_OK;
}

vg_status vg_rehearse_expert(const vg_model *model, const vg_generate_params *p, int expert,
                             int streamed, vg_plan_stage *s, vg_err *err)
{
    vg_engine engine = {.threads = 1};
    vg_conditions conditions = {0};
    vg_denoise_run r;
    vg_status status = VG_OK;
    VG_TRY(vg_dry_backend_open(kind_of(p), &engine.be, err));
    blank_conditions(model, p, &conditions);
    vg_denoise_run_init(&r, &engine, model, p, &conditions);
    r.preview = !p->calibrating;
    r.streamed[expert] = streamed;
    if (p->calibrating)
        status = vg_calibration_new(&r.calibration, err);
    if (status == VG_OK)
        status = rehearse(&r, expert, s, err);
    vg_denoise_run_release(&r);
    vg_calibration_free(r.calibration);
    vg_backend_close(engine.be);
    return status;
}

vg_status vg_rehearse_part(const vg_model *model, const vg_generate_params *p,
                           const vg_stage_part *part, vg_plan_stage *s, vg_err *err)
{
    vg_engine engine = {.threads = 1};
    void *self = NULL;
    char dir[64];
    vg_status status;
    VG_TRY(vg_dry_backend_open(kind_of(p), &engine.be, err));
    vg_backend *be = engine.be;
    snprintf(dir, sizeof dir, VG_DUMMY_PREFIX "%s", part->component); /* shapes are the config's */
    VG_TRY_GOTO(status, part->open(&engine, model, p, dir, &self, err), done);
    size_t weights = be->bytes_now;
    be->bytes_peak = weights;
    VG_TRY_GOTO(status, part->rehearse(self, model, p, err), done);
    measure(be, p, weights, part->weight_bytes ? part->weight_bytes(self) : weights, s);
done:
    if (self)
        part->close(self);
    vg_backend_close(be);
    return status;
}
