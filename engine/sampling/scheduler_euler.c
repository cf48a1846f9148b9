/* scheduler_euler.c: FlowMatchEulerDiscreteScheduler.
 *
 * NOTES (facts that break silently)
 * - The shift is applied twice: by the constructor, in FP32, to find the ends of the grid; then in FP64 to the grid itself.
 * - timesteps are 1000 sigma in FP32, not truncated.
 * - The sample is cast to the dtype of the model's output after each step: with a BF16 model the latents hold BF16 values.
 * - With a BF16 model dt is rounded to BF16 before the product, and the product after it: sigmas live on the device here, and a
 *   0-dim tensor of the device is cast to BF16 (unlike UniPC's, see there).
 * Source: diffusers scheduling_flow_match_euler_discrete.py. Tests: test_scheduler. */
#include "engine/sampling/scheduler_kind.h"
#include "kernels/base/numeric.h"

/* shift s / (1 + (shift - 1) s) as torch does it on an FP32 tensor with a Python number. */
static double shifted_f32(double shift, float sigma)
{
    float numerator = (float)shift * sigma;

    return numerator / (1.0f + (float)(shift - 1.0) * sigma);
}

/* numpy.linspace(1, 0, n + 1)[:n] as FP32, shifted in FP32: what HunyuanVideo-1.5's pipelines hand over. */
static void even_grid(const vg_scheduler_params *params, float *sigmas, double *timesteps)
{
    const int n = params->steps;

    for (int k = 0; k < n; k++) {
        sigmas[k] = (float)shifted_f32(params->flow_shift, (float)(k * (-1.0 / n) + 1.0));
        timesteps[k] = sigmas[k] * (float)VG_TRAIN_TIMESTEPS;
    }
    sigmas[n] = 0.0f;
}

static void grid(const vg_scheduler_params *params, float *sigmas, double *timesteps)
{
    const int n = params->steps;
    const double shift = params->flow_shift;

    if (params->even) {
        even_grid(params, sigmas, timesteps);
        return;
    }
    const double first = shifted_f32(shift, 1.0f) * VG_TRAIN_TIMESTEPS;
    const double last = shifted_f32(shift, 1.0f / VG_TRAIN_TIMESTEPS) * VG_TRAIN_TIMESTEPS;

    for (int k = 0; k < n; k++) {
        double t = first; /* numpy.linspace(first, last, n)[k] */
        if (n > 1)
            t = k == n - 1 ? last : k * ((last - first) / (n - 1)) + first;
        double sigma = t / VG_TRAIN_TIMESTEPS;
        sigmas[k] = (float)(shift * sigma / (1.0 + (shift - 1.0) * sigma));
        timesteps[k] = sigmas[k] * (float)VG_TRAIN_TIMESTEPS;
    }
    sigmas[n] = 0.0f;
}

static vg_status step(vg_scheduler *s, const vg_guided *v, vg_tensor *x, vg_err *err)
{
    const bool bf16 = v->cond->dtype == VG_BF16;
    const float exact = s->sigmas[s->at + 1] - s->sigmas[s->at],
                dt = bf16 ? vg_round_bf16(exact) : exact;
    vg_tensor *y = bf16 ? &s->rounded : x;

    VG_TRY(vg_scheduler_add(s, x, v, dt, y, err));
    if (y != x)
        VG_TRY(vg_scheduler_combine(s, 1, (const vg_tensor *[]){y}, (float[]){1.0f}, x, err));
    s->last_order = 1;
    return VG_OK;
}

static vg_status check(const cJSON *config, const char *name, double *flow_shift, vg_err *err)
{
    /* Not listed: base_shift, max_shift, base_image_seq_len, max_image_seq_len, time_shift_type matter with dynamic shifting only. */
    static const vg_scheduler_rule rules[] = {
        {"num_train_timesteps", VG_RULE_NUMBER, VG_TRAIN_TIMESTEPS, NULL, true},
        {"use_dynamic_shifting", VG_RULE_BOOL, 0, NULL, true},
        {"invert_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"shift_terminal", VG_RULE_UNSET, 0, NULL, true},
        {"use_karras_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"use_exponential_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"use_beta_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"stochastic_sampling", VG_RULE_BOOL, 0, NULL, true},
    };

    VG_TRY(
        vg_scheduler_check_rules(config, name, rules, (int)(sizeof rules / sizeof rules[0]), err));
    return vg_json_get_double(config, name, "shift", 1e-3, 1e3, flow_shift, err);
}

const vg_scheduler_kind vg_scheduler_kind_euler = {
    .name = "euler",
    .class_name = "FlowMatchEulerDiscreteScheduler",
    .rounds_to_bf16 = true,
    .check = check,
    .grid = grid,
    .step = step,
};
