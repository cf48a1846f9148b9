/* test_cuda_layer_attention.c: self-attention of one layer (engine/layers/attention.h) on the GPU: in full, in 8 bits, and in a step that
 * tests, against the CPU's and against itself. */
#include "tests/cuda/check_cuda.h"

#include "engine/layers/attention.h"

#define HEADS 3
#define D     128
#define DIM   (HEADS * D)

typedef struct layer {
    vg_tensor *q, *k, *v, *norm_q, *norm_k, *cos, *sin, *y; /* host */
    vg_attention_request request;
    vg_attention_layer found[1];
    vg_attention_step step;
} layer;

static void make(layer *l, int64_t n)
{
    check_rng rng = {81};
    *l = (layer){.q = check_fill(check_tensor(VG_BF16, 2, n, DIM), &rng, 0, 2),
                 .k = check_fill(check_tensor(VG_BF16, 2, n, DIM), &rng, 1, 2),
                 .v = check_fill(check_tensor(VG_BF16, 2, n, DIM), &rng, 0.5, 1),
                 .norm_q = check_fill(check_tensor(VG_BF16, 1, DIM), &rng, 1, 0.3),
                 .norm_k = check_fill(check_tensor(VG_BF16, 1, DIM), &rng, 1, 0.3),
                 .cos = check_fill(check_tensor(VG_F32, 2, n, D / 2), &rng, 0, 1),
                 .sin = check_fill(check_tensor(VG_F32, 2, n, D / 2), &rng, 0, 1),
                 .y = check_tensor(VG_BF16, 2, n, DIM),
                 .request = {.mode = VG_ATTEND_QK8V8}};
    l->step = (vg_attention_step){.request = &l->request, .layers = l->found, .count = 1};
}

/* The layer on a backend; q and k are copies, since they are overwritten. The result as a host tensor. */
static vg_tensor *run(layer *l, bool device)
{
    vg_err err;
    vg_backend *be = device ? gpu : check_cpu()->four;
    vg_arena *work;
    vg_tensor *q = check_tensor(VG_BF16, 2, l->q->shape[0], DIM),
              *k = check_tensor(VG_BF16, 2, l->q->shape[0], DIM), *y = l->y;
    memcpy(q->data, l->q->data, vg_tensor_bytes(q));
    memcpy(k->data, l->k->data, vg_tensor_bytes(k));
    vg_self_attention a = {.step = &l->step,
                           .q = q,
                           .k = k,
                           .v = l->v,
                           .norm_q = l->norm_q,
                           .norm_k = l->norm_k,
                           .eps = 1e-6f,
                           .rope_cos = l->cos,
                           .rope_sin = l->sin,
                           .heads = HEADS,
                           .y = y};
    if (device) {
        a.q = on_gpu(q), a.k = on_gpu(k), a.v = on_gpu(l->v), a.norm_q = on_gpu(l->norm_q),
        a.norm_k = on_gpu(l->norm_k), a.rope_cos = on_gpu(l->cos), a.rope_sin = on_gpu(l->sin),
        a.y = on_gpu(l->y);
    }
    CHECK_OK(vg_arena_new(be, 0, &work, &err), err);
    CHECK_OK(vg_self_attention_run(work, &a, &err), err);
    vg_tensor *result = check_tensor(VG_BF16, 2, l->q->shape[0], DIM);
    CHECK_OK(vg_backend_download(be, result->data, a.y, &err), err);
    vg_arena_free(work);
    while (device && mirror_count) { /* the next run brings its own */
        vg_tensor *block = &mirrors[--mirror_count].block;
        vg_backend_release(gpu, block->data, vg_tensor_bytes(block));
    }
    return result;
}

static bool has_kernel(void)
{
    vg_err err;
    return vg_attend_check(gpu, VG_ATTEND_RECIPE_FULL, VG_BF16, D, &err) == VG_OK;
}

static void test_cuda_layer_attention(void **state)
{
    (void)state;
    NEED_GPU();
    if (!has_kernel())
        skip();
    layer l;
    make(&l, 1500);
    vg_tensor *full = run(&l, true);
    expect_near("in full", run(&l, false), full, 1e-2);
    l.step.use = true;
    vg_tensor *eight = run(&l, true);
    expect_near("in 8 bits", run(&l, false), eight, 2e-2);
    expect_same_bits("in 8 bits, repeated", eight, run(&l, true));
    double far = distance(full, eight);
    print_message("8 bits are %.4f from BF16\n", far);
    assert_true(far > 0 && far < 0.1);
    /* A test, which every layer passes; norms are another kernel's then. */
    l.step.test = true;
    expect_near("tested", eight, run(&l, true), 1e-2);
    vg_attention_layer on_device = l.found[0];
    assert_true(on_device.tests == 1 && !on_device.missed);
    l.found[0] = (vg_attention_layer){0};
    (void)run(&l, false);
    print_message("1 - cosine: GPU %.3e, CPU %.3e\n", 1 - on_device.cosine, 1 - l.found[0].cosine);
    assert_true(fabs(on_device.relative_l2 - l.found[0].relative_l2) <
                0.2 * l.found[0].relative_l2);
    /* One that none passes: BF16's bits. */
    l.request.limit = 1;
    l.found[0] = (vg_attention_layer){0};
    expect_same_bits("fell back", full, run(&l, true));
    assert_true(l.found[0].missed);
    l.step.test = false;
    expect_same_bits("fell back before", full, run(&l, true));
    check_done();
}

/* Where there is no such kernel it is said, and BF16 goes on. */
static void test_cuda_layer_attention_without_a_kernel(void **state)
{
    (void)state;
    NEED_GPU();
    vg_err err;
    CHECK_FAILS(vg_attend_check(gpu, VG_ATTEND_RECIPE_FULL, VG_F32, D, &err), VG_E_UNSUPPORTED,
                err);
    CHECK_FAILS(vg_attend_check(gpu, VG_ATTEND_RECIPE_FULL, VG_BF16, 64, &err), VG_E_UNSUPPORTED,
                err);
    if (has_kernel())
        return;
    CHECK_FAILS(vg_attend_check(gpu, VG_ATTEND_RECIPE_FULL, VG_BF16, D, &err), VG_E_UNSUPPORTED,
                err);
    layer l;
    make(&l, 130);
    expect_near("in full", run(&l, false), run(&l, true), 1e-2);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuda_layer_attention),
        cmocka_unit_test(test_cuda_layer_attention_without_a_kernel),
    };

    use_filter();
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
