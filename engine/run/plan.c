/* plan.c: the memory plan of a run, stage by stage, before anything is allocated. See plan.h, rehearse.h. */
#include "engine/run/rehearse.h"

#include "engine/checkpoint/stream.h"

#include <stdio.h>
#include <string.h>

static vg_plan_stage *add_stage(vg_plan *plan, const char *name)
{
    vg_plan_stage *s = &plan->stages[plan->count++];
    *s = (vg_plan_stage){0};
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

/* As few streamed blocks as the limit allows. Every one but the slots' own saves a block's bytes, so the number is computed from two
 * plans; two more confirm it, and others follow if blocks differ in size. */
static vg_status plan_expert(const vg_model *model, const vg_generate_params *p, int expert,
                             vg_plan_stage *s, vg_err *err)
{
    size_t limit = p->memory_limit;
    vg_plan_stage all, some;
    VG_TRY(vg_rehearse_expert(model, p, expert, 0, &all, err));
    int blocks = all.blocks, first = VG_STREAM_SLOTS + 1, streamed;
    *s = all;
    if (!limit || vg_plan_total(&all) <= limit || blocks < first)
        return VG_OK;
    VG_TRY(vg_rehearse_expert(model, p, expert, first, &some, err));
    size_t over = vg_plan_total(&all) - limit,
           block = vg_plan_total(&all) > vg_plan_total(&some)
                       ? vg_plan_total(&all) - vg_plan_total(&some)
                       : 1;
    size_t wanted = VG_STREAM_SLOTS + (over + block - 1) / block;
    streamed = wanted > (size_t)blocks ? blocks : (int)wanted < first ? first : (int)wanted;
    for (;; streamed++) {
        VG_TRY(vg_rehearse_expert(model, p, expert, streamed, s, err));
        if (vg_plan_total(s) <= limit || streamed == blocks)
            break;
    }
    while (vg_plan_total(s) <= limit && streamed > first) {
        VG_TRY(vg_rehearse_expert(model, p, expert, --streamed, &some, err));
        if (vg_plan_total(&some) > limit)
            break;
        *s = some;
    }
    return VG_OK;
}

static void put_stage(vg_plan *plan, const char *name, const vg_plan_stage *planned)
{
    vg_plan_stage *s = add_stage(plan, name);
    char kept[sizeof s->name];
    memcpy(kept, s->name, sizeof kept);
    *s = *planned;
    memcpy(s->name, kept, sizeof kept);
}

/* The larger of the experts, each unquantised and measured. */
static vg_status plan_calibration(const vg_model *model, const vg_generate_params *p, vg_plan *plan,
                                  vg_err *err)
{
    vg_generate_params calibration = *p;
    vg_plan_stage stage, most = {0};
    bool needed = p->calibrating;
    if (!needed && !p->input_scales)
        VG_TRY(vg_model_needs_input_scales(model, p, &needed, err));
    if (!needed)
        return VG_OK;
    calibration.scheme = VG_SCHEME_BF16;
    calibration.precision = NULL;
    calibration.ignore_layers = NULL;
    calibration.calibrating = true;
    for (int e = 0; e < model->family->experts_count(model); e++) {
        VG_TRY(plan_expert(model, &calibration, e, &stage, err));
        if (vg_plan_total(&stage) > vg_plan_total(&most))
            most = stage;
    }
    put_stage(plan, "calibrate", &most);
    return VG_OK;
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

static vg_status plan_part(const vg_model *model, const vg_generate_params *p,
                           const vg_stage_part *part, const char *const *stages, vg_plan *plan,
                           vg_err *err)
{
    vg_plan_stage stage = {0};
    if (!model->family->has(model, part->component) || !wants(stages, part->name))
        return VG_OK;
    VG_TRY(vg_rehearse_part(model, p, part, &stage, err));
    put_stage(plan, part->name, &stage);
    return VG_OK;
}

static vg_status plan_experts(const vg_model *model, const vg_generate_params *p,
                              const char *const *stages, vg_plan *plan, vg_err *err)
{
    for (int e = 0; e < model->family->experts_count(model); e++) {
        vg_plan_stage stage;
        if (!wants(stages, model->family->experts[e]))
            continue;
        VG_TRY(plan_expert(model, p, e, &stage, err));
        put_stage(plan, model->family->experts[e], &stage);
    }
    return VG_OK;
}

/* Work of a step. */
static void count_work(const vg_model *model, const vg_generate_params *p, vg_plan *plan)
{
    vg_geometry g;
    model->family->geometry(model, &g);
    model->family->latent_shape(model, p, plan->latent);
    plan->tokens = 1;
    for (int i = 0; i < 3; i++)
        plan->tokens *= plan->latent[i + 1] / g.patch[i];
    plan->tflop_per_step =
        (vg_model_guided(model, p) ? 2 : 1) * model->family->flop(model, p) * 1e-12;
}

static vg_status plan_all(const vg_model *model, const vg_generate_params *p,
                          const char *const *stages, vg_plan *plan, vg_err *err)
{
    const vg_family *f = model->family;
    VG_TRY(vg_model_need_decoder(model, err));
    for (int i = 0; i < f->encoders_count; i++)
        if (f->encoders[i]->wanted(model, p))
            VG_TRY(plan_part(model, p, &f->encoders[i]->part, stages, plan, err));
    if (wants(stages, "calibrate"))
        VG_TRY(plan_calibration(model, p, plan, err));
    VG_TRY(plan_experts(model, p, stages, plan, err));
    VG_TRY(plan_part(model, p, &f->decoder->part, stages, plan, err));
    count_work(model, p, plan);
    return VG_OK;
}

vg_status vg_plan_stages(const vg_model *model, const vg_generate_params *params,
                         const char *const *stages, vg_plan *plan, vg_err *err)
{
    vg_plan p = {0};
    VG_TRY(plan_all(model, params, stages, &p, err));
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

vg_status vg_plan_make(const vg_model *model, const vg_generate_params *params, vg_plan *plan,
                       vg_err *err)
{
    return vg_plan_stages(model, params, NULL, plan, err);
}
