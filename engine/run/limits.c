/* limits.c: see limits.h. */
#include "engine/run/limits.h"
#include "engine/run/run.h"

const vg_limit vg_limits[] = {
#define WHOLE(key, field, range)                                                                   \
    {                                                                                              \
        key, offsetof(vg_generate_params, field), true, VG_##range##_MIN, VG_##range##_MAX         \
    }
#define REAL(key, field, range)                                                                    \
    {                                                                                              \
        key, offsetof(vg_generate_params, field), false, VG_##range##_MIN, VG_##range##_MAX        \
    }
    WHOLE("height", height, SIDE),
    WHOLE("width", width, SIDE),
    WHOLE("num_frames", num_frames, FRAMES),
    WHOLE("num_inference_steps", steps, STEPS),
    WHOLE("max_steps_run", max_steps_run, STEPS),
    WHOLE("max_text_tokens", max_text_tokens, TEXT_TOKENS),
    WHOLE("attention_first_blocks", attention.first_blocks, EDGE),
    WHOLE("attention_last_blocks", attention.last_blocks, EDGE),
    WHOLE("attention_first_steps", attention.first_steps, EDGE),
    WHOLE("attention_last_steps", attention.last_steps, EDGE),
    REAL("attention_limit", attention.limit, COSINE),
    REAL("guidance_scale", guidance_scale, GUIDANCE),
    REAL("guidance_scale_2", guidance_scale_2, GUIDANCE),
    REAL("boundary_ratio", boundary_ratio, BOUNDARY),
    REAL("flow_shift", flow_shift, FLOW_SHIFT),
    REAL("conditioning_scale", conditioning_scale, CONDITIONING),
#undef WHOLE
#undef REAL
};
const int vg_limits_count = sizeof vg_limits / sizeof *vg_limits;

vg_status vg_limits_check(const vg_generate_params *params, vg_err *err)
{
    for (int i = 0; i < vg_limits_count; i++) {
        const vg_limit *l = &vg_limits[i];
        const char *at = (const char *)params + l->offset;
        double v = l->whole ? *(const int *)at : *(const double *)at;
        bool unset = l->whole ? *(const int *)at == VG_UNSET_INT : v == VG_UNSET_DOUBLE;
        if (!unset && !(v >= l->min && v <= l->max)) /* NaN is outside */
            return VG_FAIL(err, VG_E_ARG, "%s is %g; %g to %g are possible", l->key, v, l->min,
                           l->max);
    }
    return VG_OK;
}
