/* test_pool.c: the pool against a model that keeps a list of what is taken, and the backend's regions. */
#include "tests/check.h"

#define LIVE 300

typedef struct taken {
    char *memory;
    size_t bytes;
} taken;

static size_t rounded(size_t bytes)
{
    return bytes ? (bytes + 255) / 256 * 256 : 256;
}

static void expect_apart(const taken *list, int count, char *memory, size_t bytes)
{
    for (int i = 0; i < count; i++)
        assert_true(memory + rounded(bytes) <= list[i].memory ||
                    list[i].memory + rounded(list[i].bytes) <= memory);
}

static void test_pool_random_takes_and_gives(void **state)
{
    const uintptr_t begin[] = {0x100000, 0x900000};
    const size_t sizes[] = {1 << 20, (2 << 20) + 100};
    check_rng rng = {11};
    taken list[LIVE];
    vg_pool *pool;
    vg_err err;
    int count = 0, refused = 0;
    size_t used = 0;

    (void)state;
    CHECK_OK(vg_pool_new(&pool, &err), err);
    for (int i = 1; i >= 0; i--)
        CHECK_OK(vg_pool_add(pool, (void *)begin[i], sizes[i], &err), err);
    assert_int_equal(vg_pool_bytes(pool), 3 << 20);
    assert_int_equal(vg_pool_largest(pool), 2 << 20);
    for (int round = 0; round < 20000; round++) {
        if (count < LIVE && check_random(&rng) > (round % 4000 < 2000 ? -0.4 : 0.2)) {
            size_t bytes = (size_t)(check_random_bits(&rng) % (round % 7 ? 9000 : 200000));
            size_t largest = vg_pool_largest(pool);
            void *memory;
            vg_status status = vg_pool_take(pool, bytes, &memory, &err);
            assert_int_equal(status, rounded(bytes) <= largest ? VG_OK : VG_E_NOMEM);
            if (status != VG_OK) {
                refused++;
                continue;
            }
            assert_int_equal((uintptr_t)memory % 256, 0);
            expect_apart(list, count, memory, bytes);
            int in = (uintptr_t)memory >= begin[1];
            assert_true((uintptr_t)memory >= begin[in] &&
                        (uintptr_t)memory + bytes <= begin[in] + sizes[in]);
            list[count++] = (taken){memory, bytes};
            used += rounded(bytes);
        } else if (count) {
            int at = (int)(check_random_bits(&rng) % (uint64_t)count);
            assert_false(vg_pool_give(pool, list[at].memory +
                                                256 * (rounded(list[at].bytes) > 256) +
                                                (rounded(list[at].bytes) <= 256)));
            assert_true(vg_pool_give(pool, list[at].memory));
            assert_false(vg_pool_give(pool, list[at].memory));
            used -= rounded(list[at].bytes);
            list[at] = list[--count];
        }
        assert_int_equal(vg_pool_used(pool), used);
    }
    assert_true(refused > 0);
    while (count)
        assert_true(vg_pool_give(pool, list[--count].memory));
    assert_int_equal(vg_pool_largest(pool), 2 << 20); /* all neighbours found each other */
    assert_true(vg_pool_reached(pool) > 0);
    vg_pool_free(pool);
}

static void test_pool_removes_idle_regions_only(void **state)
{
    vg_pool *pool;
    vg_err err;
    void *a, *b;

    (void)state;
    CHECK_OK(vg_pool_new(&pool, &err), err);
    CHECK_FAILS(vg_pool_add(pool, (void *)4096, 100, &err), VG_E_ARG, err);
    CHECK_OK(vg_pool_add(pool, (void *)4096, 4096, &err), err);
    CHECK_OK(vg_pool_add(pool, (void *)8192, 4096, &err), err); /* adjacent, but another region */
    assert_int_equal(vg_pool_largest(pool), 4096);
    CHECK_OK(vg_pool_take(pool, 4096, &a, &err), err);
    CHECK_OK(vg_pool_take(pool, 0, &b, &err), err);
    assert_true((uintptr_t)a == 4096 && (uintptr_t)b == 8192);
    assert_null(vg_pool_remove_idle(pool));
    assert_true(vg_pool_give(pool, a));
    assert_ptr_equal(vg_pool_remove_idle(pool), a);
    assert_null(vg_pool_remove_idle(pool));
    assert_int_equal(vg_pool_bytes(pool), 4096);
    CHECK_FAILS(vg_pool_take(pool, 4096, &a, &err), VG_E_NOMEM, err);
    CHECK_FAILS(vg_pool_take(pool, SIZE_MAX, &a, &err), VG_E_NOMEM, err);
    vg_pool_free(pool);
    vg_pool_free(NULL);
}

static void test_backend_stage_memory(void **state)
{
    vg_backend *be;
    vg_err err;
    void *a, *b, *c;

    (void)state;
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    CHECK_OK(vg_backend_reserve(be, 1 << 20, &err), err);
    assert_null(be->pool); /* host memory needs none */
    be->separate = true;
    be->limit = 3 << 20;
    CHECK_FAILS(vg_backend_reserve(be, 4 << 20, &err), VG_E_NOMEM, err);
    CHECK_OK(vg_backend_reserve(be, 1 << 20, &err), err);
    CHECK_OK(vg_backend_alloc(be, 1 << 19, &a, &err), err);
    CHECK_OK(vg_backend_alloc(be, 1 << 19, &b, &err), err);
    assert_int_equal(be->grown, 0);
    memset(a, 1, 1 << 19);
    memset(b, 2, 1 << 19);
    CHECK_OK(vg_backend_alloc(be, 1 << 20, &c, &err),
             err); /* the plan was wrong: a further region */
    assert_int_equal(be->grown, 1 << 20);
    memset(c, 3, 1 << 20);
    void *d;
    CHECK_FAILS(vg_backend_alloc(be, (1 << 20) + 1, &d, &err), VG_E_NOMEM, err);
    assert_int_equal(be->bytes_now, 2 << 20);
    vg_backend_unreserve(be); /* everything is in use */
    assert_int_equal(vg_pool_bytes(be->pool), 2 << 20);
    vg_backend_release(be, c, 1 << 20);
    vg_backend_release(be, a, 1 << 19);
    vg_backend_release(be, b, 1 << 19);
    CHECK_OK(vg_backend_reserve(be, (1 << 20) - 1000, &err), err); /* one of the regions will do */
    assert_true(vg_pool_bytes(be->pool) >= 1 << 20);
    vg_backend_unreserve(be);
    assert_int_equal(vg_pool_bytes(be->pool), 0);
    assert_int_equal(be->bytes_now, 0);
    CHECK_OK(vg_backend_alloc(be, 100, &a, &err), err); /* without a stage: the device's own */
    vg_backend_release(be, a, 100);
    vg_backend_fail_after(be, 0);
    CHECK_FAILS(vg_backend_reserve(be, 1 << 20, &err), VG_E_NOMEM, err);
    vg_backend_close(be);
}

static void test_dry_backend_counts_and_computes_nothing(void **state)
{
    vg_backend *be;
    vg_err err;
    void *a, *b;
    float one = 5.0f;

    (void)state;
    CHECK_OK(vg_dry_backend_open(VG_DEVICE_CUDA, &be, &err), err);
    assert_false(vg_backend_reads_host(be));
    CHECK_OK(vg_backend_reserve(be, (size_t)1 << 40, &err), err);
    CHECK_OK(vg_backend_alloc(be, (size_t)1 << 40, &a, &err), err);
    CHECK_OK(vg_backend_alloc(be, 4, &b, &err), err);
    assert_true((uintptr_t)b - (uintptr_t)a >= (size_t)1 << 40);
    vg_tensor x = vg_tensor_make(a, VG_F32, 1, 1), y = vg_tensor_make(b, VG_F32, 1, 1),
              z = vg_tensor_make(b, VG_F32, 1, 2);
    CHECK_OK(vg_backend_upload(be, &x, &one, &err), err);
    CHECK_OK(vg_cast(be, &(vg_cast_args){&x, &y}, &err), err);
    CHECK_FAILS(vg_cast(be, &(vg_cast_args){&x, &z}, &err), VG_E_SHAPE, err); /* still checked */
    CHECK_OK(vg_backend_download(be, &one, &y, &err), err);
    assert_true(one == 0.0f);
    vg_backend_release(be, a, (size_t)1 << 40);
    vg_backend_release(be, b, 4);
    assert_true(be->bytes_now == 0 && be->bytes_peak == ((size_t)1 << 40) + 4);
    vg_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_random_takes_and_gives),
        cmocka_unit_test(test_pool_removes_idle_regions_only),
        cmocka_unit_test(test_backend_stage_memory),
        cmocka_unit_test(test_dry_backend_counts_and_computes_nothing),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
