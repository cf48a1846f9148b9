/* encode.c: inputs to conditions, encoder by encoder; each is loaded for its stage only. */
#include "engine/run/budget.h"
#include "engine/run/emit.h"
#include "engine/run/model.h"
#include "engine/run/stage.h"

static vg_status run_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                             const vg_encoder *encoder, const vg_callbacks *cb, vg_conditions *out,
                             vg_err *err)
{
    vg_part_progress progress;
    vg_hooks hooks = vg_part_hooks(&progress, cb, encoder->part.stage);
    void *self;
    vg_status status;
    VG_TRY(vg_part_open(engine, model, p, &encoder->part, cb, &self, err));
    double begin = vg_now();
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, encoder->part.stage, "", 0);
    status = encoder->run(self, model, p, &hooks, out, err);
    if (status == VG_OK)
        vg_emit_stage(cb, VG_EVENT_STAGE_END, encoder->part.stage, "", vg_now() - begin);
    encoder->part.close(self);
    if (status != VG_OK)
        return status;
    status = vg_conditions_check_finite(out, err); /* of this encoder: those before it were asked */
    if (status != VG_OK)
        vg_err_prefix(err, "what %s made", encoder->part.component);
    return status;
}

static vg_status encode_within(vg_engine *engine, const vg_model *model,
                               const vg_generate_params *p, const vg_encoder *encoder,
                               const vg_callbacks *cb, vg_conditions *out, vg_err *err)
{
    const char *name = encoder->part.name;
    vg_plan plan;
    VG_TRY(vg_model_need(model, encoder->part.component, err));
    VG_TRY(vg_budget_begin(engine, model, p, (const char *const[]){name, NULL}, &plan, err));
    return vg_budget_end(engine, model, p, name,
                         run_encoder(engine, model, p, encoder, cb, out, err), err);
}

vg_status vg_encode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_callbacks *cb, vg_conditions *out, vg_err *err)
{
    const vg_family *f = model->family;
    vg_conditions conditions = {0};
    vg_status status = VG_OK;
    VG_TRY(vg_model_check_inputs(model, params, err));
    engine->be->cancel = cb ? cb->cancel : NULL;
    for (int i = 0; status == VG_OK && i < f->encoders_count; i++)
        if (f->encoders[i]->wanted(model, params))
            status = encode_within(engine, model, params, f->encoders[i], cb, &conditions, err);
    engine->be->cancel = NULL;
    if (status == VG_OK)
        *out = conditions;
    else
        vg_conditions_deinit(&conditions);
    return status;
}

vg_status vg_model_check_conditions(const vg_model *model, const vg_generate_params *params,
                                    const vg_conditions *conditions, vg_err *err)
{
    vg_condition_spec specs[VG_CONDITIONS_MAX];
    VG_TRY(vg_model_need_decoder(model, err));
    int count = model->family->conditions(model, params, specs);
    return vg_conditions_check(conditions, specs, count, err);
}

vg_status vg_model_fill_conditions(const vg_model *model, const vg_generate_params *params,
                                   vg_conditions *out, vg_err *err)
{
    vg_condition_spec specs[VG_CONDITIONS_MAX];
    VG_TRY(vg_model_need_decoder(model, err));
    int count = model->family->conditions(model, params, specs);
    return vg_conditions_fill(specs, count, out, err);
}
