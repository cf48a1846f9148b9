/* check.h: what every test includes: cmocka in the right order, assertions on vg_status, and for tests of operations guarded
 * tensors, reproducible random data, comparison with derived tolerances, and one call that runs an operation on several
 * backends and demands the same bits. Everything is static inline; a test is one file. */
#ifndef VG_TESTS_CHECK_H
#define VG_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/backend/backend.h"
#include "kernels/base/numeric.h"

/* ---- results -------------------------------------------------------------------------------------------------- */

/* The expression gives VG_OK; its error message is shown otherwise. `err` is the vg_err it fills. */
#define CHECK_OK(expr, err)                                                                        \
    do {                                                                                           \
        (err).message[0] = '\0';                                                                   \
        vg_status check_status_ = (expr);                                                          \
        if (check_status_ != VG_OK)                                                                \
            fail_msg("%s: %s (%s)", #expr, vg_status_name(check_status_), (err).message);          \
    } while (0)

/* The expression gives this code, and has written a message with it. */
#define CHECK_FAILS(expr, wanted, err)                                                             \
    do {                                                                                           \
        (err).message[0] = '\0';                                                                   \
        vg_status check_status_ = (expr);                                                          \
        if (check_status_ != (wanted))                                                             \
            fail_msg("%s: %s instead of %s (%s)", #expr, vg_status_name(check_status_),            \
                     vg_status_name(wanted), (err).message);                                       \
        assert_true((err).code == (wanted) && (err).message[0] != '\0');                           \
    } while (0)

/* ---- random numbers: splitmix64, so that a case is the same everywhere -------------------------------------------- */

typedef struct check_rng {
    uint64_t state;
} check_rng;

static inline uint64_t check_random_bits(check_rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [-1, 1). */
static inline double check_random(check_rng *rng)
{
    return (double)(int64_t)check_random_bits(rng) * 0x1p-63;
}

/* ---- tensors with guard bands, freed (and their guards checked) by check_done ---------------------------------------- */

#define CHECK_GUARD      64
#define CHECK_GUARD_BYTE 0xa5
#define CHECK_TENSORS    64

typedef struct check_pool {
    vg_tensor tensors[CHECK_TENSORS];
    unsigned char *blocks[CHECK_TENSORS];
    int count;
} check_pool;

static inline check_pool *check_tensors(void)
{
    static check_pool pool;
    return &pool;
}

static inline vg_tensor *check_tensor_of(vg_dtype dtype, int ndim, const int64_t *shape)
{
    check_pool *pool = check_tensors();
    vg_tensor *t = &pool->tensors[pool->count];
    size_t bytes;

    if (pool->count == CHECK_TENSORS)
        fail_msg("more than %d tensors in one test case: call check_done in between",
                 CHECK_TENSORS);
    *t = vg_tensor_of(NULL, dtype, ndim, shape);
    bytes = vg_tensor_bytes(t);
    if (posix_memalign((void **)&pool->blocks[pool->count], 64, bytes + 2 * CHECK_GUARD) != 0)
        fail_msg("no memory for a tensor of %zu bytes", bytes);
    memset(pool->blocks[pool->count], CHECK_GUARD_BYTE, bytes + 2 * CHECK_GUARD);
    t->data = pool->blocks[pool->count] + CHECK_GUARD;
    memset(t->data, 0xff,
           bytes); /* NaN in every float format: what an operation leaves unwritten is seen */
    pool->count++;
    return t;
}

/* check_tensor(VG_BF16, 2, rows, cols): uninitialised (all NaN). */
#define check_tensor(dtype, ndim, ...)                                                             \
    check_tensor_of((dtype), (ndim), &((const int64_t[]){0, __VA_ARGS__})[1])

static inline void check_guards(void)
{
    check_pool *pool = check_tensors();

    for (int i = 0; i < pool->count; i++) {
        const unsigned char *block = pool->blocks[i];
        size_t bytes = vg_tensor_bytes(&pool->tensors[i]);
        for (size_t j = 0; j < CHECK_GUARD; j++)
            if (block[j] != CHECK_GUARD_BYTE || block[CHECK_GUARD + bytes + j] != CHECK_GUARD_BYTE)
                fail_msg("tensor %d of this case was written outside of its bounds", i);
    }
}

/* Give back every tensor of the case, after a last look at the guard bands. */
static inline void check_done(void)
{
    check_pool *pool = check_tensors();

    check_guards();
    while (pool->count)
        free(pool->blocks[--pool->count]);
}

static inline double check_get(const vg_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case VG_F32:
        return (double)((const float *)t->data)[i];
    case VG_BF16:
        return (double)vg_bf16_to_f32(((const uint16_t *)t->data)[i]);
    case VG_F16:
        return (double)vg_f16_to_f32(((const uint16_t *)t->data)[i]);
    case VG_E4M3:
        return (double)vg_e4m3_to_f32(((const uint8_t *)t->data)[i]);
    case VG_U8:
        return (double)((const uint8_t *)t->data)[i];
    case VG_I8:
        return (double)((const int8_t *)t->data)[i];
    case VG_I32:
        return (double)((const int32_t *)t->data)[i];
    default:
        fail_msg("check_get: dtype %s", vg_dtype_name(t->dtype));
        return 0.0;
    }
}

/* Mean and variance (over d, not d - 1) of a row of d, two passes. */
static inline void check_moments(const vg_tensor *x, int64_t row, int64_t d, double *mean,
                                 double *variance)
{
    *mean = *variance = 0;
    for (int64_t c = 0; c < d; c++)
        *mean += check_get(x, row * d + c) / (double)d;
    for (int64_t c = 0; c < d; c++) {
        double off = check_get(x, row * d + c) - *mean;
        *variance += off * off / (double)d;
    }
}

static inline void check_set(vg_tensor *t, int64_t i, double value)
{
    switch (t->dtype) {
    case VG_F32:
        ((float *)t->data)[i] = (float)value;
        return;
    case VG_BF16:
        ((uint16_t *)t->data)[i] = vg_f32_to_bf16((float)value);
        return;
    case VG_F16:
        ((uint16_t *)t->data)[i] = vg_f32_to_f16((float)value);
        return;
    case VG_E4M3:
        ((uint8_t *)t->data)[i] = vg_f32_to_e4m3((float)value);
        return;
    case VG_I8:
        ((int8_t *)t->data)[i] = (int8_t)value;
        return;
    case VG_I32:
        ((int32_t *)t->data)[i] = (int32_t)value;
        return;
    default:
        fail_msg("check_set: dtype %s", vg_dtype_name(t->dtype));
    }
}

/* Uniform in [centre - spread, centre + spread), rounded to the tensor's dtype. Returns t. */
static inline vg_tensor *check_fill(vg_tensor *t, check_rng *rng, double centre, double spread)
{
    for (int64_t i = 0; i < vg_tensor_numel(t); i++)
        check_set(t, i, centre + spread * check_random(rng));
    return t;
}

/* Reference values, released by the caller with free(). */
static inline double *check_reference(const vg_tensor *like)
{
    double *values = calloc((size_t)vg_tensor_numel(like) + 1, sizeof *values);

    if (!values)
        fail_msg("no memory for reference values");
    return values;
}

/* ---- comparison ------------------------------------------------------------------------------------------------ */

/* Largest relative error of one rounding to nearest in the dtype. */
static inline double check_unit(vg_dtype dtype)
{
    return dtype == VG_BF16 ? 0x1p-8 : dtype == VG_E4M3 ? 0x1p-4 : 0x1p-24;
}

/* Every element within absolute + relative * |reference|; a NaN is never close. Prints the worst element otherwise. */
static inline bool check_is_close(const char *what, const vg_tensor *y, const double *reference,
                                  double absolute, double relative)
{
    int64_t worst = -1, bad = 0;
    double excess = 0.0;

    for (int64_t i = 0; i < vg_tensor_numel(y); i++) {
        double got = check_get(y, i), error = fabs(got - reference[i]),
               allowed = absolute + relative * fabs(reference[i]);
        if (error <= allowed || got == reference[i])
            continue;
        bad++;
        if (worst < 0 || !(error / allowed <= excess)) {
            worst = i;
            excess = error / allowed;
        }
    }
    if (bad)
        print_message(
            "%s: %lld of %lld elements are off; worst at %lld: %.9g instead of %.9g (allowed %.3g)\n",
            what, (long long)bad, (long long)vg_tensor_numel(y), (long long)worst,
            check_get(y, worst), reference[worst], absolute + relative * fabs(reference[worst]));
    return bad == 0;
}

#define CHECK_CLOSE(what, y, reference, absolute, relative)                                        \
    assert_true(check_is_close((what), (y), (reference), (absolute), (relative)))

/* ---- backends -------------------------------------------------------------------------------------------------- */

typedef struct check_backends {
    vg_backend *one, *four; /* CPU with 1 and with 4 threads */
} check_backends;

static inline check_backends *check_cpu(void)
{
    static check_backends backends;
    vg_err err;

    if (!backends.one) {
        CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 1, &backends.one, &err), err);
        CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 4, &backends.four, &err), err);
    }
    return &backends;
}

static inline int check_close_cpu(void **state)
{
    check_backends *backends = check_cpu();

    (void)state;
    vg_backend_close(backends->one);
    vg_backend_close(backends->four);
    *backends = (check_backends){0};
    return 0;
}

/* Run vg_<op>(be, args) so that `out` is compared bit for bit between: first run, second run, four threads, and a run after a
 * memory failure (each of the operation's allocations fails once and must give VG_E_NOMEM). Then the guard bands are
 * looked at. `out` is filled with NaN before each run, so it must not alias an input. */
#define CHECK_RUN(op, args, out)                                                                   \
    do {                                                                                           \
        vg_err run_err_;                                                                           \
        vg_backend *fresh_ = NULL;                                                                 \
        size_t run_bytes_ = vg_tensor_bytes(out);                                                  \
        void *first_ = malloc(run_bytes_ + 1);                                                     \
        vg_backend *runs_[3] = {check_cpu()->one, check_cpu()->one, check_cpu()->four};            \
        assert_non_null(first_);                                                                   \
        for (int run_ = 0; run_ < 3; run_++) {                                                     \
            memset((out)->data, 0xff, run_bytes_);                                                 \
            CHECK_OK(vg_##op(runs_[run_], (args), &run_err_), run_err_);                           \
            if (run_ == 0)                                                                         \
                memcpy(first_, (out)->data, run_bytes_);                                           \
            else if (memcmp(first_, (out)->data, run_bytes_) != 0)                                 \
                fail_msg(#op ": %s", run_ == 1 ? "a second run gives other bits"                   \
                                               : "four threads give other bits");                  \
        }                                                                                          \
        for (int nth_ = 0; nth_ < 4; nth_++) {                                                     \
            CHECK_OK(vg_backend_open(VG_DEVICE_CPU, 0, 2, &fresh_, &run_err_), run_err_);          \
            vg_backend_fail_after(fresh_, nth_);                                                   \
            vg_status run_status_ = vg_##op(fresh_, (args), &run_err_);                            \
            vg_backend_fail_after(fresh_, -1);                                                     \
            if (run_status_ != VG_OK)                                                              \
                assert_int_equal(run_status_, VG_E_NOMEM);                                         \
            memset((out)->data, 0xff, run_bytes_);                                                 \
            CHECK_OK(vg_##op(fresh_, (args), &run_err_), run_err_);                                \
            assert_memory_equal(first_, (out)->data, run_bytes_);                                  \
            vg_backend_close(fresh_);                                                              \
        }                                                                                          \
        free(first_);                                                                              \
        check_guards();                                                                            \
    } while (0)

/* Where an operation puts the codes of a result [n,d], and what vg_quantize makes of its values. */
typedef struct check_codes {
    vg_tensor *q, *scale, *wanted, *wanted_scale; /* TENSOR_STATIC: one scale for both */
} check_codes;

static inline check_codes check_codes_of(const vg_tensor *y, vg_quant_kind kind)
{
    int64_t n = y->shape[0], d = y->shape[1], groups = (d + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    bool grouped = kind == VG_QUANT_GROUP_DYNAMIC;
    check_codes c = {.q = check_tensor(VG_E4M3, 2, n, d), .wanted = check_tensor(VG_E4M3, 2, n, d)};

    c.wanted_scale = grouped ? check_tensor(VG_F32, 2, groups, n) : check_tensor(VG_F32, 1, 1);
    c.scale = grouped ? check_tensor(VG_F32, 2, groups, n) : c.wanted_scale;
    if (!grouped)
        check_set(c.scale, 0, 0.013);
    return c;
}

/* Codes beside or instead of the values of vg_<op>(args) are those of vg_quantize, bit for bit. args: an lvalue whose y is set; its quant is
 * filled here. */
#define CHECK_CODES(op, args, kind)                                                                \
    do {                                                                                           \
        vg_err codes_err_;                                                                         \
        vg_tensor *values_ = (args).y;                                                             \
        check_codes codes_ = check_codes_of(values_, (kind));                                      \
        CHECK_OK(vg_##op(check_cpu()->one, &(args), &codes_err_), codes_err_);                     \
        CHECK_OK(                                                                                  \
            vg_quantize(check_cpu()->one,                                                          \
                        &(vg_quantize_args){values_, (kind), codes_.wanted, codes_.wanted_scale},  \
                        &codes_err_),                                                              \
            codes_err_);                                                                           \
        for (int beside_ = 0; beside_ < 2; beside_++) {                                            \
            (args).quant = (vg_quant_out){(kind), codes_.q, codes_.scale};                         \
            (args).y = beside_ ? values_ : NULL;                                                   \
            CHECK_RUN(op, &(args), codes_.q);                                                      \
            assert_memory_equal(codes_.q->data, codes_.wanted->data, vg_tensor_bytes(codes_.q));   \
            assert_memory_equal(codes_.scale->data, codes_.wanted_scale->data,                     \
                                vg_tensor_bytes(codes_.scale));                                    \
        }                                                                                          \
    } while (0)

#endif
