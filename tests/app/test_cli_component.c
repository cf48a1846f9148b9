/* test_cli_component.c: what vgen component answers: 0 done, 1 a bad file, 2 asked wrongly, 130 cancelled. */
#include "tests/app/test_cli.h"

#include "engine/checkpoint/safetensors.h"

/* A path in the test's folder; valid until 32 more calls. */
static const char *path_of(const char *name)
{
    static char paths[32][320];
    static int next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

/* A file with one tensor of zeros, its first number `first`. */
static const char *tensor_file(const char *file, const char *name, vg_dtype dtype, float first,
                               int ndim, const int64_t *shape)
{
    vg_err err;
    vg_safetensors_entry entry = {.name = (char *)(uintptr_t)name,
                                  .tensor = {.dtype = dtype, .ndim = ndim}};
    memcpy(entry.tensor.shape, shape, (size_t)ndim * sizeof *shape);
    float *values = calloc((size_t)vg_tensor_numel(&entry.tensor), sizeof *values);
    assert_non_null(values);
    values[0] = first;
    entry.tensor.data = values;
    CHECK_OK(vg_safetensors_write(path_of(file), &entry, 1, NULL, &err), err);
    free(values);
    return path_of(file);
}

static const char *latents_file(void)
{
    return tensor_file("latents.safetensors", "latents", VG_F32, 0, 5,
                       (const int64_t[]){1, 16, 1, 4, 4});
}

#define DECODE(in, ...)                                                                            \
    "component", "vae-decode", "--model", "demo", "--in", in, "--out", path_of("out.safetensors"), \
        ##__VA_ARGS__

/* Exit status, a word of the one line on stderr, and no output file. */
static void expect_refused(const char *const *argv, int status, const char *word)
{
    cli_result r = cli_run(argv);
    if (r.status != status || !strstr(r.err, word) || cli_lines(r.err) != 1)
        fail_msg("%s: exit %d instead of %d: %s", word, r.status, status, r.err);
    assert_false(vg_file_exists(path_of("out.safetensors")));
    cli_result_free(&r);
}
#define REFUSED(status, word, ...)                                                                 \
    expect_refused((const char *const[]){__VA_ARGS__, NULL}, status, word)

static void test_cli_component_asked_wrongly_is_2(void **state)
{
    (void)state;
    const char *in = latents_file();
    REFUSED(2, "unknown part", "component", "vae", "--model", "demo", "--in", in, "--out",
            path_of("out.safetensors"));
    /* Also when the file is not there: what was asked is looked at first. */
    REFUSED(2, "unknown part", "component", "vae", "--model", "demo", "--in", "/nowhere", "--out",
            path_of("out.safetensors"));
    REFUSED(2, "--in", "component", "vae-decode", "--model", "demo");
    REFUSED(2, "one word too many", DECODE(in, "another"));
    REFUSED(2, "not an option", DECODE(in, "--nonsense"));
    REFUSED(2, "--compute", DECODE(in, "--compute", "f99"));
    REFUSED(2, "--quantization", DECODE(in, "--quantization", "bf16,fp8"));
    REFUSED(2, "--quantization", DECODE(in, "--quantization", "fp9"));
}

static void test_cli_component_a_bad_file_is_1(void **state)
{
    (void)state;
    static const int64_t thin[] = {1, 3, 1, 4, 4}, ids[] = {1, 4};
    const char *in = latents_file();
    FILE *f = fopen(path_of("garbage.safetensors"), "w");
    fputs("no tensors here", f);
    fclose(f);
    REFUSED(1, "cannot open", DECODE("/nowhere/in.safetensors"));
    REFUSED(1, "garbage", DECODE(path_of("garbage.safetensors")));
    REFUSED(1, "latents is missing",
            DECODE(tensor_file("other.safetensors", "another", VG_F32, 0, 5, thin)));
    REFUSED(1, "channels", DECODE(tensor_file("thin.safetensors", "latents", VG_F32, 0, 5, thin)));
    REFUSED(1, "not on this machine", "component", "vae-decode", "--model", "nowhere", "--in", in,
            "--out", path_of("out.safetensors"));
    REFUSED(1, "/nowhere", "component", "vae-decode", "--model", "demo", "--in", in, "--out",
            "/nowhere/out.safetensors");
    /* A number in the file that the part cannot take is the file's fault, not the asker's. */
    vg_err err;
    float values[2][4] = {{1e9f}, {1, 1, 1, 1}};
    vg_safetensors_entry entries[2] = {{.name = (char *)(uintptr_t) "input_ids",
                                        .tensor = {.dtype = VG_F32, .ndim = 2, .data = values[0]}},
                                       {.name = (char *)(uintptr_t) "attention_mask",
                                        .tensor = {.dtype = VG_F32, .ndim = 2, .data = values[1]}}};
    memcpy(entries[0].tensor.shape, ids, sizeof ids);
    memcpy(entries[1].tensor.shape, ids, sizeof ids);
    CHECK_OK(vg_safetensors_write(path_of("ids.safetensors"), entries, 2, NULL, &err), err);
    REFUSED(1, "vocabulary", "component", "text-encoder", "--model", "demo", "--in",
            path_of("ids.safetensors"), "--out", path_of("out.safetensors"));
}

static void test_cli_component_done_is_0(void **state)
{
    (void)state;
    CLI_EXPECT(0, DECODE(latents_file()));
    assert_true(vg_file_exists(path_of("out.safetensors")));
    assert_int_equal(unlink(path_of("out.safetensors")), 0);
}

/* True once the process handles SIGINT itself: bit 1 of SigCgt. */
static bool takes_interrupts(pid_t pid)
{
    char path[64], line[256];
    unsigned long long caught = 0;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "SigCgt: %llx", &caught);
    if (f)
        fclose(f);
    return caught >> (SIGINT - 1) & 1;
}

static void test_cli_component_cancelled_is_130(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    const char *in = tensor_file("large.safetensors", "latents", VG_F32, 0, 5,
                                 (const int64_t[]){1, 16, 17, 40, 64}); /* a minute's work */
    for (int i = 0; i < 2; i++) {
        pid_t pid = cli_start((const char *const[]){DECODE(in), NULL}, i);
        for (int k = 0; k < 1000 && !takes_interrupts(pid); k++)
            usleep(10000);
        usleep(200 * 1000 * (unsigned)i); /* at once, and at work */
        assert_int_equal(kill(pid, signals[i]), 0);
        cli_result r = cli_finish(pid, i);
        assert_int_equal(r.status, 130);
        assert_non_null(strstr(r.err, "cancelled"));
        assert_false(vg_file_exists(path_of("out.safetensors")));
        cli_result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_component_asked_wrongly_is_2),
        cmocka_unit_test(test_cli_component_a_bad_file_is_1),
        cmocka_unit_test(test_cli_component_done_is_0),
        cmocka_unit_test(test_cli_component_cancelled_is_130),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
