/* test_cuda_hv15.c: every part of HunyuanVideo-1.5 on the GPU against diffusers' goldens, within the limits of test_model_hv15.c; FP8 near FP32. */
#include "tests/engine/generated.h"

static vg_engine *open_gpu_engine(void)
{
    vg_err err;
    vg_engine *engine = NULL;
    if (vg_engine_open(VG_DEVICE_CUDA, 0, 2, &engine, &err) != VG_OK) {
        print_message("%s\n", err.message);
        return NULL;
    }
    return engine;
}

/* Relative error of a part on the GPU; *cost: what BF16 costs the reference. */
static double run_on_gpu(void **state, vg_engine *engine, const char *name, const char *part,
                         bool bf16, int scheme, bool tiled, double *cost)
{
    char text[64];
    vg_err err;
    vg_safetensors_entry *out;
    int count;
    vg_model *model = open_dummy(name);
    vg_component_params params = {.scheme = scheme < 0 ? VG_SCHEME_BF16 : (vg_scheme)scheme,
                                  .scheme_given = scheme >= 0,
                                  .compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32,
                                  .vae_compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32,
                                  .vae_tiling = tiled};
    snprintf(text, sizeof text, "%s%s.%sout", part, tiled ? "-tiled" : "",
             bf16 && scheme < 0 ? "bf16." : "");
    vg_safetensors *golden = open_golden(name, text), *in;
    snprintf(text, sizeof text, "%s%s.in", part, tiled ? "-tiled" : "");
    if (strcmp(part, "vae-encode") != 0)
        in = open_golden(name, text);
    else if (tiled)
        in = make_waves(state, strcmp(name, "tiny-hv-t2v") == 0 ? 5 : 1, 288, 272);
    else
        in = make_waves(state, 9, 32, 48);
    CHECK_OK(vg_component_run(engine, model, part, &params, in, &out, &count, &err), err);
    double error = error_of(&out[0].tensor, golden);
    const char *known = vg_safetensors_metadata(golden, "rel_l2_to_float32");
    *cost = known ? strtod(known, NULL) : 0;
    vg_entries_free(out, count);
    vg_safetensors_close(in);
    vg_safetensors_close(golden);
    vg_model_close(model);
    return error;
}

static const char *const models[] = {"tiny-hv-t2v", "tiny-hv-i2v"};
static const char *const parts[] = {"transformer", "vae-decode", "vae-encode"};

static void test_cuda_hv15_parts(void **state)
{
    vg_engine *engine = open_gpu_engine();
    if (!engine)
        skip();
    for (int i = 0; i < 2 * 3 * 4; i++) {
        const char *name = models[i / 12], *part = parts[i / 4 % 3];
        bool bf16 = i & 1, tiled = i >> 1 & 1;
        double cost, limit;
        if (tiled && i / 4 % 3 == 0)
            continue;
        double error = run_on_gpu(state, engine, name, part, bf16, -1, tiled, &cost);
        limit = bf16 ? fmin(4e-2, 3 * cost) : 1e-4;
        if (!(error < limit))
            fail_msg("%s %s%s, %s: relative L2 %.2e, limit %.2e", name, part,
                     tiled ? " in tiles" : "", bf16 ? "BF16" : "F32", error, limit);
    }
    vg_engine_close(engine);
}

/* A few bits a value, on inputs of 32 channels. */
static void test_cuda_hv15_fp8(void **state)
{
    vg_engine *engine = open_gpu_engine();
    if (!engine)
        skip();
    for (int i = 0; i < 2 * 2; i++) {
        double cost, error = run_on_gpu(state, engine, models[i / 2], "transformer", true,
                                        i & 1 ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8, false, &cost);
        if (!(error < 0.1 && error > 1e-3))
            fail_msg("%s in FP8%s: relative L2 %.2e", models[i / 2], i & 1 ? " by blocks" : "",
                     error);
    }
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cuda_hv15_parts, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_cuda_hv15_fp8, scratch_open, scratch_close),
    };
    return cmocka_run_group_tests_name("cuda_hv15", tests, NULL, NULL);
}
