/* test_cuda_vae_whole.c: the whole autoencoder with generated weights: small clips, GPU against CPU, with the real number of channels; plan
 * against measured memory. With VG_BENCH=1 the two sizes of the README, with a table of the time of every operation. */
#include "tests/cuda/check_cuda.h"

#include "engine/checkpoint/dummy.h"
#include "engine/family/wan/vae.h"
#include "engine/run/model.h"
#include "kernels/backend/profile.h"

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
    size_t
        grown[2]; /* bytes that decode and encode took beside the weights and what libraries keep */
} outcome;

static const int64_t LATENT[4] = {16, 3, 7, 10};

static outcome run(vg_engine *engine, vg_dtype compute)
{
    int64_t pixels[4] = {3, wan_vae_frames(LATENT[1]), LATENT[2] * 8, LATENT[3] * 8};
    outcome o = {.samples = 3 * pixels[1] * pixels[2] * pixels[3],
                 .values = LATENT[0] * LATENT[1] * LATENT[2] * LATENT[3]};
    float *z = noise(o.values, 1.7), *clip = noise(o.samples, 1.0);
    vg_backend *be = engine->be;
    wan_vae *vae = open_vae(engine, compute, WAN_VAE_DECODER | WAN_VAE_ENCODER);
    size_t weights = be->bytes_now, kept = be->kept;
    vg_err err;

    o.sample = malloc((size_t)o.samples * sizeof(float));
    o.latents = malloc((size_t)o.values * sizeof(float));
    be->bytes_peak = be->bytes_now;
    CHECK_OK(wan_vae_decode(vae, z, LATENT, true, false, NULL, NULL, o.sample, &err), err);
    o.grown[0] = be->bytes_peak - weights - (be->kept - kept);
    be->bytes_peak = be->bytes_now;
    CHECK_OK(wan_vae_encode(vae, clip, pixels, false, NULL, o.latents, &err), err);
    o.grown[1] = be->bytes_peak - weights - (be->kept - kept);
    wan_vae_close(vae);
    free(z);
    free(clip);
    return o;
}

static outcome run_on(vg_device_kind kind, vg_dtype compute)
{
    vg_engine *engine = open_on(kind);
    outcome o = run(engine, compute);

    vg_engine_close(engine);
    return o;
}

/* On the backend that only counts. */
static outcome plan(vg_dtype compute)
{
    vg_engine engine = {.threads = 1};
    vg_err err;

    CHECK_OK(vg_dry_backend_open(VG_DEVICE_CUDA, &engine.be, &err), err);
    outcome o = run(&engine, compute);
    vg_backend_close(engine.be);
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
    outcome exact = run_on(VG_DEVICE_CPU, VG_F32), f32 = run_on(VG_DEVICE_CUDA, VG_F32),
            bf16 = run_on(VG_DEVICE_CUDA, VG_BF16), planned = plan(VG_BF16);
    double d[4] = {apart(f32.sample, exact.sample, exact.samples),
                   apart(bf16.sample, exact.sample, exact.samples),
                   apart(f32.latents, exact.latents, exact.values),
                   apart(bf16.latents, exact.latents, exact.values)};
    print_message("decode: F32 %.2e, BF16 %.2e; encode: F32 %.2e, BF16 %.2e from the CPU's F32\n",
                  d[0], d[1], d[2], d[3]);
    assert_true(d[0] < 1e-4 && d[2] < 1e-4);
    assert_true(d[1] < 3e-2 && d[3] < 3e-2);
    print_message("decode took %zu bytes, planned %zu; encode %zu, planned %zu\n", bf16.grown[0],
                  planned.grown[0], bf16.grown[1], planned.grown[1]);
    assert_true(bf16.grown[0] <= planned.grown[0] && bf16.grown[1] <= planned.grown[1]);
    drop(&planned);
    drop(&exact);
    drop(&f32);
    drop(&bf16);
}

/* ---- times ---- */

static int by_seconds(const void *a, const void *b)
{
    const vg_profile_entry *const *x = a, *const *y = b;

    return (*x)->seconds < (*y)->seconds ? 1 : (*x)->seconds > (*y)->seconds ? -1 : 0;
}

static void print_profile(vg_profile *profile)
{
    const vg_profile_entry *entries[512];
    int count = vg_profile_count(profile) < 512 ? vg_profile_count(profile) : 512;
    double sum = 0;

    for (int i = 0; i < count; i++) {
        entries[i] = vg_profile_at(profile, i);
        sum += entries[i]->seconds;
    }
    qsort(entries, (size_t)count, sizeof entries[0], by_seconds);
    for (int i = 0; i < count && i < 24; i++) {
        const vg_profile_entry *e = entries[i];
        double one = e->seconds / (double)e->calls;
        print_message(
            "  %-14s %-44s %5lld x %7.3f ms = %6.1f ms %4.1f %% %5.0f TFLOP/s %5.0f GB/s\n",
            vg_op_name(e->op), e->cost.shape, (long long)e->calls, 1e3 * one, 1e3 * e->seconds,
            100 * e->seconds / sum, e->cost.flops / one * 1e-12, e->cost.bytes / one * 1e-9);
    }
    print_message("  sum of operations %.3f s\n", sum);
}

static size_t used(vg_backend *be)
{
    vg_device_info info;
    vg_err err;

    CHECK_OK(vg_backend_info(be, &info, &err), err);
    return info.memory_total - info.memory_free;
}

/* One whole run: decode latents to rgb, or encode clip to latents. */
static double run_once(wan_vae *vae, bool encode, const int64_t latent[4], const int64_t pixels[4],
                       float *z, const float *clip, uint8_t *rgb)
{
    double from = seconds();
    vg_err err;

    if (encode)
        CHECK_OK(wan_vae_encode(vae, clip, pixels, false, NULL, z, &err), err);
    else
        CHECK_OK(wan_vae_decode(vae, z, latent, true, false, NULL, rgb, NULL, &err), err);
    return seconds() - from;
}

/* Bytes that a run takes, weights included, by the backend that only counts. */
static size_t planned_bytes(bool encode, const int64_t latent[4], const int64_t pixels[4], float *z,
                            const float *clip, uint8_t *rgb)
{
    vg_engine dry = {.threads = 1};
    vg_err err;
    size_t peak;

    CHECK_OK(vg_dry_backend_open(VG_DEVICE_CUDA, &dry.be, &err), err);
    wan_vae *vae = open_vae(&dry, VG_BF16, encode ? WAN_VAE_ENCODER : WAN_VAE_DECODER);
    dry.be->bytes_peak = dry.be->bytes_now;
    run_once(vae, encode, latent, pixels, z, clip, rgb);
    peak = dry.be->bytes_peak;
    wan_vae_close(vae);
    vg_backend_close(dry.be);
    return peak;
}

static void bench(vg_engine *engine, bool encode, int64_t height, int64_t width, bool profiled)
{
    vg_backend *be = vg_engine_backend(engine);
    int64_t latent[4] = {16, 21, height / 8, width / 8}, pixels[4] = {3, 81, height, width};
    float *z = noise(latent[0] * latent[1] * latent[2] * latent[3], 1.7),
          *clip = noise(3 * 81 * height * width, 1.0);
    uint8_t *rgb = malloc((size_t)(3 * 81 * height * width));
    const char *what = encode ? "encode" : "decode";
    vg_profile *profile;
    vg_err err;

    assert_non_null(rgb);
    wan_vae *vae = open_vae(engine, VG_BF16, encode ? WAN_VAE_ENCODER : WAN_VAE_DECODER);
    be->bytes_peak = be->bytes_now;
    for (int round = 0; round < 3; round++)
        print_message("BENCH vae %s %lldx%lldx81 round %d: %.3f s\n", what, (long long)height,
                      (long long)width, round, run_once(vae, encode, latent, pixels, z, clip, rgb));
    if (profiled) {
        CHECK_OK(vg_profile_new(be, true, &profile, &err), err);
        be->profile = profile;
        run_once(vae, encode, latent, pixels, z, clip, rgb);
        CHECK_OK(vg_profile_resolve(profile, &err), err);
        print_profile(profile);
        vg_profile_free(profile);
    }
    print_message("BENCH vae %s %lldx%lldx81: peak %.3f GiB, planned %.3f GiB; device in use %.3f "
                  "GiB afterwards\n",
                  what, (long long)height, (long long)width, (double)be->bytes_peak / 0x1p30,
                  (double)planned_bytes(encode, latent, pixels, z, clip, rgb) / 0x1p30,
                  (double)used(be) / 0x1p30);
    wan_vae_close(vae);
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
    for (int encode = 0; encode < 2; encode++) {
        bench(engine, encode, 720, 1280, true);
        bench(engine, encode, 480, 832, false);
    }
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
