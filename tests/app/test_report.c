/* test_report.c: PSNR and SSIM against scikit-image, metrics.json there and back, its damage, the
 * CSV, and the table. */
#include "tests/metric.h"

#include <unistd.h>
#include "app/report/report.h"
#include "kernels/base/json.h"
#include "engine/checkpoint/safetensors.h"

static char scratch[64];

static int make_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/vgen-report-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static int drop_scratch(void **state)
{
    (void)state;
    return vg_file_remove_tree(scratch, NULL) == VG_OK ? 0 : -1;
}

static double golden_number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(item) ? INFINITY : item->valuedouble;
}

/* Both sides compute in double from the same bytes: PSNR differs in the last bits of log10 only;
 * SSIM also in the order of 121 additions, 1e-12 relative, amplified where a variance is nearly
 * cancelled. */
static void test_report_metrics_equal_scikit_image(void **state)
{
    (void)state;
    vg_err err;
    vg_safetensors *images = NULL;
    cJSON *root = NULL;
    const cJSON *item;
    int cases = 0;
    CHECK_OK(vg_safetensors_open(VG_TEST_DIR "/golden/metrics.safetensors", &images, &err), err);
    CHECK_OK(vg_json_load(VG_TEST_DIR "/golden/metrics.json", &root, &err), err);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "cases"))
    {
        char name[80];
        snprintf(name, sizeof name, "%s.a", item->string);
        const vg_tensor *a = vg_safetensors_find(images, name);
        snprintf(name, sizeof name, "%s.b", item->string);
        const vg_tensor *b = vg_safetensors_find(images, name);
        assert_non_null(a);
        assert_non_null(b);
        int height = (int)a->shape[0], width = (int)a->shape[1];
        double psnr = metric_of_pictures("psnr", a->data, b->data, height, width),
               ssim = metric_of_pictures("ssim", a->data, b->data, height, width);
        double want_psnr = golden_number(item, "psnr"), want_ssim = golden_number(item, "ssim");
        if (!(psnr == want_psnr || fabs(psnr - want_psnr) < 1e-9) ||
            !(fabs(ssim - want_ssim) < 1e-9))
            fail_msg("%s: PSNR %.12f instead of %.12f, SSIM %.12f instead of %.12f", item->string,
                     psnr, want_psnr, ssim, want_ssim);
        /* Both are symmetric. */
        assert_true(psnr == metric_of_pictures("psnr", b->data, a->data, height, width));
        assert_true(fabs(ssim - metric_of_pictures("ssim", b->data, a->data, height, width)) <
                    1e-12);
        cases++;
    }
    assert_int_equal(cases, 10);
    cJSON_Delete(root);
    vg_safetensors_close(images);
}

static void test_report_metrics_at_the_edges(void **state)
{
    (void)state;
    uint8_t a[12 * 10 * 3] = {0}, b[12 * 10 * 3];
    memset(b, 255, sizeof b);
    assert_true(metric_of_pictures("psnr", a, a, 12, 10) == INFINITY);
    assert_true(fabs(metric_of_pictures("psnr", a, b, 12, 10)) < 1e-12);
    assert_true(isnan(metric_of_pictures("ssim", a, b, 12, 10))); /* 10 < 11: no window fits */
    const float x[3] = {3, 0, 4}, y[3] = {0, 0, 5}, zero[3] = {0};
    assert_true(fabs(metric_of_latents("latent_rel_l2", x, y, 3) - sqrt(10) / 5) < 1e-12);
    assert_true(metric_of_latents("latent_rel_l2", zero, zero, 3) == 0);
    assert_true(metric_of_latents("latent_rel_l2", x, zero, 3) == INFINITY);
}

/* ---- a small pair of clips: frame 1 is identical, frame 2 differs most ---- */

enum { COUNT = 4, SIDE = 16, BYTES = SIDE * SIDE * 3 };

static vg_frames make_frames(uint8_t *memory, bool variant)
{
    static const int offset[COUNT] = {1, 0, 9, 3};
    check_rng rng = {7};
    for (int i = 0; i < COUNT * BYTES; i++) {
        memory[i] = (uint8_t)(100 + check_random(&rng) * 50);
        if (variant)
            memory[i] = (uint8_t)(memory[i] + offset[i / BYTES]);
    }
    return (vg_frames){COUNT, SIDE, SIDE, memory};
}

static vg_report_metrics measure(void)
{
    static uint8_t memory[2][COUNT * BYTES];
    static const float latents[4] = {1, 2, 3, 4}, reference_latents[4] = {1, 2, 3, 5};
    vg_frames a = make_frames(memory[0], true), b = make_frames(memory[1], false);
    vg_frame_source sa = vg_frames_source(&a), sb = vg_frames_source(&b);
    vg_report_metrics m = {0};
    vg_err err;
    CHECK_OK(vg_report_metrics_measure("bf16", &sa, &sb, latents, reference_latents, 4, NULL, NULL,
                                       NULL, &m, &err),
             err);
    return m;
}

static void check_measured(const vg_report_metrics *m)
{
    const vg_report_metric *psnr = &m->metric[VG_METRIC_ROW_psnr];
    assert_string_equal(m->reference, "bf16");
    assert_int_equal(m->frames, COUNT);
    assert_true(psnr->measured);
    assert_int_equal(psnr->worst_frame, 2);
    assert_int_equal(psnr->identical_frames, 1);
    double want[COUNT] = {20 * log10(255.0 / 1), INFINITY, 20 * log10(255.0 / 9),
                          20 * log10(255.0 / 3)};
    for (int i = 0; i < COUNT; i++)
        assert_true(psnr->frames[i] == want[i] || fabs(psnr->frames[i] - want[i]) < 1e-9);
    assert_true(fabs(psnr->mean - (want[0] + want[2] + want[3]) / 3) < 1e-9);
    assert_true(fabs(psnr->min - want[2]) < 1e-9);
    assert_true(psnr->max == INFINITY);
    assert_true(m->metric[VG_METRIC_ROW_ssim].measured);
    assert_true(m->metric[VG_METRIC_ROW_ssim].frames[1] == 1.0);
    assert_true(fabs(m->metric[VG_METRIC_ROW_latent_rel_l2].mean - 1 / sqrt(39)) < 1e-7);
}

static void test_report_metrics_survive_their_file(void **state)
{
    (void)state;
    vg_err err;
    vg_report_metrics m = measure(), back = {0};
    check_measured(&m);
    CHECK_FAILS(vg_report_metrics_read(scratch, &back, &err), VG_E_MISSING, err);
    CHECK_OK(vg_report_metrics_write(scratch, &m, &err), err);
    CHECK_OK(vg_report_metrics_read(scratch, &back, &err), err);
    check_measured(&back);

    char *path = vg_path_join(scratch, VG_REPORT_METRICS_FILE);
    cJSON *root = NULL;
    CHECK_OK(vg_json_load(path, &root, &err), err);
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        assert_true(cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(root, vg_metrics[i]->name)));
    const cJSON *psnr = cJSON_GetObjectItemCaseSensitive(root, "psnr");
    assert_string_equal(
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(psnr, "frames"), 1)->valuestring,
        "inf");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(psnr, "max")->valuestring, "inf");
    /* Counted from 1, as the screens do. */
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(psnr, "worst_frame")->valueint, 3);
    cJSON_Delete(root);
    free(path);

    path = vg_path_join(scratch, "metrics.csv");
    CHECK_OK(vg_report_metrics_write_csv(path, &m, &err), err);
    char *text = NULL;
    size_t size;
    CHECK_OK(vg_file_read(path, 4096, &text, &size, &err), err);
    assert_int_equal(strncmp(text, "frame,psnr,ssim\n1,48.130804,", 28), 0);
    assert_non_null(strstr(text, "\n2,inf,1.000000\n"));
    free(text);
    free(path);
    vg_report_metrics_deinit(&m);
    vg_report_metrics_deinit(&back);
    vg_report_metrics_deinit(&back); /* twice is harmless */
}

static void test_report_damaged_metrics_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"frames\": 0}",
        "{\"frames\": -3}",
        "{\"frames\": 1e9}",
        "{\"frames\": \"4\"}",
        "{\"frames\": 2, \"psnr\": 3}",
        "{\"frames\": 2, \"psnr\": {}}",
        "{\"frames\": 2, \"psnr\": {\"frames\": [1]}}",
        "{\"frames\": 2, \"psnr\": {\"frames\": [1, \"x\"]}}",
        "{\"frames\": 2, \"psnr\": {\"frames\": [1, {}]}}",
        "{\"frames\": 2, \"psnr\": {\"frames\": [1, 2, 3]}}",
        "{\"frames\": 1, \"reference\": 5}",
        "{\"frames\": 1, \"latent_rel_l2\": {\"mean\": []}}",
        "{\"frames\": 1, \"latent_rel_l2\": {}}",
    };
    char *path = vg_path_join(scratch, VG_REPORT_METRICS_FILE);
    vg_report_metrics m = {0};
    vg_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_OK(vg_file_write_atomic(path, bad[i], strlen(bad[i]), &err), err);
        CHECK_FAILS(vg_report_metrics_read(scratch, &m, &err), VG_E_FORMAT, err);
        assert_non_null(strstr(err.message, "metrics.json"));
        assert_null(m.metric[VG_METRIC_ROW_psnr].frames);
    }
    static const char good[] =
        "{\"frames\": 2, \"psnr\": {\"frames\": [null, 5]}, \"ssim\": null, \"later\": [1]}";
    CHECK_OK(vg_file_write_atomic(path, good, strlen(good), &err), err);
    CHECK_OK(vg_report_metrics_read(scratch, &m, &err), err);
    assert_true(m.metric[VG_METRIC_ROW_psnr].mean == 5 &&
                m.metric[VG_METRIC_ROW_psnr].worst_frame == 1);
    vg_report_metrics_deinit(&m);
    free(path);
}

static bool stop_at_two(void *user, int done, int total)
{
    (void)user, (void)total;
    return done < 2;
}

static void test_report_metrics_refuse_other_shapes_and_cancel(void **state)
{
    (void)state;
    uint8_t memory[2][COUNT * BYTES];
    vg_frames a = make_frames(memory[0], true), b = make_frames(memory[1], false);
    vg_frame_source sa = vg_frames_source(&a), sb = vg_frames_source(&b);
    vg_report_metrics m = {0};
    vg_err err;
    sb.count--;
    CHECK_FAILS(
        vg_report_metrics_measure("bf16", &sa, &sb, NULL, NULL, 0, NULL, NULL, NULL, &m, &err),
        VG_E_SHAPE, err);
    assert_non_null(strstr(err.message, "4 frames of 16x16"));
    sb.count++;
    CHECK_FAILS(vg_report_metrics_measure("bf16", &sa, &sb, NULL, NULL, 0, NULL, stop_at_two, NULL,
                                          &m, &err),
                VG_E_CANCELLED, err);
    CHECK_OK(vg_report_metrics_measure("bf16", &sa, &sb, NULL, NULL, 0, NULL, NULL, NULL, &m, &err),
             err);
    assert_false(m.metric[VG_METRIC_ROW_latent_rel_l2].measured);
    vg_report_metrics_deinit(&m);
}

/* ---- the table ---- */

static char *printed(void (*print)(FILE *, const vg_report_row *, int, const char *),
                     const vg_report_row *rows, int count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    print(f, rows, count, "/jobs/1/comparison.mp4");
    fclose(f);
    return text;
}

static void test_report_table_says_everything(void **state)
{
    (void)state;
    vg_report_metrics m = measure();
    vg_report_row rows[3] = {
        {.variant = "bf16",
         .reference = true,
         .steps = 20,
         .denoise_seconds = 8.42,
         .wall_seconds = 10.4,
         .peak_bytes = 642u << 20,
         .peak_stage = "decode",
         .weight_bytes = 13u << 20,
         .clip = "/jobs/1/variants/bf16/clip.mp4"},
        {.variant = "fp8",
         .steps = 20,
         .denoise_seconds = 5.01,
         .wall_seconds = 7.2,
         .peak_bytes = 600u << 20,
         .weight_bytes = 7u << 20,
         .metrics = &m},
        {.variant = "fp8-block\x1b[2J",
         .denoise_seconds = -1,
         .wall_seconds = NAN,
         .note = "failed: \x1b]0;x\x07 out of memory"},
    };
    char *text = printed(vg_report_print, rows, 3);
    static const char *const expected[] = {
        "variant",
        "denoise s/it:",
        "wall s/it:",
        " memory",
        " weights",
        "PSNR",
        "SSIM",
        "rel. L2",
        "0.4210",
        "0.5200",
        "642 MiB",
        "Most memory: bf16 in decode\n",
        " ref ",
        "PSNR, SSIM: means over the frames, against bf16.\n",
        "0.1601",
        "fp8: worst PSNR 29.05 dB (frame 3), SSIM 0.9961 (frame 3) of 4; identical: 1\n",
        "clip bf16: /jobs/1/variants/bf16/clip.mp4",
        "comparison clip: /jobs/1/comparison.mp4",
        "out of memory"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(text, expected[i]))
            fail_msg("'%s' is missing in\n%s", expected[i], text);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\x07'));
    /* Header and rows have one width. */
    size_t first = strcspn(text, "\n"), second = strcspn(text + first + 1, "\n");
    assert_int_equal(first, second);
    free(text);
    rows[2].variant = "fp8-block";
    text = printed(vg_report_print, rows, 3);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    free(text);

    text = printed(vg_report_print_markdown, rows, 3);
    assert_int_equal(strncmp(text, "| variant | denoise s/it |", 26), 0);
    assert_non_null(strstr(text, "\n| --- | ---: |"));
    assert_null(strchr(text, '\x1b'));
    free(text);

    char caption[128], tight[20];
    vg_report_caption(&rows[1], true, caption, sizeof caption);
    assert_int_equal(strncmp(caption, "0.2505 s/it  PSNR 38.59 dB", 26), 0);
    vg_report_caption(&rows[1], true, tight, sizeof tight);
    assert_int_equal(strlen(tight), sizeof tight - 1);
    vg_report_caption(&rows[0], true, caption, sizeof caption);
    assert_string_equal(caption, "reference  0.4210 s/it");
    vg_report_caption(&rows[0], false, caption, sizeof caption);
    assert_string_equal(caption, "reference");
    vg_report_caption(&rows[1], false, caption, sizeof caption);
    assert_int_equal(strncmp(caption, "PSNR 38.59 dB", 13), 0);
    vg_report_metrics_deinit(&m);
}

static void test_report_table_of_nothing(void **state)
{
    (void)state;
    char *text = printed(vg_report_print, NULL, 0);
    assert_int_equal(strncmp(text, "        denoise", 15), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_metrics_equal_scikit_image),
        cmocka_unit_test(test_report_metrics_at_the_edges),
        cmocka_unit_test(test_report_metrics_survive_their_file),
        cmocka_unit_test(test_report_damaged_metrics_are_refused),
        cmocka_unit_test(test_report_metrics_refuse_other_shapes_and_cancel),
        cmocka_unit_test(test_report_table_says_everything),
        cmocka_unit_test(test_report_table_of_nothing),
    };
    return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
