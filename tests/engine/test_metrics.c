/* test_metrics.c: PSNR and SSIM against scikit-image (tests/oracle/make_metrics.py), in double precision: 1e-9 relative. */
#include "kernels/base/json.h"
#include "tests/metric.h"
#include "tests/model.h"

static void close_to(const char *what, double got, const cJSON *wanted)
{
    if (!cJSON_IsNumber(wanted)) { /* identical pictures: infinity is not JSON */
        assert_true(isinf(got) && got > 0);
        return;
    }
    if (!(fabs(got - wanted->valuedouble) <= 1e-9 * fmax(1, fabs(wanted->valuedouble))))
        fail_msg("%s: %.12g instead of %.12g", what, got, wanted->valuedouble);
}

static void test_metrics_are_the_reference(void **state)
{
    vg_err err;
    cJSON *json;
    int count = 0;
    const cJSON *item;
    (void)state;
    CHECK_OK(vg_json_load(GOLDEN "metrics.json", &json, &err), err);
    vg_safetensors *st = open_file(GOLDEN "metrics.safetensors");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "cases"))
    {
        char name[64];
        snprintf(name, sizeof name, "%s.a", item->string);
        const vg_tensor *a = vg_safetensors_find(st, name);
        snprintf(name, sizeof name, "%s.b", item->string);
        const vg_tensor *b = vg_safetensors_find(st, name);
        assert_true(a && b);
        int height = (int)a->shape[0], width = (int)a->shape[1];
        close_to(item->string, metric_of_pictures("psnr", a->data, b->data, height, width),
                 cJSON_GetObjectItem(item, "psnr"));
        close_to(item->string, metric_of_pictures("ssim", a->data, b->data, height, width),
                 cJSON_GetObjectItem(item, "ssim"));
        count++;
    }
    assert_true(count >= 5);
    vg_safetensors_close(st);
    cJSON_Delete(json);
}

static void test_metrics_rel_l2(void **state)
{
    float a[3] = {3, 0, 4}, b[3] = {0, 0, 5}, zero[3] = {0};
    (void)state;
    assert_true(fabs(metric_of_latents("latent_rel_l2", a, b, 3) - sqrt(10) / 5) < 1e-12);
    assert_true(metric_of_latents("latent_rel_l2", zero, zero, 3) == 0 &&
                metric_of_latents("latent_rel_l2", a, a, 3) == 0);
    assert_true(isinf(metric_of_latents("latent_rel_l2", a, zero, 3)));
}

static void test_metrics_are_described_and_found_by_name(void **state)
{
    (void)state;
    for (int i = 0; i < VG_METRIC_COUNT; i++) {
        const vg_metric *m = vg_metrics[i];
        assert_true(m->name[0] && m->label[0] && m->unit && m->help[0] && m->frame);
        assert_in_range(m->digits, 0, 9);
        assert_ptr_equal(vg_metric_find(m->name), m);
    }
    assert_null(vg_metric_find("lpip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_are_the_reference),
        cmocka_unit_test(test_metrics_rel_l2),
        cmocka_unit_test(test_metrics_are_described_and_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
