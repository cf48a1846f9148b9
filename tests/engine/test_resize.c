/* test_resize.c: pictures resized as Pillow and torch do it (tests/oracle/make_resize.py). Pillow's 8 bits are equal, byte for byte; torch's
 * floats to 1e-5 of a range of 1 (they are 2e-6: positions are FP32, and torch's own paths round them differently). */
#include "engine/vision/resize.h"
#include "kernels/base/hash.h"
#include "kernels/base/json.h"
#include "tests/model.h"

#include <inttypes.h>

static const char *const filters[VG_RESAMPLE_COUNT] = {"bilinear", "bicubic", "lanczos"};

/* The case's tensor `what`; NULL when it has none. */
static const vg_tensor *find(vg_safetensors *golden, const char *name, const char *what)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return vg_safetensors_find(golden, full);
}

/* A result with guard bands. */
static vg_tensor *result_like(const vg_tensor *wanted)
{
    return check_tensor_of(wanted->dtype, wanted->ndim, wanted->shape);
}

static void compare_pillow(const char *name, const vg_tensor *src, const vg_tensor *wanted,
                           vg_resample resample)
{
    vg_err err;
    vg_tensor *out = result_like(wanted);
    CHECK_OK(vg_resize_pillow(src->data, (int)src->shape[0], (int)src->shape[1], resample,
                              out->data, (int)wanted->shape[0], (int)wanted->shape[1], &err),
             err);
    if (memcmp(out->data, wanted->data, vg_tensor_bytes(wanted)) != 0)
        fail_msg("%s %s: not Pillow's bytes", name, filters[resample]);
    check_done();
}

static void compare_torch(const char *name, const vg_tensor *src, const vg_tensor *wanted,
                          bool antialias)
{
    vg_err err;
    int height = (int)src->shape[0], width = (int)src->shape[1];
    vg_tensor *planes = check_tensor(VG_F32, 3, 3, height, width), *out = result_like(wanted);
    for (int64_t i = 0; i < (int64_t)height * width * 3; i++)
        ((float *)planes->data)[i % 3 * height * width + i / 3] =
            (float)((const uint8_t *)src->data)[i] / 255;
    CHECK_OK(vg_resize_torch_bilinear(planes->data, 3, height, width, antialias, out->data,
                                      (int)wanted->shape[1], (int)wanted->shape[2], &err),
             err);
    for (int64_t i = 0; i < vg_tensor_numel(wanted); i++)
        if (!(fabs(check_get(out, i) - check_get(wanted, i)) <= 1e-5))
            fail_msg("%s, antialias %d: %.9g instead of %.9g", name, antialias, check_get(out, i),
                     check_get(wanted, i));
    check_done();
}

static int compare_case(vg_safetensors *golden, const char *name)
{
    const vg_tensor *src = find(golden, name, "src"), *torch = find(golden, name, "torch");
    if (!src)
        return 0;
    for (int f = 0; f < VG_RESAMPLE_COUNT; f++) {
        assert_non_null(find(golden, name, filters[f]));
        compare_pillow(name, src, find(golden, name, filters[f]), (vg_resample)f);
    }
    if (torch) {
        compare_torch(name, src, torch, false);
        compare_torch(name, src, find(golden, name, "torch_antialias"), true);
    }
    return torch ? 2 : 1;
}

static void test_resize_is_the_reference(void **state)
{
    int done = 0;
    vg_safetensors *golden = open_file(GOLDEN "resize.safetensors");
    (void)state;
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s-%d", i < 20 ? "corner" : "random", i % 20);
        done += compare_case(golden, name);
    }
    assert_true(done > 30);
    vg_safetensors_close(golden);
}

/* Sides as photos and clips have them; compared by hash. */
static void test_resize_large_is_pillow(void **state)
{
    vg_err err;
    cJSON *json;
    const cJSON *item;
    int done = 0;
    (void)state;
    CHECK_OK(vg_json_load(GOLDEN "resize.json", &json, &err), err);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "large"))
    {
        const cJSON *from = cJSON_GetObjectItem(item, "src"),
                    *to = cJSON_GetObjectItem(item, "dst");
        int height = cJSON_GetArrayItem(from, 0)->valueint,
            width = cJSON_GetArrayItem(from, 1)->valueint,
            dst_height = cJSON_GetArrayItem(to, 0)->valueint,
            dst_width = cJSON_GetArrayItem(to, 1)->valueint;
        int f = 0;
        while (strcmp(filters[f], cJSON_GetObjectItem(item, "resample")->valuestring) != 0)
            assert_true(++f < VG_RESAMPLE_COUNT);
        vg_tensor *src = check_tensor(VG_U8, 3, height, width, 3),
                  *dst = check_tensor(VG_U8, 3, dst_height, dst_width, 3);
        for (int64_t i = 0; i < vg_tensor_numel(src); i++)
            ((uint8_t *)src->data)[i] =
                (uint8_t)((uint64_t)(i + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
        CHECK_OK(vg_resize_pillow(src->data, height, width, (vg_resample)f, dst->data, dst_height,
                                  dst_width, &err),
                 err);
        char hash[17];
        snprintf(hash, sizeof hash, "%016" PRIx64,
                 vg_fnv1a(VG_FNV1A_BEGIN, dst->data, vg_tensor_bytes(dst)));
        if (strcmp(hash, cJSON_GetObjectItem(item, "fnv1a")->valuestring) != 0)
            fail_msg("%dx%d to %dx%d %s: not Pillow's bytes", width, height, dst_width, dst_height,
                     filters[f]);
        check_done();
        done++;
    }
    assert_true(done >= 7);
    cJSON_Delete(json);
}

/* Pictures as load_image gives them, through VideoProcessor (tests/oracle/make_pictures.py). */
static void test_resize_is_the_video_processor(void **state)
{
    vg_err err;
    cJSON *json;
    const cJSON *item;
    int done = 0;
    vg_safetensors *golden = open_file(GOLDEN "pictures/pictures.safetensors");
    (void)state;
    CHECK_OK(vg_json_load(GOLDEN "pictures/pictures.json", &json, &err), err);
    cJSON_ArrayForEach(item, json)
    {
        const vg_tensor *src = vg_safetensors_find(golden, item->string),
                        *wanted = find(golden, item->string, "resized");
        assert_true(src && wanted);
        compare_pillow(item->string, src, wanted, VG_RESAMPLE_LANCZOS);
        done++;
    }
    assert_true(done >= 50);
    cJSON_Delete(json);
    vg_safetensors_close(golden);
}

/* What can be told without a reference: flat stays flat, for every filter, size and order of the passes (weights sum to 1, rounding included). */
static void test_resize_flat_stays_flat(void **state)
{
    vg_err err;
    check_rng rng = {1};
    (void)state;
    for (int i = 0; i < 300; i++) {
        int sides[4];
        for (int k = 0; k < 4; k++)
            sides[k] = 1 + (int)(check_random_bits(&rng) % 90);
        int level = (int)(check_random_bits(&rng) % 256);
        vg_tensor *src = check_tensor(VG_U8, 3, sides[0], sides[1], 3),
                  *dst = check_tensor(VG_U8, 3, sides[2], sides[3], 3);
        memset(src->data, level, vg_tensor_bytes(src));
        CHECK_OK(vg_resize_pillow(src->data, sides[0], sides[1],
                                  (vg_resample)(i % VG_RESAMPLE_COUNT), dst->data, sides[2],
                                  sides[3], &err),
                 err);
        for (int64_t k = 0; k < vg_tensor_numel(dst); k++)
            assert_int_equal(((uint8_t *)dst->data)[k], level);
        check_done();
    }
}

static void test_resize_refuses(void **state)
{
    static const int bad[] = {0, -1, INT32_MIN, VG_RESIZE_SIDE_MAX + 1, INT32_MAX};
    vg_err err;
    uint8_t picture[3] = {1, 2, 3}, out[3];
    float plane[1] = {0.5f}, plane_out[1];
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (int place = 0; place < 4; place++) {
            int side[4] = {1, 1, 1, 1};
            side[place] = bad[i];
            CHECK_FAILS(vg_resize_lanczos(picture, side[0], side[1], out, side[2], side[3], &err),
                        VG_E_ARG, err);
            CHECK_FAILS(vg_resize_torch_bilinear(plane, 1, side[0], side[1], i % 2, plane_out,
                                                 side[2], side[3], &err),
                        VG_E_ARG, err);
        }
    CHECK_FAILS(vg_resize_pillow(picture, 1, 1, VG_RESAMPLE_COUNT, out, 1, 1, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_resize_pillow(picture, 1, 1, (vg_resample)-1, out, 1, 1, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_resize_torch_bilinear(plane, 0, 1, 1, false, plane_out, 1, 1, &err), VG_E_ARG,
                err);
    CHECK_OK(vg_resize_lanczos(picture, 1, 1, out, 1, 1, &err), err);
    assert_memory_equal(picture, out, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_is_the_reference),
        cmocka_unit_test(test_resize_large_is_pillow),
        cmocka_unit_test(test_resize_is_the_video_processor),
        cmocka_unit_test(test_resize_flat_stays_flat),
        cmocka_unit_test(test_resize_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
