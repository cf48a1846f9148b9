/* test_cuda_vae.c: the VAE's operations, CUDA against CPU. */
#include "tests/cuda/check_cuda.h"

static const vg_dtype ACTS[] = {VG_F32, VG_BF16};

typedef struct conv_case {
    int64_t t, h, w, c, o, kt, kh, kw;
    int history, front, upsample, stride[3], pad[4];
    int more, split;
    bool residual;
} conv_case;

static const conv_case CASES[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, 0, 0, false},
    {1, 5, 7, 3, 96, 3, 3, 3, 0, 2, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {2, 6, 9, 16, 40, 3, 3, 3, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {1, 9, 11, 96, 3, 3, 3, 3, 1, 1, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {3, 8, 7, 24, 96, 1, 3, 3, 0, 0, 2, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {2, 9, 13, 32, 192, 1, 3, 3, 0, 0, 1, {1, 2, 2}, {0, 1, 0, 1}, 0, 0, false},
    {4, 5, 6, 64, 128, 3, 1, 1, 1, 0, 1, {2, 1, 1}, {0, 0, 0, 0}, 0, 0, false},
    {3, 4, 5, 40, 130, 3, 1, 1, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, 0, 0, false},
    {2, 17, 23, 72, 384, 3, 3, 3, 1, 1, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {1, 30, 31, 8, 64, 3, 3, 3, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {2, 7, 5, 5, 70, 2, 2, 3, 0, 1, 2, {1, 2, 1}, {2, 0, 1, 3}, 0, 0, false},
    {1, 12, 40, 128, 20, 1, 1, 1, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, 0, 0, false},
    /* What the VAE asks for: one frame of three parts, residuals, doubled frames, upsampling with and without a rest of 32 channels. */
    {2, 19, 37, 96, 96, 3, 3, 3, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 2, 0, true},
    {1, 33, 18, 192, 192, 3, 3, 3, 1, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 1, 1, true},
    {1, 9, 40, 64, 384, 3, 1, 1, 1, 1, 1, {1, 1, 1}, {0, 0, 0, 0}, 2, 2, false},
    {2, 17, 9, 96, 48, 1, 3, 3, 0, 0, 2, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, true},
    {1, 20, 21, 192, 96, 1, 3, 3, 0, 0, 2, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {3, 8, 11, 40, 6, 3, 1, 1, 1, 0, 1, {2, 1, 1}, {0, 0, 0, 0}, 1, 3, true},
    {1, 6, 5, 16, 64, 3, 3, 3, 0, 4, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, true},
    {4, 50, 67, 96, 3, 3, 3, 3, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, false},
    {2, 50, 130, 32, 200, 3, 3, 3, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, 0, 0, true},
};

/* The convolution once more with one of the other kernels for tensor cores. */
static void run_other(const char *kernel, const vg_conv3d_args *args)
{
    vg_err err;

    assert_int_equal(setenv("VGEN_CUDA_CONV", kernel, 1), 0);
    CHECK_OK(vg_conv3d(gpu, args, &err), err);
    assert_int_equal(unsetenv("VGEN_CUDA_CONV"), 0);
}

/* *state: the conv_case. A test for each, since a sanitizer can take minutes for one. */
static void test_cuda_conv3d(void **state)
{
    const conv_case *c = *state;
    const size_t i = (size_t)(c - CASES);
    check_rng rng = {61 + i};
    vg_err err;

    NEED_GPU();
    for (int f = 0; f < 8; f++) {
        vg_dtype in = ACTS[f & 1], weights = f == 6 ? VG_F32 : in, out = ACTS[f >> 1 & 1];
        int64_t frames = c->t + c->front + c->history + c->more, split = c->split ? c->split : 1,
                in_h = c->h * c->upsample + c->pad[0] + c->pad[1],
                in_w = c->w * c->upsample + c->pad[2] + c->pad[3];
        vg_tensor *x = check_fill(check_tensor(in, 4, c->t, c->h, c->w, c->c), &rng, 0.0, 1.0),
                  *w = check_fill(check_tensor(weights, 5, c->o, c->kt, c->kh, c->kw, c->c), &rng,
                                  0.0, 1.0);
        vg_tensor *past =
            c->history ? check_fill(check_tensor(in, 4, (int64_t)c->history, c->h, c->w, c->c),
                                    &rng, 0.0, 1.0)
                       : NULL;
        vg_tensor *bias =
            f >> 2 ? check_fill(check_tensor(f == 7 ? VG_F32 : weights, 1, c->o), &rng, 0.0, 2.0)
                   : NULL;
        vg_tensor *more = c->more
                              ? check_fill(check_tensor(in, 4, (int64_t)c->more, c->h, c->w, c->c),
                                           &rng, 0.0, 1.0)
                              : NULL;
        vg_tensor *y = check_tensor(out, 4, ((frames - c->kt) / c->stride[0] + 1) * split,
                                    (in_h - c->kh) / c->stride[1] + 1,
                                    (in_w - c->kw) / c->stride[2] + 1, c->o / split),
                  *dy = on_gpu(y), *first;
        vg_tensor *residual =
            c->residual ? check_fill(check_tensor_of(out, 4, y->shape), &rng, 0.0, 3.0) : NULL;
        vg_conv3d_args args = {.x = x,
                               .history = past,
                               .more = more,
                               .split = c->split,
                               .residual = residual,
                               .pad_front = c->front,
                               .upsample = c->upsample,
                               .w = w,
                               .bias = bias,
                               .y = y},
                       on;
        char what[64];
        memcpy(args.stride, c->stride, sizeof args.stride);
        memcpy(args.pad, c->pad, sizeof args.pad);
        on = args;
        on.x = on_gpu(x), on.history = on_gpu(past), on.w = on_gpu(w), on.bias = on_gpu(bias),
        on.more = on_gpu(more), on.residual = on_gpu(residual), on.y = dy;
        snprintf(what, sizeof what, "conv3d %zu %s to %s", i, vg_dtype_name(in),
                 vg_dtype_name(out));
        CHECK_OK(vg_conv3d(check_cpu()->four, &args, &err), err);
        CHECK_OK(vg_conv3d(gpu, &on, &err), err);
        first = back(dy);
        /* Two FP32 sums of k products below 1, in different orders: sqrt(k) roundings of their size k/4; one rounding apart. With a
         * residual the first rounding of a sum below 4 sqrt(k) + 2 stands beside it. */
        double k = (double)(c->kt * c->kh * c->kw * c->c),
               near = 2 * (sqrt(k) + 4) * 0x1p-24 * (k / 4 + 2);
        double relative = out == VG_BF16 ? 1.01 * 0x1p-7 : 0x1p-21;
        if (residual)
            near += (4 * sqrt(k) + 2) * (out == VG_BF16 ? 0x1p-7 : 0x1p-22);
        expect_close(what, y, first, near, relative);
        if (in == VG_BF16 && weights == VG_BF16) { /* the other tensor core kernels */
            run_other("gather", &on);
            expect_close("conv3d, gathered", y, back(dy), near, relative);
            run_other("mma", &on);
            expect_close("conv3d with mma.sync", y, back(dy), near, relative);
        }
        if (residual) { /* y in the residual's place */
            vg_conv3d_args in_place = on;
            vg_tensor *both = on_gpu(residual);
            in_place.residual = in_place.y = both;
            CHECK_OK(vg_conv3d(gpu, &in_place, &err), err);
            expect_same_bits("conv3d over its residual", first, back(both));
        }
        CHECK_OK(vg_conv3d(gpu, &on, &err), err);
        expect_same_bits(what, first, back(dy));
        release_all();
    }
}

static void test_cuda_channel_norm(void **state)
{
    static const int64_t sizes[][2] = {{1, 1}, {33, 5}, {7, 96}, {1000, 24}, {65, 384}, {20, 1025}};
    check_rng rng = {62};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 6; s++)
        for (int f = 0; f < 16; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 2, sizes[s]), &rng, 0.2, 2.0),
                      *gamma = check_fill(check_tensor(ACTS[f >> 1 & 1], 1, sizes[s][1]), &rng, 0.5,
                                          1.0);
            vg_tensor *y = check_tensor_of(ACTS[f >> 2 & 1], 2, sizes[s]), *dx, *dg = on_gpu(gamma),
                      *dy = on_gpu(y), *first;
            for (int64_t c = 0; c < sizes[s][1]; c++) /* a pixel of zeros */
                check_set(x, c, f == 3 ? 0.0 : check_get(x, c));
            dx = on_gpu(x);
            CHECK_OK(vg_channel_norm(check_cpu()->four,
                                     &(vg_channel_norm_args){x, gamma, f >> 3, y}, &err),
                     err);
            CHECK_OK(vg_channel_norm(gpu, &(vg_channel_norm_args){dx, dg, f >> 3, dy}, &err), err);
            first = back(dy);
            /* Three or four roundings, each perhaps to the other side; SiLU: the slope of its logarithm is below |x| + 1. */
            double unit = y->dtype == VG_BF16 ? 0x1p-8 : 0x1p-23,
                   most = sqrt((double)sizes[s][1]) * 1.5;
            expect_close("channel_norm", y, first, f >> 3 ? 4 * unit : 1e-30,
                         (f >> 3 ? 8.0 + 4.0 * (most < 40 ? most : 40) : 8.0) * unit);
            CHECK_OK(vg_channel_norm(gpu, &(vg_channel_norm_args){dx, dg, f >> 3, dy}, &err), err);
            expect_same_bits("channel_norm, repeated", first, back(dy));
            if (x->dtype == y->dtype) {
                CHECK_OK(vg_channel_norm(gpu, &(vg_channel_norm_args){dx, dg, f >> 3, dx}, &err),
                         err);
                expect_same_bits("channel_norm, in place", first, back(dx));
            }
            release_all();
        }
}

static void test_cuda_channel_affine(void **state)
{
    static const int64_t shapes[][4] = {
        {1, 1, 1, 1}, {16, 3, 5, 7}, {3, 2, 33, 17}, {48, 1, 20, 30}};
    check_rng rng = {63};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (int s = 0; s < 4; s++)
        for (int f = 0; f < 32; f++) {
            const int64_t *h = shapes[s];
            bool to_last = f & 1;
            vg_tensor *x = to_last ? check_tensor_of(ACTS[f >> 1 & 1], 4, h)
                                   : check_tensor(ACTS[f >> 1 & 1], 4, h[1], h[2], h[3], h[0]);
            vg_tensor *y = to_last ? check_tensor(ACTS[f >> 2 & 1], 4, h[1], h[2], h[3], h[0])
                                   : check_tensor_of(ACTS[f >> 2 & 1], 4, h),
                      *dy = on_gpu(y);
            vg_tensor *scale =
                f >> 3 & 1 ? check_fill(check_tensor(VG_F32, 1, h[0]), &rng, 1.5, 1.0) : NULL;
            vg_tensor *shift =
                f >> 4 ? check_fill(check_tensor(VG_F32, 1, h[0]), &rng, 0.0, 1.0) : NULL;
            check_fill(x, &rng, 0.0, 2.0);
            vg_channel_affine_args args = {x, to_last, scale, shift, s & 1, y};
            CHECK_OK(vg_channel_affine(check_cpu()->four, &args, &err), err);
            CHECK_OK(vg_channel_affine(gpu,
                                       &(vg_channel_affine_args){on_gpu(x), to_last, on_gpu(scale),
                                                                 on_gpu(shift), s & 1, dy},
                                       &err),
                     err);
            expect_same_bits("channel_affine", y, back(dy));
            release_all();
        }
}

static void test_cuda_regroup(void **state)
{
    static const struct {
        int64_t x[4], y[4];
        int factor[2], skip;
        bool up;
    } cases[] = {
        {{2, 3, 5, 8}, {4, 6, 10, 4}, {2, 2}, 0, true},
        {{1, 3, 5, 8}, {1, 6, 10, 8}, {2, 2}, 1, true},
        {{3, 10, 7, 12}, {3, 20, 14, 3}, {1, 2}, 0, true},
        {{4, 6, 10, 5}, {2, 3, 5, 10}, {2, 2}, 0, false},
        {{1, 4, 6, 4}, {1, 2, 3, 8}, {2, 2}, 1, false},
        {{3, 4, 14, 3}, {3, 2, 7, 12}, {1, 2}, 0, false},
        {{5, 33, 9, 6}, {2, 11, 3, 18}, {3, 3}, 1, false},
    };
    check_rng rng = {65};
    vg_err err;

    (void)state;
    NEED_GPU();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = 0; f < 4; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f & 1], 4, cases[i].x), &rng, 0.2, 1.0);
            vg_tensor *y = check_tensor_of(ACTS[f & 1], 4, cases[i].y), *dy = on_gpu(y);
            vg_regroup_args args = {
                x, {cases[i].factor[0], cases[i].factor[1]}, cases[i].skip, cases[i].up, f >> 1, y};
            CHECK_OK(vg_regroup(check_cpu()->four, &args, &err), err);
            args.x = on_gpu(x);
            args.y = dy;
            CHECK_OK(vg_regroup(gpu, &args, &err), err);
            expect_same_bits("regroup", y, back(dy));
            release_all();
        }
}

static void test_cuda_frames_to_u8(void **state)
{
    static const int64_t shapes[][4] = {{1, 1, 1, 3}, {2, 5, 7, 3}, {3, 64, 48, 3}};
    check_rng rng = {64};
    void *pinned;
    vg_err err;

    (void)state;
    NEED_GPU();
    CHECK_OK(gpu->ops->pin(gpu, sizeof(uint64_t), &pinned, &err), err);
    uint64_t *unfinite = pinned;
    for (int s = 0; s < 3; s++)
        for (int f = 0; f < 2; f++) {
            vg_tensor *x = check_fill(check_tensor_of(ACTS[f], 4, shapes[s]), &rng, 0.0, 1.3),
                      *y = check_tensor_of(VG_U8, 4, shapes[s]), *dy = on_gpu(y);
            check_set(x, 0, NAN);
            check_set(x, 1, INFINITY);
            check_set(x, 2, -INFINITY);
            CHECK_OK(vg_frames_to_u8(check_cpu()->four, &(vg_frames_to_u8_args){x, y}, &err), err);
            *unfinite = 5; /* added to */
            gpu->unfinite = unfinite;
            CHECK_OK(vg_frames_to_u8(gpu, &(vg_frames_to_u8_args){on_gpu_at(x, s == 2), dy}, &err),
                     err);
            expect_same_bits("frames_to_u8", y, back(dy));
            assert_int_equal(*unfinite, 5 + 3);
            gpu->unfinite = NULL;
            CHECK_OK(vg_frames_to_u8(gpu, &(vg_frames_to_u8_args){on_gpu_at(x, s == 2), dy}, &err),
                     err);
            CHECK_OK(vg_backend_sync(gpu, &err), err);
            assert_int_equal(*unfinite, 5 + 3);
            release_all();
        }
    gpu->ops->unpin(gpu, pinned, sizeof *unfinite);
}

static void test_cuda_vae_bench(void **state)
{
    /* The decoder's convolutions of one latent frame at 720x1280: frames, height, width, in, out. */
    static const int64_t shapes[][5] = {{1, 90, 160, 384, 384},
                                        {2, 180, 320, 384, 384},
                                        {4, 360, 640, 192, 192},
                                        {4, 720, 1280, 96, 96},
                                        {4, 720, 1280, 96, 3}};
    vg_err err;
    char what[96];

    (void)state;
    if (!gpu || !getenv("VG_BENCH"))
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t *s = shapes[i], pixels = s[0] * s[1] * s[2];
        size_t x_bytes = (size_t)(pixels * s[3]) * 2, y_bytes = (size_t)(pixels * s[4]) * 2,
               w_bytes = (size_t)(s[3] * s[4] * 27) * 2, p_bytes = x_bytes / (size_t)s[0] * 2;
        void *memory[4];
        uint16_t *host = malloc(x_bytes > w_bytes ? x_bytes : w_bytes);
        check_rng rng = {i};
        size_t bytes[4] = {x_bytes, y_bytes, w_bytes, p_bytes};
        assert_non_null(host);
        for (size_t e = 0; e < (x_bytes > w_bytes ? x_bytes : w_bytes) / 2; e++)
            host[e] = vg_f32_to_bf16((float)(int32_t)(check_random_bits(&rng) >> 32) * 0x1p-31f);
        for (int j = 0; j < 4; j++) {
            CHECK_OK(vg_backend_alloc(gpu, bytes[j], &memory[j], &err), err);
            vg_tensor all = vg_tensor_make(memory[j], VG_U8, 1, (int64_t)bytes[j]);
            if (j != 1 && bytes[j] <= (x_bytes > w_bytes ? x_bytes : w_bytes))
                CHECK_OK(vg_backend_upload(gpu, &all, host, &err), err);
        }
        vg_tensor x = vg_tensor_make(memory[0], VG_BF16, 4, s[0], s[1], s[2], s[3]),
                  y = vg_tensor_make(memory[1], VG_BF16, 4, s[0], s[1], s[2], s[4]);
        vg_tensor w = vg_tensor_make(memory[2], VG_BF16, 5, s[4], 3, 3, 3, s[3]),
                  past = vg_tensor_make(memory[3], VG_BF16, 4, 2, s[1], s[2], s[3]);
        vg_conv3d_args args = {.x = &x,
                               .history = &past,
                               .upsample = 1,
                               .w = &w,
                               .stride = {1, 1, 1},
                               .pad = {1, 1, 1, 1},
                               .y = &y};
        snprintf(what, sizeof what, "conv3d %lldx%lldx%lld %lld to %lld", (long long)s[0],
                 (long long)s[1], (long long)s[2], (long long)s[3], (long long)s[4]);
        TIME(what, 0, 54.0 * (double)pixels * (double)s[3] * (double)s[4],
             vg_conv3d(gpu, &args, &err));
        for (int other = 0; other < 2 && s[4] > 3; other++) {
            assert_int_equal(setenv("VGEN_CUDA_CONV", other ? "mma" : "gather", 1), 0);
            TIME(other ? "  the same with mma.sync" : "  the same, gathered", 0,
                 54.0 * (double)pixels * (double)s[3] * (double)s[4], vg_conv3d(gpu, &args, &err));
            assert_int_equal(unsetenv("VGEN_CUDA_CONV"), 0);
        }
        if (s[4] > 3) {
            vg_tensor rows = vg_tensor_make(memory[0], VG_BF16, 2, pixels, s[3]),
                      out = vg_tensor_make(memory[1], VG_BF16, 2, pixels, s[3]),
                      gamma = vg_tensor_make(memory[2], VG_BF16, 1, s[3]);
            TIME("  channel_norm with SiLU", 2 * x_bytes, 0,
                 vg_channel_norm(gpu, &(vg_channel_norm_args){&rows, &gamma, true, &out}, &err));
        }
        for (int j = 0; j < 4; j++)
            vg_backend_release(gpu, memory[j], bytes[j]);
        free(host);
    }
}

int main(void)
{
    enum { SHAPES = sizeof CASES / sizeof CASES[0] };
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_cuda_channel_norm), cmocka_unit_test(test_cuda_channel_affine),
        cmocka_unit_test(test_cuda_regroup),      cmocka_unit_test(test_cuda_frames_to_u8),
        cmocka_unit_test(test_cuda_vae_bench),
    };
    struct CMUnitTest tests[SHAPES + sizeof others / sizeof others[0]];
    static char names[SHAPES][32];

    for (int i = 0; i < SHAPES; i++) {
        snprintf(names[i], sizeof names[i], "test_cuda_conv3d_%d", i);
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = test_cuda_conv3d,
                                       .initial_state = (void *)(uintptr_t)&CASES[i]};
    }
    memcpy(tests + SHAPES, others, sizeof others);
    use_filter();
    return cmocka_run_group_tests_name("cuda_vae", tests, open_gpu, close_gpu);
}
