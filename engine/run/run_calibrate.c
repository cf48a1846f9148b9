/* run_calibrate.c: the input scales of a model, measured by running it. The file they lie in: engine/layers/calibrate.h. */
#include "engine/layers/calibrate.h"
#include "engine/run/model.h"

/* What the scales depend on, for people who find the file later. */
static cJSON *describe_settings(const vg_generate_params *p, int steps)
{
    cJSON *o = cJSON_CreateObject();
    if (!o)
        return NULL;
    cJSON_AddStringToObject(o, "prompt", p->prompt ? p->prompt : "");
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

vg_status vg_calibrate(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                       const vg_conditioning *text, int steps, const vg_callbacks *cb,
                       const char *path, vg_err *err)
{
    vg_calibration *calibration = NULL;
    vg_generate_params p = *params;
    char identity[17];
    vg_status status;
    if (steps < 1)
        return VG_FAIL(err, VG_E_ARG, "calibration needs at least 1 step, not %d", steps);
    VG_TRY(vg_model_identity(model, identity, err));
    VG_TRY(vg_calibration_new(&calibration, err));
    p.scheme = VG_SCHEME_BF16; /* scales come from the unquantised model */
    VG_TRY_GOTO(status, vg_denoiser_kernels(engine->be, &p, err), done);
    engine->be->cancel = cb ? cb->cancel : NULL;
    status = model->family->calibrate(engine, model, &p, text, steps, cb, calibration, err);
    engine->be->cancel = NULL;
    engine->be->attention = VG_ATTENTION_AUTO;
    if (status != VG_OK)
        goto done;
    status = vg_calibration_write(calibration, identity, describe_settings(&p, steps), path, err);
done:
    vg_calibration_free(calibration);
    return status;
}
