/* attention.c: see attention.h. */
#include "engine/run/attention.h"

#include "engine/run/denoise.h"
#include "engine/run/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- may it be had? ---- */

static bool wanted(const vg_attention_request *a)
{
    return a->mode != VG_ATTEND_BF16 || a->self_test;
}

/* Whoever insists is refused where there is no kernel; auto does without. */
static bool insists(const vg_attention_request *a)
{
    return a->mode == VG_ATTEND_QK8V8 || a->self_test;
}

vg_status vg_attention_check_model(const vg_model *model, const vg_generate_params *p, vg_err *err)
{
    const vg_attention_request *a = &p->attention;
    const vg_denoiser *d = model->family->denoiser;
    if ((unsigned)a->mode >= VG_ATTEND_COUNT || (unsigned)a->recipe >= VG_ATTEND_RECIPE_COUNT)
        return VG_FAIL(err, VG_E_ARG, "attention or attention_recipe is out of range");
    if (!insists(a))
        return VG_OK;
    if (!d->head_dim)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "attention %s: models of family %s have BF16 attention only",
                       vg_attend_name(a->mode), model->family->name);
    for (int e = 0; e < model->family->experts_count(model); e++)
        VG_TRY(vg_attend_check_head(a->recipe, d->head_dim(model, e), err));
    return VG_OK;
}

/* Of the first expert: those of a model are alike. */
static vg_status check(vg_backend *be, const vg_model *model, const vg_generate_params *p,
                       vg_err *err)
{
    const vg_denoiser *d = model->family->denoiser;
    if (!d->head_dim)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "models of family %s have BF16 attention only",
                       model->family->name);
    return vg_attend_check(be, p->attention.recipe, vg_compute_dtype(p->compute),
                           d->head_dim(model, 0), err);
}

vg_status vg_attention_check_device(vg_backend *be, const vg_model *model,
                                    const vg_generate_params *p, vg_err *err)
{
    vg_err inner = {0};
    if (!insists(&p->attention))
        return VG_OK;
    vg_status status = check(be, model, p, &inner);
    if (status == VG_E_UNSUPPORTED)
        return VG_FAIL(err, status, "%s: %s",
                       p->attention.mode == VG_ATTEND_QK8V8 ? "attention qk8v8"
                                                            : "attention_self_test",
                       inner.message);
    if (status != VG_OK && err)
        *err = inner;
    return status;
}

/* ---- layers of a run ---- */

static int layers_of(const vg_model *model)
{
    int most = 0;
    for (int e = 0; e < model->family->experts_count(model); e++) {
        int blocks = model->family->denoiser->blocks(model, e);
        most = blocks > most ? blocks : most;
    }
    return most;
}

static int layers_kept(const vg_model *model, const vg_generate_params *p)
{
    return wanted(&p->attention) ? layers_of(model) * model->family->experts_count(model) : 0;
}

bool vg_attention_state_fits(const vg_model *model, const vg_generate_params *p,
                             const vg_denoise_state *state)
{
    return state->attention_count == layers_kept(model, p);
}

static vg_status choose(vg_denoise_run *r, vg_err *err)
{
    const vg_attention_request *a = &r->p->attention;
    vg_err inner = {0};
    VG_TRY(vg_attention_check_device(r->be, r->model, r->p, err));
    r->attention.tests = a->self_test;
    r->attention.eight = a->mode == VG_ATTEND_QK8V8;
    if (a->mode != VG_ATTEND_AUTO)
        return VG_OK;
    r->attention.eight = check(r->be, r->model, r->p, &inner) == VG_OK;
    if (!r->attention.eight)
        vg_emit_note(r->cb, r->stage, "attention auto: BF16; %s", inner.message);
    return VG_OK;
}

vg_status vg_attention_begin(vg_denoise_run *r, const vg_denoise_state *resume, vg_err *err)
{
    vg_attention_run *run = &r->attention;
    int count = layers_kept(r->model, r->p);
    if (r->calibration || count == 0)
        return VG_OK;
    if (count > VG_ATTENTION_LAYERS_MAX)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "attention %s: a model of %d layers, at most %d can be kept apart",
                       vg_attend_name(r->p->attention.mode), count, VG_ATTENTION_LAYERS_MAX);
    VG_TRY(choose(r, err));
    run->experts = r->family->experts_count(r->model);
    run->per_expert = layers_of(r->model);
    run->layers = calloc((size_t)count, sizeof *run->layers);
    if (!run->layers)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the attention of %d layers", count);
    if (!resume)
        return VG_OK;
    if (resume->attention_count != count)
        return VG_FAIL(err, VG_E_SHAPE,
                       "the saved state knows the attention of %d layers, the model has %d",
                       resume->attention_count, count);
    memcpy(run->layers, resume->attention, (size_t)count * sizeof *run->layers);
    for (int i = 0; i < count; i++)
        run->layers[i].told = run->layers[i].tests == 0;
    return VG_OK;
}

void vg_attention_release(vg_denoise_run *r)
{
    free(r->attention.layers);
    r->attention = (vg_attention_run){0};
}

/* ---- steps ---- */

static vg_attention_layer *layers_of_expert(const vg_denoise_run *r, int expert)
{
    return r->attention.layers + (ptrdiff_t)expert * r->attention.per_expert;
}

static bool tested(const vg_denoise_run *r, int expert)
{
    const vg_attention_layer *layers = layers_of_expert(r, expert);
    for (int i = 0; i < r->attention.per_expert; i++)
        if (layers[i].tests > 0)
            return true;
    return false;
}

/* The first step of an expert that may use 8 bits tests them; a rehearsal does all that any step may do. */
const vg_attention_step *vg_attention_for_step(vg_denoise_run *r, int step)
{
    vg_attention_run *run = &r->attention;
    const vg_attention_request *a = &r->p->attention;
    bool dry = r->be->ops->dry,
         open = dry || (step >= a->first_steps && step < r->p->steps - a->last_steps);
    if (!run->layers || !(run->eight || run->tests))
        return NULL;
    run->step = (vg_attention_step){
        .request = a,
        .layers = layers_of_expert(r, r->expert),
        .count = r->family->denoiser->blocks(r->model, r->expert),
        .use = run->eight && open,
        .test = run->tests || (run->eight && open && !tested(r, r->expert)) || (dry && run->eight)};
    return &run->step;
}

/* ---- telling ---- */

/* Of an expert, after a test: how many layers, the worst of them, and those that missed. */
static void tell_expert(const vg_denoise_run *r, int expert)
{
    const vg_attention_layer *layers = layers_of_expert(r, expert);
    const vg_attention_request *a = &r->p->attention;
    int count = 0, missed = 0, worst = -1;
    for (int i = 0; i < r->attention.per_expert; i++) {
        if (layers[i].tests == 0)
            continue;
        count++;
        missed += layers[i].missed;
        if (worst < 0 || !(layers[i].cosine >= layers[worst].cosine))
            worst = i;
    }
    if (count > 0)
        vg_emit_note(
            r->cb, r->stage,
            "%s: 8-bit attention against BF16 in %d layers: least cosine %.6f (block %d), "
            "%d of them below %g%s",
            r->family->experts[expert], count, layers[worst].cosine, worst, missed, a->limit,
            r->attention.eight ? missed ? ", these go on in BF16" : "" : "; all stay in BF16");
}

static bool tell_layer(const vg_denoise_run *r, int expert, int i)
{
    vg_attention_layer *layer = &layers_of_expert(r, expert)[i];
    if (layer->told)
        return false;
    layer->told = true;
    vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_ATTENTION,
                               .stage = r->stage,
                               .detail = r->family->experts[expert],
                               .expert = expert,
                               .step = i,
                               .attention = layer});
    if (layer->missed && r->attention.eight)
        vg_emit_note(r->cb, r->stage,
                     "%s block %d: 8-bit attention has cosine %.6f, relative L2 %.4f, largest "
                     "error %.3g: it goes on in BF16",
                     r->family->experts[expert], i, layer->cosine, layer->relative_l2,
                     layer->largest_error);
    return true;
}

void vg_attention_tell(vg_denoise_run *r)
{
    const vg_attention_run *run = &r->attention;
    for (int e = 0; e < run->experts && run->layers; e++) {
        bool any = false;
        for (int i = 0; i < run->per_expert; i++) {
            bool fresh = layers_of_expert(r, e)[i].tests > 0 && tell_layer(r, e, i);
            any = any || fresh;
        }
        if (any)
            tell_expert(r, e);
    }
}
