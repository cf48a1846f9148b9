/* budget.c: see budget.h. */
#include "engine/run/budget.h"
#include "engine/run/rehearse.h"
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <string.h>

#define MARGIN                                                                                     \
    ((size_t)1                                                                                     \
     << 30) /* of a device's free memory: the driver's own needs, and other programs' small ones */

vg_status vg_budget_limit(vg_engine *engine, const vg_generate_params *p, size_t *limit,
                          vg_err *err)
{
    vg_backend *be = engine->be;
    vg_device_info info;
    be->separate = be->ops->host_memory && p->memory_limit > 0;
    be->limit = p->memory_limit;
    *limit = p->memory_limit;
    if (vg_backend_reads_host(be) || p->memory_limit > 0)
        return VG_OK;
    VG_TRY(vg_backend_info(be, &info, err));
    size_t there = info.memory_free + (be->pool ? vg_pool_bytes(be->pool) : 0) + be->kept;
    *limit = there > 2 * MARGIN ? there - MARGIN : there / 2;
    return VG_OK;
}

vg_status vg_budget_check_size(const vg_generate_params *p, vg_err *err)
{
    char wanted[32], there[32];
    uint64_t frames = (uint64_t)p->num_frames * (uint64_t)p->height * (uint64_t)p->width * 3;
    uint64_t total = vg_memory_total();
    if (total == 0 || frames <= total)
        return VG_OK;
    return VG_FAIL(err, VG_E_ARG,
                   "height x width x num_frames: the frames of %dx%dx%d alone are %s, this machine "
                   "has %s of memory; make it smaller",
                   p->height, p->width, p->num_frames, vg_text_bytes(frames, wanted, sizeof wanted),
                   vg_text_bytes(total, there, sizeof there));
}

/* ---- what would fit ---- */

typedef struct change {
    bool tiling, fp8;
    int size, frames; /* divisors */
} change;

/* From what costs least to what changes the clip most. */
static const change changes[] = {
    {.tiling = true, .size = 1, .frames = 1},
    {.fp8 = true, .size = 1, .frames = 1},
    {true, true, 1, 1},
    {true, true, 1, 2},
    {.size = 2, .frames = 1},
    {true, true, 2, 1},
    {true, true, 2, 2},
    {true, true, 4, 4},
};

/* Does it change anything at all? */
static bool is_new(const vg_generate_params *p, const change *c)
{
    return (c->tiling && !p->vae_tiling) || (c->fp8 && p->scheme == VG_SCHEME_BF16) ||
           c->size > 1 || c->frames > 1;
}

static bool fits(const vg_model *model, const vg_generate_params *p, size_t limit)
{
    vg_plan plan;
    if (vg_budget_check_size(p, NULL) != VG_OK || vg_plan_make(model, p, &plan, NULL) != VG_OK)
        return false;
    return vg_plan_total(&plan.stages[plan.peak]) <= limit;
}

static size_t say(char *text, size_t size, size_t at, const char *what)
{
    int n = snprintf(text + at, size - at, "%s%s", at ? " " : "", what);
    return n > 0 && (size_t)n < size - at ? at + (size_t)n : at;
}

/* "--quantization fp8 --vae-use-tiling"; false when nothing that is tried fits. */
static bool advise(const vg_model *model, const vg_generate_params *params, size_t limit,
                   char *text, size_t size)
{
    vg_geometry g;
    model->family->geometry(model, &g);
    int rows = g.spatial * g.patch[1], columns = g.spatial * g.patch[2];
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const change *c = &changes[i];
        vg_generate_params p = *params;
        char part[64];
        size_t at = 0;
        if (!is_new(params, c))
            continue;
        p.memory_limit = limit;
        p.init_latents = NULL; /* of another size, perhaps */
        p.vae_tiling = p.vae_tiling || c->tiling;
        p.scheme = c->fp8 && p.scheme == VG_SCHEME_BF16 ? VG_SCHEME_FP8_BLOCK : p.scheme;
        p.height = params->height / c->size / rows * rows;
        p.width = params->width / c->size / columns * columns;
        p.num_frames = (params->num_frames - 1) / c->frames / g.temporal * g.temporal + 1;
        if (c->size == 1) {
            p.height = params->height;
            p.width = params->width;
        }
        if (vg_model_defaults(model, &p, NULL) != VG_OK || !fits(model, &p, limit))
            continue;
        text[0] = 0;
        if (p.scheme != params->scheme)
            at = say(text, size, at, "--quantization fp8-block");
        if (p.vae_tiling != params->vae_tiling)
            at = say(text, size, at, "--vae-use-tiling");
        if (p.height != params->height || p.width != params->width) {
            snprintf(part, sizeof part, "--height %d --width %d", p.height, p.width);
            at = say(text, size, at, part);
        }
        if (p.num_frames != params->num_frames) {
            snprintf(part, sizeof part, "--num-frames %d", p.num_frames);
            say(text, size, at, part);
        }
        return true;
    }
    return false;
}

static void advice_text(const vg_model *model, const vg_generate_params *p, size_t limit,
                        char *text, size_t size)
{
    char advice[160];
    if (advise(model, p, limit, advice, sizeof advice))
        snprintf(text, size, "it would fit with %s", advice);
    else
        snprintf(text, size, "no smaller size that was tried fits either");
}

static vg_status refuse(const vg_model *model, const vg_generate_params *p,
                        const vg_plan_stage *stage, size_t limit, vg_err *err)
{
    char wanted[32], there[32], streamed[64] = "", advice[224];
    if (stage->streamed)
        snprintf(streamed, sizeof streamed, " even with %d of %d blocks on the host",
                 stage->streamed, stage->blocks);
    advice_text(model, p, limit, advice, sizeof advice);
    return VG_FAIL(err, VG_E_NOMEM,
                   "stage %s does not fit: it wants %s (%zu bytes)%s, %s %s (%zu bytes); %s",
                   stage->name, vg_text_bytes(vg_plan_total(stage), wanted, sizeof wanted),
                   vg_plan_total(stage), streamed, vg_text_bytes(limit, there, sizeof there),
                   p->memory_limit ? "are allowed by --vram-limit" : "are free", limit, advice);
}

/* A failure in the middle of things, with the stage and the same advice. */
static void explain(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                    const char *stage, vg_err *err)
{
    vg_generate_params p = *params;
    char advice[224], message[VG_ERR_MESSAGE_MAX];
    size_t limit = 0;
    if (!err)
        return;
    vg_err_prefix(err, "stage %s", stage);
    p.device = engine->be->ops->kind;
    if (vg_budget_limit(engine, params, &limit, NULL) != VG_OK || !limit)
        return;
    advice_text(model, &p, limit, advice, sizeof advice);
    snprintf(message, sizeof message, "%s", err->message);
    (void)VG_FAIL(err, VG_E_NOMEM, "%.300s; %s", message, advice);
}

/* ---- stages ---- */

/* Plan the stages and refuse the first that does not fit. */
static vg_status plan_within(vg_engine *engine, const vg_model *model,
                             const vg_generate_params *params, const char *const *stages,
                             vg_plan *plan, vg_err *err)
{
    vg_generate_params p = *params;
    size_t limit;
    VG_TRY(vg_budget_limit(engine, params, &limit, err));
    p.device = engine->be->ops->kind;
    p.memory_limit = limit;
    VG_TRY(vg_plan_stages(model, &p, stages, plan, err));
    p.memory_limit = params->memory_limit;
    for (int i = 0; i < plan->count; i++)
        if (limit && vg_plan_total(&plan->stages[i]) > limit)
            return refuse(model, &p, &plan->stages[i], limit, err);
    return VG_OK;
}

vg_status vg_budget_check(vg_engine *engine, const vg_model *model,
                          const vg_generate_params *params, const char *const *stages, vg_err *err)
{
    vg_plan plan;
    return plan_within(engine, model, params, stages, &plan, err);
}

vg_status vg_budget_begin(vg_engine *engine, const vg_model *model,
                          const vg_generate_params *params, const char *const *stages,
                          vg_plan *plan, vg_err *err)
{
    vg_backend *be = engine->be;
    VG_TRY(plan_within(engine, model, params, stages, plan, err));
    if (plan->count == 0)
        return VG_OK;
    const vg_plan_stage *largest = &plan->stages[plan->peak];
    size_t most = vg_plan_total(largest), kept = be->ops->kind == VG_DEVICE_CUDA
                                                     ? VG_CUDA_LIBRARY_BYTES
                                                     : 0; /* not the region's */
    vg_status status = vg_backend_reserve(be, most > kept ? most - kept : most, err);
    if (status == VG_E_NOMEM)
        explain(engine, model, params, largest->name, err);
    return status;
}

vg_status vg_budget_end(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                        const char *stage, vg_status status, vg_err *err)
{
    vg_backend_unreserve(engine->be);
    if (status == VG_E_NOMEM && (!err || strncmp(err->message, "stage ", 6) != 0))
        explain(engine, model, params, stage, err);
    return status;
}
