/* component_vae.c: see component_vae.h. */
#include "engine/run/component_vae.h"
#include "engine/run/component_io.h"

#include <stdlib.h>

static vg_status open_vae(const vg_vae_part *part, vg_engine *engine, vg_model *model,
                          const vg_component_params *params, bool encoder, void **vae, vg_err *err)
{
    char *dir;
    VG_TRY(vg_model_need(model, "vae", err));
    VG_TRY(vg_model_weights_dir(model, "vae", &dir, err));
    vg_status status =
        part->open(engine, model, dir, vg_compute_dtype(params->vae_compute), encoder, vae, err);
    free(dir);
    return status;
}

static vg_status check_channels(const char *part, const char *name, const int64_t shape[5],
                                int64_t channels, vg_err *err)
{
    if (shape[1] != channels)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld channels; %lld are wanted", part, name,
                       (long long)shape[1], (long long)channels);
    return VG_OK;
}

static int64_t elements(const int64_t shape[5])
{
    return shape[1] * shape[2] * shape[3] * shape[4];
}

/* [F,H,W,3] to [3,F,H,W]. */
static void planes(const float *last, int64_t pixels, float *first)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t k = 0; k < 3; k++)
            first[k * pixels + i] = last[i * 3 + k];
}

vg_status vg_vae_part_decode(const vg_vae_part *part, vg_engine *engine, vg_model *model,
                             const vg_component_params *params, const vg_safetensors *in,
                             vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    vg_hooks hooks = {.cancel = params->cancel};
    void *vae = NULL;
    float *latents = NULL, *frames = NULL, *values;
    int64_t s[5], shape[5] = {0, 3};
    vg_status status;
    *out = NULL;
    VG_TRY_GOTO(status, vg_input_f32(in, "vae-decode", "latents", 5, s, &latents, err), done);
    VG_TRY_GOTO(status, open_vae(part, engine, model, params, false, &vae, err), done);
    VG_TRY_GOTO(status, check_channels("vae-decode", "latents", s, part->channels(model), err),
                done);
    shape[0] = s[0];
    part->shape_of_frames(model, s + 2, shape + 2);
    int64_t pixels = shape[2] * shape[3] * shape[4];
    VG_TRY_GOTO(status, vg_output_f32("sample", 5, shape, out, out_count, &values, err), done);
    frames = malloc((size_t)pixels * 3 * sizeof *frames);
    if (!frames) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld pixels", (long long)pixels);
        goto done;
    }
    for (int64_t b = 0; b < s[0]; b++) {
        VG_TRY_GOTO(status,
                    part->decode(vae, latents + b * elements(s), s + 1, params->vae_tiling, &hooks,
                                 frames, err),
                    done);
        planes(frames, pixels, values + b * 3 * pixels);
    }
done:
    free(frames);
    free(latents);
    part->close(vae);
    return vg_output_finish(status, out, out_count);
}

vg_status vg_vae_part_encode(const vg_vae_part *part, vg_engine *engine, vg_model *model,
                             const vg_component_params *params, const vg_safetensors *in,
                             vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    vg_hooks hooks = {.cancel = params->cancel};
    void *vae = NULL;
    float *sample = NULL, *values;
    int64_t s[5], shape[5];
    vg_status status;
    *out = NULL;
    VG_TRY_GOTO(status, vg_input_f32(in, "vae-encode", "sample", 5, s, &sample, err), done);
    VG_TRY_GOTO(status, open_vae(part, engine, model, params, true, &vae, err), done);
    VG_TRY_GOTO(status, check_channels("vae-encode", "sample", s, 3, err), done);
    shape[0] = s[0];
    shape[1] = part->channels(model);
    part->shape_of_latents(model, s + 2, shape + 2);
    VG_TRY_GOTO(status, vg_output_f32("latents", 5, shape, out, out_count, &values, err), done);
    for (int64_t b = 0; b < s[0]; b++)
        VG_TRY_GOTO(status,
                    part->encode(vae, sample + b * elements(s), s + 1, params->vae_tiling, &hooks,
                                 values + b * elements(shape), err),
                    done);
done:
    free(sample);
    part->close(vae);
    return vg_output_finish(status, out, out_count);
}
