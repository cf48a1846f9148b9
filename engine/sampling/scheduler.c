/* scheduler.c: what all samplers share: the table, the config rules, the state and its saving. */
#include "engine/sampling/scheduler_kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const vg_scheduler_kind *const kinds[] = {
#define VG_SCHEDULER(id, help) &vg_scheduler_kind_##id,
#include "engine/sampling/schedulers.def"
#undef VG_SCHEDULER
};
static const char *const kind_names[] = {
#define VG_SCHEDULER(id, help) #id,
#include "engine/sampling/schedulers.def"
#undef VG_SCHEDULER
};
#define KINDS ((int)(sizeof kinds / sizeof kinds[0]))

const char *vg_flow_grid_name(vg_flow_grid grid)
{
    static const char *const names[VG_FLOW_GRID_COUNT] = {
#define VG_FLOW_GRID(id, name) name,
#include "engine/sampling/flow_grids.def"
#undef VG_FLOW_GRID
    };
    return (unsigned)grid < VG_FLOW_GRID_COUNT ? names[grid] : "?";
}

const char *const *vg_scheduler_kinds(int *count)
{
    *count = KINDS;
    return kind_names;
}

vg_status vg_scheduler_check_rules(const cJSON *config, const char *name,
                                   const vg_scheduler_rule *rules, int count, vg_err *err)
{
    for (int i = 0; i < count; i++) {
        const vg_scheduler_rule *rule = &rules[i];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, rule->key);
        bool fits = false, known = false;
        if (!item) {
            if (!rule->default_fits)
                return VG_FAIL(err, VG_E_UNSUPPORTED,
                               "%s: \"%s\" is not set, and its default is not supported", name,
                               rule->key);
            continue;
        }
        switch (rule->type) {
        case VG_RULE_BOOL: /* the reference asks `if value`: null is false */
            known = cJSON_IsBool(item) || cJSON_IsNull(item);
            fits = known && cJSON_IsTrue(item) == (rule->number != 0.0);
            break;
        case VG_RULE_NUMBER:
            known = cJSON_IsNumber(item);
            fits = known && item->valuedouble == rule->number;
            break;
        case VG_RULE_TEXT:
            known = cJSON_IsString(item) && item->valuestring;
            fits = known && strcmp(item->valuestring, rule->text) == 0;
            break;
        case VG_RULE_UNSET:
            known = true;
            fits =
                cJSON_IsNull(item) || cJSON_IsFalse(item) || (cJSON_IsArray(item) && !item->child);
            break;
        }
        if (!known)
            return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" is %s, which is no value for it", name,
                           rule->key, vg_json_kind(item));
        if (fits)
            continue;
        if (rule->type == VG_RULE_TEXT)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "%s: \"%s\": \"%s\" is not supported, only \"%s\"", name, rule->key,
                           item->valuestring, rule->text);
        if (rule->type == VG_RULE_NUMBER)
            return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: \"%s\": %g is not supported, only %g", name,
                           rule->key, item->valuedouble, rule->number);
        if (rule->type == VG_RULE_BOOL)
            return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: \"%s\" must be %s", name, rule->key,
                           rule->number != 0.0 ? "true" : "false");
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: \"%s\" is set, which is not supported", name,
                       rule->key);
    }
    return VG_OK;
}

vg_status vg_scheduler_params_from_config(const cJSON *config, const char *name,
                                          vg_scheduler_params *params, vg_err *err)
{
    const char *class_name = NULL;
    char accepted[256] = "";

    VG_TRY(vg_json_get_string(config, name, "_class_name", &class_name, err));
    if (!class_name)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"_class_name\" is missing", name);
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(class_name, kinds[i]->class_name) == 0) {
            double flow_shift = 1.0; /* the default of both classes */
            VG_TRY(kinds[i]->check(config, name, &flow_shift, err));
            params->kind = kinds[i]->name;
            params->flow_shift = flow_shift;
            /* The grid changed in 0.37. The reference never reads which version wrote a checkpoint, so whoever runs it today gets
             * the present grid, whatever the file says. */
            params->grid = VG_FLOW_GRID_037;
            return VG_OK;
        }
        strncat(accepted, i > 0 ? ", " : "", sizeof accepted - strlen(accepted) - 1);
        strncat(accepted, kinds[i]->class_name, sizeof accepted - strlen(accepted) - 1);
    }
    return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: scheduler %s is not supported, only %s", name,
                   class_name, accepted);
}

static vg_status check_grid(const vg_scheduler *s, double flow_shift, vg_err *err)
{
    for (int k = 0; s->kind->divides_by_steps && k < s->steps; k++) {
        if (!(s->sigmas[k] > s->sigmas[k + 1]) || !(s->sigmas[k] < 1.0f))
            return VG_FAIL(
                err, VG_E_ARG,
                "flow shift %g with %d steps gives noise levels that FP32 cannot tell apart",
                flow_shift, s->steps);
    }
    return VG_OK;
}

static vg_status allocate(vg_scheduler *s, vg_err *err)
{
    const int64_t shape[1] = {s->numel};
    size_t bytes;

    VG_TRY(vg_shape_bytes(shape, 1, VG_F32, &bytes, err));
    /* A chunk per tensor; small states share one. */
    size_t chunk = bytes < (1u << 20) ? (size_t)8 * (bytes + 256) : bytes;
    VG_TRY(vg_arena_new(s->be, chunk, &s->arena, err));
    for (int i = 0; i < s->kind->tensors; i++)
        VG_TRY(vg_arena_tensor(s->arena, VG_F32, 1, shape, &s->tensors[i], err));
    if (s->kind->rounds_to_bf16)
        VG_TRY(vg_arena_tensor(s->arena, VG_BF16, 1, shape, &s->rounded, err));
    return VG_OK;
}

vg_status vg_scheduler_new(const vg_scheduler_params *params, vg_backend *be, int64_t numel,
                           vg_scheduler **out, vg_err *err)
{
    const vg_scheduler_kind *kind = NULL;

    for (int i = 0; i < KINDS && params->kind; i++) {
        if (strcmp(params->kind, kinds[i]->name) == 0)
            kind = kinds[i];
    }
    if (!kind)
        return VG_FAIL(err, VG_E_ARG, "scheduler \"%s\" is not known",
                       params->kind ? params->kind : "");
    if (params->steps < 1 || params->steps > VG_SCHEDULER_STEPS_MAX)
        return VG_FAIL(err, VG_E_ARG, "steps is %d, must be 1..%d", params->steps,
                       VG_SCHEDULER_STEPS_MAX);
    if (!(params->flow_shift > 0.0) || !isfinite(params->flow_shift))
        return VG_FAIL(err, VG_E_ARG, "flow shift is %g, must be above 0", params->flow_shift);
    if ((int)params->grid < 0 || params->grid >= VG_FLOW_GRID_COUNT)
        return VG_FAIL(err, VG_E_ARG, "flow grid %d is not known", (int)params->grid);
    if (numel < 1)
        return VG_FAIL(err, VG_E_ARG, "latents of %lld elements", (long long)numel);

    vg_scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the scheduler");
    vg_status status = VG_OK;
    s->kind = kind;
    s->be = be;
    s->numel = numel;
    s->steps = params->steps;
    s->sigmas = calloc((size_t)params->steps + 1, sizeof *s->sigmas);
    s->timesteps = calloc((size_t)params->steps, sizeof *s->timesteps);
    if (!s->sigmas || !s->timesteps)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %d steps", params->steps);
    if (status == VG_OK) {
        kind->grid(params, s->sigmas, s->timesteps);
        status = check_grid(s, params->flow_shift, err);
    }
    if (status == VG_OK)
        status = allocate(s, err);
    if (status != VG_OK) {
        vg_scheduler_free(s);
        return status;
    }
    *out = s;
    return VG_OK;
}

void vg_scheduler_free(vg_scheduler *s)
{
    if (!s)
        return;
    vg_arena_free(s->arena);
    free(s->sigmas);
    free(s->timesteps);
    free(s);
}

int vg_scheduler_steps(const vg_scheduler *s)
{
    return s->steps;
}

double vg_scheduler_timestep(const vg_scheduler *s, int step)
{
    return step >= 0 && step < s->steps ? s->timesteps[step] : 0.0;
}

double vg_scheduler_sigma(const vg_scheduler *s, int step)
{
    return step >= 0 && step <= s->steps ? s->sigmas[step] : 0.0;
}

int vg_scheduler_at(const vg_scheduler *s)
{
    return s->at;
}

vg_status vg_scheduler_combine(vg_scheduler *s, int count, const vg_tensor *const *x,
                               const float *coef, vg_tensor *y, vg_err *err)
{
    vg_linear_combination_args args = {.count = count, .y = y};

    for (int i = 0; i < count; i++) {
        args.x[i] = x[i];
        args.coef[i] = coef[i];
    }
    return vg_linear_combination(s->be, &args, err);
}

vg_status vg_scheduler_add(vg_scheduler *s, const vg_tensor *x, const vg_guided *v, float coef,
                           vg_tensor *y, vg_err *err)
{
    return vg_guidance_step(s->be, &(vg_guidance_step_args){.x = x, .v = *v, .coef = coef, .y = y},
                            err);
}

static vg_status check_answer(const vg_scheduler *s, const vg_tensor *v, vg_err *err)
{
    if (!v->data || vg_tensor_numel(v) != s->numel)
        return VG_FAIL(err, VG_E_SHAPE, "the model's output must have %lld elements",
                       (long long)s->numel);
    if (v->dtype != VG_F32 && v->dtype != VG_BF16)
        return VG_FAIL(err, VG_E_DTYPE, "the model's output is %s, must be F32 or BF16",
                       vg_dtype_name(v->dtype));
    return VG_OK;
}

vg_status vg_scheduler_step(vg_scheduler *s, const vg_guided *v, vg_tensor *x, vg_err *err)
{
    if (s->at >= s->steps)
        return VG_FAIL(err, VG_E_ARG, "all %d steps are done", s->steps);
    if (!x->data || x->dtype != VG_F32 || vg_tensor_numel(x) != s->numel)
        return VG_FAIL(err, VG_E_SHAPE, "latents must be F32 with %lld elements",
                       (long long)s->numel);
    VG_TRY(check_answer(s, v->cond, err));
    if (v->uncond)
        VG_TRY(check_answer(s, v->uncond, err));
    /* Flat: the tensors of the state are. */
    vg_tensor flat_x = vg_tensor_of(x->data, x->dtype, 1, &s->numel);
    VG_TRY(s->kind->step(s, v, &flat_x, err));
    s->at++;
    return VG_OK;
}

vg_status vg_scheduler_save(vg_scheduler *s, vg_scheduler_state *state, vg_err *err)
{
    vg_scheduler_state saved = {.at = s->at, .last_order = s->last_order};

    /* Before the first step the tensors hold nothing. */
    for (int i = 0; i < (s->at > 0 ? s->kind->saved : 0); i++) {
        float *values = malloc((size_t)s->numel * sizeof *values);
        vg_status status =
            values ? vg_backend_download(s->be, values, &s->tensors[i], err)
                   : VG_FAIL(err, VG_E_NOMEM, "out of memory for the scheduler's state");
        if (status != VG_OK) {
            free(values);
            vg_scheduler_state_deinit(&saved);
            return status;
        }
        strncpy(saved.tensors[i].name, s->kind->saved_names[i], sizeof saved.tensors[i].name - 1);
        saved.tensors[i].values = values;
        saved.count = i + 1;
    }
    *state = saved;
    return VG_OK;
}

vg_status vg_scheduler_restore(vg_scheduler *s, const vg_scheduler_state *state, vg_err *err)
{
    const int wanted = state->at > 0 ? s->kind->saved : 0;

    if (state->at < 0 || state->at > s->steps)
        return VG_FAIL(err, VG_E_FORMAT, "the saved state is at step %d of %d", state->at,
                       s->steps);
    if (state->last_order < 0 || state->last_order > 2 || (wanted > 0 && state->last_order < 1) ||
        state->last_order > state->at)
        return VG_FAIL(err, VG_E_FORMAT, "the saved state has order %d at step %d",
                       state->last_order, state->at);
    if (state->count < 0 || state->count > VG_SCHEDULER_STATE_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "the saved state has %d tensors", state->count);
    for (int i = 0; i < wanted; i++) {
        const float *values = NULL;
        for (int k = 0; k < state->count; k++) {
            if (strncmp(state->tensors[k].name, s->kind->saved_names[i],
                        sizeof state->tensors[k].name) == 0)
                values = state->tensors[k].values;
        }
        if (!values)
            return VG_FAIL(err, VG_E_FORMAT, "the saved state lacks \"%s\", which %s needs",
                           s->kind->saved_names[i], s->kind->name);
        VG_TRY(vg_backend_upload(s->be, &s->tensors[i], values, err));
    }
    VG_TRY(vg_backend_sync(s->be, err)); /* the caller may free its copies now */
    s->at = state->at;
    s->last_order = state->last_order;
    return VG_OK;
}

void vg_scheduler_state_deinit(vg_scheduler_state *state)
{
    if (!state)
        return;
    for (int i = 0; i < state->count && i < VG_SCHEDULER_STATE_MAX; i++)
        free(state->tensors[i].values);
    memset(state, 0, sizeof *state);
}
