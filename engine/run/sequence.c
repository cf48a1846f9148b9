/* sequence.c: see sequence.h. */
#include "engine/run/sequence.h"

#include "engine/run/budget.h"
#include "engine/run/denoise.h"
#include "engine/run/emit.h"

#include <string.h>

/* What is made on the way to latents. */
typedef struct making {
    const vg_sequence *s;
    const vg_callbacks *cb; /* the caller's, or none */
    vg_callbacks relay;     /* the same, and the store's save */
    vg_conditions conditions;
    vg_input_scales *scales;
    vg_denoise_state state;
    bool resumes;
} making;

static const vg_store nothing = {0};

static const vg_store *store_of(const vg_sequence *s)
{
    return s->store ? s->store : &nothing;
}

/* ---- what is there, and fits ---- */

static bool shape_fits(const vg_sequence *s, const int64_t shape[4])
{
    int64_t wanted[4];
    s->model->family->latent_shape(s->model, s->params, wanted);
    return memcmp(shape, wanted, sizeof wanted) == 0;
}

static bool load_latents(const vg_sequence *s, vg_latents *latents)
{
    const vg_store *store = store_of(s);
    vg_latents found = {0};
    if (!store->load_latents || !store->load_latents(store->user, &found))
        return false;
    if (found.steps == s->params->steps && found.steps_done == found.steps &&
        shape_fits(s, found.shape) &&
        vg_latents_check_finite(found.values, found.shape, "the latents", NULL) == VG_OK) {
        *latents = found;
        return true;
    }
    vg_latents_deinit(&found);
    return false;
}

static bool load_state(const vg_sequence *s, vg_denoise_state *state)
{
    const vg_store *store = store_of(s);
    vg_denoise_state found = {0};
    if (!store->load_state || !store->load_state(store->user, &found))
        return false;
    if (found.scheduler.at > 0 && found.scheduler.at <= s->params->steps &&
        shape_fits(s, found.shape) && vg_attention_state_fits(s->model, s->params, &found) &&
        vg_latents_check_finite(found.latents, found.shape, "the state", NULL) == VG_OK) {
        *state = found;
        return true;
    }
    vg_denoise_state_deinit(&found);
    return false;
}

static bool load_conditions(const vg_sequence *s, vg_conditions *conditions)
{
    const vg_store *store = store_of(s);
    vg_conditions found = {0};
    if (!store->load_conditions || !store->load_conditions(store->user, &found))
        return false;
    if (vg_model_check_conditions(s->model, s->params, &found, NULL) == VG_OK) {
        *conditions = found;
        return true;
    }
    vg_conditions_deinit(&found);
    return false;
}

/* ---- stages ---- */

static vg_status check_weights(const vg_sequence *s, const vg_generate_params *p, vg_stage stage,
                               vg_err *err)
{
    const vg_store *store = store_of(s);
    return store->check_weights ? store->check_weights(store->user, p, stage, err) : VG_OK;
}

#define STAGES_MAX (VG_PLAN_STAGES_MAX + 1)

/* All that is still to come must fit, or nothing is begun: a decode that fails for memory would waste the steps before it. */
static vg_status check_memory(const making *m, bool encodes, vg_err *err)
{
    const vg_family *f = m->s->model->family;
    const char *stages[STAGES_MAX] = {NULL};
    int count = 0;
    for (int i = 0; encodes && i < f->encoders_count && count < STAGES_MAX - 1; i++)
        stages[count++] = f->encoders[i]->part.name;
    if (!m->s->calibration_side && !m->s->params->input_scales)
        stages[count++] = "calibrate";
    for (int i = 0; i < f->experts_count(m->s->model) && count < STAGES_MAX - 1; i++)
        stages[count++] = f->experts[i];
    if (!m->s->latents_only && count < STAGES_MAX - 1)
        stages[count++] = f->decoder->part.name;
    return vg_budget_check(m->s->engine, m->s->model, m->s->params, stages, err);
}

static vg_status encode_inputs(making *m, const vg_generate_params *p, vg_err *err)
{
    const vg_sequence *s = m->s;
    VG_TRY(check_weights(s, p, VG_STAGE_TEXT, err));
    VG_TRY(check_weights(s, p, VG_STAGE_ENCODE, err));
    return vg_encode(s->engine, s->model, p, m->cb, &m->conditions, err);
}

static vg_status encode(making *m, vg_err *err)
{
    const vg_store *store = store_of(m->s);
    vg_generate_params p = *m->s->params;
    if (!store->open_inputs)
        return encode_inputs(m, &p, err);
    vg_status status = store->open_inputs(store->user, &p, err);
    if (status == VG_OK)
        status = encode_inputs(m, &p, err);
    store->close_inputs(store->user);
    return status;
}

static vg_status need_conditions(making *m, vg_err *err)
{
    const vg_sequence *s = m->s;
    const vg_store *store = store_of(s);
    bool there = load_conditions(s, &m->conditions);
    VG_TRY(check_memory(m, !there, err));
    if (there)
        return VG_OK;
    VG_TRY(encode(m, err));
    return store->save_conditions ? store->save_conditions(store->user, &m->conditions, err)
                                  : VG_OK;
}

/* Put what has the same shape at both sizes, as prompts do, in place of noise. */
static void use_real(vg_conditions *conditions, const vg_conditions *real)
{
    for (int i = 0; i < conditions->count; i++) {
        vg_condition *c = &conditions->list[i];
        const vg_condition *r = vg_conditions_find(real, c->name);
        if (r && r->ndim == c->ndim &&
            memcmp(r->shape, c->shape, (size_t)c->ndim * sizeof *c->shape) == 0)
            memcpy(c->values, r->values, (size_t)vg_condition_numel(c) * sizeof *c->values);
    }
}

static int at_most(int value, int most)
{
    return most > 0 && value > most ? most : value;
}

static vg_status calibrate_small(making *m, vg_err *err)
{
    const vg_sequence *s = m->s;
    vg_generate_params p = *s->params;
    vg_conditions conditions = {0};
    p.height = at_most(p.height, s->calibration_side);
    p.width = at_most(p.width, s->calibration_side);
    p.num_frames = at_most(p.num_frames, s->calibration_frames);
    p.init_latents = NULL; /* of the other size */
    VG_TRY(vg_model_fill_conditions(s->model, &p, &conditions, err));
    use_real(&conditions, &m->conditions);
    vg_status status = vg_calibrate(s->engine, s->model, &p, &conditions, s->calibration_steps,
                                    m->cb, &m->scales, err);
    vg_conditions_deinit(&conditions);
    return status;
}

static vg_status need_scales(making *m, vg_err *err)
{
    const vg_sequence *s = m->s;
    const vg_store *store = store_of(s);
    bool needed = false;
    VG_TRY(vg_model_needs_input_scales(s->model, s->params, &needed, err));
    if (!needed || s->params->input_scales)
        return VG_OK;
    if (store->load_scales && store->load_scales(store->user, &m->scales))
        return VG_OK;
    VG_TRY(check_weights(s, s->params, VG_STAGE_CALIBRATE, err));
    if (s->calibration_side)
        VG_TRY(calibrate_small(m, err));
    else
        VG_TRY(vg_calibrate(s->engine, s->model, s->params, &m->conditions, s->calibration_steps,
                            m->cb, &m->scales, err));
    return store->save_scales ? store->save_scales(store->user, m->scales, err) : VG_OK;
}

/* Of the layers, as they are about to run. Not knowing it is no reason to stop: loading will say why. */
static void tell_precision(const making *m)
{
    const vg_generate_params *p = m->s->params;
    vg_precision_report report;
    char text[640];
    if (vg_model_precision(m->s->model, p, &report, NULL) != VG_OK)
        return;
    vg_precision_report_text(&report, text, sizeof text);
    size_t n = strlen(text);
    if (p->precision && p->precision[0])
        snprintf(text + n, sizeof text - n, "; rules %s", p->precision);
    vg_emit(m->cb,
            &(vg_event){.kind = VG_EVENT_PRECISION, .stage = VG_STAGE_DENOISE, .detail = text});
}

static void relay_event(void *user, const vg_event *event)
{
    const making *m = user;
    vg_emit(m->cb, event);
}

static vg_status relay_save(void *user, const vg_denoise_state *state, vg_err *err)
{
    const vg_store *store = store_of(((const making *)user)->s);
    return store->save_state ? store->save_state(store->user, state, err) : VG_OK;
}

static vg_status make_latents(making *m, vg_latents *out, vg_err *err)
{
    const vg_sequence *s = m->s;
    const vg_store *store = store_of(s);
    vg_generate_params p = *s->params;
    m->resumes = load_state(s, &m->state);
    int begin = m->resumes ? m->state.scheduler.at : 0;
    vg_emit(m->cb, &(vg_event){.kind = VG_EVENT_BEGIN,
                               .stage = VG_STAGE_DENOISE,
                               .detail = "",
                               .step = begin,
                               .steps = p.steps});
    if (m->resumes)
        vg_emit_note(m->cb, VG_STAGE_DENOISE, "going on after step %d", begin);
    VG_TRY(vg_attention_check_device(s->engine->be, s->model, s->params, err));
    VG_TRY(need_conditions(m, err));
    VG_TRY(need_scales(m, err));
    if (m->scales)
        p.input_scales = m->scales;
    tell_precision(m);
    VG_TRY(check_weights(s, &p, VG_STAGE_DENOISE, err));
    VG_TRY(vg_denoise(s->engine, s->model, &p, &m->conditions, m->resumes ? &m->state : NULL,
                      &m->relay, out, err));
    return out->steps_done >= out->steps && store->save_latents
               ? store->save_latents(store->user, out, err)
               : VG_OK;
}

vg_status vg_sequence_latents(const vg_sequence *s, vg_latents *out, bool *found, vg_err *err)
{
    vg_latents latents = {0};
    making m = {.s = s, .cb = s->callbacks};
    *found = load_latents(s, out);
    if (*found)
        return VG_OK;
    m.relay = (vg_callbacks){.user = &m,
                             .event = s->callbacks && s->callbacks->event ? relay_event : NULL,
                             .save = relay_save,
                             .cancel = s->callbacks ? s->callbacks->cancel : NULL};
    vg_status status = make_latents(&m, &latents, err);
    vg_denoise_state_deinit(&m.state);
    vg_input_scales_free(m.scales);
    vg_conditions_deinit(&m.conditions);
    if (status == VG_OK)
        *out = latents;
    else
        vg_latents_deinit(&latents);
    return status;
}

vg_status vg_sequence_frames(const vg_sequence *s, const vg_latents *latents, bool again,
                             vg_err *err)
{
    const vg_store *store = store_of(s);
    vg_frames frames = {0};
    if (!again && store->have_frames && store->have_frames(store->user))
        return VG_OK;
    VG_TRY(vg_decode(s->engine, s->model, s->params, latents, s->callbacks, &frames, err));
    vg_status status = store->save_frames ? store->save_frames(store->user, &frames, err) : VG_OK;
    vg_frames_deinit(&frames);
    return status;
}

vg_status vg_sequence_run(const vg_sequence *s, vg_latents *out, vg_err *err)
{
    bool found;
    vg_latents latents = {0};
    VG_TRY(vg_sequence_latents(s, &latents, &found, err));
    vg_status status = VG_OK;
    if (!s->latents_only && latents.steps_done >= latents.steps)
        status = vg_sequence_frames(s, &latents, !found, err);
    if (status == VG_OK)
        *out = latents;
    else
        vg_latents_deinit(&latents);
    return status;
}
