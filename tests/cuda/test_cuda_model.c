/* test_cuda_model.c: whole parts and whole runs of the tiny models on the GPU: parts against the reference implementation's goldens,
 * runs against the CPU. Limits of parts are those of test_model_component.c, but for FP8 in FP32 compute, where the tensor
 * cores' sums flip a few more E4M3 codes, each worth up to 7e-3. With VG_CUDA_MODEL=DIR (and VG_CUDA_PROMPT) a short run of that
 * checkpoint is compared too. */
#include <time.h>

#include "tests/model.h"

static vg_engine *open_on(vg_device_kind kind)
{
    vg_err err;
    vg_engine *engine = NULL;

    if (vg_engine_open(kind, 0, kind == VG_DEVICE_CPU ? 0 : 2, &engine, &err) != VG_OK) {
        print_message("%s\n", err.message);
        return NULL;
    }
    return engine;
}

static void close_engine(vg_engine *engine)
{
    vg_backend *be = vg_engine_backend(engine);
    size_t left;

    be->ops->trim(be);
    left = be->bytes_now - be->kept; /* libraries keep their workspace until close */
    vg_engine_close(engine);
    assert_int_equal(left, 0);
}

typedef struct part_case {
    char model[40], part[40], golden[80];
    vg_compute compute;
    int scheme;   /* -1 = the checkpoint's own */
    double limit; /* 0 = three times the golden's own BF16 error */
} part_case;

/* 1 when compared, 0 when there is no such golden; counts failures in *failed and goes on. */
static int compare_part(vg_engine *engine, const part_case *c, int *failed)
{
    char dir[512], input[512], golden[512];
    vg_err err;
    vg_safetensors_entry *out;
    int count;
    double limit = c->limit, error;

    snprintf(dir, sizeof dir, GOLDEN "%s", c->model);
    snprintf(input, sizeof input, GOLDEN "%.6s/component/%s.in.safetensors", c->model, c->part);
    snprintf(golden, sizeof golden, GOLDEN "%s/component/%s.safetensors", c->model, c->golden);
    if (!vg_file_exists(input) || !vg_file_exists(golden))
        return 0;
    vg_model *model = open_model(dir);
    vg_safetensors *in = open_file(input), *wanted = open_file(golden);
    vg_component_params params = {.scheme = c->scheme < 0 ? VG_SCHEME_BF16 : (vg_scheme)c->scheme,
                                  .scheme_given = c->scheme >= 0,
                                  .compute = c->compute,
                                  .vae_compute = c->compute};
    if (vg_component_run(engine, model, c->part, &params, in, &out, &count, &err) != VG_OK) {
        print_message("%s %s: %s\n", c->model, c->golden, err.message);
        (*failed)++;
        goto done;
    }
    const vg_tensor *reference = vg_safetensors_find(wanted, out[0].name),
                    *mask = vg_safetensors_find(in, "attention_mask");
    assert_true(reference && vg_tensor_same_shape(reference, &out[0].tensor));
    float *a = out[0].tensor.data;
    const float *b = reference->data;
    for (int64_t i = 0; mask && i < vg_tensor_numel(reference);
         i++) { /* hidden tokens do not count */
        int64_t shown;
        memcpy(&shown, (const char *)mask->data + 8 * (i / reference->shape[2]), 8);
        a[i] = shown ? a[i] : b[i];
    }
    const char *cost = vg_safetensors_metadata(wanted, "rel_l2_to_float32");
    if (limit == 0)
        limit = 3 * (cost ? strtod(cost, NULL) : 0);
    error = rel_l2(a, b, vg_tensor_numel(reference));
    if (!(error < limit)) {
        print_message("%s %s: relative L2 %.2e, limit %.2e\n", c->model, c->golden, error, limit);
        (*failed)++;
    }
    vg_entries_free(out, count);
done:
    vg_safetensors_close(wanted);
    vg_safetensors_close(in);
    vg_model_close(model);
    return 1;
}

static const char *const models[] = {"tiny-a", "tiny-b", "tiny-c", "tiny-vace"};
#define MODELS ((int)(sizeof models / sizeof models[0]))
static const char *const parts[] = {"text-encoder", "transformer", "transformer_2", "vae-decode",
                                    "vae-encode"};

static void test_cuda_model_parts(void **state)
{
    vg_engine *engine = open_on(VG_DEVICE_CUDA);
    int done = 0, failed = 0;

    (void)state;
    if (!engine)
        skip();
    for (int m = 0; m < MODELS; m++)
        for (int p = 0; p < 5; p++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                part_case c = {.compute = bf16 ? VG_COMPUTE_BF16 : VG_COMPUTE_F32,
                               .scheme = -1,
                               .limit = bf16 ? 0 : 1e-4};
                snprintf(c.model, sizeof c.model, "%s", models[m]);
                snprintf(c.part, sizeof c.part, "%s", parts[p]);
                snprintf(c.golden, sizeof c.golden, "%s.%sout", parts[p], bf16 ? "bf16." : "");
                done += compare_part(engine, &c, &failed);
                for (int block = 0; block < 2 && (p == 1 || p == 2); block++) {
                    snprintf(c.golden, sizeof c.golden, "%s.%s.%sout", parts[p],
                             block ? "fp8-block" : "fp8", bf16 ? "bf16." : "");
                    c.scheme = block ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_FP8;
                    c.limit = bf16 ? 8e-2 : 4e-2;
                    done += compare_part(engine, &c, &failed);
                }
            }
    static const part_case files[] = {
        {"tiny-b-modelopt-fp8", "transformer", "transformer.out", VG_COMPUTE_F32, -1, 4e-2},
        {"tiny-b-modelopt-fp8", "transformer", "transformer.bf16.out", VG_COMPUTE_BF16, -1, 8e-2},
        {"tiny-b-modelopt-fp8", "transformer_2", "transformer_2.out", VG_COMPUTE_F32, -1, 4e-2},
        {"tiny-a-modelopt-fp8-block", "transformer", "transformer.out", VG_COMPUTE_F32, -1, 4e-2},
        {"tiny-a-modelopt-fp8-block", "transformer", "transformer.bf16.out", VG_COMPUTE_BF16, -1,
         8e-2},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        done += compare_part(engine, &files[i], &failed);
    close_engine(engine);
    print_message("%d parts compared\n", done);
    assert_true(done >= 50);
    assert_int_equal(failed, 0);
}

typedef struct run_result {
    vg_latents latents;
    vg_frames frames;
    double seconds;
} run_result;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_on(vg_device_kind kind, const char *dir, vg_generate_params p, run_result *r)
{
    vg_err err;
    vg_engine *engine = open_on(kind);
    vg_model *model = open_model(dir);
    vg_conditions text;

    assert_non_null(engine);
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
    r->seconds = now();
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &r->latents, &err), err);
    CHECK_OK(vg_decode(engine, model, &p, &r->latents, NULL, &r->frames, &err), err);
    r->seconds = now() - r->seconds;
    vg_conditions_deinit(&text);
    vg_model_close(model);
    close_engine(engine);
}

static int64_t size_of(const run_result *r)
{
    return r->latents.shape[0] * r->latents.shape[1] * r->latents.shape[2] * r->latents.shape[3];
}

/* The GPU's run against the CPU's and against itself, bit for bit. FP32: within 1e-4 (parts are some 1e-6 apart, a run amplifies that by
 * up to 1.7 a step). BF16: the two backends round differently, so they are as far apart as BF16 is from FP32 on the CPU alone, which is
 * measured (trained or not, few steps with guidance: 3e-2 to 5e-2; with FP8, whose codes flip, 0.15 to 0.4); twice that is allowed. */
static bool compare_runs(const char *dir, const vg_generate_params *p)
{
    run_result cpu = {0}, wide = {0}, first = {0}, second = {0};
    vg_generate_params in_f32 = *p;
    int64_t count, differ = 0, frame_bytes;
    double error, limit = 1e-4;
    bool repeats;

    run_on(VG_DEVICE_CUDA, dir, *p, &first);
    run_on(VG_DEVICE_CUDA, dir, *p, &second);
    run_on(VG_DEVICE_CPU, dir, *p, &cpu);
    count = size_of(&cpu);
    if (p->compute == VG_COMPUTE_BF16) {
        in_f32.compute = VG_COMPUTE_F32;
        run_on(VG_DEVICE_CPU, dir, in_f32, &wide);
        limit = 2 * rel_l2(cpu.latents.values, wide.latents.values, count);
        assert_true(limit < 1);
    }
    frame_bytes = (int64_t)cpu.frames.count * cpu.frames.height * cpu.frames.width * 3;
    error = rel_l2(first.latents.values, cpu.latents.values, count);
    repeats =
        memcmp(first.latents.values, second.latents.values, (size_t)count * sizeof(float)) == 0 &&
        memcmp(first.frames.rgb, second.frames.rgb, (size_t)frame_bytes) == 0;
    for (int64_t i = 0; i < frame_bytes; i++)
        differ += abs((int)first.frames.rgb[i] - (int)cpu.frames.rgb[i]);
    print_message(
        "%s, %s, %s: latents %.2e from the CPU's (allowed %.2e), frames %.2f of 255 on average; %.2f s, CPU %.2f s\n",
        dir, p->compute == VG_COMPUTE_F32 ? "f32" : "bf16", vg_scheme_name(p->scheme), error, limit,
        (double)differ / (double)frame_bytes, second.seconds, cpu.seconds);
    if (!repeats)
        print_message("a second run on the GPU gives other bits\n");
    run_result *all[] = {&cpu, &wide, &first, &second};
    for (int i = 0; i < 4; i++) {
        vg_latents_deinit(&all[i]->latents);
        vg_frames_deinit(&all[i]->frames);
    }
    return repeats && error < limit;
}

static void test_cuda_model_runs(void **state)
{
    vg_engine *engine = open_on(VG_DEVICE_CUDA);
    bool good = true;

    (void)state;
    if (!engine)
        skip();
    close_engine(engine);
    uint8_t pixels[24 * 40 * 3];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i / 7);
    const vg_media reference = {VG_ROLE_REFERENCE, {1, 24, 40, pixels}};
    for (int m = 0; m < MODELS; m++)
        for (int f = 0; f < 2; f++) {
            char dir[512];
            vg_generate_params p;
            snprintf(dir, sizeof dir, GOLDEN "%s", models[m]);
            vg_generate_params_init(&p);
            p.inputs.prompt = "A cat and a dog baking a cake together in a kitchen.";
            p.inputs.negative_prompt = "blurry";
            p.height = 48, p.width = 64, p.num_frames = 9, p.steps = 4, p.seed = 7;
            p.compute = f ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
            p.inputs.media = &reference;
            p.inputs.media_count = strcmp(models[m], "tiny-vace") == 0;
            good = compare_runs(dir, &p) && good;
        }
    assert_true(good);
}

static void test_cuda_model_given(void **state)
{
    const char *dir = getenv("VG_CUDA_MODEL");
    bool good = true;

    (void)state;
    if (!dir)
        skip();
    for (int scheme = 0; scheme < 3; scheme++) {
        vg_generate_params p;
        vg_generate_params_init(&p);
        p.inputs.prompt = getenv("VG_CUDA_PROMPT") ? getenv("VG_CUDA_PROMPT") : "a red ball";
        p.height = 96, p.width = 160, p.num_frames = 17, p.steps = 4, p.seed = 7;
        p.scheme = scheme == 0 ? VG_SCHEME_BF16 : scheme == 1 ? VG_SCHEME_FP8 : VG_SCHEME_FP8_BLOCK;
        p.fp8_act = VG_FP8_ACT_DYNAMIC;
        good = compare_runs(dir, &p) && good;
    }
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_model_parts),
        cmocka_unit_test(test_cuda_model_runs),
        cmocka_unit_test(test_cuda_model_given),
    };
    return cmocka_run_group_tests_name("cuda_model", tests, NULL, NULL);
}
