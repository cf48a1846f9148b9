/* test_events.c: the journal: appending, reading in pieces, torn lines. */
#include "tests/app/test_cli.h"

#include "app/job/events.h"

typedef struct seen {
    int count;
    double sum;
    char last[64];
} seen;

static void take(void *user, const cJSON *event, const char *line)
{
    seen *s = user;
    assert_true(*line == '{');
    s->count++;
    s->sum += vg_event_number(event, "n", 0);
    snprintf(s->last, sizeof s->last, "%s", vg_event_text(event, "type"));
}

static void put(vg_event_writer *w, const char *type, double n)
{
    vg_err err;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "n", n);
    CHECK_OK(vg_event_write(w, type, o, false, &err), err);
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
        put(&w, "step", i);
        if (i % 333 == 0)
            vg_event_reader_poll(&r, take, &s);
    }
    vg_event_reader_poll(&r, take, &s);
    assert_int_equal(s.count, 2000);
    assert_true(s.sum == 2000.0 * 2001 / 2);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 0);
    assert_int_equal(r.skipped, 0);
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
    put(&w, "one", 1);
    vg_event_writer_close(&w);
    APPEND("{\"t\": 12, \"ty"); /* killed here */
    vg_event_reader_init(&r, cli_dir);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    CHECK_OK(vg_event_writer_open(cli_dir, &w, &err), err);
    put(&w, "two", 2);
    vg_event_writer_close(&w);
    assert_int_equal(vg_event_reader_poll(&r, take, &s), 1);
    assert_string_equal(s.last, "two");
    assert_int_equal(r.skipped, 1);
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
    assert_string_equal(s.last, "end");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_read_once_each_in_order),
        cmocka_unit_test(test_events_torn_line_costs_only_itself),
        cmocka_unit_test(test_events_rubbish_is_skipped),
        cmocka_unit_test(test_events_shorter_file_is_read_anew),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
