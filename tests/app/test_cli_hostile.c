/* test_cli_hostile.c: broken flags, presets and job files end in one clear line and exit 1 or 2, never in a signal, and leave no job. */
#include "tests/app/test_cli.h"

#include <dirent.h>

static void expect_refusal(const char *const *argv, const char *what)
{
    cli_result r = cli_run(argv);
    if (r.status != 1 && r.status != 2)
        fail_msg("%s: exit %d\n%s%s", what, r.status, r.out, r.err);
    if (!r.err || cli_lines(r.err) != 1 || strlen(r.err) < 10)
        fail_msg("%s: not one line:\n%s", what, r.err);
    if (!cli_is_clean(r.err) || !cli_is_clean(r.out))
        fail_msg("%s: controls reach the terminal", what);
    cli_result_free(&r);
}

/* "\e" becomes an escape character. In place. */
static void unescape(char *text)
{
    char *to = text;
    for (char *c = text; *c; c++) {
        if (c[0] == '\\' && c[1] == 'e') {
            *to++ = '\x1b';
            c++;
        } else {
            *to++ = *c;
        }
    }
    *to = 0;
}

static void test_cli_hostile_flags(void **state)
{
    (void)state;
    char *text = cli_read(VG_TEST_DIR "/bad/flags.txt"), *line = text;
    int cases = 0;
    assert_non_null(text);
    while (*line) {
        char *end = line + strcspn(line, "\n"), what[400];
        bool last = !*end;
        *end = 0;
        snprintf(what, sizeof what, "%s", line);
        if (*line && *line != '#') {
            const char *argv[CLI_ARGS_MAX] = {0};
            int n = 0;
            for (char *word = line; word && n < CLI_ARGS_MAX - 1;) {
                char *tab = strchr(word, '\t');
                if (tab)
                    *tab = 0;
                unescape(word);
                argv[n++] = word;
                word = tab ? tab + 1 : NULL;
            }
            expect_refusal(argv, what);
            cases++;
        }
        line = end + !last;
    }
    free(text);
    assert_true(cases > 70);
    cli_result r = CLI("jobs", "--json");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "{\"jobs\":[]}\n");
    cli_result_free(&r);
}

/* Every file of a folder of tests/bad. */
static int each_file(const char *folder, void (*check)(const char *path, const char *name))
{
    char dir_path[300];
    int count = 0;
    snprintf(dir_path, sizeof dir_path, "%s/bad/%s", VG_TEST_DIR, folder);
    DIR *dir = opendir(dir_path);
    struct dirent *item;
    assert_non_null(dir);
    while ((item = readdir(dir))) {
        char path[600];
        if (item->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir_path, item->d_name);
        check(path, item->d_name);
        count++;
    }
    closedir(dir);
    return count;
}

static void check_preset(const char *path, const char *name)
{
    const char *const argv[] = {"generate", "--prompt", "x", "--preset", path, NULL};
    expect_refusal(argv, name);
}

static void test_cli_hostile_presets(void **state)
{
    (void)state;
    assert_true(each_file("presets", check_preset) > 30);
}

static void check_job(const char *path, const char *name)
{
    char dir[320], file[340];
    char *text = NULL;
    size_t size = 0;
    snprintf(dir, sizeof dir, "%s/bad-job", cli_dir);
    (void)vg_file_remove_tree(dir, NULL);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(file, sizeof file, "%s/job.json", dir);
    assert_int_equal(vg_file_read(path, 1u << 20, &text, &size, NULL), VG_OK);
    assert_int_equal(vg_file_write_atomic(file, text, size, NULL), VG_OK);
    free(text);
    bool readable =
        !strcmp(name, "model-dir-missing.json") ||
        !strcmp(name, "model-dir-escapes.json"); /* well formed; only running it fails */
    static const char *const verbs[] = {"show", "logs", "export", "work"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const char *const argv[] = {verbs[i], dir, NULL};
        if (!readable || i >= 2)
            expect_refusal(argv, name);
    }
    const char *const argv[] = {"resume", dir, NULL};
    cli_result r = cli_run(argv);
    if (r.status != 1 || !cli_is_clean(r.err) || !cli_is_clean(r.out))
        fail_msg("%s: resume: exit %d\n%s", name, r.status, r.err);
    cli_result_free(&r);
    r = CLI("jobs", "--jobs-dir", cli_dir);
    if (r.status != 0 || !cli_is_clean(r.err) || !cli_is_clean(r.out))
        fail_msg("%s: jobs: exit %d\n%s", name, r.status, r.err);
    cli_result_free(&r);
}

static void test_cli_hostile_jobs(void **state)
{
    (void)state;
    assert_true(each_file("jobs", check_job) > 24);
}

static void test_cli_unknown_preset_keys_warn_only(void **state)
{
    (void)state;
    char path[320];
    static const char text[] = "{\"model\": \"demo\", \"heigth\": 96, \"\\u001b[31m\": 1}\n";
    snprintf(path, sizeof path, "%s/typo.json", cli_dir);
    assert_int_equal(vg_file_write_atomic(path, text, sizeof text - 1, NULL), VG_OK);
    cli_result r = CLI("plan", "--preset", path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "did you mean height"));
    assert_int_equal(cli_lines(r.err), 2);
    assert_true(cli_is_clean(r.err));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_hostile_flags),
        cmocka_unit_test(test_cli_hostile_presets),
        cmocka_unit_test(test_cli_hostile_jobs),
        cmocka_unit_test(test_cli_unknown_preset_keys_warn_only),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
