/* test_gauges.c: readings of a GPU as figures: through an event and back, mean and peak, the history, what a hostile journal does. */
#include "tests/check.h"

#include "app/report/energy.h"
#include "app/report/gauges.h"

static vg_gpu_sample reading(double power, double memory)
{
    vg_gpu_sample s = {.valid = 1u << VG_GPU_power_w | 1u << VG_GPU_memory_ours_bytes};
    s.value[VG_GPU_power_w] = power;
    s.value[VG_GPU_memory_ours_bytes] = memory;
    return s;
}

static void test_gauges_an_event_keeps_means_of_rates_and_peaks_of_memory(void **state)
{
    (void)state;
    vg_gauge_figures f = {0};
    vg_gpu_sample a = reading(600, 3e9), b = reading(700.25, 1e9), back;
    vg_gauges_add(&f, &a, true);
    vg_gauges_add(&f, &b, true);
    vg_gpu_sample one = vg_gauges_sample(&f);
    cJSON *event = cJSON_CreateObject();
    vg_gauges_to_json(&one, event);
    vg_gauges_from_json(event, &back);
    assert_int_equal(back.valid, a.valid);
    assert_true(fabs(back.value[VG_GPU_power_w] - 650.125) <= 0.05); /* tenths are kept */
    assert_true(back.value[VG_GPU_memory_ours_bytes] == 3e9);
    cJSON_Delete(event);
}

static void test_gauges_peaks_count_where_means_do_not(void **state)
{
    (void)state;
    vg_gauge_figures f = {0};
    vg_gpu_sample loading = reading(90, 5e9), a = reading(600, 4e9), b = reading(650, 4e9);
    assert_false(vg_gauges_any(&f));
    assert_true(isnan(vg_gauges_mean(&f, VG_GPU_power_w)) && vg_gauges_json(&f) == NULL);
    vg_gauges_add(&f, &loading, false);
    assert_true(vg_gauges_any(&f) && isnan(vg_gauges_mean(&f, VG_GPU_power_w)));
    vg_gauges_add(&f, &a, true);
    vg_gauges_add(&f, &b, true);
    assert_true(vg_gauges_mean(&f, VG_GPU_power_w) == 625);
    assert_true(vg_gauges_peak(&f, VG_GPU_memory_ours_bytes) == 5e9);
    assert_true(isnan(vg_gauges_peak(&f, VG_GPU_temperature_c)));
    cJSON *json = vg_gauges_json(&f), *power = cJSON_GetObjectItem(json, "power_w");
    assert_true(cJSON_GetObjectItem(power, "mean")->valuedouble == 625);
    assert_true(cJSON_GetObjectItem(power, "peak")->valuedouble == 650);
    assert_null(cJSON_GetObjectItem(json, "temperature_c"));
    cJSON_Delete(json);
}

static void test_gauges_hostile_numbers_are_left_out(void **state)
{
    static const char *const values[] = {"-1", "1e300", "\"700\"", "null", "[1]", "1e19", "true"};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[128];
        vg_gpu_sample s;
        snprintf(text, sizeof text, "{\"power_w\": %s, \"temperature_c\": 61}", values[i]);
        cJSON *event = cJSON_Parse(text);
        assert_non_null(event);
        vg_gauges_from_json(event, &s);
        assert_int_equal(s.valid, 1u << VG_GPU_temperature_c);
        assert_true(s.value[VG_GPU_power_w] == 0);
        cJSON_Delete(event);
    }
}

static void test_gauges_history_keeps_the_last_readings(void **state)
{
    (void)state;
    vg_gauge_history h = {.count = 0};
    for (int i = 0; i < VG_GAUGE_HISTORY + 10; i++) {
        vg_gpu_sample s = reading(i, 0);
        if (i == VG_GAUGE_HISTORY)
            s.valid = 0;
        vg_gauges_remember(&h, &s);
    }
    assert_int_equal(h.count, VG_GAUGE_HISTORY);
    assert_true(h.samples[VG_GPU_power_w][0] == 10);
    assert_true(isnan(h.samples[VG_GPU_power_w][VG_GAUGE_HISTORY - 10]));
    assert_true(h.samples[VG_GPU_power_w][VG_GAUGE_HISTORY - 1] == VG_GAUGE_HISTORY + 9);
}

static void test_gauges_table_has_a_row_for_what_was_read(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    vg_gauge_figures f = {0}, none = {0};
    vg_gpu_sample a = reading(601, 3.0 * (1 << 30));
    vg_gauges_add(&f, &a, true);
    vg_gauges_print(out, (const char *const[]){"bf16", "fp8"},
                    (const vg_gauge_figures *const[]){&f, &none}, 2);
    fclose(out);
    assert_non_null(strstr(text, "  memory ours    GiB        3.0      3.0        -        -\n"));
    assert_non_null(strstr(text, "  power          W          601      601        -        -\n"));
    assert_null(strstr(text, "temperature"));
    free(text);
}

static vg_gpu_sample counted(double joules, double power)
{
    vg_gpu_sample s = {.valid = 1u << VG_GPU_energy_j | 1u << VG_GPU_power_w};
    s.value[VG_GPU_energy_j] = joules;
    s.value[VG_GPU_power_w] = power;
    return s;
}

/* The counter is believed before readings of power; only what lies between two readings of the work counts. */
static void test_gauges_energy_is_the_counters(void **state)
{
    (void)state;
    vg_energy e = {0};
    bool by_counter;
    assert_true(isnan(vg_energy_watts(&e, &by_counter)) && isnan(vg_energy_of(&e, 2)));
    assert_string_equal(vg_energy_source(&e), "");
    vg_gpu_sample s = reading(500, 0); /* a board without a counter */
    vg_energy_add(&e, &s, 1, true);
    s = reading(700, 0);
    vg_energy_add(&e, &s, 2, true);
    assert_true(vg_energy_of(&e, 2) == 1200);
    assert_string_equal(vg_energy_source(&e), "power readings");
    static const struct {
        double joules, t;
        bool counts;
        double total; /* J and s behind it */
        double seconds;
    } rows[] = {{1000, 10, true, 0, 0},      {1650, 11, true, 650, 1},
                {2000, 12, false, 650, 1},   {2300, 13, true, 650, 1},
                {3000, 14, true, 1350, 2},   {100, 15, true, 1350, 2},    /* loaded anew */
                {800, 16, true, 2050, 3},    {9000, 1000, true, 2050, 3}, /* slept */
                {9700, 1000, true, 2050, 3}, {9900, NAN, true, 2050, 3},
                {9950, 1001, true, 2050, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        s = counted(rows[i].joules, 1);
        vg_energy_add(&e, &s, rows[i].t, rows[i].counts);
        assert_true(e.joules == rows[i].total && e.seconds == rows[i].seconds);
    }
    vg_energy_break(&e);
    s = counted(20000, 1);
    vg_energy_add(&e, &s, 1001.5, true);
    assert_true(e.joules == 2050);
    assert_true(fabs(vg_energy_of(&e, 3) - 2050) < 1e-9);
    cJSON *o = cJSON_CreateObject();
    vg_energy_json(o, "joules_per_step", &e, 3);
    vg_energy_json(o, "none", &(vg_energy){0}, 3);
    assert_true(cJSON_GetObjectItem(o, "joules_per_step")->valuedouble == 2050);
    assert_string_equal(cJSON_GetObjectItem(o, "joules_per_step_from")->valuestring,
                        "energy counter");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "none")) &&
                cJSON_IsNull(cJSON_GetObjectItem(o, "none_from")));
    cJSON_Delete(o);
}

/* A counter has neither mean nor peak to show; within one event it is the last. */
static void test_gauges_counters_are_no_figures(void **state)
{
    (void)state;
    vg_gauge_figures f = {0};
    vg_gpu_sample a = counted(100, 5), b = counted(160, 7);
    vg_gauges_add(&f, &a, true);
    vg_gauges_add(&f, &b, true);
    assert_true(vg_gauges_sample(&f).value[VG_GPU_energy_j] == 160);
    cJSON *json = vg_gauges_json(&f);
    assert_null(cJSON_GetObjectItem(json, "energy_j"));
    assert_non_null(cJSON_GetObjectItem(json, "power_w"));
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gauges_an_event_keeps_means_of_rates_and_peaks_of_memory),
        cmocka_unit_test(test_gauges_peaks_count_where_means_do_not),
        cmocka_unit_test(test_gauges_hostile_numbers_are_left_out),
        cmocka_unit_test(test_gauges_history_keeps_the_last_readings),
        cmocka_unit_test(test_gauges_energy_is_the_counters),
        cmocka_unit_test(test_gauges_counters_are_no_figures),
        cmocka_unit_test(test_gauges_table_has_a_row_for_what_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
