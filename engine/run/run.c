/* run.c: engines, models, events, and dispatch to the model's family. */
#include "engine/checkpoint/dummy.h"
#include "kernels/base/hash.h"
#include "engine/checkpoint/loader.h"
#include "engine/run/limits.h"
#include "engine/run/model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *vg_compute_name(vg_compute compute)
{
    static const char *const names[VG_COMPUTE_COUNT] = {
#define VG_COMPUTE(id, name) name,
#include "engine/run/computes.def"
#undef VG_COMPUTE
    };
    return (unsigned)compute < VG_COMPUTE_COUNT ? names[compute] : "?";
}

const char *vg_stage_name(vg_stage stage)
{
    static const char *const names[VG_STAGE_COUNT] = {"load",      "text",    "encode",
                                                      "calibrate", "denoise", "decode"};
    return (unsigned)stage < VG_STAGE_COUNT ? names[stage] : "?";
}

/* ---- model ---- */

static vg_status find_family(const vg_checkpoint *checkpoint, const vg_family **family, vg_err *err)
{
    const vg_family *found = NULL;
    for (int i = 0; i < vg_families_count; i++) {
        if (!vg_families[i]->probe(checkpoint))
            continue;
        if (found)
            return VG_FAIL(err, VG_E_FORMAT, "%s is claimed by two model families, %s and %s",
                           vg_checkpoint_dir(checkpoint), found->name, vg_families[i]->name);
        found = vg_families[i];
    }
    if (!found) {
        const char *transformer = vg_checkpoint_component(checkpoint, "transformer");
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: no model family here runs a %s with transformer %s",
                       vg_checkpoint_dir(checkpoint), vg_checkpoint_class(checkpoint),
                       transformer ? transformer : "(none)");
    }
    *family = found;
    return VG_OK;
}

vg_status vg_model_open(const char *dir, vg_load_format format, vg_model **model, vg_err *err)
{
    vg_status status;
    vg_model *m = calloc(1, sizeof *m);
    if (!m)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the model");
    m->dummy = format == VG_LOAD_DUMMY;
    VG_TRY_GOTO(status, vg_checkpoint_open(dir, &m->checkpoint, err), fail);
    VG_TRY_GOTO(status, find_family(m->checkpoint, &m->family, err), fail);
    VG_TRY_GOTO(status, vg_checkpoint_defaults_read(m->checkpoint, &m->own, err), fail);
    VG_TRY_GOTO(status, m->family->config_load(m->checkpoint, &m->own, &m->config, err), fail);
    *model = m;
    return VG_OK;
fail:
    vg_model_close(m);
    return status;
}

void vg_model_close(vg_model *model)
{
    if (!model)
        return;
    if (model->family && model->config)
        model->family->config_free(model->config);
    vg_checkpoint_close(model->checkpoint);
    free(model);
}

const char *vg_model_family_name(const vg_model *model)
{
    return model->family->name;
}

const char *vg_model_modes(const vg_model *model)
{
    return model->family->modes;
}

vg_status vg_model_component_dir(const vg_model *model, const char *component, char **dir,
                                 vg_err *err)
{
    *dir = vg_path_join(vg_checkpoint_dir(model->checkpoint), component);
    return *dir ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
}

vg_status vg_model_weights_dir(const vg_model *model, const char *component, char **dir,
                               vg_err *err)
{
    *dir = vg_strf("%s%s/%s", model->dummy ? VG_DUMMY_PREFIX : "",
                   vg_checkpoint_dir(model->checkpoint), component);
    return *dir ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
}

vg_status vg_model_identity(const vg_model *model, char identity[17], vg_err *err)
{
    uint64_t hash = VG_FNV1A_BEGIN; /* over the components' names and identities */
    for (const char *const *c = model->family->components; *c; c++) {
        char *dir;
        vg_weights *weights;
        if (!vg_checkpoint_component(model->checkpoint, *c))
            continue;
        VG_TRY(vg_model_weights_dir(model, *c, &dir, err));
        vg_status status = vg_weights_open(dir, &weights, err);
        free(dir);
        VG_TRY(status);
        uint64_t id = vg_weights_identity(weights);
        vg_weights_close(weights);
        hash = vg_fnv1a_number(vg_fnv1a(hash, *c, strlen(*c)), id);
    }
    snprintf(identity, 17, "%016" PRIx64, hash);
    return VG_OK;
}

/* ---- settings ---- */

void vg_generate_params_init(vg_generate_params *params)
{
    *params = (vg_generate_params){.seed = 42,
                                   .height = VG_UNSET_INT,
                                   .width = VG_UNSET_INT,
                                   .num_frames = VG_UNSET_INT,
                                   .steps = VG_UNSET_INT,
                                   .guidance_scale = VG_UNSET_DOUBLE,
                                   .guidance_scale_2 = VG_UNSET_DOUBLE,
                                   .boundary_ratio = VG_UNSET_DOUBLE,
                                   .flow_shift = VG_UNSET_DOUBLE,
                                   .flow_grid = VG_UNSET_INT,
                                   .scheme = VG_SCHEME_BF16,
                                   .fp8_act = VG_FP8_ACT_STATIC,
                                   .compute = VG_COMPUTE_BF16,
                                   .vae_compute = VG_COMPUTE_F32,
                                   .max_text_tokens = 512,
                                   .max_steps_run = VG_UNSET_INT};
}

static vg_status check_enums(const vg_generate_params *p, vg_err *err)
{
    if ((unsigned)p->scheme >= VG_SCHEME_COUNT || (unsigned)p->fp8_act >= VG_FP8_ACT_COUNT ||
        (unsigned)p->compute >= VG_COMPUTE_COUNT || (unsigned)p->vae_compute >= VG_COMPUTE_COUNT ||
        (unsigned)p->attention_kernel >= VG_ATTENTION_KERNEL_COUNT)
        return VG_FAIL(err, VG_E_ARG,
                       "scheme, fp8_act, compute, vae_compute or attention_kernel is out of range");
    return VG_OK;
}

vg_status vg_model_defaults(const vg_model *model, vg_generate_params *params, vg_err *err)
{
    vg_generate_params p = *params;
    vg_checkpoint_defaults_apply(&model->own, &p);
    VG_TRY(vg_limits_check(&p, err));
    VG_TRY(check_enums(&p, err));
    VG_TRY(model->family->defaults(model, &p, err));
    VG_TRY(vg_limits_check(&p, err)); /* of what the checkpoint's configs filled in */
    *params = p;
    return VG_OK;
}

/* ---- events ---- */

void vg_emit(const vg_callbacks *cb, const vg_event *event)
{
    if (cb && cb->event)
        cb->event(cb->user, event);
}

void vg_emit_stage(const vg_callbacks *cb, vg_event_kind kind, vg_stage stage, const char *detail,
                   double seconds)
{
    vg_emit(cb, &(vg_event){.kind = kind, .stage = stage, .detail = detail, .seconds = seconds});
}

void vg_emit_progress(const vg_callbacks *cb, vg_stage stage, const char *detail, int done, int of)
{
    vg_emit(cb, &(vg_event){.kind = VG_EVENT_PROGRESS,
                            .stage = stage,
                            .detail = detail,
                            .step = done,
                            .steps = of});
}

void vg_emit_note(const vg_callbacks *cb, vg_stage stage, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vg_emit(cb, &(vg_event){.kind = VG_EVENT_NOTE, .stage = stage, .detail = text});
}

/* ---- dispatch ---- */

/* While a call runs, its cancel flag reaches into single operations. The kernels that its settings ask for end with it. */
static vg_status uncancel(vg_engine *engine, vg_status status)
{
    engine->be->cancel = NULL;
    engine->be->attention = VG_ATTENTION_AUTO;
    return status;
}

static vg_engine *cancellable(vg_engine *engine, const vg_callbacks *cb)
{
    engine->be->cancel = cb ? cb->cancel : NULL;
    return engine;
}

vg_status vg_encode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_callbacks *cb, vg_conditioning *out, vg_err *err)
{
    return uncancel(engine,
                    model->family->encode(cancellable(engine, cb), model, params, cb, out, err));
}

vg_status vg_encode_image(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                          const vg_frames *image, const vg_callbacks *cb, vg_latents *out,
                          vg_err *err)
{
    if (!model->family->encode_image)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s takes no image", model->family->title);
    return uncancel(engine, model->family->encode_image(cancellable(engine, cb), model, params,
                                                        image, cb, out, err));
}

vg_status vg_denoiser_kernels(vg_backend *be, const vg_generate_params *p, vg_err *err)
{
    vg_device_info info;
    be->fp8_exact = p->fp8_exact;
    be->attention = p->attention_kernel;
    if (p->attention_kernel != VG_ATTENTION_SM90 || be->ops->kind != VG_DEVICE_CUDA)
        return VG_OK;
    VG_TRY(vg_backend_info(be, &info, err));
    if (info.capability != 90)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "attention_kernel sm90 needs compute capability 9.0, this GPU has %d.%d",
                       info.capability / 10, info.capability % 10);
    return VG_OK;
}

vg_status vg_denoise(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                     const vg_conditioning *text, const vg_denoise_state *resume,
                     const vg_callbacks *cb, vg_latents *out, vg_err *err)
{
    VG_TRY(vg_denoiser_kernels(engine->be, params, err));
    if (params->attention_kernel != VG_ATTENTION_AUTO && engine->be->ops->kind == VG_DEVICE_CPU)
        vg_emit_note(cb, VG_STAGE_DENOISE, "attention_kernel %s: the CPU has one kernel only",
                     vg_attention_kernel_name(params->attention_kernel));
    return uncancel(engine, model->family->denoise(cancellable(engine, cb), model, params, text,
                                                   resume, cb, out, err));
}

vg_status vg_decode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_latents *latents, const vg_callbacks *cb, vg_frames *out, vg_err *err)
{
    return uncancel(engine, model->family->decode(cancellable(engine, cb), model, params, latents,
                                                  cb, out, err));
}

vg_status vg_model_precision(vg_model *model, const vg_generate_params *params,
                             vg_precision_report *report, vg_err *err)
{
    return model->family->precision(model, params, report, err);
}

vg_status vg_model_needs_input_scales(const vg_model *model, const vg_generate_params *params,
                                      bool *needed, vg_err *err)
{
    bool made = false;
    if (params->scheme == VG_SCHEME_FP8 && params->fp8_act == VG_FP8_ACT_STATIC)
        VG_TRY(model->family->needs_input_scales(model, &made, err));
    *needed = made;
    return VG_OK;
}

vg_status vg_plan_make(const vg_model *model, const vg_generate_params *params, vg_plan *plan,
                       vg_err *err)
{
    return vg_plan_stages(model, params, NULL, plan, err);
}

vg_status vg_plan_stages(const vg_model *model, const vg_generate_params *params,
                         const char *const *stages, vg_plan *plan, vg_err *err)
{
    vg_plan p = {0};
    VG_TRY(model->family->plan(model, params, stages, &p, err));
    size_t most = 0;
    for (int i = 0; i < p.count; i++) {
        size_t total = vg_plan_total(&p.stages[i]);
        if (total > most) {
            most = total;
            p.peak = i;
        }
    }
    *plan = p;
    return VG_OK;
}
