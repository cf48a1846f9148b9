/* test_rng.c: noise equal to torch's CPU generator (tests/oracle/make_noise.py). torch's vector code and plain C differ in the last
 * bits of sin, cos and log; values reach 5.8, where one ulp is 4.8e-7, so 1e-6 is about two ulps. */
#include "kernels/base/json.h"
#include "engine/sampling/rng.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/check.h"

#define TOLERANCE 1e-6

static const float *values(const vg_safetensors *st, const char *name, size_t *count)
{
    static float copy[1 << 16];
    const vg_tensor *t = vg_safetensors_find(st, name);

    if (!t || t->dtype != VG_F32 || vg_tensor_bytes(t) > sizeof copy)
        fail_msg("golden %s is missing", name);
    memcpy(copy, t->data, vg_tensor_bytes(t));
    *count = (size_t)vg_tensor_numel(t);
    return copy;
}

static void compare(const char *what, const float *got, const float *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)got[i] - (double)wanted[i]) <= TOLERANCE))
            fail_msg("%s[%zu]: %.9g instead of %.9g", what, i, (double)got[i], (double)wanted[i]);
    }
}

static size_t shape_of(const cJSON *shape, char *text, size_t size)
{
    const cJSON *item;
    size_t numel = 1, used = 0;

    cJSON_ArrayForEach(item, shape)
    {
        numel *= (size_t)item->valuedouble;
        used += (size_t)snprintf(text + used, size - used, "%s%d", used ? "x" : "",
                                 (int)item->valuedouble);
    }
    return numel;
}

/* Seeds are read from the names: JSON numbers lose the large ones. */
static void check_seed(const vg_safetensors *st, const cJSON *spec, const char *seed_text)
{
    const cJSON *shape;
    uint64_t seed = seed_text[0] == '-' ? (uint64_t)strtoll(seed_text, NULL, 10)
                                        : strtoull(seed_text, NULL, 10);
    char key[128], text[64], name[256];
    size_t count;

    cJSON_ArrayForEach(shape, cJSON_GetObjectItem(spec, "shapes"))
    {
        float got[4096];
        size_t numel = shape_of(shape, text, sizeof text);
        snprintf(key, sizeof key, "seed%s.%s", seed_text, text);
        const float *wanted = values(st, key, &count);
        assert_true(count == numel && numel <= 4096);
        vg_rng_torch_normal(seed, got, numel);
        compare(key, got, wanted, numel);
    }
    cJSON_ArrayForEach(shape, cJSON_GetObjectItem(spec, "big_shapes"))
    {
        size_t numel = shape_of(shape, text, sizeof text);
        snprintf(key, sizeof key, "seed%s.%s", seed_text, text);
        snprintf(name, sizeof name, "%s.first", key);
        if (!vg_safetensors_find(st, name))
            continue;
        float *got = malloc(numel * sizeof *got);
        assert_non_null(got);
        vg_rng_torch_normal(seed, got, numel);
        compare(name, got, values(st, name, &count), count);
        snprintf(name, sizeof name, "%s.last", key);
        const float *last = values(st, name, &count);
        compare(name, got + numel - count, last, count);
        double sum = 0.0, wanted;
        for (size_t i = 0; i < numel; i++)
            sum += (double)got[i];
        snprintf(name, sizeof name, "%s.sum", key);
        memcpy(&wanted, vg_safetensors_find(st, name)->data, sizeof wanted);
        /* Errors of the last bits are independent: far below this. */
        assert_true(fabs(sum - wanted) < 1e-3 * sqrt((double)numel));
        free(got);
    }
}

static void test_rng_equals_torch(void **state)
{
    static const char *const seeds[] = {"0",
                                        "1",
                                        "42",
                                        "1234567",
                                        "2147483648",
                                        "4294967295",
                                        "4294967301",
                                        "9223372036854775807",
                                        "18446744073709551615",
                                        "-7"};
    vg_safetensors *st;
    cJSON *spec;
    vg_err err;

    (void)state;
    CHECK_OK(vg_safetensors_open(VG_TEST_DIR "/golden/noise.safetensors", &st, &err), err);
    CHECK_OK(vg_json_load(VG_TEST_DIR "/golden/noise.json", &spec, &err), err);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(spec, "seeds")),
                     (int)(sizeof seeds / sizeof seeds[0]));
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        check_seed(st, spec, seeds[i]);
    cJSON_Delete(spec);
    vg_safetensors_close(st);
}

static void test_rng_appendix_vector(void **state)
{
    static const double first[] = {1.9269153, 1.4872841,  0.9007172,  -2.1055210,
                                   0.6784185, -1.2345449, -0.0430675, -1.6046669};
    const size_t numel = 16 * 21 * 60 * 104;
    float *got = malloc(numel * sizeof *got);

    (void)state;
    assert_non_null(got);
    vg_rng_torch_normal(42, got, numel);
    for (int i = 0; i < 8; i++)
        assert_true(fabs((double)got[i] - first[i]) < TOLERANCE);
    assert_true(fabs((double)got[16] - 1.6423169) < TOLERANCE &&
                fabs((double)got[numel - 1] - 1.6538277) < TOLERANCE);
    free(got);
}

static void test_rng_keeps_the_low_32_bits(void **state)
{
    float a[33], b[33];

    (void)state;
    vg_rng_torch_normal(5, a, 33);
    vg_rng_torch_normal((UINT64_C(1) << 32) + 5, b, 33);
    assert_memory_equal(a, b, sizeof a);
    vg_rng_torch_normal(6, b, 33);
    assert_memory_not_equal(a, b, sizeof a);
    vg_rng_torch_normal(5, NULL, 0); /* nothing to write */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng_equals_torch),
        cmocka_unit_test(test_rng_appendix_vector),
        cmocka_unit_test(test_rng_keeps_the_low_32_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
