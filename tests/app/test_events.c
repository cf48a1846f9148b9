/* test_events.c: the journal: appending, reading in pieces, torn lines. */
#include "tests/app/test_cli.h"

#include "app/job/events.h"

typedef struct seen {
    int count, known;
    double sum;
    char last[64];
} seen;

static void take(void *user, const vg_event_line *line)
{
    seen *s = user;
    assert_true(*line->text == '{');
    s->count++;
    if (line->event) {
        s->known++;
        s->sum += line->event->step;
    }
    snprintf(s->last, sizeof s->last, "%s", cJSON_GetObjectItem(line->json, "type")->valuestring);
}

static void put(vg_event_writer *w, vg_job_event_type type, int step)
{
    vg_err err;
    vg_job_event e = vg_job_event_of(type);
    e.step = step;
    CHECK_OK(vg_event_write(w, &e, &err), err);
}

static void append(const char *text, size_t size)
{
    char path[320];
    snprintf(path, sizeof path, "%s/%s", cli_dir, VG_EVENTS_FILE);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    fclose(f);
}

#define APPEND(text) append(text, sizeof(text) - 1)

static void fresh(void)
{
    char path[320];
    snprintf(path, sizeof path, "%s/%s", cli_dir, VG_EVENTS_FILE);
    unlink(path);
}

static void test_events_are_read_once_each_in_order(void **state)
{
    (void)state;
    vg_event_writer w;
    vg_event_reader r;
    vg_err err;
    seen s = {0};
    fresh();
    vg_event_reader_init(&r, cli_dir);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 0); /* no file yet */
    CHECK_OK(vg_event_writer_open(cli_dir, &w, &err), err);
    for (int i = 1; i <= 2000; i++) {
        put(&w, VG_JOB_EVENT_step, i);
        if (i % 333 == 0)
            vg_event_reader_poll(&r, take, &s);
    }
    vg_event_reader_poll(&r, take, &s);
    assert_int_equal(s.count, 2000);
    assert_true(s.sum == 2000.0 * 2001 / 2);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 0);
    assert_int_equal(r.malformed, 0);
    vg_event_writer_close(&w);
    vg_event_reader_deinit(&r);
}

static void test_events_torn_line_costs_only_itself(void **state)
{
    (void)state;
    vg_event_writer w;
    vg_event_reader r;
    vg_err err;
    seen s = {0};
    fresh();
    CHECK_OK(vg_event_writer_open(cli_dir, &w, &err), err);
    put(&w, VG_JOB_EVENT_created, 1);
    vg_event_writer_close(&w);
    APPEND("{\"t\": 12, \"ty"); /* killed here */
    vg_event_reader_init(&r, cli_dir);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    CHECK_OK(vg_event_writer_open(cli_dir, &w, &err), err);
    put(&w, VG_JOB_EVENT_done, 2);
    vg_event_writer_close(&w);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    assert_string_equal(s.last, "done");
    assert_int_equal(r.malformed, 1);
    vg_event_reader_deinit(&r);
}

static void test_events_rubbish_is_skipped(void **state)
{
    (void)state;
    vg_event_reader r;
    seen s = {0};
    char *huge = malloc(VG_EVENT_LINE_MAX + 100000);
    assert_non_null(huge);
    memset(huge, 'x', VG_EVENT_LINE_MAX + 100000);
    fresh();
    APPEND("\n[1]\n{}\n{\"type\": 5}\nnull\n\"type\"\n");
    APPEND("{\"type\": \"a\0b\"}\n");
    append(huge, VG_EVENT_LINE_MAX + 100000);
    APPEND("\n{\"type\": \"end\", \"n\": 3}\n");
    vg_event_reader_init(&r, cli_dir);
    while (vg_event_reader_poll(&r, take, &s) > 0)
        ;
    assert_int_equal(s.count, 1);
    assert_int_equal(s.known, 0); /* of a kind that nobody knows, but an event */
    assert_string_equal(s.last, "end");
    assert_int_equal(r.malformed, 7);
    vg_event_reader_deinit(&r);
    free(huge);
}

static void test_events_shorter_file_is_read_anew(void **state)
{
    (void)state;
    vg_event_reader r;
    seen s = {0};
    fresh();
    APPEND("{\"type\": \"aaaaaaaaaaaaaaaaaaaaaaaaa\"}\n");
    vg_event_reader_init(&r, cli_dir);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    fresh();
    APPEND("{\"type\": \"b\"}\n");
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    assert_string_equal(s.last, "b");
    vg_event_reader_deinit(&r);
}

/* Every field of every kind, with a value of its own, through a line and back. */
static void test_events_keep_all_they_can_say(void **state)
{
    (void)state;
    for (int type = 0; type < VG_JOB_EVENT_COUNT; type++) {
        const vg_event_kind_info *kind = vg_job_event_describe((vg_job_event_type)type);
        vg_job_event e = vg_job_event_of((vg_job_event_type)type), back;
        int n = 0;
        assert_true(kind->help[0]);
        for (const vg_event_field *const *f = kind->fields; *f; f++) {
            void *at = (char *)&e + (*f)->offset;
            n++;
            assert_true((*f)->help[0]);
            if ((*f)->type == VG_FIELD_COUNT)
                *(vg_event_COUNT *)at = n;
            else if ((*f)->type == VG_FIELD_BYTES)
                *(vg_event_BYTES *)at = (uint64_t)n << 40;
            else if ((*f)->type == VG_FIELD_REAL)
                *(vg_event_REAL *)at = n / 8.0;
            else if ((*f)->type == VG_FIELD_TEXT)
                *(vg_event_TEXT *)at = (*f)->name;
            else if ((*f)->type == VG_FIELD_FLAG)
                *(vg_event_FLAG *)at = true;
            else if ((*f)->type == VG_FIELD_GAUGES)
                ((vg_event_GAUGES *)at)->valid = (1u << VG_GPU_METRIC_COUNT) - 1;
            else
                ((vg_event_FIGURES *)at)->of[VG_METRIC_COUNT - 1] = INFINITY;
        }
        e.variant = kind->of_variant ? "fp8" : "";
        cJSON *json = vg_job_event_json(&e);
        assert_true(vg_job_event_read(json, &back));
        assert_int_equal(back.type, type);
        assert_string_equal(back.variant, e.variant);
        for (const vg_event_field *const *f = kind->fields; *f; f++) {
            const char *was = (const char *)&e + (*f)->offset, *is = (char *)&back + (*f)->offset;
            if ((*f)->type == VG_FIELD_TEXT)
                assert_string_equal(*(const vg_event_TEXT *)was, *(const vg_event_TEXT *)is);
            else if ((*f)->type == VG_FIELD_GAUGES)
                assert_int_equal(((const vg_event_GAUGES *)was)->valid,
                                 ((const vg_event_GAUGES *)is)->valid);
            else if ((*f)->type == VG_FIELD_FIGURES)
                assert_true(isinf(((const vg_event_FIGURES *)is)->of[VG_METRIC_COUNT - 1]));
            else if ((*f)->type == VG_FIELD_COUNT)
                assert_int_equal(*(const int *)was, *(const int *)is);
            else if ((*f)->type == VG_FIELD_FLAG)
                assert_true(*(const bool *)is);
            else
                assert_memory_equal(was, is, 8);
        }
        cJSON_Delete(json);
    }
}

static void test_events_that_say_nothing_say_it_through_a_line(void **state)
{
    (void)state;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_variant), back;
    cJSON *json = vg_job_event_json(&e);
    assert_int_equal(cJSON_GetArraySize(json), 2); /* type and variant */
    assert_true(vg_job_event_read(json, &back));
    assert_int_equal(back.step, -1);
    assert_true(back.peak_bytes == 0);
    assert_string_equal(back.what, "");
    cJSON_Delete(json);
    /* Of another type or out of range is the same as not there. */
    json = cJSON_Parse("{\"type\": \"step\", \"step\": 1e99, \"steps\": -3, \"seconds\": \"2\", "
                       "\"sigma\": true, \"expert\": null, \"timestep\": [1]}");
    assert_true(vg_job_event_read(json, &back));
    assert_true(back.step == -1 && back.steps == -1 && back.expert == -1);
    assert_true(isnan(back.seconds) && isnan(back.sigma) && isnan(back.timestep));
    cJSON_Delete(json);
    json = cJSON_Parse("{\"type\": \"of a later version\"}");
    assert_false(vg_job_event_read(json, &back));
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_read_once_each_in_order),
        cmocka_unit_test(test_events_torn_line_costs_only_itself),
        cmocka_unit_test(test_events_rubbish_is_skipped),
        cmocka_unit_test(test_events_shorter_file_is_read_anew),
        cmocka_unit_test(test_events_keep_all_they_can_say),
        cmocka_unit_test(test_events_that_say_nothing_say_it_through_a_line),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
