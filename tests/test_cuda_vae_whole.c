/* test_cuda_vae_whole.c: the whole autoencoder with generated weights: small clips, GPU against CPU, with the real number of channels; plan
 * against measured memory. With VG_BENCH=1 the two sizes of the README, with a table of the time of every operation (each waited
 * for, so their sum is more than a run takes). */
#include "check_cuda.h"

#include "engine/dummy.h"
#include "engine/family/wan/vae.h"
#include "engine/model.h"

static const wan_vae_config CONFIG = {.base_dim = 96,
                                      .decoder_base_dim = 96,
                                      .z_dim = 16,
                                      .levels = 4,
                                      .res_blocks = 2,
                                      .dim_mult = {1, 2, 4, 4},
                                      .temporal_down = {false, true, true},
                                      .std = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                      .spatial = 8,
                                      .temporal = 4};

static vg_engine *open_on(vg_device_kind kind)
{
    vg_engine *engine = NULL;
    vg_err err;

    if (vg_engine_open(kind, 0, 0, &engine, &err) != VG_OK)
        print_message("%s\n", err.message);
    return engine;
}

static wan_vae *open_vae(vg_engine *engine, vg_dtype compute, int halves)
{
    wan_vae *vae;
    vg_err err;

    CHECK_OK(wan_vae_open(engine, VG_DUMMY_PREFIX "vae", &CONFIG, compute, halves, &vae, &err),
             err);
    return vae;
}

static float *noise(int64_t count, double scale)
{
    float *v = malloc((size_t)count * sizeof *v);
    check_rng rng = {7};

    assert_non_null(v);
    for (int64_t i = 0; i < count; i++)
        v[i] = (float)(scale * check_random(&rng));
    return v;
}

typedef struct outcome {
    float *sample, *latents; /* [F,H,W,3], [z,T,h,w] */
    int64_t samples, values;
    size_t grown[2]; /* bytes that decode and encode took beyond the weights */
} outcome;

static const int64_t LATENT[4] = {16, 3, 7, 10};

static outcome run(vg_device_kind kind, vg_dtype compute)
{
    int64_t pixels[4] = {3, wan_vae_frames(LATENT[1]), LATENT[2] * 8, LATENT[3] * 8};
    outcome o = {.samples = 3 * pixels[1] * pixels[2] * pixels[3],
                 .values = LATENT[0] * LATENT[1] * LATENT[2] * LATENT[3]};
    float *z = noise(o.values, 1.7), *clip = noise(o.samples, 1.0);
    vg_engine *engine = open_on(kind);
    vg_backend *be = vg_engine_backend(engine);
    wan_vae *vae = open_vae(engine, compute, WAN_VAE_DECODER | WAN_VAE_ENCODER);
    size_t weights = be->bytes_now;
    vg_err err;

    o.sample = malloc((size_t)o.samples * sizeof(float));
    o.latents = malloc((size_t)o.values * sizeof(float));
    be->bytes_peak = be->bytes_now;
    CHECK_OK(wan_vae_decode(vae, z, LATENT, true, false, NULL, NULL, o.sample, &err), err);
    o.grown[0] = be->bytes_peak - weights;
    be->bytes_peak = be->bytes_now;
    CHECK_OK(wan_vae_encode(vae, clip, pixels, false, NULL, o.latents, &err), err);
    o.grown[1] = be->bytes_peak - weights;
    wan_vae_close(vae);
    assert_int_equal(be->bytes_now, 0);
    vg_engine_close(engine);
    free(z);
    free(clip);
    return o;
}

static double apart(const float *a, const float *b, int64_t count)
{
    double difference = 0, norm = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    difference = sqrt(difference / norm);
    return isfinite(difference) ? difference : INFINITY;
}

static void drop(outcome *o)
{
    free(o->sample);
    free(o->latents);
}

/* FP32 differs by the order of sums; BF16 must be no further from FP32 than a few times what 40 roundings in a row of 2^-9 each make,
 * relative to unit variance: sqrt(40) 2^-9 / sqrt(3) = 0.7 %, and the CPU's own BF16 as far. */
static void test_cuda_vae_whole_agrees(void **state)
{
    (void)state;
    if (!gpu)
        skip();
    outcome exact = run(VG_DEVICE_CPU, VG_F32), f32 = run(VG_DEVICE_CUDA, VG_F32),
            bf16 = run(VG_DEVICE_CUDA, VG_BF16);
    double d[4] = {apart(f32.sample, exact.sample, exact.samples),
                   apart(bf16.sample, exact.sample, exact.samples),
                   apart(f32.latents, exact.latents, exact.values),
                   apart(bf16.latents, exact.latents, exact.values)};
    print_message("decode: F32 %.2e, BF16 %.2e; encode: F32 %.2e, BF16 %.2e from the CPU's F32\n",
                  d[0], d[1], d[2], d[3]);
    assert_true(d[0] < 1e-4 && d[2] < 1e-4);
    assert_true(d[1] < 3e-2 && d[3] < 3e-2);
    drop(&exact);
    drop(&f32);
    drop(&bf16);
}

/* ---- times ---- */

typedef struct op_time {
    char what[96];
    double seconds, flops;
    int calls;
} op_time;

static op_time times[256];
static int time_count;
static const vg_backend_ops *real_ops;

static void add_time(const char *what, double taken, double flops)
{
    int i = 0;

    while (i < time_count && strcmp(times[i].what, what) != 0)
        i++;
    if (i == time_count) {
        if (time_count == 256)
            return;
        time_count++;
        snprintf(times[i].what, sizeof times[i].what, "%s", what);
    }
    times[i].seconds += taken;
    times[i].flops += flops;
    times[i].calls++;
}

#define TIMED(name)                                                                                \
    static vg_status timed_##name(vg_backend *be, const vg_##name##_args *a, vg_err *err)          \
    {                                                                                              \
        char what[96] = #name;                                                                     \
        double flops = describe_##name(a, what, sizeof what), from;                                \
        VG_TRY(real_ops->sync(be, err));                                                           \
        from = seconds();                                                                          \
        VG_TRY(real_ops->name(be, a, err));                                                        \
        VG_TRY(real_ops->sync(be, err));                                                           \
        add_time(what, seconds() - from, flops);                                                   \
        return VG_OK;                                                                              \
    }

static double describe_conv3d(const vg_conv3d_args *a, char *what, size_t size)
{
    const int64_t *y = a->y->shape, *w = a->w->shape;

    snprintf(what, size, "conv3d %lldx%lldx%lld %lldx%lldx%lld %lld to %lld%s%s", (long long)y[0],
             (long long)y[1], (long long)y[2], (long long)w[1], (long long)w[2], (long long)w[3],
             (long long)w[4], (long long)w[0], a->upsample == 2 ? " up" : "",
             a->residual ? " + residual" : "");
    return 2.0 * (double)vg_tensor_numel(a->y) * (double)(w[1] * w[2] * w[3] * w[4]);
}

static double describe_linear(const vg_linear_args *a, char *what, size_t size)
{
    snprintf(what, size, "linear %lldx%lldx%lld", (long long)a->x->shape[0],
             (long long)a->x->shape[1], (long long)a->w->shape[0]);
    return 2.0 * (double)vg_tensor_numel(a->x) * (double)a->w->shape[0];
}

static double describe_attention(const vg_attention_args *a, char *what, size_t size)
{
    snprintf(what, size, "attention %lld x %lld", (long long)a->q->shape[0],
             (long long)a->q->shape[2]);
    return 4.0 * (double)vg_tensor_numel(a->q) * (double)a->k->shape[0];
}

static double describe_channel_norm(const vg_channel_norm_args *a, char *what, size_t size)
{
    snprintf(what, size, "channel_norm %lldx%lld", (long long)a->x->shape[0],
             (long long)a->x->shape[1]);
    return 0;
}

static double describe_gate_residual(const vg_gate_residual_args *a, char *what, size_t size)
{
    snprintf(what, size, "gate_residual %lldx%lld", (long long)a->x->shape[0],
             (long long)a->x->shape[1]);
    return 0;
}

static double describe_channel_affine(const vg_channel_affine_args *a, char *what, size_t size)
{
    snprintf(what, size, "channel_affine %lld values", (long long)vg_tensor_numel(a->x));
    return 0;
}

static double describe_frames_to_u8(const vg_frames_to_u8_args *a, char *what, size_t size)
{
    snprintf(what, size, "frames_to_u8 %lld values", (long long)vg_tensor_numel(a->x));
    return 0;
}

static double describe_cast(const vg_cast_args *a, char *what, size_t size)
{
    snprintf(what, size, "cast %lld values", (long long)vg_tensor_numel(a->x));
    return 0;
}

TIMED(conv3d)
TIMED(linear)
TIMED(attention)
TIMED(channel_norm)
TIMED(gate_residual)
TIMED(channel_affine)
TIMED(frames_to_u8)
TIMED(cast)

#define TIMED_TRANSFER(name, to_type, from_type)                                                   \
    static vg_status timed_##name(vg_backend *be, to_type to, from_type from, size_t bytes,        \
                                  vg_err *err)                                                     \
    {                                                                                              \
        double begin;                                                                              \
        VG_TRY(real_ops->sync(be, err));                                                           \
        begin = seconds();                                                                         \
        VG_TRY(real_ops->name(be, to, from, bytes, err));                                          \
        VG_TRY(real_ops->sync(be, err));                                                           \
        add_time("(" #name ")", seconds() - begin, 0);                                             \
        return VG_OK;                                                                              \
    }
TIMED_TRANSFER(upload, void *, const void *)
TIMED_TRANSFER(download, void *, const void *)
TIMED_TRANSFER(copy, void *, const void *)

static int by_seconds(const void *a, const void *b)
{
    const op_time *x = a, *y = b;

    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static void print_times(void)
{
    double sum = 0;

    for (int i = 0; i < time_count; i++)
        sum += times[i].seconds;
    qsort(times, (size_t)time_count, sizeof times[0], by_seconds);
    for (int i = 0; i < time_count && i < 40; i++)
        print_message("  %-52s %5d x %8.3f ms = %7.1f ms %5.1f %% %6.0f TFLOP/s\n", times[i].what,
                      times[i].calls, 1e3 * times[i].seconds / times[i].calls,
                      1e3 * times[i].seconds, 100 * times[i].seconds / sum,
                      times[i].flops / times[i].seconds * 1e-12);
    print_message("  sum of operations %.3f s\n", sum);
    time_count = 0;
}

static void profile(vg_backend *be, vg_backend_ops *timed, bool on)
{
    if (!on) {
        be->ops = real_ops;
        print_times();
        return;
    }
    real_ops = be->ops;
    *timed = *real_ops;
    timed->conv3d = timed_conv3d;
    timed->linear = timed_linear;
    timed->attention = timed_attention;
    timed->channel_norm = timed_channel_norm;
    timed->gate_residual = timed_gate_residual;
    timed->channel_affine = timed_channel_affine;
    timed->frames_to_u8 = timed_frames_to_u8;
    timed->cast = timed_cast;
    timed->upload = timed_upload;
    timed->download = timed_download;
    timed->copy = timed_copy;
    be->ops = timed;
}

static size_t used(vg_backend *be)
{
    vg_device_info info;
    vg_err err;

    CHECK_OK(vg_backend_info(be, &info, &err), err);
    return info.memory_total - info.memory_free;
}

static void bench(vg_engine *engine, int64_t height, int64_t width, bool profiled)
{
    vg_backend *be = vg_engine_backend(engine);
    int64_t latent[4] = {16, 21, height / 8, width / 8}, pixels[4] = {3, 81, height, width};
    float *z = noise(latent[0] * latent[1] * latent[2] * latent[3], 1.7),
          *clip = noise(3 * 81 * height * width, 1.0);
    uint8_t *rgb = malloc((size_t)(3 * 81 * height * width));
    vg_backend_ops timed;
    vg_err err;

    assert_non_null(rgb);
    for (int encode = 0; encode < 2; encode++) {
        wan_vae *vae = open_vae(engine, VG_BF16, encode ? WAN_VAE_ENCODER : WAN_VAE_DECODER);
        double best = 1e9, taken;
        be->bytes_peak = be->bytes_now;
        for (int round = 0; round < 2 + profiled; round++) {
            if (round == 2)
                profile(be, &timed, true);
            taken = seconds();
            if (encode)
                CHECK_OK(wan_vae_encode(vae, clip, pixels, false, NULL, z, &err), err);
            else
                CHECK_OK(wan_vae_decode(vae, z, latent, true, false, NULL, rgb, NULL, &err), err);
            taken = seconds() - taken;
            best = round < 2 && taken < best ? taken : best;
            print_message("BENCH vae %s %lldx%lldx81 round %d: %.3f s\n",
                          encode ? "encode" : "decode", (long long)height, (long long)width, round,
                          taken);
            if (round == 2)
                profile(be, &timed, false);
        }
        size_t weights, activations;
        wan_vae_net_plan(&CONFIG, VG_BF16, encode, encode ? 4 : 1, encode ? height : height / 8,
                         encode ? width : width / 8, &weights, &activations);
        print_message("BENCH vae %s %lldx%lldx81: best %.3f s; peak %.3f GiB counted, plan %.3f "
                      "GiB, device in use %.3f GiB\n",
                      encode ? "encode" : "decode", (long long)height, (long long)width, best,
                      (double)be->bytes_peak / 0x1p30, (double)(weights + activations) / 0x1p30,
                      (double)used(be) / 0x1p30);
        wan_vae_close(vae);
    }
    free(z);
    free(clip);
    free(rgb);
}

static void test_cuda_vae_whole_bench(void **state)
{
    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    vg_engine *engine = open_on(VG_DEVICE_CUDA);
    bench(engine, 720, 1280, true);
    bench(engine, 480, 832, false);
    vg_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_vae_whole_agrees),
        cmocka_unit_test(test_cuda_vae_whole_bench),
    };
    use_filter();
    return cmocka_run_group_tests_name("cuda_vae_whole", tests, open_gpu, close_gpu);
}
