/* test_model_memory.c: a CPU backend that behaves like a device (vg_generate_params.memory_limit): loading by threads, streamed blocks,
 * plans against what is measured, and limits that nothing fits into. The bytes of the result must not know of any of it. */
#include "engine/run/budget.h"
#include "engine/run/limits.h"
#include "engine/checkpoint/loader.h"
#include "engine/family/wan/dit.h"
#include "engine/checkpoint/stream.h"
#include "tests/model.h"

#include <unistd.h>

#define DEMO VG_SOURCE_DIR "/presets/demo/wan-t2v"

static const vg_scheme schemes[] = {VG_SCHEME_BF16, VG_SCHEME_FP8, VG_SCHEME_FP8_BLOCK};

/* The demo's architecture with more blocks, for generated weights. */
static vg_model *open_deep(void **state, int layers)
{
    static const char *const experts[] = {"transformer", "transformer_2"};
    char *text, name[64], number[32];
    size_t size;
    vg_err err;
    vg_model *model;
    link_model(state, DEMO, "transformer");
    CHECK_OK(vg_file_read(DEMO "/transformer/config.json", 1 << 20, &text, &size, &err), err);
    char *at = strstr(text, "\"num_layers\": 3");
    assert_non_null(at);
    snprintf(number, sizeof number, "\"num_layers\": %d", layers);
    assert_int_equal(strlen(number), strlen("\"num_layers\": 3"));
    memcpy(at, number, strlen(number));
    assert_int_equal(unlink(scratch_path(state, "transformer_2")), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/config.json", experts[i]);
        scratch_write(state, name, text, size);
    }
    free(text);
    CHECK_OK(vg_model_open(scratch_path(state, "."), VG_LOAD_DUMMY, &model, &err), err);
    return model;
}

static vg_generate_params params_of(const vg_model *model, vg_scheme scheme)
{
    vg_err err;
    vg_generate_params p;
    vg_generate_params_init(&p);
    p.inputs.prompt = "a big red ball";
    p.height = 48;
    p.width = 80;
    p.num_frames = 9;
    p.steps = 3;
    p.guidance_scale = 4;
    p.scheme = scheme;
    p.fp8_act = VG_FP8_ACT_DYNAMIC;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    return p;
}

static vg_conditions text_of(vg_engine *engine, vg_model *model, const vg_generate_params *p)
{
    vg_err err;
    vg_conditions text;
    CHECK_OK(vg_encode(engine, model, p, NULL, &text, &err), err);
    return text;
}

/* The plan of a stage by its name. */
static vg_plan_stage stage_of(const vg_model *model, const vg_generate_params *p, const char *name)
{
    vg_err err;
    vg_plan plan;
    CHECK_OK(vg_plan_make(model, p, &plan, &err), err);
    for (int i = 0; i < plan.count; i++)
        if (strcmp(plan.stages[i].name, name) == 0)
            return plan.stages[i];
    fail_msg("the plan has no stage %s", name);
    return plan.stages[0];
}

static void expect_same(const vg_latents *a, const vg_latents *b)
{
    int64_t count = a->shape[0] * a->shape[1] * a->shape[2] * a->shape[3];
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_memory_equal(a->values, b->values, (size_t)count * sizeof *a->values);
}

static void check_limits(vg_model *model, vg_scheme scheme, vg_compute compute)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_generate_params p = params_of(model, scheme);
    p.compute = compute;
    vg_conditions text = text_of(engine, model, &p);
    vg_latents reference, other;
    CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &reference, &err), err);
    assert_null(be->pool);
    /* Everything resident; then as much on the host as can be. */
    const size_t limits[] = {(size_t)1 << 40, 1};
    for (int i = 0; i < 2; i++) {
        p.memory_limit = limits[i];
        vg_plan_stage s = stage_of(model, &p, "transformer");
        assert_int_equal(s.streamed, i ? s.blocks : 0);
        assert_true(i ? s.host > 0 : s.host == 0);
        p.memory_limit = i ? vg_plan_total(&s) : limits[i];
        CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &other, &err), err);
        expect_same(&reference, &other);
        assert_int_equal(be->grown, 0);
        assert_int_equal(be->bytes_now, 0);
        /* Of 14 MiB, some are the rounding of arenas to 1 MiB and the staging of loading: 15 %. */
        if (other.peak_bytes > vg_plan_total(&s) || other.peak_bytes < vg_plan_total(&s) * 85 / 100)
            fail_msg("planned %zu bytes, measured %zu", vg_plan_total(&s), other.peak_bytes);
        vg_latents_deinit(&other);
    }
    vg_latents_deinit(&reference);
    vg_conditions_deinit(&text);
    vg_engine_close(engine);
}

static void test_model_memory_limits_do_not_change_the_bytes(void **state)
{
    vg_model *demo = open_model(DEMO), *deep = open_deep(state, 8);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        check_limits(demo, schemes[i], VG_COMPUTE_BF16);
        check_limits(deep, schemes[i], VG_COMPUTE_BF16);
    }
    check_limits(demo, VG_SCHEME_BF16, VG_COMPUTE_F32);
    vg_model_close(deep);
    vg_model_close(demo);
}

static void test_model_memory_streams_no_more_than_needed(void **state)
{
    vg_model *deep = open_deep(state, 9);
    vg_generate_params p = params_of(deep, VG_SCHEME_BF16);
    p.memory_limit = (size_t)1 << 40;
    vg_plan_stage all = stage_of(deep, &p, "transformer"), last = all;
    p.memory_limit = 1;
    size_t least = vg_plan_total(&(vg_plan_stage){0}), most = vg_plan_total(&all);
    vg_plan_stage smallest = stage_of(deep, &p, "transformer");
    least = vg_plan_total(&smallest);
    assert_true(least < most);
    for (size_t limit = most; limit > least; limit -= (most - least) / 20) {
        p.memory_limit = limit;
        vg_plan_stage s = stage_of(deep, &p, "transformer");
        assert_true(vg_plan_total(&s) <= limit && s.streamed >= last.streamed);
        if (s.streamed > VG_STREAM_SLOTS +
                             1) { /* one fewer would not fit; small weights share chunks of 1 MiB */
            size_t block = s.host / (size_t)s.streamed;
            assert_true(vg_plan_total(&s) + block + ((size_t)1 << 20) > limit);
        }
        last = s;
    }
    vg_model_close(deep);
}

static void test_model_memory_too_little_is_refused(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_model *deep = open_deep(state, 8);
    vg_generate_params p = params_of(deep, VG_SCHEME_BF16);
    vg_conditions text = text_of(engine, deep, &p);
    vg_latents latents;
    p.memory_limit = 1 << 20;
    CHECK_FAILS(vg_denoise(engine, deep, &p, &text, NULL, NULL, &latents, &err), VG_E_NOMEM, err);
    const char *const says[] = {"stage transformer", "8 of 8 blocks", "1048576 bytes",
                                "--vram-limit", "no smaller"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        if (!strstr(err.message, says[i]))
            fail_msg("\"%s\" does not say \"%s\"", err.message, says[i]);
    assert_int_equal(be->bytes_now, 0);
    CHECK_FAILS(vg_encode(engine, deep, &p, NULL, &text, &err), VG_E_NOMEM, err);
    assert_non_null(strstr(err.message, "stage text"));
    /* What is advised does fit. */
    p.height = 192;
    p.width = 320;
    p.num_frames = 33;
    p.scheme = VG_SCHEME_BF16;
    CHECK_OK(vg_model_defaults(deep, &p, &err), err);
    p.memory_limit = 1;
    vg_plan plan;
    vg_generate_params half = p;
    half.height = 96;
    half.width = 160;
    CHECK_OK(vg_plan_make(deep, &half, &plan, &err), err);
    p.memory_limit = vg_plan_total(&plan.stages[plan.peak]);
    vg_frames frames;
    vg_latents zeros = {.shape = {16, 9, 24, 40}};
    zeros.values = calloc(16 * 9 * 24 * 40, sizeof *zeros.values);
    CHECK_FAILS(vg_decode(engine, deep, &p, &zeros, NULL, &frames, &err), VG_E_NOMEM, err);
    if (!strstr(err.message, "stage decode") || !strstr(err.message, "it would fit with --"))
        fail_msg("\"%s\" gives no advice", err.message);
    /* So does what only the last of the changes makes fit, for somebody who tiles already. */
    vg_generate_params quarter = p;
    quarter.vae_tiling = p.vae_tiling = true;
    quarter.height = 48;
    quarter.width = 80;
    quarter.num_frames = 9;
    quarter.scheme = VG_SCHEME_FP8_BLOCK;
    quarter.memory_limit = 1;
    CHECK_OK(vg_plan_make(deep, &quarter, &plan, &err), err);
    p.memory_limit = vg_plan_total(&plan.stages[plan.peak]);
    CHECK_FAILS(vg_decode(engine, deep, &p, &zeros, NULL, &frames, &err), VG_E_NOMEM, err);
    if (!strstr(err.message, "--quantization fp8-block --height 48 --width 80 --num-frames 9"))
        fail_msg("\"%s\" gives no advice", err.message);
    vg_latents_deinit(&zeros);
    p.memory_limit = 0; /* the engine is as good as new */
    p = params_of(deep, VG_SCHEME_BF16);
    CHECK_OK(vg_denoise(engine, deep, &p, &text, NULL, NULL, &latents, &err), err);
    vg_latents_deinit(&latents);
    vg_conditions_deinit(&text);
    vg_model_close(deep);
    vg_engine_close(engine);
}

static void test_model_memory_every_allocation_may_fail(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_model *demo = open_model(DEMO);
    vg_generate_params p = params_of(demo, VG_SCHEME_FP8);
    vg_conditions text = text_of(engine, demo, &p);
    vg_latents latents;
    bool done = false;
    (void)state;
    p.num_frames = 1;
    p.steps = 1;
    p.memory_limit = 1;
    vg_plan_stage s = stage_of(demo, &p, "transformer");
    p.memory_limit = vg_plan_total(&s);
    int64_t n = 0;
    for (; !done && n < 500; n += n < 40 ? 1 : 7) {
        vg_backend_fail_after(be, n);
        vg_status status = vg_denoise(engine, demo, &p, &text, NULL, NULL, &latents, &err);
        bool fired = be->fail_after < 0;
        vg_backend_fail_after(be, -1);
        assert_int_equal(be->bytes_now, 0);
        if (status == VG_OK)
            vg_latents_deinit(&latents);
        else if (status != VG_E_NOMEM || !fired || !strstr(err.message, "transformer"))
            fail_msg("allocation %lld: %s", (long long)n, err.message);
        done = status == VG_OK && !fired;
    }
    assert_true(done && n > 20);
    vg_conditions_deinit(&text);
    vg_model_close(demo);
    vg_engine_close(engine);
}

/* The readers go on with the next tensors, not with those that were given up. */
static void test_model_memory_abandoned_tensors_are_not_read(void **state)
{
    const int64_t shape[1] = {(int64_t)2 << 20};
    vg_err err;
    vg_backend *be;
    vg_loader *loader;
    uint16_t *many = calloc((size_t)shape[0], sizeof *many),
             *last = calloc((size_t)shape[0], sizeof *last);
    vg_source source = vg_source_of(NULL, NULL, "part", "x.weight", 1, shape);
    (void)state;
    assert_true(many && last);
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    CHECK_OK(vg_loader_new(be, 1, &loader, &err), err);
    for (int i = 0; i < 200; i++) /* 800 MiB */
        CHECK_OK(vg_loader_put(loader, &source, VG_BF16, i < 199 ? many : last, NULL, &err), err);
    vg_loader_abandon(loader);
    for (int64_t i = 0; i < shape[0]; i++)
        assert_int_equal(last[i], 0);
    CHECK_OK(vg_loader_put(loader, &source, VG_BF16, last, NULL, &err), err);
    CHECK_OK(vg_loader_wait(loader, &err), err);
    assert_true(last[0] != 0 || last[1] != 0);
    vg_loader_free(loader);
    vg_backend_close(be);
    free(many);
    free(last);
}

/* Tiles come to the host as FP32, which untiled frames do not. */
static void test_model_memory_tiles_stay_within_their_plan(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_model *demo = open_model(DEMO);
    vg_generate_params p = params_of(demo, VG_SCHEME_BF16);
    vg_frames plain, limited;
    (void)state;
    p.height = p.width = 288;
    p.num_frames = 5;
    p.vae_tiling = true;
    CHECK_OK(vg_model_defaults(demo, &p, &err), err);
    vg_latents zeros = {.shape = {16, 2, 36, 36}};
    zeros.values = calloc(16 * 2 * 36 * 36, sizeof *zeros.values);
    assert_non_null(zeros.values);
    CHECK_OK(vg_decode(engine, demo, &p, &zeros, NULL, &plain, &err), err);
    p.memory_limit = (size_t)1 << 40;
    vg_generate_params one = p; /* a clip as large as a tile: two pieces of four frames in U8 */
    one.height = one.width = 256;
    vg_plan_stage s = stage_of(demo, &p, "decode"), untiled = stage_of(demo, &one, "decode");
    assert_int_equal(s.activations - untiled.activations,
                     2 * 4 * 256 * 256 * 3 * (sizeof(float) - 1));
    p.memory_limit = vg_plan_total(&s);
    be->bytes_peak = 0;
    CHECK_OK(vg_decode(engine, demo, &p, &zeros, NULL, &limited, &err), err);
    if (be->bytes_peak > vg_plan_total(&s) || be->grown || be->bytes_now)
        fail_msg("planned %zu bytes, measured %zu, %zu grown", vg_plan_total(&s), be->bytes_peak,
                 be->grown);
    assert_memory_equal(plain.rgb, limited.rgb,
                        (size_t)plain.count * (size_t)plain.height * (size_t)plain.width * 3);
    vg_frames_deinit(&plain);
    vg_frames_deinit(&limited);
    vg_latents_deinit(&zeros);
    vg_model_close(demo);
    vg_engine_close(engine);
}

static void test_model_memory_text_stays_within_its_plan(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_model *demo = open_model(DEMO);
    vg_generate_params p = params_of(demo, VG_SCHEME_BF16);
    vg_conditions plain = text_of(engine, demo, &p), limited;
    (void)state;
    p.memory_limit = (size_t)1 << 40;
    vg_plan_stage s = stage_of(demo, &p, "text");
    p.memory_limit = vg_plan_total(&s);
    be->bytes_peak = 0;
    CHECK_OK(vg_encode(engine, demo, &p, NULL, &limited, &err), err);
    assert_true(be->bytes_peak <= vg_plan_total(&s) && be->grown == 0 && be->bytes_now == 0);
    assert_same_conditions(&plain, &limited);
    vg_conditions_deinit(&plain);
    vg_conditions_deinit(&limited);
    vg_model_close(demo);
    vg_engine_close(engine);
}

static void test_model_memory_cancel_and_truncation_while_loading(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    vg_module_options options = {.compute = VG_BF16};
    const int64_t n = 3000, k = 1000;
    uint16_t *values = calloc((size_t)(n * k), sizeof *values);
    vg_safetensors_entry entry = {"l.weight", vg_tensor_make(values, VG_BF16, 2, n, k)};
    atomic_int cancel = 1;
    vg_module *module;
    vg_linear_layer layer;
    be->separate = true;
    scratch_write(state, "w/x", "", 0);
    char *path = strdup(scratch_path(state, "w/model.safetensors"));
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(vg_module_open(engine, scratch_path(state, "w"), "w", &options, &module, &err),
                 err);
        be->cancel = i ? NULL : &cancel;
        if (i)
            assert_int_equal(truncate(path, 4096), 0);
        CHECK_OK(vg_module_linear(module, "l", n, k, false, true, VG_BF16, &layer, &err), err);
        CHECK_FAILS(vg_module_loaded(module, &err), i ? VG_E_IO : VG_E_CANCELLED, err);
        be->cancel = NULL;
        vg_module_close(module);
    }
    assert_int_equal(be->bytes_now, 0);
    free(path);
    free(values);
    vg_engine_close(engine);
}

static void test_model_memory_bad_weights_are_told_on_a_device(void **state)
{
    vg_err err;
    vg_engine *engine = open_engine();
    vg_backend *be = vg_engine_backend(engine);
    const vg_precision_policy policy = {.scheme = VG_SCHEME_FP8_BLOCK};
    vg_module_options options = {.compute = VG_BF16, .policy = &policy};
    float values[130][140] = {{0}};
    vg_safetensors_entry entry = {"a.b.weight", vg_tensor_make(values, VG_F32, 2, 130, 140)};
    vg_module *module;
    vg_linear_layer layer;
    scratch_write(state, "w/x", "", 0);
    values[129][139] = NAN;
    CHECK_OK(
        vg_safetensors_write(scratch_path(state, "w/model.safetensors"), &entry, 1, NULL, &err),
        err);
    for (int separate = 0; separate < 2; separate++) {
        be->separate = separate;
        CHECK_OK(vg_module_open(engine, scratch_path(state, "w"), "w", &options, &module, &err),
                 err);
        CHECK_OK(vg_module_linear(module, "a.b", 130, 140, false, true, VG_BF16, &layer, &err),
                 err);
        CHECK_FAILS(vg_module_loaded(module, &err), VG_E_FORMAT, err);
        assert_non_null(strstr(err.message, "a.b"));
        vg_module_close(module);
    }
    vg_engine_close(engine);
}

/* Random walks over streamed blocks: each is found with its own bytes, in order or not, also after a run that was broken off. */
static void test_model_memory_stream_finds_every_block(void **state)
{
    enum { BLOCKS = 7, BYTES = 1000 };
    check_rng rng = {3};
    vg_backend *be;
    vg_stream *stream;
    vg_err err;
    void *memory;
    (void)state;
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    CHECK_OK(vg_stream_new(be, BLOCKS, BYTES, &stream, &err), err);
    assert_int_equal(be->bytes_now, VG_STREAM_SLOTS * BYTES);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK_OK(vg_stream_place(stream, i, &memory, &err), err);
        memset(memory, 'a' + i, BYTES - (size_t)i);
        CHECK_OK(vg_stream_keep(stream, i, BYTES - (size_t)i, &err), err);
    }
    assert_int_equal(vg_stream_host_bytes(stream), BLOCKS * BYTES - BLOCKS * (BLOCKS - 1) / 2);
    for (int round = 0, block = 0; round < 500; round++) {
        CHECK_OK(vg_stream_bind(stream, block, &memory, &err), err);
        for (int i = 0; i < BYTES - block; i++)
            assert_int_equal(((char *)memory)[i], 'a' + block);
        bool broken = check_random(&rng) > 0.8;
        if (!broken)
            CHECK_OK(vg_stream_release(stream, block, &err), err);
        block = broken ? (int)(check_random_bits(&rng) % BLOCKS) : (block + 1) % BLOCKS;
    }
    vg_stream_free(stream);
    assert_int_equal(be->bytes_now, 0);
    vg_backend_close(be);
}

/* What no machine can hold is told from the sizes alone. */
static void test_model_memory_of_the_frames_alone(void **state)
{
    vg_generate_params p;
    vg_err err;
    (void)state;
    vg_generate_params_init(&p);
    p.height = p.width = VG_SIDE_MAX;
    p.num_frames = 1;
    CHECK_OK(vg_budget_check_size(&p, &err), err); /* 192 MiB */
    int64_t frames = (int64_t)(vg_memory_total() / ((uint64_t)p.height * (uint64_t)p.width * 3));
    assert_true(frames > 0);
    if (frames >= INT32_MAX)
        return;
    p.num_frames = (int)frames;
    CHECK_OK(vg_budget_check_size(&p, &err), err);
    p.num_frames++;
    CHECK_FAILS(vg_budget_check_size(&p, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "8192x8192x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_memory_of_the_frames_alone),
        cmocka_unit_test_setup_teardown(test_model_memory_limits_do_not_change_the_bytes,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_memory_streams_no_more_than_needed, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_model_memory_too_little_is_refused, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_model_memory_every_allocation_may_fail),
        cmocka_unit_test(test_model_memory_abandoned_tensors_are_not_read),
        cmocka_unit_test(test_model_memory_tiles_stay_within_their_plan),
        cmocka_unit_test(test_model_memory_text_stays_within_its_plan),
        cmocka_unit_test_setup_teardown(test_model_memory_cancel_and_truncation_while_loading,
                                        scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_model_memory_bad_weights_are_told_on_a_device,
                                        scratch_open, scratch_close),
        cmocka_unit_test(test_model_memory_stream_finds_every_block),
    };
    return cmocka_run_group_tests_name("model_memory", tests, NULL, NULL);
}
