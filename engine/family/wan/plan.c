/* plan.c: what a generation will need, before anything is allocated, and which precision the layers will run in. Headers only. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vae.h"
#include "engine/checkpoint/dummy.h"
#include "engine/checkpoint/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static vg_plan_stage *add_stage(vg_plan *plan, const char *name)
{
    vg_plan_stage *s = &plan->stages[plan->count++];
    *s = (vg_plan_stage){0};
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

static vg_status expert_report(const vg_model *model, const vg_generate_params *p, int expert,
                               vg_precision_report *report, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    vg_module_options options = {
        .compute = vg_compute_dtype(p->compute), .scheme = (int)p->scheme, .fp8_act = p->fp8_act};
    vg_weight_table table = {0};
    vg_weights *weights;
    VG_TRY(vg_model_weights(model, wan_expert_names[expert], &weights, err));
    vg_status status = wan_dit_weights(&c->dit[expert], wan_expert_names[expert], &table, err);
    if (status == VG_OK)
        status = vg_precision_report_add(report, &table, weights, &options, err);
    vg_weight_table_deinit(&table);
    vg_weights_close(weights);
    return status;
}

vg_status wan_precision(const vg_model *model, const vg_generate_params *p,
                        vg_precision_report *report, vg_err *err)
{
    vg_precision_report r = {0};
    snprintf(r.act, sizeof r.act, "-");
    for (int e = 0; e < wan_config_of(model)->experts; e++)
        VG_TRY(expert_report(model, p, e, &r, err));
    *report = r;
    return VG_OK;
}

vg_status wan_needs_input_scales(const vg_model *model, bool *needed, vg_err *err)
{
    *needed = false;
    for (int e = 0; e < wan_config_of(model)->experts; e++) {
        vg_precision_census census;
        vg_weights *weights;
        VG_TRY(vg_model_weights(model, wan_expert_names[e], &weights, err));
        vg_precision_census_take(weights, &census);
        vg_weights_close(weights);
        *needed = *needed || census.fp8 == 0;
    }
    return VG_OK;
}

/* ---- memory ---- */

/* Which device a plan is for: with a limit, the CPU is treated as one that has memory of its own. */
static vg_device_kind kind_of(const vg_generate_params *p)
{
    return p->memory_limit ? VG_DEVICE_CUDA : p->device;
}

static size_t library_bytes(const vg_generate_params *p)
{
    return p->device == VG_DEVICE_CUDA ? VG_CUDA_LIBRARY_BYTES : 0;
}

/* One expert, by running what will be run on a backend that only counts. */
static vg_status plan_streamed(const vg_model *model, const vg_generate_params *p, int expert,
                               int streamed, vg_plan_stage *s, vg_err *err)
{
    vg_engine engine = {.threads = 1};
    vg_status status;
    VG_TRY(vg_dry_backend_open(kind_of(p), &engine.be, err));
    status = wan_rehearse(&engine, model, p, expert, streamed, s, err);
    if (status == VG_OK)
        s->workspace += library_bytes(p);
    vg_backend_close(engine.be);
    return status;
}

/* As few streamed blocks as the limit allows. Every one but the slots' own saves a block's bytes, so the number is computed from two
 * plans; two more confirm it, and others follow if blocks differ in size. */
static vg_status plan_expert(const vg_model *model, const vg_generate_params *p, int expert,
                             vg_plan_stage *s, vg_err *err)
{
    size_t limit = p->memory_limit;
    vg_plan_stage all, some;
    VG_TRY(plan_streamed(model, p, expert, 0, &all, err));
    int blocks = all.blocks, first = VG_STREAM_SLOTS + 1, streamed = first;
    *s = all;
    if (!limit || vg_plan_total(&all) <= limit || blocks < first)
        return VG_OK;
    VG_TRY(plan_streamed(model, p, expert, first, &some, err));
    size_t over = vg_plan_total(&all) - limit,
           block = vg_plan_total(&all) > vg_plan_total(&some)
                       ? vg_plan_total(&all) - vg_plan_total(&some)
                       : 1;
    size_t wanted = VG_STREAM_SLOTS + (over + block - 1) / block;
    streamed = wanted > (size_t)blocks ? blocks : (int)wanted < first ? first : (int)wanted;
    for (;; streamed++) {
        VG_TRY(plan_streamed(model, p, expert, streamed, s, err));
        if (vg_plan_total(s) <= limit || streamed == blocks)
            break;
    }
    while (vg_plan_total(s) <= limit && streamed > first) {
        VG_TRY(plan_streamed(model, p, expert, --streamed, &some, err));
        if (vg_plan_total(&some) > limit)
            break;
        *s = some;
    }
    return VG_OK;
}

static vg_status plan_calibration(const vg_model *model, const vg_generate_params *p, vg_plan *plan,
                                  vg_err *err)
{
    vg_generate_params calibration = *p;
    vg_plan_stage *s, stage;
    bool needed = p->calibrating;
    if (!needed && p->scheme == VG_SCHEME_FP8 && p->fp8_act == VG_FP8_ACT_STATIC &&
        !p->input_scales)
        VG_TRY(wan_needs_input_scales(model, &needed, err));
    if (!needed)
        return VG_OK;
    calibration.scheme = VG_SCHEME_BF16;
    calibration.calibrating = true;
    s = add_stage(plan, "calibrate");
    for (int e = 0; e < wan_config_of(model)->experts; e++) {
        VG_TRY(plan_expert(model, &calibration, e, &stage, err));
        memcpy(stage.name, s->name, sizeof stage.name);
        if (vg_plan_total(&stage) > vg_plan_total(s))
            *s = stage;
    }
    return VG_OK;
}

#define REHEARSED_FRAMES                                                                           \
    9 /* of the encoder: chunks of one, four and four frames; all later ones are like the last */

/* Addresses of host memory for latents and pictures that nobody makes, however large the clip; NULL: none left. */
static void *take_addresses(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void give_addresses(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

/* Run one half of the VAE over the clip, or over one tile of it, whose frames come to the host as FP32. */
static vg_status run_vae(wan_vae *vae, const int64_t latent[4], int frames, bool encoder, bool tile,
                         vg_err *err)
{
    const wan_vae_config *c = &vae->config;
    int64_t height = latent[2] * c->spatial, width = latent[3] * c->spatial;
    int64_t shown = encoder ? (frames < REHEARSED_FRAMES ? frames : REHEARSED_FRAMES) : frames;
    const int64_t shape[4] = {3, shown, height, width};
    size_t latent_bytes = (size_t)(2 * latent[0] * latent[1] * latent[2] * latent[3]) * 4;
    size_t pixel_bytes =
        (size_t)(3 * shown * height * width) * (encoder || tile ? sizeof(float) : 1);
    float *latents = take_addresses(latent_bytes);
    void *pixels = take_addresses(pixel_bytes);
    vg_status status = VG_OK;
    if (!latents || !pixels)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for planning %d frames", frames);
    else if (encoder)
        status = wan_vae_encode(vae, pixels, shape, false, NULL, latents, err);
    else
        status = wan_vae_decode(vae, latents, latent, true, false, NULL, tile ? NULL : pixels,
                                tile ? pixels : NULL, err);
    give_addresses(pixels, pixel_bytes);
    give_addresses(latents, latent_bytes);
    return status;
}

static vg_status plan_vae(const vg_model *model, const vg_generate_params *p,
                          const int64_t shape[4], bool encoder, vg_plan_stage *s, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t tile = WAN_TILE / c->vae.spatial, latent[4] = {shape[0], shape[1], shape[2], shape[3]};
    vg_engine engine = {.threads = 1};
    wan_vae *vae = NULL;
    vg_status status;
    bool tiled = p->vae_tiling && (latent[2] > tile || latent[3] > tile);
    for (int i = 2; i < 4; i++)
        if (tiled && latent[i] > tile)
            latent[i] = tile;
    VG_TRY(vg_dry_backend_open(kind_of(p), &engine.be, err));
    VG_TRY_GOTO(status,
                wan_vae_open(&engine, VG_DUMMY_PREFIX "vae", &c->vae, /* shapes are the config's */
                             vg_compute_dtype(p->vae_compute),
                             encoder ? WAN_VAE_ENCODER : WAN_VAE_DECODER, &vae, err),
                done);
    size_t weights = engine.be->bytes_now;
    engine.be->bytes_peak = weights;
    VG_TRY_GOTO(status, run_vae(vae, latent, p->num_frames, encoder, tiled, err), done);
    s->weights = engine.be->ops->host_memory ? vg_module_bytes(vae->module) : weights;
    s->activations = engine.be->bytes_peak - weights;
    s->workspace = engine.be->reached - engine.be->bytes_peak + library_bytes(p);
done:
    wan_vae_close(vae);
    vg_backend_close(engine.be);
    return status;
}

static vg_status plan_text(const vg_model *model, const vg_generate_params *p, vg_plan_stage *s,
                           vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    vg_engine engine = {.threads = 1};
    vg_backend *be;
    VG_TRY(vg_dry_backend_open(kind_of(p), &be, err));
    engine.be = be;
    vg_status status =
        vg_umt5_rehearse(&engine, VG_DUMMY_PREFIX "text_encoder", &c->text,
                         vg_compute_dtype(p->compute), p->max_text_tokens, &s->weights, err);
    if (status == VG_OK) {
        s->activations = be->bytes_peak - s->weights;
        s->workspace = be->reached - be->bytes_peak + library_bytes(p);
    }
    vg_backend_close(be);
    return status;
}

/* Is a stage asked for? stages: NULL-terminated names, or NULL for all. */
static bool wants(const char *const *stages, const char *name)
{
    if (!stages)
        return true;
    for (; *stages; stages++)
        if (strcmp(*stages, name) == 0)
            return true;
    return false;
}

vg_status wan_plan(const vg_model *model, const vg_generate_params *p, const char *const *stages,
                   vg_plan *plan, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t latent[4];
    int forwards = p->guidance_scale > 1 ? 2 : 1;
    VG_TRY(wan_need_vae(model, err));
    wan_latent_shape(c, p, latent);
    if (c->has_text && wants(stages, "text"))
        VG_TRY(plan_text(model, p, add_stage(plan, "text"), err));
    if (c->image && wants(stages, "encode"))
        VG_TRY(plan_vae(model, p, latent, true, add_stage(plan, "encode"), err));
    if (wants(stages, "calibrate"))
        VG_TRY(plan_calibration(model, p, plan, err));
    for (int e = 0; e < c->experts; e++) {
        vg_plan_stage expert;
        if (!wants(stages, wan_expert_names[e]))
            continue;
        VG_TRY(plan_expert(model, p, e, &expert, err));
        vg_plan_stage *s = add_stage(plan, wan_expert_names[e]);
        memcpy(expert.name, s->name, sizeof expert.name);
        *s = expert;
    }
    if (wants(stages, "decode"))
        VG_TRY(plan_vae(model, p, latent, false, add_stage(plan, "decode"), err));
    plan->tokens = wan_dit_tokens(&c->dit[0], latent);
    memcpy(plan->latent, latent, sizeof plan->latent);
    plan->text_dim = c->dit[0].text_dim;
    plan->condition_channels = wan_condition_channels(c);
    plan->tflop_per_step =
        forwards * wan_dit_flop(&c->dit[0], plan->tokens, p->max_text_tokens) * 1e-12;
    return VG_OK;
}
