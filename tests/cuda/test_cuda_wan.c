/* test_cuda_wan.c: whole runs of the tiny Wan models that take pictures in other ways than Wan2.2 I2V-A14B, encoded, denoised and decoded on the GPU,
 * against diffusers' latents (tests/oracle/make_wan.py): limits of test_model_wan.c. Frames against the CPU's of the same latents. */
#include "tests/wan_run.h"

static const struct {
    const char *model, *name;
} runs[] = {
    {"tiny-ti2v", "t2v"}, {"tiny-ti2v", "i2v"}, {"tiny-clip", "i2v"}, {"tiny-flf2v", "flf2v"}};
#define RUNS (sizeof runs / sizeof *runs)

static vg_engine *open_gpu(void)
{
    vg_err err;
    vg_engine *engine;
    if (vg_engine_open(VG_DEVICE_CUDA, 0, 2, &engine, &err) == VG_OK)
        return engine;
    print_message("%s\n", err.message);
    skip();
    return NULL;
}

static double error_of_run(size_t i, vg_compute compute, vg_scheme scheme)
{
    vg_err err;
    golden_run r;
    vg_conditions c;
    open_run(&r, open_gpu(), runs[i].model, runs[i].name, compute);
    r.p.scheme = scheme;
    r.p.fp8_act = VG_FP8_ACT_DYNAMIC;
    CHECK_OK(vg_encode(r.engine, r.model, &r.p, NULL, &c, &err), err);
    double error = latents_error(&r, &c);
    print_message("%s %s %s %s: %.2e\n", runs[i].model, runs[i].name, vg_compute_name(compute),
                  vg_scheme_name(scheme), error);
    vg_conditions_deinit(&c);
    close_run(&r);
    return error;
}

static void test_cuda_wan_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < RUNS; i++) {
        assert_true(error_of_run(i, VG_COMPUTE_F32, VG_SCHEME_BF16) < 1e-3);
        assert_true(error_of_run(i, VG_COMPUTE_BF16, VG_SCHEME_BF16) < 4e-2);
        assert_true(error_of_run(i, VG_COMPUTE_BF16, VG_SCHEME_FP8) < 0.25);
    }
}

/* Products by groups need Hopper's tensor cores. */
static void test_cuda_wan_runs_by_blocks(void **state)
{
    vg_err err;
    vg_device_info info;
    vg_engine *engine = open_gpu();
    (void)state;
    CHECK_OK(vg_backend_info(vg_engine_backend(engine), &info, &err), err);
    vg_engine_close(engine);
    if (info.capability != 90)
        skip();
    for (size_t i = 0; i < RUNS; i++)
        assert_true(error_of_run(i, VG_COMPUTE_BF16, VG_SCHEME_FP8_BLOCK) < 0.25);
}

static void frames_on(vg_engine *engine, const vg_latents *latents, vg_frames *frames)
{
    vg_err err;
    golden_run r;
    open_run(&r, engine, "tiny-ti2v", "t2v", VG_COMPUTE_F32);
    CHECK_OK(vg_decode(r.engine, r.model, &r.p, latents, NULL, frames, &err), err);
    close_run(&r);
}

/* The VAE with patches and shortcuts, chunk by chunk. */
static void test_cuda_wan_frames(void **state)
{
    vg_safetensors *st = open_file(GOLDEN "tiny-ti2v/t2v.safetensors");
    const vg_tensor *t = vg_safetensors_find(st, "latents");
    vg_latents latents = {.shape = {t->shape[1], t->shape[2], t->shape[3], t->shape[4]},
                          .values = t->data,
                          .steps_done = 10,
                          .steps = 10};
    vg_frames gpu, cpu;
    (void)state;
    frames_on(open_gpu(), &latents, &gpu);
    frames_on(open_engine(), &latents, &cpu);
    assert_true(gpu.count == cpu.count && gpu.height == cpu.height && gpu.width == cpu.width);
    for (int64_t i = 0; i < (int64_t)cpu.count * cpu.height * cpu.width * 3; i++)
        assert_true(abs(gpu.rgb[i] - cpu.rgb[i]) <= 1);
    vg_frames_deinit(&gpu);
    vg_frames_deinit(&cpu);
    vg_safetensors_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_wan_runs),
        cmocka_unit_test(test_cuda_wan_runs_by_blocks),
        cmocka_unit_test(test_cuda_wan_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
