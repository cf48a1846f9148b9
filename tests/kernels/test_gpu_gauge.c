/* test_gpu_gauge.c: the gauge against the fake library of fake_nvml.c: every metric in its unit, old drivers, refusals, no library. */
#include "tests/check.h"

#include <dlfcn.h>
#include <unistd.h>
#include "kernels/backend/gpu_gauge.h"

#define PCI "0000:17:00.0"

extern char **environ;

/* A clean environment with this library. */
static void use(const char *library)
{
    for (char **e = environ; *e;) {
        char name[64];
        if (!strncmp(*e, "FAKE_NVML_", 10) && sscanf(*e, "%63[^=]", name) == 1) {
            unsetenv(name);
            e = environ;
        } else {
            e++;
        }
    }
    setenv("VGEN_NVML_LIBRARY", library, 1);
}

static vg_gpu_gauge *open_gauge(void)
{
    vg_gpu_gauge *gauge = NULL;
    vg_err err = {0};
    CHECK_OK(vg_gpu_gauge_open(PCI, NULL, &gauge, &err), err);
    assert_non_null(gauge);
    return gauge;
}

static void expect(const vg_gpu_sample *s, vg_gpu_metric metric, double value)
{
    assert_true(vg_gpu_has(s, metric));
    assert_true(fabs(s->value[metric] - value) <= 1e-9 * fabs(value));
}

static void test_gpu_gauge_reads_every_metric_in_its_unit(void **state)
{
    vg_gpu_sample s;
    (void)state;
    use(VG_FAKE_NVML);
    vg_gpu_gauge *gauge = open_gauge();
    vg_gpu_gauge_read(gauge, &s);
    expect(&s, VG_GPU_memory_total_bytes, 80.0 * (1 << 30));
    expect(&s, VG_GPU_memory_used_bytes, 30.0 * (1 << 30)); /* without the 0.5 GiB of the driver */
    expect(&s, VG_GPU_memory_ours_bytes, 24.0 * (1 << 30));
    expect(&s, VG_GPU_utilization_percent, 98);
    expect(&s, VG_GPU_power_w, 652.5);
    expect(&s, VG_GPU_power_limit_w, 700);
    expect(&s, VG_GPU_sm_clock_mhz, 1755);
    expect(&s, VG_GPU_sm_clock_max_mhz, 1980);
    expect(&s, VG_GPU_temperature_c, 61);
    expect(&s, VG_GPU_pcie_in_mb_s, 21500);
    expect(&s, VG_GPU_pcie_out_mb_s, 12);
    double before = s.value[VG_GPU_energy_j];
    assert_true(vg_gpu_has(&s, VG_GPU_energy_j));
    assert_int_equal(s.valid, (1u << VG_GPU_METRIC_COUNT) - 1); /* none was forgotten above */
    setenv("FAKE_NVML_ENERGY", "1000000000", 1);                /* a million joules more */
    vg_gpu_gauge_read(gauge, &s);
    double more = s.value[VG_GPU_energy_j] - before;
    assert_true(more >= 1e6 && more < 1e6 + 652.5 * 60);
    vg_gpu_gauge_close(gauge);
}

static void test_gpu_gauge_follows_what_changes(void **state)
{
    vg_gpu_sample s;
    (void)state;
    use(VG_FAKE_NVML);
    setenv("FAKE_NVML_POWER", "100000,250000", 1);
    setenv("FAKE_NVML_SM_CLOCK", "345,1980", 1);
    vg_gpu_gauge *gauge = open_gauge();
    for (int i = 0; i < 4; i++) {
        vg_gpu_gauge_read(gauge, &s);
        expect(&s, VG_GPU_power_w, i % 2 ? 250 : 100);
        expect(&s, VG_GPU_sm_clock_mhz, i % 2 ? 1980 : 345);
    }
    vg_gpu_gauge_close(gauge);
}

/* An instance's memory, its GPU's sensors; a UUID that is a whole GPU's changes nothing. */
static void test_gpu_gauge_of_a_mig_instance(void **state)
{
    static const char *const uuids[] = {"8f6e3c1a-0b52-4c5e-9a52-6a1c5f0c9d11", "other", "", NULL};
    static const char *const libraries[] = {VG_FAKE_NVML, VG_FAKE_NVML_OLD};
    vg_gpu_sample s;
    vg_err err;
    (void)state;
    for (int old = 0; old < 2; old++) {
        use(libraries[old]);
        setenv("FAKE_NVML_MIG", "MIG-8f6e3c1a-0b52-4c5e-9a52-6a1c5f0c9d11", 1);
        for (int i = 0; i < 4; i++) {
            vg_gpu_gauge *gauge = NULL;
            CHECK_OK(vg_gpu_gauge_open(PCI, uuids[i], &gauge, &err), err);
            vg_gpu_gauge_read(gauge, &s);
            expect(&s, VG_GPU_memory_total_bytes, (i ? 80.0 : 10.0) * (1 << 30));
            expect(&s, VG_GPU_memory_ours_bytes, (i ? 24.0 : 2.0) * (1 << 30));
            expect(&s, VG_GPU_power_w, 652.5);
            expect(&s, VG_GPU_sm_clock_mhz, 1755);
            vg_gpu_gauge_close(gauge);
        }
    }
}

static void test_gpu_gauge_leaves_out_what_fails(void **state)
{
    static const struct {
        const char *name;
        uint32_t lost;
    } cases[] = {
        {"FAKE_NVML_USED", 1u << VG_GPU_memory_total_bytes | 1u << VG_GPU_memory_used_bytes},
        {"FAKE_NVML_UTILIZATION", 1u << VG_GPU_utilization_percent},
        {"FAKE_NVML_POWER", 1u << VG_GPU_power_w},
        {"FAKE_NVML_POWER_LIMIT", 1u << VG_GPU_power_limit_w},
        {"FAKE_NVML_SM_CLOCK", 1u << VG_GPU_sm_clock_mhz},
        {"FAKE_NVML_SM_CLOCK_MAX", 1u << VG_GPU_sm_clock_max_mhz},
        {"FAKE_NVML_TEMPERATURE", 1u << VG_GPU_temperature_c},
        {"FAKE_NVML_ENERGY", 1u << VG_GPU_energy_j},
        {"FAKE_NVML_PCIE_RX", 1u << VG_GPU_pcie_in_mb_s},
        {"FAKE_NVML_PCIE_TX", 1u << VG_GPU_pcie_out_mb_s},
        {"FAKE_NVML_PID", 1u << VG_GPU_memory_ours_bytes},
    };
    vg_gpu_sample s;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        use(VG_FAKE_NVML);
        setenv(cases[i].name, "fail", 1);
        vg_gpu_gauge *gauge = open_gauge();
        vg_gpu_gauge_read(gauge, &s);
        if (s.valid != (((1u << VG_GPU_METRIC_COUNT) - 1) & ~cases[i].lost))
            fail_msg("%s: valid %x", cases[i].name, s.valid);
        for (int m = 0; m < VG_GPU_METRIC_COUNT; m++)
            assert_true(vg_gpu_has(&s, (vg_gpu_metric)m) || s.value[m] == 0);
        vg_gpu_gauge_close(gauge);
    }
}

static void test_gpu_gauge_finds_its_own_process(void **state)
{
    vg_gpu_sample s;
    (void)state;
    /* beside another one: by its number */
    use(VG_FAKE_NVML);
    setenv("FAKE_NVML_OTHER_PID", "4000000", 1);
    vg_gpu_gauge *gauge = open_gauge();
    vg_gpu_gauge_read(gauge, &s);
    expect(&s, VG_GPU_memory_ours_bytes, 24.0 * (1 << 30));
    /* two, and neither has our number: unknown */
    setenv("FAKE_NVML_PID", "4000001", 1);
    vg_gpu_gauge_read(gauge, &s);
    assert_false(vg_gpu_has(&s, VG_GPU_memory_ours_bytes));
    /* alone under another number, as in a container */
    unsetenv("FAKE_NVML_OTHER_PID");
    vg_gpu_gauge_read(gauge, &s);
    expect(&s, VG_GPU_memory_ours_bytes, 24.0 * (1 << 30));
    /* the driver does not tell */
    setenv("FAKE_NVML_OURS", "18446744073709551615", 1);
    vg_gpu_gauge_read(gauge, &s);
    assert_false(vg_gpu_has(&s, VG_GPU_memory_ours_bytes));
    vg_gpu_gauge_close(gauge);
}

static void test_gpu_gauge_memory_that_does_not_add_up_is_unknown(void **state)
{
    vg_gpu_sample s;
    (void)state;
    use(VG_FAKE_NVML);
    setenv("FAKE_NVML_TOTAL", "1000", 1);
    setenv("FAKE_NVML_RESERVED", "2000", 1);
    setenv("FAKE_NVML_USED", "3000", 1); /* free wraps around */
    vg_gpu_gauge *gauge = open_gauge();
    vg_gpu_gauge_read(gauge, &s);
    assert_false(vg_gpu_has(&s, VG_GPU_memory_used_bytes));
    vg_gpu_gauge_close(gauge);
}

static void test_gpu_gauge_old_driver_gives_what_it_has(void **state)
{
    vg_gpu_sample s;
    (void)state;
    use(VG_FAKE_NVML_OLD);
    vg_gpu_gauge *gauge = open_gauge();
    vg_gpu_gauge_read(gauge, &s);
    expect(&s, VG_GPU_memory_total_bytes, 80.0 * (1 << 30));
    expect(&s, VG_GPU_memory_used_bytes, 30.5 * (1 << 30)); /* it cannot say what is reserved */
    expect(&s, VG_GPU_memory_ours_bytes, 24.0 * (1 << 30));
    expect(&s, VG_GPU_power_w, 652.5);
    expect(&s, VG_GPU_sm_clock_mhz, 1755);
    assert_false(vg_gpu_has(&s, VG_GPU_power_limit_w));
    assert_false(vg_gpu_has(&s, VG_GPU_sm_clock_max_mhz));
    assert_false(vg_gpu_has(&s, VG_GPU_pcie_in_mb_s));
    vg_gpu_gauge_close(gauge);
}

static void test_gpu_gauge_absence_is_an_ordinary_answer(void **state)
{
    vg_gpu_gauge *gauge = NULL;
    vg_err err = {0};
    (void)state;
    use("/nowhere/libnvidia-ml.so.1");
    assert_int_equal(vg_gpu_gauge_open(PCI, NULL, &gauge, &err), VG_E_MISSING);
    use("libm.so.6"); /* a library, but another one */
    assert_int_equal(vg_gpu_gauge_open(PCI, NULL, &gauge, &err), VG_E_MISSING);
    use(VG_FAKE_NVML);
    assert_int_equal(vg_gpu_gauge_open("", NULL, &gauge, &err), VG_E_MISSING);
    assert_int_equal(vg_gpu_gauge_open("0000:99:00.0", NULL, &gauge, &err), VG_E_MISSING);
    setenv("FAKE_NVML_INIT", "9", 1);
    assert_int_equal(vg_gpu_gauge_open(PCI, NULL, &gauge, &err), VG_E_DEVICE);
    assert_int_equal(vg_gpu_gauge_open(PCI, NULL, &gauge, NULL), VG_E_DEVICE);
    assert_null(gauge);
    vg_gpu_gauge_close(NULL);
}

static void test_gpu_gauge_shuts_down_what_it_started(void **state)
{
    (void)state;
    use(VG_FAKE_NVML);
    void *library = dlopen(VG_FAKE_NVML, RTLD_NOW);
    assert_non_null(library);
    int (*started)(void);
    void *symbol = dlsym(library, "fake_nvml_started");
    memcpy(&started, &symbol, sizeof started);
    vg_gpu_gauge *gauge = open_gauge(), *missed = NULL;
    assert_int_equal(started(), 1);
    assert_int_equal(vg_gpu_gauge_open("0000:99:00.0", NULL, &missed, NULL), VG_E_MISSING);
    assert_int_equal(started(), 1);
    vg_gpu_gauge_close(gauge);
    assert_int_equal(started(), 0);
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpu_gauge_reads_every_metric_in_its_unit),
        cmocka_unit_test(test_gpu_gauge_follows_what_changes),
        cmocka_unit_test(test_gpu_gauge_leaves_out_what_fails),
        cmocka_unit_test(test_gpu_gauge_of_a_mig_instance),
        cmocka_unit_test(test_gpu_gauge_finds_its_own_process),
        cmocka_unit_test(test_gpu_gauge_memory_that_does_not_add_up_is_unknown),
        cmocka_unit_test(test_gpu_gauge_old_driver_gives_what_it_has),
        cmocka_unit_test(test_gpu_gauge_absence_is_an_ordinary_answer),
        cmocka_unit_test(test_gpu_gauge_shuts_down_what_it_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
