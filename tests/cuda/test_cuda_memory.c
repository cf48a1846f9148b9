/* test_cuda_memory.c: the GPU side of memory: weights made FP8 there, a stage's region, loading, streamed blocks, plans.
 * With VG_BENCH=1 it also times loading of the checkpoints in VG_BENCH_MODELS (colon-separated model folders, transformer only), page-locked
 * allocation, and streamed against resident blocks of a 14B model with generated weights. */
#include "engine/run/budget.h"
#include "engine/family/wan/dit.h"
#include "engine/checkpoint/loader.h"
#include "engine/checkpoint/stream.h"
#include "tests/cuda/check_cuda.h"
#include "tests/model.h"

#include <fcntl.h>

#define DEMO VG_SOURCE_DIR "/presets/demo/wan-t2v"

static void expect_same_bytes(const char *what, const vg_tensor *cpu, const vg_tensor *cuda)
{
    if (memcmp(cpu->data, cuda->data, vg_tensor_bytes(cpu)) != 0)
        fail_msg("%s: not the same bytes on CPU and GPU", what);
}

static void test_cuda_memory_quantize_weight(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {128, 128}, {129, 260}, {7, 511}, {640, 384}, {513, 1000}};
    const vg_dtype dtypes[] = {VG_F32, VG_BF16, VG_F16};
    check_rng rng = {5};
    vg_err err;
    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int i = 0; i < 12; i++) {
            int64_t n = sizes[s][0], k = sizes[s][1];
            bool block = i % 2;
            int shift = i / 6 ? 3 : 0;
            vg_tensor *w = check_fill(check_tensor(dtypes[i % 3], 2, n, k), &rng, 0.0, 0.7),
                      *q = check_tensor(VG_E4M3, 2, n, k);
            vg_tensor *scale = block ? check_tensor(VG_F32, 2, (n + 127) / 128, (k + 127) / 128)
                                     : check_tensor(VG_F32, 1, 1);
            if (s == 2 && i == 5)
                check_set(w, n * k - 1, NAN);
            vg_tensor *gw = on_gpu_at(w, shift), *gq = on_gpu_at(q, shift), *gs = on_gpu(scale);
            CHECK_OK(vg_quantize_weight(gpu, &(vg_quantize_weight_args){gw, gq, gs}, &err), err);
            CHECK_OK(
                vg_quantize_weight(check_cpu()->one, &(vg_quantize_weight_args){w, q, scale}, &err),
                err);
            vg_tensor *bs = back(gs), *bq = back(gq);
            expect_same_bits("scale", scale, bs);
            if (!isnan(check_get(scale, vg_tensor_numel(scale) - 1)))
                expect_same_bytes("codes", q, bq);
            release_all();
        }
}

static void test_cuda_memory_dequantize_weight(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {129, 260}, {7, 511}, {640, 384}};
    check_rng rng = {6};
    vg_err err;
    (void)state;
    NEED_GPU();
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int i = 0; i < 12; i++) {
            int64_t n = sizes[s][0], k = sizes[s][1];
            vg_tensor *q = check_fill(check_tensor(VG_E4M3, 2, n, k), &rng, 0.0, 100.0),
                      *y = check_tensor(i % 2 ? VG_BF16 : VG_F32, 2, n, k);
            vg_tensor *scale = i % 3 == 2
                                   ? check_tensor(VG_F32, 2, (n + 127) / 128, (k + 127) / 128)
                                   : check_tensor(VG_F32, 1, i % 3 ? n : 1);
            check_fill(scale, &rng, 0.02, 0.01);
            int shift = i / 6 ? 3 : 0;
            vg_tensor *gq = on_gpu_at(q, shift), *gy = on_gpu_at(y, shift), *gs = on_gpu(scale);
            CHECK_OK(vg_dequantize_weight(gpu, &(vg_dequantize_weight_args){gq, gs, gy}, &err),
                     err);
            CHECK_OK(vg_dequantize_weight(check_cpu()->one,
                                          &(vg_dequantize_weight_args){q, scale, y}, &err),
                     err);
            expect_same_bytes("values", y, back(gy));
            release_all();
        }
}

static void test_cuda_memory_region(void **state)
{
    enum { LIVE = 64 };
    check_rng rng = {7};
    vg_err err;
    void *memory[LIVE] = {NULL};
    size_t bytes[LIVE], region = (size_t)256 << 20, grown;
    vg_device_info before, after;
    (void)state;
    NEED_GPU();
    vg_backend_unreserve(gpu);
    grown = gpu->grown;
    CHECK_OK(vg_backend_info(gpu, &before, &err), err);
    CHECK_OK(vg_backend_reserve(gpu, region, &err), err);
    for (int i = 0; i < 2000; i++) {
        int at = (int)(check_random_bits(&rng) % LIVE);
        if (memory[at])
            vg_backend_release(gpu, memory[at], bytes[at]);
        bytes[at] = (size_t)(check_random_bits(&rng) % (2 << 20));
        CHECK_OK(vg_backend_alloc(gpu, bytes[at], &memory[at], &err), err);
        vg_tensor t = vg_tensor_make(memory[at], VG_U8, 1, (int64_t)bytes[at]);
        CHECK_OK(vg_backend_zero(gpu, &t, &err), err);
        assert_int_equal((uintptr_t)memory[at] % 256, 0);
    }
    assert_int_equal(gpu->grown, grown);
    assert_int_equal(vg_pool_bytes(gpu->pool), region);
    void *large;
    CHECK_OK(vg_backend_alloc(gpu, region, &large, &err), err);
    assert_true(gpu->grown > grown);
    vg_backend_release(gpu, large, region);
    CHECK_FAILS(vg_backend_alloc(gpu, (size_t)1 << 44, &large, &err), VG_E_NOMEM, err);
    for (int i = 0; i < LIVE; i++)
        vg_backend_release(gpu, memory[i], memory[i] ? bytes[i] : 0);
    CHECK_FAILS(vg_backend_reserve(gpu, (size_t)1 << 44, &err), VG_E_NOMEM, err);
    vg_backend_unreserve(gpu);
    assert_int_equal(vg_pool_bytes(gpu->pool), 0);
    CHECK_OK(vg_backend_info(gpu, &after, &err), err);
    assert_true(after.memory_free + ((size_t)64 << 20) > before.memory_free);
}

static void test_cuda_memory_loader(void **state)
{
    static const struct {
        vg_dtype from, to;
        int64_t count;
    } cases[] = {{VG_BF16, VG_BF16, 9000001},  {VG_F32, VG_BF16, 5000003},
                 {VG_BF16, VG_F32, 3000001},   {VG_F16, VG_BF16, 77777},
                 {VG_E4M3, VG_E4M3, 20000001}, {VG_F32, VG_F32, 1}};
    enum { CASES = sizeof cases / sizeof cases[0], ROUNDS = 3 };
    check_rng rng = {8};
    vg_err err;
    (void)state;
    NEED_GPU();
    for (int threads = 1; threads <= 9; threads += 4) {
        vg_loader *loader;
        CHECK_OK(vg_loader_new(gpu, threads, &loader, &err), err);
        for (int round = 0; round < ROUNDS; round++) {
            void *host[CASES], *device[CASES];
            size_t bytes[CASES];
            CHECK_OK(vg_loader_begin(loader, &err), err);
            for (int i = 0; i < CASES; i++) {
                size_t size = vg_dtype_size(cases[i].from) * (size_t)cases[i].count;
                host[i] = malloc(size);
                for (size_t j = 0; j < size; j++) /* small exponents: no NaN in any format */
                    ((uint8_t *)host[i])[j] = (uint8_t)(check_random_bits(&rng) & 0x3f);
                bytes[i] = vg_dtype_size(cases[i].to) * (size_t)cases[i].count;
                CHECK_OK(vg_backend_alloc(gpu, bytes[i], &device[i], &err), err);
                vg_tensor t = vg_tensor_make(host[i], cases[i].from, 1, cases[i].count);
                vg_source source = vg_source_memory(&t);
                CHECK_OK(vg_loader_put(loader, &source, cases[i].to, device[i], NULL, &err), err);
            }
            CHECK_OK(vg_loader_wait(loader, &err), err);
            for (int i = 0; i < CASES; i++) {
                vg_tensor t = vg_tensor_make(host[i], cases[i].from, 1, cases[i].count),
                          d = vg_tensor_make(device[i], cases[i].to, 1, cases[i].count);
                vg_source source = vg_source_memory(&t);
                void *want = malloc(bytes[i]), *got = malloc(bytes[i]);
                CHECK_OK(vg_source_read(&source, cases[i].to, 0, cases[i].count, want, &err), err);
                CHECK_OK(vg_backend_download(gpu, got, &d, &err), err);
                assert_memory_equal(want, got, bytes[i]);
                free(want);
                free(got);
                free(host[i]);
                vg_backend_release(gpu, device[i], bytes[i]);
            }
        }
        vg_loader_free(loader);
    }
}

/* Slow work on the block that is bound, the next one on its way: what each block left behind must be its own. */
static void test_cuda_memory_stream(void **state)
{
    enum { BLOCKS = 5, COUNT = 4 << 20, ROUNDS = 12 };
    vg_err err;
    vg_stream *stream;
    void *memory, *result[BLOCKS];
    float *host = malloc(COUNT * sizeof *host);
    (void)state;
    NEED_GPU();
    assert_non_null(host);
    CHECK_OK(vg_stream_new(gpu, BLOCKS, COUNT * sizeof *host, &stream, &err), err);
    for (int b = 0; b < BLOCKS; b++) {
        CHECK_OK(vg_backend_alloc(gpu, COUNT * sizeof *host, &result[b], &err), err);
        for (int i = 0; i < COUNT; i++)
            host[i] = (float)(b * 1000 + i % 997);
        CHECK_OK(vg_stream_place(stream, b, &memory, &err), err);
        vg_tensor t = vg_tensor_make(memory, VG_F32, 1, COUNT);
        CHECK_OK(vg_backend_upload(gpu, &t, host, &err), err);
        CHECK_OK(vg_stream_keep(stream, b, COUNT * sizeof *host, &err), err);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int b = 0; b < BLOCKS; b++) {
            CHECK_OK(vg_stream_bind(stream, b, &memory, &err), err);
            vg_tensor x = vg_tensor_make(memory, VG_F32, 1, COUNT),
                      y = vg_tensor_make(result[b], VG_F32, 1, COUNT);
            /* y = x, then y += x - x, many times: reads the slot until long after the host has gone on. */
            CHECK_OK(vg_backend_copy(gpu, &y, &x, &err), err);
            for (int i = 0; i < 40; i++)
                CHECK_OK(vg_linear_combination(
                             gpu,
                             &(vg_linear_combination_args){
                                 .count = 3, .x = {&y, &x, &x}, .coef = {1, 1, -1}, .y = &y},
                             &err),
                         err);
            CHECK_OK(vg_stream_release(stream, b, &err), err);
        }
    for (int b = 0; b < BLOCKS; b++) {
        vg_tensor y = vg_tensor_make(result[b], VG_F32, 1, COUNT);
        CHECK_OK(vg_backend_download(gpu, host, &y, &err), err);
        for (int i = 0; i < COUNT; i++)
            if (host[i] != (float)(b * 1000 + i % 997))
                fail_msg("block %d, value %d: %g", b, i, (double)host[i]);
        vg_backend_release(gpu, result[b], COUNT * sizeof *host);
    }
    free(host);
    vg_stream_free(stream);
}

/* ---- the demo model ---- */

static void test_cuda_memory_limits_do_not_change_the_bytes(void **state)
{
    static const vg_scheme schemes[] = {VG_SCHEME_BF16, VG_SCHEME_FP8, VG_SCHEME_FP8_BLOCK};
    vg_err err;
    vg_engine *engine;
    (void)state;
    NEED_GPU();
    CHECK_OK(vg_engine_open(VG_DEVICE_CUDA, 0, 0, &engine, &err), err);
    vg_backend *be = vg_engine_backend(engine);
    vg_model *model = open_model(DEMO);
    for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++) {
        vg_generate_params p;
        vg_conditions text;
        vg_latents latents[2];
        vg_frames frames;
        vg_plan plan;
        vg_generate_params_init(&p);
        p.inputs.prompt = "a big red ball";
        p.height = 96;
        p.width = 160;
        p.num_frames = 17;
        p.steps = 3;
        p.guidance_scale = 4;
        p.scheme = schemes[s];
        p.fp8_act = VG_FP8_ACT_DYNAMIC;
        p.device = VG_DEVICE_CUDA;
        CHECK_OK(vg_model_defaults(model, &p, &err), err);
        CHECK_OK(vg_encode(engine, model, &p, NULL, &text, &err), err);
        for (int i = 0; i < 2; i++) {
            p.memory_limit = i ? 1 : 0;
            CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
            size_t total = 0;
            for (int j = 0; j < plan.count; j++)
                if (strncmp(plan.stages[j].name, "transformer", 11) == 0) {
                    total = total > vg_plan_total(&plan.stages[j]) ? total
                                                                   : vg_plan_total(&plan.stages[j]);
                    assert_int_equal(plan.stages[j].streamed, i ? plan.stages[j].blocks : 0);
                }
            p.memory_limit = i ? total : 0;
            size_t grown = be->grown;
            CHECK_OK(vg_denoise(engine, model, &p, &text, NULL, NULL, &latents[i], &err), err);
            print_message("PLAN demo %s, %s: %zu planned, %zu measured, %zu grown\n",
                          vg_scheme_name(p.scheme), i ? "streamed" : "resident", total,
                          latents[i].peak_bytes, be->grown - grown);
            assert_true(latents[i].peak_bytes <= total);
            assert_int_equal(be->grown, grown);
            assert_int_equal(be->bytes_now, be->kept);
        }
        int64_t count =
            latents[0].shape[0] * latents[0].shape[1] * latents[0].shape[2] * latents[0].shape[3];
        assert_memory_equal(latents[0].values, latents[1].values, (size_t)count * 4);
        p.memory_limit = 0;
        be->bytes_peak = 0;
        size_t grown = be->grown;
        CHECK_OK(vg_decode(engine, model, &p, &latents[0], NULL, &frames, &err), err);
        print_message("PLAN demo decode: %zu planned, %zu measured, %zu grown\n",
                      vg_plan_total(&plan.stages[plan.count - 1]), be->bytes_peak,
                      be->grown - grown);
        assert_true(be->bytes_peak <= vg_plan_total(&plan.stages[plan.count - 1]) &&
                    be->grown == grown);
        p.memory_limit = (size_t)40 << 20;
        CHECK_FAILS(vg_decode(engine, model, &p, &latents[0], NULL, &frames, &err), VG_E_NOMEM,
                    err);
        if (s == 0)
            print_message("REFUSED %s\n", err.message);
        vg_frames_deinit(&frames);
        vg_latents_deinit(&latents[0]);
        vg_latents_deinit(&latents[1]);
        vg_conditions_deinit(&text);
    }
    vg_model_close(model);
    vg_engine_close(engine);
}

/* ---- timing ---- */

static void forget_files(const char *dir)
{
    vg_err err;
    vg_weights *weights;
    CHECK_OK(vg_weights_open(dir, &weights, &err), err);
    for (int i = 0; i < vg_weights_files(weights); i++) {
        int fd = open(vg_weights_file(weights, i), O_RDONLY);
        if (fd >= 0) {
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            close(fd);
        }
    }
    vg_weights_close(weights);
}

static void bench_load(const char *model_dir, int scheme, int threads, bool cold,
                       vg_loader_reading reading)
{
    vg_err err;
    vg_engine *engine;
    vg_loader *loader;
    char dir[512];
    double begin;
    vg_model *model = open_model(model_dir);
    const wan_config *c = wan_config_of(model);
    const vg_precision_policy policy = {.scheme = scheme, .inputs = VG_FP8_ACT_DYNAMIC};
    vg_module_options options = {.compute = VG_BF16, .policy = &policy};
    snprintf(dir, sizeof dir, "%s/transformer", model_dir);
    CHECK_OK(vg_engine_open(VG_DEVICE_CUDA, 0, threads, &engine, &err), err);
    begin = seconds();
    CHECK_OK(vg_engine_loader(engine, &loader, &err), err);
    double pinned = seconds() - begin;
    vg_loader_set_reading(loader, reading);
    CHECK_OK(vg_backend_reserve(vg_engine_backend(engine), (size_t)12 << 30, &err), err);
    for (int i = 0; i < (cold ? 1 : 2); i++) {
        wan_dit *dit;
        vg_weights *weights;
        CHECK_OK(vg_weights_open(dir, &weights, &err), err);
        size_t bytes = vg_weights_file_bytes(weights);
        vg_weights_close(weights);
        if (cold)
            forget_files(dir);
        begin = seconds();
        CHECK_OK(wan_dit_open(engine, dir, "transformer", &c->dit[0], &options, &dit, &err), err);
        double took = seconds() - begin;
        wan_dit_close(dit);
        print_message(
            "LOAD %s scheme %d, %2d threads, %s%s: %.2f GB in %.3f s = %.1f GB/s (readers "
            "ready in %.3f s)\n",
            strrchr(model_dir, '/') + 1, scheme, threads, cold ? "cold " : "page cache",
            cold ? reading == VG_READ_DIRECT ? "direct" : "cached" : "", (double)bytes * 1e-9, took,
            (double)bytes * 1e-9 / took, pinned);
    }
    vg_model_close(model);
    vg_engine_close(engine);
}

static void test_cuda_memory_bench_loading(void **state)
{
    static const int threads[] = {1, 4, 8, 12, 16};
    char list[1024];
    (void)state;
    if (!gpu || !getenv("VG_BENCH") || !getenv("VG_BENCH_MODELS"))
        skip();
    snprintf(list, sizeof list, "%s", getenv("VG_BENCH_MODELS"));
    for (char *save, *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        bool fp8 = strstr(dir, "fp8") != NULL;
        for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++)
            bench_load(dir, VG_SCHEME_AUTO, threads[i], false, VG_READ_AUTO);
        bench_load(dir, fp8 ? VG_SCHEME_BF16 : VG_SCHEME_FP8_BLOCK, 16, false, VG_READ_AUTO);
        if (!fp8)
            bench_load(dir, VG_SCHEME_FP8, 16, false, VG_READ_AUTO);
        if (getenv("VG_BENCH_COLD")) {
            bench_load(dir, VG_SCHEME_AUTO, 16, true, VG_READ_CACHED);
            bench_load(dir, VG_SCHEME_AUTO, 16, true, VG_READ_DIRECT);
        }
    }
}

static void test_cuda_memory_bench_pinned(void **state)
{
    const size_t sizes[] = {(size_t)16 << 20, (size_t)360 << 20, (size_t)2 << 30};
    vg_err err;
    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *memory;
        double begin = seconds();
        CHECK_OK(gpu->ops->pin(gpu, sizes[i], &memory, &err), err);
        double took = seconds() - begin;
        begin = seconds();
        gpu->ops->unpin(gpu, memory, sizes[i]);
        print_message("PIN %zu MiB: %.1f ms, back in %.1f ms\n", sizes[i] >> 20, took * 1e3,
                      (seconds() - begin) * 1e3);
    }
}

#define BENCH_BLOCKS 8

static void forward_times(vg_engine *engine, const char *dir, const wan_dit_config *config,
                          vg_scheme scheme, int streamed, const int64_t latent[4], float *out)
{
    vg_err err;
    vg_backend *be = vg_engine_backend(engine);
    const vg_precision_policy policy = {.scheme = (int)scheme, .inputs = VG_FP8_ACT_DYNAMIC};
    vg_module_options options = {.compute = VG_BF16, .policy = &policy, .streamed = streamed};
    int64_t count = latent[0] * latent[1] * latent[2] * latent[3];
    float *host = malloc((size_t)count * 4), *rows = malloc((size_t)(512 * config->text_dim) * 4);
    check_rng rng = {9};
    vg_arena *arena;
    vg_tensor f32, x, v;
    wan_dit *dit;
    for (int64_t i = 0; i < count; i++)
        host[i] = (float)check_random(&rng);
    for (int64_t i = 0; i < 512 * config->text_dim; i++)
        rows[i] = (float)check_random(&rng);
    double begin = seconds();
    CHECK_OK(wan_dit_open(engine, dir, "transformer", config, &options, &dit, &err), err);
    double loaded = seconds() - begin;
    CHECK_OK(wan_dit_set_text(dit, 0, rows, 512, NULL, &err), err);
    CHECK_OK(vg_arena_new(be, 1 << 20, &arena, &err), err);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 4, latent, &f32, &err), err);
    CHECK_OK(vg_arena_tensor(arena, VG_BF16, 4, latent, &x, &err), err);
    CHECK_OK(vg_arena_tensor(arena, VG_BF16, 4, latent, &v, &err), err);
    CHECK_OK(vg_backend_upload(be, &f32, host, &err), err);
    CHECK_OK(vg_cast(be, &(vg_cast_args){&f32, &x}, &err), err);
    double took[4];
    for (int i = 0; i < 4; i++) {
        CHECK_OK(vg_backend_sync(be, &err), err);
        begin = seconds();
        CHECK_OK(wan_dit_forward(dit, &x, &(wan_dit_time){.timestep = 500.0}, 0, NULL, NULL, NULL,
                                 &v, &err),
                 err);
        CHECK_OK(vg_backend_sync(be, &err), err);
        took[i] = seconds() - begin;
    }
    CHECK_OK(vg_cast(be, &(vg_cast_args){&v, &f32}, &err), err);
    CHECK_OK(vg_backend_download(be, out, &f32, &err), err);
    print_message(
        "FORWARD %s, %d of %d blocks streamed (%zu MB on the host), %lld tokens: %.1f %.1f "
        "%.1f ms (first %.1f), loaded in %.2f s\n",
        vg_scheme_name(scheme), streamed, BENCH_BLOCKS, wan_dit_host_bytes(dit) / 1000000,
        (long long)wan_dit_tokens(config, latent), took[1] * 1e3, took[2] * 1e3, took[3] * 1e3,
        took[0] * 1e3, loaded);
    vg_arena_free(arena);
    wan_dit_close(dit);
    free(rows);
    free(host);
}

static void test_cuda_memory_bench_streaming(void **state)
{
    const int64_t sizes[][4] = {{16, 21, 90, 160}, {16, 21, 60, 104}};
    vg_err err;
    vg_engine *engine;
    vg_model *model;
    char *dir;
    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    CHECK_OK(
        vg_model_open(VG_SOURCE_DIR "/presets/arch/wan2.2-t2v-a14b", VG_LOAD_DUMMY, &model, &err),
        err);
    CHECK_OK(vg_engine_open(VG_DEVICE_CUDA, 0, 0, &engine, &err), err);
    CHECK_OK(vg_model_weights_dir(model, "transformer", &dir, &err), err);
    wan_dit_config config = wan_config_of(model)->dit[0];
    config.layers = BENCH_BLOCKS;
    CHECK_OK(vg_backend_reserve(vg_engine_backend(engine), (size_t)20 << 30, &err), err);
    for (int i = 0; i < 4; i++) {
        const int64_t *latent = sizes[i / 2];
        vg_scheme scheme = i % 2 ? VG_SCHEME_FP8_BLOCK : VG_SCHEME_BF16;
        size_t bytes = (size_t)(latent[0] * latent[1] * latent[2] * latent[3]) * 4;
        float *resident = malloc(bytes), *streamed = malloc(bytes);
        forward_times(engine, dir, &config, scheme, 0, latent, resident);
        forward_times(engine, dir, &config, scheme, BENCH_BLOCKS, latent, streamed);
        assert_memory_equal(resident, streamed, bytes);
        free(resident);
        free(streamed);
    }
    print_message("FORWARD region %zu MiB, grown %zu\n",
                  vg_pool_bytes(vg_engine_backend(engine)->pool) >> 20,
                  vg_engine_backend(engine)->grown);
    free(dir);
    vg_model_close(model);
    vg_engine_close(engine);
}

/* The whole 14B expert and the decoder at 480p: the plan against what is taken. */
static void test_cuda_memory_bench_plan(void **state)
{
    vg_err err;
    vg_engine *engine;
    vg_model *model;
    vg_generate_params p;
    vg_plan plan;
    vg_latents latents;
    vg_frames frames;
    vg_conditions conditions;
    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    CHECK_OK(
        vg_model_open(VG_SOURCE_DIR "/presets/arch/wan2.2-t2v-a14b", VG_LOAD_DUMMY, &model, &err),
        err);
    CHECK_OK(vg_engine_open(VG_DEVICE_CUDA, 0, 0, &engine, &err), err);
    vg_backend *be = vg_engine_backend(engine);
    vg_generate_params_init(&p);
    p.height = 480;
    p.width = 832;
    p.num_frames = 81;
    p.steps = 4;
    p.max_steps_run = 1;
    p.vae_compute = VG_COMPUTE_BF16;
    p.scheme = VG_SCHEME_FP8_BLOCK;
    p.device = VG_DEVICE_CUDA;
    CHECK_OK(vg_model_defaults(model, &p, &err), err);
    CHECK_OK(vg_plan_make(model, &p, &plan, &err), err);
    CHECK_OK(vg_model_fill_conditions(model, &p, &conditions, &err), err);
    double begin = seconds();
    CHECK_OK(vg_denoise(engine, model, &p, &conditions, NULL, NULL, &latents, &err), err);
    print_message("PLAN A14B 480p fp8-block transformer: %zu planned, %zu measured, %zu grown; one "
                  "step of %.2f s in %.2f s\n",
                  vg_plan_total(&plan.stages[1]), latents.peak_bytes, be->grown,
                  latents.denoise_seconds, seconds() - begin);
    be->bytes_peak = 0;
    size_t grown = be->grown;
    begin = seconds();
    CHECK_OK(vg_decode(engine, model, &p, &latents, NULL, &frames, &err), err);
    print_message("PLAN A14B 480p decode: %zu planned, %zu measured, %zu grown; %.2f s\n",
                  vg_plan_total(&plan.stages[plan.count - 1]), be->bytes_peak, be->grown - grown,
                  seconds() - begin);
    vg_frames_deinit(&frames);
    vg_latents_deinit(&latents);
    vg_conditions_deinit(&conditions);
    vg_model_close(model);
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_memory_quantize_weight),
        cmocka_unit_test(test_cuda_memory_dequantize_weight),
        cmocka_unit_test(test_cuda_memory_region),
        cmocka_unit_test(test_cuda_memory_loader),
        cmocka_unit_test(test_cuda_memory_stream),
        cmocka_unit_test(test_cuda_memory_limits_do_not_change_the_bytes),
        cmocka_unit_test(test_cuda_memory_bench_pinned),
        cmocka_unit_test(test_cuda_memory_bench_loading),
        cmocka_unit_test(test_cuda_memory_bench_streaming),
        cmocka_unit_test(test_cuda_memory_bench_plan),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_memory", tests, open_gpu, close_gpu);
}
