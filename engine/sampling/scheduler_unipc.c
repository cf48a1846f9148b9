/* scheduler_unipc.c: UniPC (arXiv:2302.04867) of order 2, "bh2", x0 prediction, on flow-matching sigmas.
 *
 * NOTES (facts that break silently)
 * - alpha = 1 - sigma, lambda = ln alpha - ln sigma and everything made of them are FP32, as in the reference. alpha_0 is the FP32
 *   difference 1.01328e-6, not 1e-6: FP64 moves lambda_0 by 0.013 and with it the first two steps.
 * - timesteps are truncated to whole numbers from the FP64 grid, while stepping uses the exact sigma.
 * - m_i is made from the uncorrected sample and is not recomputed after the corrector.
 * - sigma * v is rounded to BF16 when v is BF16; the rest is FP32. On a CPU torch rounds sigma to BF16 first; on CUDA it does not,
 *   since the scheduler keeps its sigmas in host memory. We do what torch does on the same kind of device.
 * Source: diffusers scheduling_unipc_multistep.py. Tests: test_scheduler. */
#include "engine/sampling/scheduler_kind.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <string.h>

/* s->tensors. After a step NEWEST is m of that step; SPARE holds nothing of use between steps. */
enum { LAST_X, NEWEST, OLDER, SPARE, TENSORS };

/* numpy.linspace(1, 0.001, steps + 1)[k], in its own order of operations. */
static double linear(int k, int steps)
{
    const double end = 1.0 / VG_TRAIN_TIMESTEPS;

    return k == steps ? end : k * ((end - 1.0) / steps) + 1.0;
}

static void grid(const vg_scheduler_params *params, float *sigmas, double *timesteps)
{
    const int n = params->steps;
    const double shift = params->flow_shift;

    for (int k = 0; k < n; k++) {
        double u = params->grid == VG_FLOW_GRID_037 ? linear(k, n) : 1.0 - linear(n - k, n);
        double sigma = shift * u / (1.0 + (shift - 1.0) * u);
        /* alpha must not be 0. The reference does this in the new grid only; the old one never gets near 1. */
        if (params->grid == VG_FLOW_GRID_037 && k == 0 && fabs(sigma - 1.0) < 1e-6)
            sigma -= 1e-6;
        timesteps[k] = trunc(sigma * VG_TRAIN_TIMESTEPS);
        sigmas[k] = (float)sigma;
    }
    sigmas[n] = 0.0f;
}

static float lambda(const vg_scheduler *s, int step)
{
    return logf(1.0f - s->sigmas[step]) - logf(s->sigmas[step]);
}

/* Solve rho0 + rho1 = b1, r rho0 + rho1 = b2 in FP32 with the pivoting of LAPACK, as torch.linalg.solve does. */
static void solve_corrector(float r, float b1, float b2, float *rho0, float *rho1)
{
    if (fabsf(r) > 1.0f) {
        float factor = 1.0f / r;
        *rho1 = (b1 - factor * b2) / (1.0f - factor);
        *rho0 = (b2 - *rho1) / r;
    } else {
        *rho1 = (b2 - r * b1) / (1.0f - r);
        *rho0 = b1 - *rho1;
    }
}

/* x := corrected sample of step i = s->at, from the new m (tensors[SPARE]); x and tensors[OLDER] are overwritten. */
static vg_status correct(vg_scheduler *s, vg_tensor *x, vg_err *err)
{
    const int i = s->at;
    vg_tensor *m0 = &s->tensors[NEWEST], *older = &s->tensors[OLDER], *m = &s->tensors[SPARE];
    const float alpha = 1.0f - s->sigmas[i], h = lambda(s, i) - lambda(s, i - 1);
    const float phi = expm1f(-h), bh = phi;
    const float keep = s->sigmas[i] / s->sigmas[i - 1], pull = alpha * phi, gain = alpha * bh;

    /* The predicted x is not needed any more: its memory takes the difference m - m0. */
    VG_TRY(
        vg_scheduler_combine(s, 2, (const vg_tensor *[]){m, m0}, (float[]){1.0f, -1.0f}, x, err));
    if (s->last_order == 1)
        return vg_scheduler_combine(s, 3, (const vg_tensor *[]){&s->tensors[LAST_X], m0, x},
                                    (float[]){keep, -pull, -(gain * 0.5f)}, x, err);

    const float r = (lambda(s, i - 2) - lambda(s, i - 1)) / h;
    const float phi_1 = phi / -h - 1.0f, phi_2 = phi_1 / -h - 0.5f;
    float rho0, rho1;
    solve_corrector(r, phi_1 / bh, phi_2 * 2.0f / bh, &rho0, &rho1);
    VG_TRY(vg_scheduler_combine(s, 2, (const vg_tensor *[]){older, m0}, (float[]){1.0f, -1.0f},
                                older, err));
    return vg_scheduler_combine(s, 4, (const vg_tensor *[]){&s->tensors[LAST_X], m0, older, x},
                                (float[]){keep, -pull, -(gain * (rho0 / r)), -(gain * rho1)}, x,
                                err);
}

/* x := predicted sample of step i + 1; tensors[LAST_X] holds the corrected x_i, NEWEST and OLDER are m_i and m_{i-1}. */
static vg_status predict(vg_scheduler *s, int order, vg_tensor *x, vg_err *err)
{
    const int i = s->at;
    vg_tensor *m = &s->tensors[NEWEST], *older = &s->tensors[OLDER];

    /* sigma = 0: lambda is infinite, phi = -1, order 1, and the formula below is x = 0 x + m. */
    if (i + 1 == s->steps)
        return vg_scheduler_combine(s, 1, (const vg_tensor *[]){m}, (float[]){1.0f}, x, err);

    const float alpha = 1.0f - s->sigmas[i + 1], h = lambda(s, i + 1) - lambda(s, i);
    const float phi = expm1f(-h), bh = phi;
    const float keep = s->sigmas[i + 1] / s->sigmas[i], pull = alpha * phi, gain = alpha * bh;
    if (order == 1)
        return vg_scheduler_combine(s, 2, (const vg_tensor *[]){&s->tensors[LAST_X], m},
                                    (float[]){keep, -pull}, x, err);
    const float r = (lambda(s, i - 1) - lambda(s, i)) / h;
    VG_TRY(vg_scheduler_combine(s, 2, (const vg_tensor *[]){older, m}, (float[]){1.0f, -1.0f}, x,
                                err));
    return vg_scheduler_combine(s, 3, (const vg_tensor *[]){&s->tensors[LAST_X], m, x},
                                (float[]){keep, -pull, -(gain * (0.5f / r))}, x, err);
}

static vg_status step(vg_scheduler *s, const vg_guided *v, vg_tensor *x, vg_err *err)
{
    const int i = s->at, left = s->steps - i;
    int order = left < 2 ? left : 2;

    if (order > i + 1)
        order = i + 1;
    const bool round_sigma = v->cond->dtype == VG_BF16 && s->be->ops->kind == VG_DEVICE_CPU;
    const float sigma = round_sigma ? vg_round_bf16(s->sigmas[i]) : s->sigmas[i];
    VG_TRY(vg_scheduler_add(s, x, v, -sigma, &s->tensors[SPARE], err));
    if (i > 0)
        VG_TRY(correct(s, x, err));

    vg_tensor free_now = s->tensors[OLDER];
    s->tensors[OLDER] = s->tensors[NEWEST];
    s->tensors[NEWEST] = s->tensors[SPARE];
    s->tensors[SPARE] = free_now;

    VG_TRY(vg_backend_copy(s->be, &s->tensors[LAST_X], x, err));
    s->last_order = order;
    return predict(s, order, x, err);
}

static vg_status check(const cJSON *config, const char *name, double *flow_shift, vg_err *err)
{
    /* Not listed, because the flow path does not read them: beta_*, trained_betas, timestep_spacing, steps_offset, rescale_betas_zero_snr,
     * dynamic_thresholding_ratio, sample_max_value, time_shift_type, sigma_min, sigma_max. */
    static const vg_scheduler_rule rules[] = {
        {"num_train_timesteps", VG_RULE_NUMBER, VG_TRAIN_TIMESTEPS, NULL, true},
        {"solver_order", VG_RULE_NUMBER, 2, NULL, true},
        {"prediction_type", VG_RULE_TEXT, 0, "flow_prediction", false},
        {"use_flow_sigmas", VG_RULE_BOOL, 1, NULL, false},
        {"predict_x0", VG_RULE_BOOL, 1, NULL, true},
        {"lower_order_final", VG_RULE_BOOL, 1, NULL, true},
        {"final_sigmas_type", VG_RULE_TEXT, 0, "zero", true},
        {"thresholding", VG_RULE_BOOL, 0, NULL, true},
        {"use_karras_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"use_exponential_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"use_beta_sigmas", VG_RULE_BOOL, 0, NULL, true},
        {"use_dynamic_shifting", VG_RULE_BOOL, 0, NULL, true},
        {"disable_corrector", VG_RULE_UNSET, 0, NULL, true},
        {"solver_p", VG_RULE_UNSET, 0, NULL, true},
        {"shift_terminal", VG_RULE_UNSET, 0, NULL, true},
    };
    /* The reference reads these three as "bh2". */
    static const char *const bh2_aliases[] = {"midpoint", "heun", "logrho", "bh2"};
    const char *solver_type = "bh2";

    VG_TRY(
        vg_scheduler_check_rules(config, name, rules, (int)(sizeof rules / sizeof rules[0]), err));
    VG_TRY(vg_json_get_string(config, name, "solver_type", &solver_type, err));
    for (int i = 0;; i++) {
        if (i == 4)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "%s: \"solver_type\": \"%s\" is not supported, only \"bh2\"", name,
                           solver_type);
        if (strcmp(solver_type, bh2_aliases[i]) == 0)
            break;
    }
    return vg_json_get_double(config, name, "flow_shift", 1e-3, 1e3, flow_shift, err);
}

const vg_scheduler_kind vg_scheduler_kind_unipc = {
    .name = "unipc",
    .class_name = "UniPCMultistepScheduler",
    .tensors = TENSORS,
    .saved = SPARE,
    .divides_by_steps = true,
    .saved_names = {"last_x", "m_1", "m_2"},
    .check = check,
    .grid = grid,
    .step = step,
};
