/* test_kernels_core.c: errors, tensors, the thread pool, backends and arenas. */
#include <stdatomic.h>

#include "kernels/base/utf8.h"
#include "tests/check.h"

#include "kernels/backend/arena.h"
#include "kernels/base/threads.h"

static void test_err_keeps_control_characters_out(void **state)
{
    vg_err err;

    (void)state;
    assert_int_equal(vg_err_set(&err, "f.c", 3, VG_E_IO, "a%sb",
                                "\x1b[2J\n\x7f\xc2\x9b\xc3\xa9\xff\xed\xa0\x80"),
                     VG_E_IO);
    assert_string_equal(err.message, "a?[2J???\xc3\xa9????b");
    assert_int_equal(err.code, VG_E_IO);
    assert_int_equal(err.line, 3);
    assert_int_equal(vg_err_prefix(&err, "at %d\t", 5), VG_E_IO);
    assert_string_equal(err.message, "at 5?: a?[2J???\xc3\xa9????b");
    vg_err_set(&err, "f.c", 4, VG_E_ARG, "%s again", err.message);
    assert_non_null(strstr(err.message, "b again"));
    assert_int_equal(vg_err_set(NULL, "f.c", 1, VG_E_BUSY, "x"), VG_E_BUSY);
    assert_int_equal(vg_err_prefix(NULL, "x"), VG_OK);
}

static void test_err_cuts_long_messages(void **state)
{
    char text[2000];
    vg_err err;

    (void)state;
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    /* Both edges of the cut through every part of a character: half of one is not text. */
    for (int i = 0; i < 4; i++) {
        vg_err_set(&err, "f.c", 1, VG_E_IO, "%.*s%send", i % 2, "x", text + i / 2);
        assert_true(vg_utf8_valid(err.message, strlen(err.message), NULL));
        assert_in_range(strlen(err.message), VG_ERR_MESSAGE_MAX - 3, VG_ERR_MESSAGE_MAX - 1);
        assert_string_equal(err.message + strlen(err.message) - 3, "end");
        vg_err_prefix(&err, "%s", text);
        assert_true(vg_utf8_valid(err.message, strlen(err.message), NULL));
        assert_string_equal(err.message + strlen(err.message) - 3, "end");
    }
    for (int code = 0; code >= VG_E_BUSY; code--)
        assert_string_not_equal(vg_status_name((vg_status)code), "unknown");
    assert_string_equal(vg_status_name((vg_status)-99), "unknown");
}

static void test_tensor_sizes_are_checked(void **state)
{
    size_t bytes;
    vg_err err;

    (void)state;
    CHECK_OK(vg_shape_bytes((const int64_t[]){3, 5}, 2, VG_BF16, &bytes, &err), err);
    assert_int_equal(bytes, 30);
    CHECK_OK(vg_shape_bytes(NULL, 0, VG_F64, &bytes, &err), err);
    assert_int_equal(bytes, 8);
    CHECK_OK(vg_shape_bytes((const int64_t[]){0, 5}, 2, VG_BF16, &bytes, &err), err);
    assert_int_equal(bytes, 0);
    CHECK_FAILS(vg_shape_bytes((const int64_t[]){-1, 5}, 2, VG_F32, &bytes, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_shape_bytes((const int64_t[]){INT64_MAX / 4 + 1}, 1, VG_F32, &bytes, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_shape_bytes((const int64_t[]){1ll << 32, 1ll << 32}, 2, VG_U8, &bytes, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_shape_bytes((const int64_t[]){1, 1, 1, 1, 1, 1, 1}, 7, VG_U8, &bytes, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_shape_bytes(NULL, -1, VG_U8, &bytes, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_shape_bytes(NULL, 0, VG_DTYPE_COUNT, &bytes, &err), VG_E_SHAPE, err);
}

static void test_tensor_views(void **state)
{
    uint16_t data[24];
    int rows = 4;
    vg_tensor t = vg_tensor_make(data, VG_BF16, 2, rows, 6), flat = vg_tensor_reshape(&t, 1, 24),
              some = vg_tensor_rows(&t, 1, 2);
    vg_tensor scalar = vg_tensor_make(data, VG_BF16, 0);
    char text[32];

    (void)state;
    assert_int_equal(vg_tensor_numel(&t), 24);
    assert_int_equal(vg_tensor_bytes(&flat), 48);
    assert_ptr_equal(some.data, data + 6);
    assert_int_equal(some.shape[0], 2);
    assert_int_equal(vg_tensor_numel(&scalar), 1);
    assert_true(vg_tensor_is(&t, VG_BF16, 2) && !vg_tensor_is(&t, VG_F32, 2) &&
                !vg_tensor_is(NULL, VG_F32, 2));
    assert_false(vg_tensor_same_shape(&t, &flat));
    assert_string_equal(vg_tensor_describe(&t, text, sizeof text), "BF16 [4, 6]");
    assert_string_equal(vg_tensor_describe(&t, text, 8), "BF16 [4");
    assert_string_equal(vg_tensor_describe(NULL, text, sizeof text), "(absent)");
    assert_string_equal(vg_tensor_describe(&scalar, text, sizeof text), "BF16 []");
    assert_string_equal(vg_dtype_name(VG_E4M3), "F8_E4M3");
    assert_int_equal(vg_dtype_size(VG_DTYPE_COUNT), 0);
}

static void mark_range(void *ctx, int64_t begin, int64_t end, int worker)
{
    unsigned char *seen = ctx;

    if (worker < 0 || worker > 4 || end - begin > 7 || begin % 7 != 0)
        seen[0] = 99;
    for (int64_t i = begin; i < end; i++)
        seen[i]++;
}

static void test_threads_visit_everything_once(void **state)
{
    vg_threads *pool;
    vg_err err;

    (void)state;
    for (int count = 1; count <= 5; count++) {
        CHECK_OK(vg_threads_new(count, &pool, &err), err);
        assert_int_equal(vg_threads_count(pool), count);
        for (int64_t n = 0; n < 600; n++) {
            unsigned char seen[600] = {0};
            vg_parallel_for(pool, n, 7, mark_range, seen);
            for (int64_t i = 0; i < 600; i++)
                assert_int_equal(seen[i], i < n);
        }
        vg_threads_free(pool);
    }
    CHECK_FAILS(vg_threads_new(-1, &pool, &err), VG_E_ARG, err);
    CHECK_OK(vg_threads_new(0, &pool, &err), err);
    assert_true(vg_threads_count(pool) >= 1);
    vg_threads_free(pool);
    vg_threads_free(NULL);
}

static void test_backend_counts_memory(void **state)
{
    vg_backend *be;
    vg_device_info info;
    void *a, *b;
    vg_err err;

    (void)state;
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 2, &be, &err), err);
    CHECK_OK(vg_backend_alloc(be, 1000, &a, &err), err);
    CHECK_OK(vg_backend_alloc(be, 0, &b, &err), err);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal(be->bytes_now, 1000);
    vg_backend_release(be, a, 1000);
    vg_backend_release(be, b, 0);
    vg_backend_release(be, NULL, 5);
    assert_int_equal(be->bytes_now, 0);
    assert_int_equal(be->bytes_peak, 1000);
    CHECK_FAILS(vg_backend_alloc(be, SIZE_MAX / 4, &a, &err), VG_E_NOMEM, err);
    assert_non_null(strstr(err.message, "wanted 4611686018427387903 bytes"));
    vg_backend_fail_after(be, 1);
    CHECK_OK(vg_backend_alloc(be, 10, &a, &err), err);
    CHECK_FAILS(vg_backend_alloc(be, 10, &b, &err), VG_E_NOMEM, err);
    CHECK_OK(vg_backend_alloc(be, 10, &b, &err), err);
    assert_int_equal(be->bytes_now, 20);
    vg_backend_release(be, a, 10);
    vg_backend_release(be, b, 10);
    CHECK_OK(vg_backend_info(be, &info, &err), err);
    assert_string_equal(info.name, "CPU, 2 threads");
    assert_true(info.memory_total >= info.memory_free && info.memory_total > 0);
    CHECK_FAILS(vg_backend_open(VG_DEVICE_KIND_COUNT, 0, 0, &be, &err), VG_E_ARG, err);
    vg_backend_close(be);
    vg_backend_close(NULL);
}

static void test_backend_transfers(void **state)
{
    vg_backend *be;
    float a[3] = {1, 2, 3}, b[3], c[3];
    vg_tensor ta = vg_tensor_make(b, VG_F32, 1, 3), tb = vg_tensor_make(c, VG_F32, 1, 3),
              tc = vg_tensor_make(c, VG_F32, 1, 2);
    vg_err err;

    (void)state;
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    CHECK_OK(vg_backend_upload(be, &ta, a, &err), err);
    CHECK_OK(vg_backend_copy(be, &tb, &ta, &err), err);
    CHECK_OK(vg_backend_zero(be, &ta, &err), err);
    CHECK_OK(vg_backend_download(be, a, &tb, &err), err);
    CHECK_OK(vg_backend_sync(be, &err), err);
    assert_true(a[2] == 3.0f && b[2] == 0.0f && c[2] == 3.0f);
    CHECK_FAILS(vg_backend_copy(be, &tc, &ta, &err), VG_E_SHAPE, err);
    vg_backend_close(be);
}

static void test_arena_nests_and_reuses(void **state)
{
    vg_backend *be;
    vg_arena *arena;
    vg_tensor a, b, c, d;
    size_t outer, inner;
    vg_err err;

    (void)state;
    CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &be, &err), err);
    CHECK_OK(vg_arena_new(be, 4096, &arena, &err), err);
    assert_ptr_equal(vg_arena_backend(arena), be);
    outer = vg_arena_mark(arena);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){100}, &a, &err), err);
    inner = vg_arena_mark(arena);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 2, (const int64_t[]){100, 3}, &b, &err), err);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){5000}, &c, &err),
             err); /* a chunk of its own */
    assert_int_equal((uintptr_t)c.data % 64, 0);
    memset(a.data, 1, 400), memset(b.data, 2, 1200), memset(c.data, 3, 20000);
    vg_arena_reset(arena, inner);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 2, (const int64_t[]){100, 3}, &d, &err), err);
    assert_ptr_equal(d.data, b.data);
    assert_int_equal(((unsigned char *)a.data)[399], 1);
    for (int round = 0; round < 5; round++) { /* the same requests allocate once */
        size_t before = be->bytes_now;
        vg_arena_reset(arena, outer);
        CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){100}, &a, &err), err);
        CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){5000}, &c, &err), err);
        CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){1}, &d, &err), err);
        memset(c.data, 3, 20000), memset(d.data, 4, 4), memset(a.data, 1, 400);
        assert_int_equal(((unsigned char *)c.data)[19999], 3);
        if (round > 1)
            assert_int_equal(be->bytes_now, before);
    }
    CHECK_FAILS(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){-1}, &a, &err), VG_E_SHAPE,
                err);
    vg_backend_fail_after(be, 0);
    CHECK_FAILS(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){1 << 20}, &a, &err), VG_E_NOMEM,
                err);
    CHECK_OK(vg_arena_tensor(arena, VG_F32, 1, (const int64_t[]){1 << 20}, &a, &err), err);
    assert_true(vg_arena_peak_bytes(arena) >= (4u << 20) &&
                vg_arena_peak_bytes(arena) == be->bytes_peak);
    vg_arena_free(arena);
    vg_arena_free(NULL);
    assert_int_equal(be->bytes_now, 0);
    vg_backend_close(be);
}

static atomic_int loop_stop, loop_ranges;

static void stop_after_three(void *ctx, int64_t begin, int64_t end, int worker)
{
    (void)ctx, (void)begin, (void)end, (void)worker;
    if (atomic_fetch_add(&loop_ranges, 1) == 2)
        atomic_store(&loop_stop, 1);
}

static void test_kernels_core_loops_end_at_a_cancel(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        vg_threads *pool;
        assert_int_equal(vg_threads_new(threads, &pool, NULL), VG_OK);
        atomic_store(&loop_stop, 0);
        atomic_store(&loop_ranges, 0);
        vg_parallel_for_until(pool, 100000, 1, stop_after_three, NULL, &loop_stop);
        assert_in_range(atomic_load(&loop_ranges), 3, 99999);
        atomic_store(&loop_ranges, 0);
        vg_parallel_for(pool, 100, 1, stop_after_three, NULL); /* the flag is not asked here */
        assert_int_equal(atomic_load(&loop_ranges), 100);
        vg_threads_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_core_loops_end_at_a_cancel),
        cmocka_unit_test(test_err_keeps_control_characters_out),
        cmocka_unit_test(test_err_cuts_long_messages),
        cmocka_unit_test(test_tensor_sizes_are_checked),
        cmocka_unit_test(test_tensor_views),
        cmocka_unit_test(test_threads_visit_everything_once),
        cmocka_unit_test(test_backend_counts_memory),
        cmocka_unit_test(test_backend_transfers),
        cmocka_unit_test(test_arena_nests_and_reuses),
    };
    return cmocka_run_group_tests_name("kernels_core", tests, NULL, NULL);
}
