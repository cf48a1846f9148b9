/* calibrate.c: the input scales of a model, measured by running it. The file they lie in: engine/layers/calibrate.h. */
#include "engine/run/denoise.h"

#include "engine/run/emit.h"

#define STEPS_MAX 1000 /* of any scheduler */

/* Mark `wanted` steps of the job's own schedule, spread evenly with both ends, and at least the first and the last of every expert
 * that the schedule uses: what the job will run with is what gets measured, and an expert it never reaches needs no scales. */
static int choose_steps(const vg_denoise_run *r, int wanted, bool *chosen)
{
    int steps = vg_scheduler_steps(r->scheduler), count = 0;
    for (int k = 0; k < wanted; k++)
        chosen[wanted > 1 ? (int)(((int64_t)k * (steps - 1) + (wanted - 1) / 2) / (wanted - 1))
                          : 0] = true;
    for (int e = 0; e < r->family->experts_count(r->model); e++) {
        int first = -1, last = -1, have = 0;
        for (int i = 0; i < steps; i++) {
            if (vg_model_expert(r->model, r->p, vg_scheduler_timestep(r->scheduler, i)) != e)
                continue;
            first = first < 0 ? i : first;
            last = i;
            have += chosen[i];
        }
        if (first >= 0 && have < 2)
            chosen[first] = chosen[last] = true;
    }
    for (int i = 0; i < steps; i++)
        count += chosen[i];
    return count;
}

/* One measured step: predict at step i of the schedule, then follow the straight line to the next chosen one. */
static vg_status calibrate_step(vg_denoise_run *r, int i, int next, vg_err *err)
{
    double timestep = vg_scheduler_timestep(r->scheduler, i),
           sigma = vg_scheduler_sigma(r->scheduler, i);
    VG_TRY(vg_expert_load(r, vg_model_expert(r->model, r->p, timestep), err));
    VG_TRY(vg_denoise_predict(r, i, err));
    VG_TRY(vg_denoise_follow(r, vg_scheduler_sigma(r->scheduler, next) - sigma, &r->x, err));
    return vg_denoise_download(r, i, err);
}

vg_status vg_calibrate_loop(vg_denoise_run *r, vg_err *err)
{
    int steps = vg_scheduler_steps(r->scheduler), done = 0, next;
    bool chosen[STEPS_MAX] = {false};
    int count =
        choose_steps(r, r->calibration_steps < steps ? r->calibration_steps : steps, chosen);
    for (int i = 0; i < steps; i = next) {
        double begin = vg_now();
        for (next = i + 1; next < steps && !chosen[next];)
            next++;
        VG_TRY(vg_denoise_check_cancel(r, i, err));
        VG_TRY(calibrate_step(r, i, next, err));
        vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_STEP,
                                   .stage = r->stage,
                                   .detail = "",
                                   .step = ++done,
                                   .steps = count,
                                   .seconds = vg_now() - begin,
                                   .timestep = vg_scheduler_timestep(r->scheduler, i),
                                   .sigma = vg_scheduler_sigma(r->scheduler, i),
                                   .expert = r->expert});
    }
    return vg_expert_finish(r, err);
}

cJSON *vg_calibration_settings(const vg_generate_params *p, int steps)
{
    cJSON *o = cJSON_CreateObject();
    if (!o)
        return NULL;
    cJSON_AddStringToObject(o, "prompt", p->inputs.prompt ? p->inputs.prompt : "");
    cJSON_AddStringToObject(o, "mode", p->mode ? p->mode : "");
    cJSON_AddNumberToObject(o, "seed", (double)p->seed);
    cJSON_AddNumberToObject(o, "height", p->height);
    cJSON_AddNumberToObject(o, "width", p->width);
    cJSON_AddNumberToObject(o, "num_frames", p->num_frames);
    cJSON_AddNumberToObject(o, "steps", p->steps);
    cJSON_AddNumberToObject(o, "calibration_steps", steps);
    cJSON_AddNumberToObject(o, "guidance_scale", p->guidance_scale);
    cJSON_AddNumberToObject(o, "flow_shift", p->flow_shift);
    cJSON_AddStringToObject(o, "compute", vg_compute_name(p->compute));
    return o;
}

static vg_status run(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                     const vg_conditions *conditions, int steps, const vg_callbacks *cb,
                     vg_calibration *calibration, vg_err *err)
{
    vg_callbacks quiet = cb ? *cb : (vg_callbacks){0};
    vg_denoise_run r;
    quiet.save = NULL;
    vg_denoise_run_init(&r, engine, model, p, conditions);
    r.cb = &quiet;
    r.stage = VG_STAGE_CALIBRATE;
    r.calibration = calibration;
    r.calibration_steps = steps;
    return vg_denoise_run_all(&r, model, NULL, NULL, err);
}

vg_status vg_calibrate(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                       const vg_conditions *conditions, int steps, const vg_callbacks *cb,
                       vg_input_scales **scales, vg_err *err)
{
    vg_calibration *calibration = NULL;
    vg_generate_params p = *params;
    vg_status status;
    if (steps < 1)
        return VG_FAIL(err, VG_E_ARG, "calibration needs at least 1 step, not %d", steps);
    VG_TRY(vg_model_need_decoder(model, err));
    VG_TRY(vg_calibration_new(&calibration, err));
    p.scheme = VG_SCHEME_BF16; /* scales come from the unquantised model */
    p.precision = NULL;
    p.ignore_layers = NULL;
    p.max_steps_run = VG_UNSET_INT;
    VG_TRY_GOTO(status, run(engine, model, &p, conditions, steps, cb, calibration, err), done);
    status = vg_calibration_scales(calibration, scales, err);
done:
    vg_calibration_free(calibration);
    return status;
}
