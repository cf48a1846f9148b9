/* test_cli_words.c: what vgen says and with which exit status: mistakes, --json, quiet commands, the progress line on a terminal. */
#include "tests/app/test_cli_small.h"

#include <pty.h>
#include <sys/ioctl.h>
#include "engine/checkpoint/safetensors.h"

#define TINY                                                                                       \
    "--preset", "demo", "--height", "32", "--width", "32", "--num-frames", "1",                    \
        "--num-inference-steps", "2"

static const char *in_dir(const char *name)
{
    static char paths[32][300];
    static int next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(vg_file_write_atomic(path, text, strlen(text), NULL), VG_OK);
}

static void write_latents(const char *path, vg_dtype dtype, int64_t w)
{
    float values[16 * 4 * 8] = {0};
    vg_err err;
    vg_safetensors_entry entry = {"latents", vg_tensor_make(values, dtype, 4, 16, 1, 4, w)};
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
}

static void test_cli_words_one_rule_of_exit_statuses(void **state)
{
    (void)state;
    write_text(in_dir("type.json"), "{\"height\": \"tall\"}");
    write_text(in_dir("broken.json"), "{");
    write_text(in_dir("empty.txt"), "\n\n");
    write_text(in_dir("not.safetensors"), "garbage");
    write_latents(in_dir("size.safetensors"), VG_F32, 8);
    write_latents(in_dir("dtype.safetensors"), VG_BF16, 4);
    const struct {
        int status;
        const char *argv[8], *word;
    } cases[] = {
        {2, {"generate", "--preset", ""}, "empty"},
        {2, {"generate", "--preset", "dmeo"}, "did you mean demo"},
        {2, {"generate", "--preset", in_dir("type.json")}, "height"},
        {2, {"generate", "--preset", in_dir("broken.json")}, NULL},
        {2, {"presets", "show", in_dir("type.json")}, "height"},
        {2, {"presets", "path", "dmeo"}, "demo"},
        {2, {"generate", "--prompt-file", in_dir("nothing.txt")}, "nothing.txt"},
        {2, {"generate", "--prompt-file", in_dir("empty.txt")}, "no prompt"},
        {2, {"generate", "--preset", "demo", "--height", "33"}, "multiple"},
        {2,
         {"generate", "--preset", "demo", "--init-latents", in_dir("nothing.safetensors")},
         "init_latents"},
        {2,
         {"generate", "--preset", "demo", "--init-latents", in_dir("not.safetensors")},
         "init_latents"},
        {2, {"generate", "--preset", "demo", "--init-latents", in_dir("dtype.safetensors")}, "F32"},
        {2,
         {"generate", "--preset", "demo", "--init-latents", in_dir("size.safetensors")},
         "must be"},
        {2, {"generate", "--preset", "demo", "--prompt", " \t\n"}, "there is no prompt"},
        {1, {"generate", "--prompt", "x", "--model", "/nonexistent"}, NULL},
        {1, {"show", "no-such-job"}, NULL},
        {2, {"export", "last", "--output", in_dir("clip.avi")}, "does not end in .mp4"},
        {2, {"export", "last", "--output", "/nonexistent/clip.mp4"}, "no folder"},
        {2, {"jobs", "--jobs-dir", in_dir("type.json")}, "is not a folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result r = cli_run(cases[i].argv);
        if (r.status != cases[i].status || cli_lines(r.err) != 1 || *r.out ||
            (cases[i].word && !strstr(r.err, cases[i].word)))
            fail_msg("%s %s %s: exit %d\n%s%s", cases[i].argv[0], cases[i].argv[1],
                     cases[i].argv[2], r.status, r.out, r.err);
        cli_result_free(&r);
    }
    cli_result r = CLI("jobs", "--json");
    assert_string_equal(r.out, "{\"jobs\":[]}\n");
    cli_result_free(&r);
}

static void test_cli_words_json_says_failures_too(void **state)
{
    (void)state;
    const struct {
        int status;
        const char *argv[6];
    } cases[] = {
        {2, {"generate", "--json"}},
        {2, {"generate", "--bogus", "--json"}},
        {2, {"compare", "--json", "--preset", "dmeo"}},
        {1, {"generate", "--json", "--prompt", "x", "--model", "/nonexistent"}},
        {1, {"show", "no-such-job", "--json"}},
        {1, {"wait", "no-such-job", "--json"}},
        {2, {"plan", "--height", "33", "--json"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *argv[8] = {0};
        memcpy(argv, cases[i].argv, sizeof cases[i].argv);
        cli_result r = cli_run(argv);
        cJSON *root = cJSON_Parse(r.out);
        if (r.status != cases[i].status || cli_lines(r.out) != 1 ||
            !cJSON_IsString(cJSON_GetObjectItem(root, "error")) ||
            cJSON_GetObjectItem(root, "status")->valuedouble != r.status)
            fail_msg("%s %s: exit %d\n%s%s", argv[0], argv[1], r.status, r.out, r.err);
        cJSON_Delete(root);
        cli_result_free(&r);
    }
}

static void test_cli_words_prompt_files_of_all_systems(void **state)
{
    (void)state;
    static const char *const files[] = {"\xef\xbb\xbf"
                                        "a\r\nb\r\n\r\nc",
                                        "a\rb\rc\r",
                                        "\xef\xbb\xbf"
                                        "a\nb\n \nc\n"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[24];
        snprintf(name, sizeof name, "prompts%zu", i);
        write_text(in_dir("p.txt"), files[i]);
        cli_result r = CLI("generate", TINY, "--prompt-file", in_dir("p.txt"), "--jobs-dir",
                           in_dir(name), "--max-steps-run", "1", "--json", "-q");
        cJSON *root = cJSON_Parse(r.out);
        const cJSON *jobs = cJSON_GetObjectItem(root, "jobs");
        assert_int_equal(cJSON_GetArraySize(jobs), 3);
        for (int k = 0; k < 3; k++) {
            const char wanted[2] = {(char)('a' + k), 0};
            assert_string_equal(
                cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetArrayItem(jobs, k), "settings"),
                                    "prompt")
                    ->valuestring,
                wanted);
        }
        cJSON_Delete(root);
        cli_result_free(&r);
    }
}

static void test_cli_words_equal_outputs_are_refused(void **state)
{
    (void)state;
    char twisted[400];
    snprintf(twisted, sizeof twisted, "%s/./../%s/a.safetensors", cli_dir,
             strrchr(cli_dir, '/') + 1);
    CLI_EXPECT(2, "generate", TINY, "--save-latents", in_dir("a.safetensors"), "--save-frames",
               in_dir("a.safetensors"));
    CLI_EXPECT(2, "generate", TINY, "--save-latents", in_dir("a.safetensors"), "--save-frames",
               twisted);
}

static void test_cli_words_wait_is_silent_and_jobs_is_short(void **state)
{
    (void)state;
    char *prompt = malloc(20001);
    memset(prompt, 'x', 20000);
    prompt[20000] = 0;
    CLI_EXPECT(0, "generate", TINY, "--prompt", prompt, "--jobs-dir", in_dir("quiet"), "--detach");
    cli_result r = CLI("wait", "last", "--jobs-dir", in_dir("quiet"));
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    assert_string_equal(r.err, "");
    cli_result_free(&r);
    r = CLI("wait", "last", "--jobs-dir", in_dir("quiet"), "--json");
    assert_int_equal(cli_lines(r.out), 1);
    cli_result_free(&r);
    r = CLI("jobs", "--jobs-dir", in_dir("quiet"));
    assert_true(strlen(r.out) < 500);
    cli_result_free(&r);
    r = CLI("jobs", "--json", "--jobs-dir", in_dir("quiet"));
    assert_true(strlen(r.out) > 20000);
    cli_result_free(&r);
    free(prompt);
}

static void test_cli_words_a_worker_that_cannot_speak_is_quoted(void **state)
{
    (void)state;
    char lock[600];
    CLI_EXPECT(0, "generate", TINY, "--jobs-dir", in_dir("mute"), "--max-steps-run", "1", "-q");
    cli_result r = CLI("jobs", "--jobs-dir", in_dir("mute"), "--json");
    cJSON *root = cJSON_Parse(r.out);
    snprintf(lock, sizeof lock, "%s/lock",
             cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "jobs"), 0), "dir")
                 ->valuestring);
    cJSON_Delete(root);
    cli_result_free(&r);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkdir(lock, 0700), 0);
    r = CLI("resume", "last", "--jobs-dir", in_dir("mute"), "-q");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "Is a directory"));
    cli_result_free(&r);
}

/* Run on a terminal of this width; everything it wrote. */
static char *on_terminal(const char *term, int columns, const char *const *argv, int *status)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    int fd;
    size_t used = 0, room = 1u << 20;
    char *text = malloc(room);
    pid_t pid = forkpty(&fd, NULL, NULL, &size);
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *args[CLI_ARGS_MAX + 2] = {VG_PROGRAM};
        for (int i = 0; argv[i] && i < CLI_ARGS_MAX; i++)
            args[i + 1] = argv[i];
        if (term)
            setenv("TERM", term, 1);
        else
            unsetenv("TERM");
        execv(VG_PROGRAM, (char *const *)(uintptr_t)args);
        _exit(127);
    }
    for (ssize_t n; used + 1 < room && (n = read(fd, text + used, room - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = 0;
    int how = 0;
    waitpid(pid, &how, 0);
    *status = WIFEXITED(how) ? WEXITSTATUS(how) : 1000;
    close(fd);
    return text;
}

static void test_cli_words_the_progress_line_never_wraps(void **state)
{
    (void)state;
    static const int widths[] = {80, 40, 20, 5};
    /* As many steps as the line shows several states of on a machine that is not busy. */
    const char *const argv[] = {
        "compare", "--preset",   "demo",         "--height", "64",
        "--width", "64",         "--num-frames", "5",        "--num-inference-steps",
        "12",      "--jobs-dir", in_dir("tty"),  NULL};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int status, lines = 0;
        char *text = on_terminal("xterm-256color", widths[i], argv, &status);
        assert_int_equal(status, 0);
        for (char *at = text; (at = strstr(at, "\r\033[K")); lines++) {
            at += 4;
            size_t n = strcspn(at, "\r\n\033");
            if (n >= (size_t)widths[i] &&
                strncmp(at + n, "\r\n", 2)) /* a note is a line of its own */
                fail_msg("%d columns: %zu: %.*s", widths[i], n, (int)n, at);
        }
        assert_true(lines > 3);
        free(text);
    }
}

static void test_cli_words_a_dumb_terminal_gets_plain_lines(void **state)
{
    (void)state;
    static const char *const terms[] = {"dumb", NULL, ""};
    const char *const argv[] = {"generate", TINY, "--jobs-dir", in_dir("dumb"), NULL};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        int status;
        char *text = on_terminal(terms[i], 80, argv, &status);
        assert_int_equal(status, 0);
        assert_null(strchr(text, '\033'));
        assert_non_null(strstr(text, "bf16: step 2/2"));
        free(text);
    }
}

static void test_cli_words_help_names_the_aliases(void **state)
{
    (void)state;
    cli_result r = CLI("generate", "--help");
    assert_non_null(strstr(r.out, "--frame-rate"));
    assert_non_null(strstr(r.out, "--guidance-scale-high"));
    assert_non_null(strstr(r.out, "--sample-solver"));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_words_one_rule_of_exit_statuses),
        cmocka_unit_test(test_cli_words_json_says_failures_too),
        cmocka_unit_test(test_cli_words_prompt_files_of_all_systems),
        cmocka_unit_test(test_cli_words_equal_outputs_are_refused),
        cmocka_unit_test(test_cli_words_wait_is_silent_and_jobs_is_short),
        cmocka_unit_test(test_cli_words_a_worker_that_cannot_speak_is_quoted),
        cmocka_unit_test(test_cli_words_the_progress_line_never_wraps),
        cmocka_unit_test(test_cli_words_a_dumb_terminal_gets_plain_lines),
        cmocka_unit_test(test_cli_words_help_names_the_aliases),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
