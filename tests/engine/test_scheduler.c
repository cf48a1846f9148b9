/* test_scheduler.c: samplers against diffusers (tests/oracle/make_schedulers.py), the vector of the specification, resuming, and
 * what a config may say.
 *
 * Tolerances. The scalars of UniPC go through log, expm1 and quotients of differences of lambda (about 14 at the first step, one ulp
 * 1e-6) in FP32, and the reference's log is another implementation; the step is a handful of FP32 operations on values of
 * order 1. Measured against the goldens: below 1e-6 per step from equal inputs. A BF16 model output rounds each product the same
 * way on both sides. Euler is two roundings: equal bits. */
#include "engine/checkpoint/safetensors.h"
#include "engine/sampling/scheduler.h"
#include "tests/check.h"

#define STEP_TOLERANCE 4e-6

static vg_backend *open_backend(void)
{
    vg_backend *be;
    vg_err err;

    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    return be;
}

static vg_scheduler *new_scheduler(vg_backend *be, const char *kind, int steps, double shift,
                                   vg_flow_grid grid, int64_t numel)
{
    vg_scheduler_params params = {kind, steps, shift, grid, false};
    vg_scheduler *s;
    vg_err err;

    CHECK_OK(vg_scheduler_new(&params, be, numel, &s, &err), err);
    return s;
}

/* A step whose model output needs no guidance. */
static vg_status step(vg_scheduler *s, const vg_tensor *v, vg_tensor *x, vg_err *err)
{
    return vg_scheduler_step(s, &(vg_guided){.cond = v}, x, err);
}

static void check_grid(vg_backend *be, const vg_safetensors *st, const char *golden,
                       const char *kind, vg_flow_grid grid, double shift, int steps)
{
    char name[96];
    vg_scheduler *s = new_scheduler(be, kind, steps, shift, grid, 1);

    snprintf(name, sizeof name, "grid.%s.s%g.n%d.sigmas", golden, shift, steps);
    const vg_tensor *sigmas = vg_safetensors_find(st, name);
    snprintf(name, sizeof name, "grid.%s.s%g.n%d.timesteps", golden, shift, steps);
    const vg_tensor *timesteps = vg_safetensors_find(st, name);
    assert_non_null(sigmas);
    assert_non_null(timesteps);
    assert_int_equal(vg_scheduler_steps(s), steps);
    for (int k = 0; k <= steps; k++) {
        float sigma;
        memcpy(&sigma, (const char *)sigmas->data + 4 * k, 4);
        if (vg_scheduler_sigma(s, k) != (double)sigma)
            fail_msg("%s: sigma %d is %.9g instead of %.9g", name, k, vg_scheduler_sigma(s, k),
                     (double)sigma);
        if (k == steps)
            break;
        double t;
        if (timesteps->dtype == VG_I64) {
            int64_t whole;
            memcpy(&whole, (const char *)timesteps->data + 8 * k, 8);
            t = (double)whole;
        } else {
            float fraction;
            memcpy(&fraction, (const char *)timesteps->data + 4 * k, 4);
            t = (double)fraction;
        }
        if (vg_scheduler_timestep(s, k) != t)
            fail_msg("%s: timestep %d is %.9g instead of %.9g", name, k,
                     vg_scheduler_timestep(s, k), t);
    }
    vg_scheduler_free(s);
}

static void test_scheduler_grids_equal_diffusers(void **state)
{
    static const double shifts[] = {1, 3, 5, 7, 8, 12, 16};
    static const int steps[] = {1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 40, 50};
    vg_backend *be = open_backend();
    vg_safetensors *st;
    vg_err err;

    (void)state;
    CHECK_OK(vg_safetensors_open(VG_TEST_DIR "/golden/schedulers.safetensors", &st, &err), err);
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            check_grid(be, st, "unipc", "unipc", VG_FLOW_GRID_037, shifts[i], steps[k]);
            check_grid(be, st, "unipc36", "unipc", VG_FLOW_GRID_036, shifts[i], steps[k]);
            check_grid(be, st, "euler", "euler", VG_FLOW_GRID_037, shifts[i], steps[k]);
        }
    }
    vg_safetensors_close(st);
    vg_backend_close(be);
}

/* Golden x and v of every step. Each step starts from the golden's x, and v is the golden's: errors cannot add up over a run. */
static void check_trajectory(vg_backend *be, const vg_safetensors *st, const cJSON *row,
                             double *worst)
{
    const char *golden = cJSON_GetObjectItem(row, "name")->valuestring;
    const char *scheduler = cJSON_GetObjectItem(row, "scheduler")->valuestring;
    const int steps = cJSON_GetObjectItem(row, "steps")->valueint;
    const bool euler = strcmp(scheduler, "euler") == 0;
    char name[96];
    float x[64], wanted[64];
    char v[256];

    snprintf(name, sizeof name, "%s.x", golden);
    const vg_tensor *xs = vg_safetensors_find(st, name);
    snprintf(name, sizeof name, "%s.v", golden);
    const vg_tensor *vs = vg_safetensors_find(st, name);
    assert_non_null(xs);
    assert_non_null(vs);
    const int64_t numel = vg_tensor_numel(xs) / (steps + 1);
    const size_t v_bytes = (size_t)numel * vg_dtype_size(vs->dtype);
    assert_true(numel <= 64);
    vg_scheduler *s = new_scheduler(
        be, euler ? "euler" : "unipc", steps, cJSON_GetObjectItem(row, "shift")->valuedouble,
        strcmp(scheduler, "unipc36") == 0 ? VG_FLOW_GRID_036 : VG_FLOW_GRID_037, numel);
    for (int k = 0; k < steps; k++) {
        vg_err err;
        memcpy(x, (const char *)xs->data + (size_t)k * (size_t)numel * 4, (size_t)numel * 4);
        memcpy(wanted, (const char *)xs->data + (size_t)(k + 1) * (size_t)numel * 4,
               (size_t)numel * 4);
        memcpy(v, (const char *)vs->data + (size_t)k * v_bytes, v_bytes);
        vg_tensor x_view = vg_tensor_make(x, VG_F32, 1, numel),
                  v_view = vg_tensor_make(v, vs->dtype, 1, numel);
        assert_int_equal(vg_scheduler_at(s), k);
        CHECK_OK(step(s, &v_view, &x_view, &err), err);
        for (int64_t i = 0; i < numel; i++) {
            double error = fabs((double)x[i] - (double)wanted[i]) / (1.0 + fabs((double)wanted[i]));
            *worst = error > *worst ? error : *worst;
            if (!(error <= (euler ? 0.0 : STEP_TOLERANCE)))
                fail_msg("%s step %d [%d]: %.9g instead of %.9g", golden, k, (int)i, (double)x[i],
                         (double)wanted[i]);
        }
    }
    vg_scheduler_free(s);
}

static void test_scheduler_trajectories_equal_diffusers(void **state)
{
    vg_backend *be = open_backend();
    const cJSON *row;
    vg_safetensors *st;
    cJSON *spec;
    vg_err err;
    double worst = 0.0;

    (void)state;
    CHECK_OK(vg_safetensors_open(VG_TEST_DIR "/golden/schedulers.safetensors", &st, &err), err);
    CHECK_OK(vg_json_load(VG_TEST_DIR "/golden/schedulers.json", &spec, &err), err);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(spec, "trajectories"))
        check_trajectory(be, st, row, &worst);
    print_message("largest error of one step: %.3g\n", worst);
    cJSON_Delete(spec);
    vg_safetensors_close(st);
    vg_backend_close(be);
}

/* The specification's vector: v = 0.3 x + 0.001 t [1,2,-1,0.5] - 0.2, shift 3, 6 steps. */
static void specified_v(const float *x, double t, float *v)
{
    static const float slope[4] = {1.0f, 2.0f, -1.0f, 0.5f};

    for (int i = 0; i < 4; i++)
        v[i] = 0.3f * x[i] + 0.001f * (float)t * slope[i] - 0.2f;
}

static void test_scheduler_unipc_specified_vector(void **state)
{
    static const double wanted[6][4] = {
        {0.931391, -0.602882, 0.320170, 1.943845}, {0.852313, -0.718040, 0.401202, 1.876944},
        {0.762630, -0.842050, 0.493401, 1.796877}, {0.659186, -0.974211, 0.600242, 1.697600},
        {0.556698, -1.073684, 0.707526, 1.579217}, {0.427587, -1.160218, 0.844440, 1.405407}};
    static const double timesteps[6] = {999, 937, 857, 750, 600, 376};
    vg_backend *be = open_backend();
    vg_scheduler *s = new_scheduler(be, "unipc", 6, 3.0, VG_FLOW_GRID_037, 4);
    float x[4] = {1.0f, -0.5f, 0.25f, 2.0f}, v[4];
    vg_tensor x_view = vg_tensor_make(x, VG_F32, 1, 4), v_view = vg_tensor_make(v, VG_F32, 2, 2, 2);
    vg_err err;

    (void)state;
    for (int k = 0; k < 6; k++) {
        assert_true(vg_scheduler_timestep(s, k) == timesteps[k]);
        specified_v(x, timesteps[k], v);
        CHECK_OK(step(s, &v_view, &x_view, &err), err);
        for (int i = 0; i < 4; i++)
            assert_true(fabs((double)x[i] - wanted[k][i]) < 2e-6); /* the vector has six decimals */
    }
    assert_true(vg_scheduler_sigma(s, 6) == 0.0);
    CHECK_FAILS(step(s, &v_view, &x_view, &err), VG_E_ARG, err);
    vg_scheduler_free(s);
    vg_backend_close(be);
}

/* Stop after each step, save, go on in a new scheduler: the same bits. */
static void test_scheduler_resumes_bit_for_bit(void **state)
{
    vg_backend *be = open_backend();
    int kinds_count;
    const char *const *kinds = vg_scheduler_kinds(&kinds_count);
    vg_err err;

    (void)state;
    for (int kind = 0; kind < kinds_count; kind++) {
        float whole[4] = {0};
        for (int stop = 5; stop >= 0; stop--) { /* 5: without a stop */
            vg_scheduler *s = new_scheduler(be, kinds[kind], 5, 5.0, VG_FLOW_GRID_037, 4);
            float x[4] = {1.0f, -0.5f, 0.25f, 2.0f}, v[4];
            vg_tensor x_view = vg_tensor_make(x, VG_F32, 1, 4),
                      v_view = vg_tensor_make(v, VG_F32, 1, 4);
            for (int k = 0; k < 5; k++) {
                if (k == stop) {
                    vg_scheduler_state saved;
                    CHECK_OK(vg_scheduler_save(s, &saved, &err), err);
                    vg_scheduler_free(s);
                    s = new_scheduler(be, kinds[kind], 5, 5.0, VG_FLOW_GRID_037, 4);
                    CHECK_OK(vg_scheduler_restore(s, &saved, &err), err);
                    vg_scheduler_state_deinit(&saved);
                    assert_int_equal(vg_scheduler_at(s), k);
                }
                specified_v(x, vg_scheduler_timestep(s, k), v);
                CHECK_OK(step(s, &v_view, &x_view, &err), err);
            }
            vg_scheduler_free(s);
            if (stop == 5)
                memcpy(whole, x, sizeof x);
            assert_memory_equal(whole, x, sizeof x);
        }
    }
    vg_backend_close(be);
}

static void test_scheduler_restore_rejects_damaged_states(void **state)
{
    vg_backend *be = open_backend();
    vg_scheduler *s = new_scheduler(be, "unipc", 5, 5.0, VG_FLOW_GRID_037, 4);
    float values[4] = {0};
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_scheduler_restore(s, &(vg_scheduler_state){.at = 6, .last_order = 1}, &err),
                VG_E_FORMAT, err);
    CHECK_FAILS(vg_scheduler_restore(s, &(vg_scheduler_state){.at = -1}, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_scheduler_restore(s, &(vg_scheduler_state){.at = 2, .last_order = 1}, &err),
                VG_E_FORMAT, err); /* no tensors */
    CHECK_FAILS(
        vg_scheduler_restore(s, &(vg_scheduler_state){.at = 1, .last_order = 2, .count = 0}, &err),
        VG_E_FORMAT, err);
    CHECK_FAILS(vg_scheduler_restore(
                    s,
                    &(vg_scheduler_state){
                        .at = 2, .last_order = 0, .count = 1, .tensors = {{"m_1", values}}},
                    &err),
                VG_E_FORMAT, err);
    CHECK_FAILS(
        vg_scheduler_restore(s, &(vg_scheduler_state){.at = 2, .last_order = 1, .count = 99}, &err),
        VG_E_FORMAT, err);
    vg_scheduler_free(s);
    vg_backend_close(be);
}

/* The guided step of each kind is the plain one from u + s (c - u), in FP32 and, rounded thrice, in BF16. */
static void test_scheduler_guides(void **state)
{
    enum { N = 37 };
    vg_backend *be = open_backend();
    vg_err err;

    (void)state;
    for (int f = 0; f < 4; f++) {
        const char *kind = f & 1 ? "euler" : "unipc";
        const bool bf16 = f >> 1;
        vg_scheduler *guided = new_scheduler(be, kind, 4, 3.0, VG_FLOW_GRID_037, N),
                     *plain = new_scheduler(be, kind, 4, 3.0, VG_FLOW_GRID_037, N);
        float x[N], y[N], c[N], u[N], v[N];
        uint16_t c16[N], u16[N], v16[N];
        vg_tensor xt = vg_tensor_make(x, VG_F32, 1, N), yt = vg_tensor_make(y, VG_F32, 1, N);
        vg_dtype dtype = bf16 ? VG_BF16 : VG_F32;
        vg_tensor ct = vg_tensor_make(bf16 ? (void *)c16 : c, dtype, 1, N),
                  ut = vg_tensor_make(bf16 ? (void *)u16 : u, dtype, 1, N),
                  vt = vg_tensor_make(bf16 ? (void *)v16 : v, dtype, 1, N);
        for (int i = 0; i < N; i++)
            x[i] = y[i] = 0.37f * (float)i - 5.1f;
        for (int k = 0; k < 4; k++) {
            for (int i = 0; i < N; i++) {
                c16[i] = vg_f32_to_bf16(sinf((float)(i + 7 * k)));
                u16[i] = vg_f32_to_bf16(cosf((float)(3 * i + k)));
                c[i] = vg_bf16_to_f32(c16[i]), u[i] = vg_bf16_to_f32(u16[i]);
                volatile float part = c[i] - u[i];
                part = 4.2f * (bf16 ? vg_round_bf16(part) : part);
                part = u[i] + (bf16 ? vg_round_bf16(part) : part);
                v[i] = part;
                v16[i] = vg_f32_to_bf16(part);
            }
            CHECK_OK(vg_scheduler_step(guided, &(vg_guided){&ct, &ut, 4.2f}, &xt, &err), err);
            CHECK_OK(step(plain, &vt, &yt, &err), err);
            assert_memory_equal(x, y, sizeof x);
        }
        ut.shape[0] = N - 1;
        vg_scheduler_free(guided);
        guided = new_scheduler(be, kind, 4, 3.0, VG_FLOW_GRID_037, N);
        CHECK_FAILS(vg_scheduler_step(guided, &(vg_guided){&ct, &ut, 4.2f}, &xt, &err), VG_E_SHAPE,
                    err);
        vg_scheduler_free(guided);
        vg_scheduler_free(plain);
    }
    vg_backend_close(be);
}

/* One and two steps, as many as the table allows, and settings that divide by zero. */
static void test_scheduler_edges(void **state)
{
    vg_backend *be = open_backend();
    vg_scheduler *s;
    float x[1] = {1.5f}, v[1] = {0.5f};
    vg_tensor x_view = vg_tensor_make(x, VG_F32, 0), v_view = vg_tensor_make(v, VG_F32, 0);
    vg_err err;

    (void)state;
    s = new_scheduler(be, "unipc", 1, 3.0, VG_FLOW_GRID_037, 1);
    assert_true(vg_scheduler_timestep(s, 0) == 999.0);
    CHECK_OK(step(s, &v_view, &x_view, &err), err);
    assert_true(x[0] == 1.5f - (float)vg_scheduler_sigma(s, 0) * 0.5f);
    vg_scheduler_free(s);

    s = new_scheduler(be, "unipc", 1000, 1.0, VG_FLOW_GRID_037, 1);
    for (int k = 0; k < 1000; k++)
        CHECK_OK(step(s, &v_view, &x_view, &err), err);
    assert_true(isfinite(x[0]));
    vg_scheduler_free(s);

    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){"unipc", 0, 3.0, VG_FLOW_GRID_037, false},
                                 be, 1, &s, &err),
                VG_E_ARG, err);
    CHECK_FAILS(
        vg_scheduler_new(&(vg_scheduler_params){"unipc", 1001, 3.0, VG_FLOW_GRID_037, false}, be, 1,
                         &s, &err),
        VG_E_ARG, err);
    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){"unipc", 10, 0.0, VG_FLOW_GRID_037, false},
                                 be, 1, &s, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){"unipc", 10, NAN, VG_FLOW_GRID_037, false},
                                 be, 1, &s, &err),
                VG_E_ARG, err);
    CHECK_FAILS(
        vg_scheduler_new(&(vg_scheduler_params){"unipc", 10, 3.0, VG_FLOW_GRID_COUNT, false}, be, 1,
                         &s, &err),
        VG_E_ARG, err);
    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){"heun", 10, 3.0, VG_FLOW_GRID_037, false},
                                 be, 1, &s, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){NULL, 10, 3.0, VG_FLOW_GRID_037, false}, be,
                                 1, &s, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_scheduler_new(&(vg_scheduler_params){"unipc", 10, 3.0, VG_FLOW_GRID_037, false},
                                 be, 0, &s, &err),
                VG_E_ARG, err);
    /* sigma_0 = 0.999999 and the next sigma are the same FP32 number. */
    CHECK_FAILS(
        vg_scheduler_new(&(vg_scheduler_params){"unipc", 1000, 1000.0, VG_FLOW_GRID_037, false}, be,
                         1, &s, &err),
        VG_E_ARG, err);

    s = new_scheduler(be, "unipc", 2, 3.0, VG_FLOW_GRID_037, 4);
    CHECK_FAILS(step(s, &v_view, &x_view, &err), VG_E_SHAPE, err);
    int32_t whole[4] = {0};
    float four[4] = {0};
    vg_tensor ints = vg_tensor_make(whole, VG_I32, 1, 4),
              floats = vg_tensor_make(four, VG_F32, 1, 4);
    CHECK_FAILS(step(s, &ints, &floats, &err), VG_E_DTYPE, err);
    vg_scheduler_free(s);
    vg_backend_close(be);
}

/* With a BF16 model Euler's latents hold BF16 values, stored as F32. */
static void test_scheduler_euler_rounds_latents(void **state)
{
    vg_backend *be = open_backend();
    vg_scheduler *s = new_scheduler(be, "euler", 4, 3.0, VG_FLOW_GRID_037, 2);
    float x[2] = {1.2345678f, -0.1f};
    uint16_t v[2] = {vg_f32_to_bf16(0.7f), vg_f32_to_bf16(-1.3f)};
    vg_tensor x_view = vg_tensor_make(x, VG_F32, 1, 2), v_view = vg_tensor_make(v, VG_BF16, 1, 2);
    vg_err err;

    (void)state;
    CHECK_OK(step(s, &v_view, &x_view, &err), err);
    for (int i = 0; i < 2; i++)
        assert_true(x[i] == vg_bf16_to_f32(vg_f32_to_bf16(x[i])));
    vg_scheduler_free(s);
    vg_backend_close(be);
}

/* Device allocations fail one after the other: VG_E_NOMEM, and nothing stays allocated. */
static void test_scheduler_allocation_failures(void **state)
{
    vg_backend *be = open_backend();
    vg_scheduler_params params = {"unipc", 4, 3.0, VG_FLOW_GRID_037, false};
    vg_scheduler *s;
    vg_err err;

    (void)state;
    for (int nth = 0; nth < 6; nth++) {
        vg_backend_fail_after(be, nth);
        vg_status status = vg_scheduler_new(&params, be, 1 << 20, &s, &err);
        vg_backend_fail_after(be, -1);
        if (status == VG_OK)
            vg_scheduler_free(s);
        else
            assert_int_equal(status, VG_E_NOMEM);
        assert_true(be->bytes_now == 0);
    }
    vg_backend_close(be);
}

/* The grid that HunyuanVideo-1.5's pipelines hand over, as numpy has it: linspace(1, 0, 6)[:5] shifted by 5, in FP32. */
static void test_scheduler_even_grid(void **state)
{
    static const double wanted[] = {1, 0.95238096, 0.8823529, 0.7692308, 0.5555556, 0};
    const vg_scheduler_params even = {.kind = "euler", .steps = 5, .flow_shift = 5, .even = true};
    vg_scheduler *s;
    vg_err err;

    (void)state;
    CHECK_OK(vg_scheduler_new(&even, check_cpu()->one, 1, &s, &err), err);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(vg_scheduler_sigma(s, i) - wanted[i]) < 1e-7);
    assert_true(fabs(vg_scheduler_timestep(s, 1) - 952.38096) < 1e-4);
    vg_scheduler_free(s);
}

static vg_status from_text(const char *text, vg_scheduler_params *params, vg_err *err)
{
    cJSON *config;

    CHECK_OK(vg_json_parse(text, strlen(text), "scheduler_config.json", &config, err), *err);
    vg_status status =
        vg_scheduler_params_from_config(config, "scheduler_config.json", params, err);
    cJSON_Delete(config);
    return status;
}

#define UNIPC "\"_class_name\":\"UniPCMultistepScheduler\""
#define FLOW  "\"prediction_type\":\"flow_prediction\",\"use_flow_sigmas\":true"
#define EULER "\"_class_name\":\"FlowMatchEulerDiscreteScheduler\""

static void test_scheduler_configs(void **state)
{
    static const struct {
        const char *text;
        vg_status status;
        const char *says;
    } cases[] = {
        {"{}", VG_E_FORMAT, "_class_name"},
        {"{\"_class_name\":\"DDIMScheduler\"}", VG_E_UNSUPPORTED, "UniPCMultistepScheduler"},
        {"{" UNIPC "}", VG_E_UNSUPPORTED, "prediction_type"},
        {"{" UNIPC ",\"prediction_type\":\"flow_prediction\"}", VG_E_UNSUPPORTED,
         "use_flow_sigmas"},
        {"{" UNIPC "," FLOW "}", VG_OK, NULL},
        {"{" UNIPC "," FLOW ",\"thresholding\":true}", VG_E_UNSUPPORTED, "thresholding"},
        {"{" UNIPC "," FLOW ",\"thresholding\":1}", VG_E_FORMAT, "thresholding"},
        {"{" UNIPC "," FLOW ",\"thresholding\":null}", VG_OK, NULL},
        {"{" UNIPC ",\"prediction_type\":\"flow_prediction\",\"use_flow_sigmas\":null}",
         VG_E_UNSUPPORTED, "use_flow_sigmas"},
        {"{" UNIPC "," FLOW ",\"solver_order\":null}", VG_E_FORMAT, "\"solver_order\" is null"},
        {"{" UNIPC "," FLOW ",\"solver_type\":7}", VG_E_FORMAT, "\"solver_type\" is a number"},
        {"{" UNIPC "," FLOW ",\"flow_shift\":null}", VG_E_FORMAT, "\"flow_shift\" is null"},
        {"{" UNIPC "," FLOW ",\"flow_shift\":Infinity}", VG_E_FORMAT, "flow_shift"},
        {"{" UNIPC "," FLOW ",\"beta_start\":NaN,\"sigma_max\":Infinity}", VG_OK, NULL},
        {"{" UNIPC "," FLOW ",\"solver_order\":3}", VG_E_UNSUPPORTED, "solver_order"},
        {"{" UNIPC "," FLOW ",\"solver_type\":\"bh1\"}", VG_E_UNSUPPORTED, "solver_type"},
        {"{" UNIPC "," FLOW ",\"solver_type\":\"midpoint\"}", VG_OK, NULL},
        {"{" UNIPC "," FLOW ",\"use_karras_sigmas\":true}", VG_E_UNSUPPORTED, "use_karras_sigmas"},
        {"{" UNIPC "," FLOW ",\"use_dynamic_shifting\":true}", VG_E_UNSUPPORTED,
         "use_dynamic_shifting"},
        {"{" UNIPC "," FLOW ",\"disable_corrector\":[0]}", VG_E_UNSUPPORTED, "disable_corrector"},
        {"{" UNIPC "," FLOW ",\"disable_corrector\":[],\"solver_p\":null,\"shift_terminal\":null}",
         VG_OK, NULL},
        {"{" UNIPC "," FLOW ",\"shift_terminal\":0.1}", VG_E_UNSUPPORTED, "shift_terminal"},
        {"{" UNIPC "," FLOW ",\"final_sigmas_type\":\"sigma_min\"}", VG_E_UNSUPPORTED,
         "final_sigmas_type"},
        {"{" UNIPC "," FLOW ",\"num_train_timesteps\":999}", VG_E_UNSUPPORTED,
         "num_train_timesteps"},
        {"{" UNIPC "," FLOW ",\"flow_shift\":\"3\"}", VG_E_FORMAT, "flow_shift"},
        {"{" UNIPC "," FLOW ",\"flow_shift\":-3}", VG_E_FORMAT, "flow_shift"},
        {"{" UNIPC "," FLOW ",\"beta_start\":0.1,\"timestep_spacing\":\"leading\",\"unknown\":{}}",
         VG_OK, NULL},
        {"{" EULER "}", VG_OK, NULL},
        {"{" EULER ",\"shift\":5.0,\"invert_sigmas\":false}", VG_OK, NULL},
        {"{" EULER ",\"invert_sigmas\":true}", VG_E_UNSUPPORTED, "invert_sigmas"},
        {"{" EULER ",\"stochastic_sampling\":true}", VG_E_UNSUPPORTED, "stochastic_sampling"},
    };
    vg_scheduler_params params = {0};
    vg_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vg_status status = from_text(cases[i].text, &params, &err);
        if (status != cases[i].status || (cases[i].says && !strstr(err.message, cases[i].says)))
            fail_msg("%s: %s (%s)", cases[i].text, vg_status_name(status),
                     status == VG_OK ? "" : err.message);
    }
    /* The present grid, whatever version wrote the file: the reference does not read it either. */
    CHECK_OK(from_text("{" UNIPC "," FLOW ",\"flow_shift\":12.0,\"_diffusers_version\":\"0.33.0\"}",
                       &params, &err),
             err);
    assert_true(params.flow_shift == 12.0 && params.grid == VG_FLOW_GRID_037 &&
                strcmp(params.kind, "unipc") == 0);
    CHECK_OK(from_text("{" UNIPC "," FLOW "}", &params, &err), err);
    assert_true(params.flow_shift == 1.0 && params.grid == VG_FLOW_GRID_037);
    CHECK_OK(from_text("{" EULER ",\"shift\":5.0}", &params, &err), err);
    assert_true(params.flow_shift == 5.0 && strcmp(params.kind, "euler") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scheduler_even_grid),
        cmocka_unit_test(test_scheduler_grids_equal_diffusers),
        cmocka_unit_test(test_scheduler_trajectories_equal_diffusers),
        cmocka_unit_test(test_scheduler_unipc_specified_vector),
        cmocka_unit_test(test_scheduler_resumes_bit_for_bit),
        cmocka_unit_test(test_scheduler_restore_rejects_damaged_states),
        cmocka_unit_test(test_scheduler_guides),
        cmocka_unit_test(test_scheduler_edges),
        cmocka_unit_test(test_scheduler_euler_rounds_latents),
        cmocka_unit_test(test_scheduler_allocation_failures),
        cmocka_unit_test(test_scheduler_configs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
