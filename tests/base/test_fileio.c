/* test_fileio.c: reading with a limit, atomic replacement, folder trees; and the JSON gate on top of it. */
#include <errno.h>
#include <sys/stat.h>

#include "kernels/base/json.h"
#include "kernels/base/text.h"
#include "tests/check.h"
#include "tests/scratch.h"

static void test_fileio_reads_whole_files_with_a_limit(void **state)
{
    const char *path = scratch_write(state, "f", "ab\0cd", 5);
    char *text;
    size_t size = 99;
    vg_err err;

    CHECK_OK(vg_file_read(path, 5, &text, &size, &err), err);
    assert_true(size == 5 && memcmp(text, "ab\0cd", 6) == 0);
    free(text);
    CHECK_OK(vg_file_read(path, 100, &text, NULL, &err), err);
    free(text);
    CHECK_FAILS(vg_file_read(path, 4, &text, &size, &err), VG_E_FORMAT, err);
    scratch_text(state, "f", "");
    CHECK_OK(vg_file_read(path, 0, &text, &size, &err), err);
    assert_true(size == 0 && text[0] == '\0');
    free(text);
    /* A file whose size is not known beforehand. */
    CHECK_OK(vg_file_read("/proc/self/status", 1 << 20, &text, &size, &err), err);
    assert_true(size > 100 && strlen(text) == size);
    free(text);
}

static void test_fileio_refuses_what_is_no_file(void **state)
{
    char *text;
    size_t size;
    vg_err err;

    CHECK_FAILS(vg_file_read(scratch_path(state, "none"), 10, &text, &size, &err), VG_E_IO, err);
    CHECK_FAILS(vg_file_read(*state, 10, &text, &size, &err), VG_E_IO, err);
    assert_int_equal(mkfifo(scratch_path(state, "pipe"), 0600), 0);
    CHECK_FAILS(vg_file_read(scratch_path(state, "pipe"), 10, &text, &size, &err), VG_E_IO,
                err); /* and does not hang */
    CHECK_FAILS(vg_file_read("/dev/zero", 10, &text, &size, &err), VG_E_IO, err);
    CHECK_FAILS(vg_file_read(scratch_path(state, "\x1b[31mred\n"), 10, &text, &size, &err), VG_E_IO,
                err);
    assert_null(strchr(err.message, '\x1b'));
}

static int count_entries(const char *dir)
{
    char command[600];
    int count = 0;

    snprintf(command, sizeof command, "ls -A '%s' | wc -l", dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

/* What a clone without Git LFS leaves in place of a large file. */
static void test_fileio_names_lfs_pointers(void **state)
{
    const char *path = scratch_text(
        state, "p.json",
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n");
    char *text;
    vg_err err;

    CHECK_FAILS(vg_file_read(path, 1 << 20, &text, NULL, &err), VG_E_FORMAT, err);
    assert_true(strstr(err.message, path) && strstr(err.message, "Git LFS pointer"));
    path = scratch_text(state, "q.json", "version https://git-lfs.github.com/spec/v1");
    CHECK_OK(vg_file_read(path, 1 << 20, &text, NULL, &err), err);
    free(text);
}

static void test_fileio_replaces_atomically(void **state)
{
    const char *path = scratch_path(state, "f");
    const vg_file_part parts[] = {{"ab", 2}, {NULL, 0}, {"cd", 2}};
    char *text;
    size_t size;
    struct stat info;
    vg_err err;

    /* As private as its folder. */
    umask(022);
    CHECK_OK(vg_file_write_atomic(path, "first", 5, &err), err);
    assert_true(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    assert_int_equal(chmod(*state, 0755), 0);
    CHECK_OK(vg_file_write_atomic(path, "first", 5, &err), err);
    assert_true(stat(path, &info) == 0 && (info.st_mode & 0777) == 0644);
    CHECK_OK(vg_file_write_volatile(path, "quick", 5, &err), err);
    CHECK_OK(vg_file_read(path, 100, &text, NULL, &err), err);
    assert_string_equal(text, "quick");
    free(text);
    CHECK_OK(vg_file_write_atomic_parts(path, parts, 3, &err), err);
    CHECK_OK(vg_file_read(path, 100, &text, &size, &err), err);
    assert_true(size == 4 && memcmp(text, "abcd", 4) == 0);
    free(text);
    assert_int_equal(count_entries(*state), 1); /* no temporary stays */
    /* Onto a folder: fails, and leaves no temporary either. */
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "d/x"), &err), err);
    CHECK_FAILS(vg_file_write_atomic(scratch_path(state, "d"), "x", 1, &err), VG_E_IO, err);
    CHECK_FAILS(vg_file_write_atomic(scratch_path(state, "no/such/dir/f"), "x", 1, &err), VG_E_IO,
                err);
    assert_int_equal(count_entries(*state), 2);
    /* A link is replaced, what it points to stays. */
    scratch_text(state, "target", "keep");
    assert_int_equal(symlink("target", scratch_path(state, "link")), 0);
    CHECK_OK(vg_file_write_atomic(scratch_path(state, "link"), "new", 3, &err), err);
    CHECK_OK(vg_file_read(scratch_path(state, "target"), 100, &text, NULL, &err), err);
    assert_string_equal(text, "keep");
    free(text);
}

static void test_fileio_makes_and_removes_trees(void **state)
{
    vg_err err;

    CHECK_OK(vg_file_make_dirs(scratch_path(state, "a/b//c/"), &err), err);
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "a/b/c"), &err), err);
    assert_true(vg_file_is_dir(scratch_path(state, "a/b/c")));
    scratch_text(state, "a/f", "x");
    CHECK_FAILS(vg_file_make_dirs(scratch_path(state, "a/f/g"), &err), VG_E_IO, err);
    CHECK_FAILS(vg_file_make_dirs(scratch_path(state, "a/f"), &err), VG_E_IO, err);

    scratch_text(state, "outside/keep", "x");
    assert_int_equal(symlink("../outside", scratch_path(state, "a/link")), 0);
    assert_int_equal(symlink("/nowhere", scratch_path(state, "a/dangling")), 0);
    CHECK_OK(vg_file_remove_tree(scratch_path(state, "a"), &err), err);
    assert_false(vg_file_exists(scratch_path(state, "a")));
    assert_true(vg_file_exists(scratch_path(state, "outside/keep")));
    CHECK_OK(vg_file_remove_tree(scratch_path(state, "a"), &err), err); /* nothing there */
    assert_int_equal(symlink("outside", scratch_path(state, "link")), 0);
    CHECK_OK(vg_file_remove_tree(scratch_path(state, "link"), &err), err);
    assert_true(vg_file_exists(scratch_path(state, "outside/keep")));
}

static void test_fileio_paths(void **state)
{
    static const char *const rows[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};

    (void)state;
    for (int i = 0; i < 4; i++) {
        char *path = vg_path_join(rows[i][0], rows[i][1]);
        assert_string_equal(path, rows[i][2]);
        free(path);
    }
    char *text = vg_strf("%s-%d", "x", 7);
    assert_string_equal(text, "x-7");
    free(text);
    assert_false(vg_file_exists("") || vg_file_is_dir(""));
}

static void test_json_errors_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "f.json"},
        {"{\n\"a\": }", "line 2"},
        {"{} x", "after the end"},
        {"[1]", "object"},
        {"{\"a\":\"\\u0000\"}", "NUL"},
        {"{\"a\": 1,}", "line 1"},
        {"{\"a\" 1}", "line 1"},
        {"{\"\xff\": 1}", "UTF-8"},
        {"{\"a\": nope}", "line 1"},
        {"{\"a\": \"x", "line 1"},
    };
    cJSON *root;
    vg_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(vg_json_parse(bad[i].text, strlen(bad[i].text), "f.json", &root, &err),
                    VG_E_FORMAT, err);
        if (!strstr(err.message, bad[i].says))
            fail_msg("%s: %s", bad[i].text, err.message);
    }
    CHECK_FAILS(vg_json_parse("{\"a\0b\":1}", 9, "f.json", &root, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_parse("{\"\\\\u0000\": \"\\\"[[[\"}", strlen("{\"\\\\u0000\": \"\\\"[[[\"}"),
                           "f", &root, &err),
             err);
    cJSON_Delete(root);
}

/* Python's json writes NaN and Infinity: no fault where nobody reads them, refused by every getter where somebody does. */
static void test_json_of_python(void **state)
{
    const char *text =
        "{\"a\": Infinity, \"b\": [1, -Infinity, NaN], \"c\": {\"NaN\": \"Infinity \\\" NaN\"},\n"
        " \"d\":NaN, \"e\": 3}";
    static const char *const bad[] = {"{\"a\": NaN,\n \"b\": NaN, x}",
                                      "{\"a\": Nan}",
                                      "{\"a\": NaNa}",
                                      "{\"a\": Infinit}",
                                      "{\"a\": NaN} NaN",
                                      "{NaN: 1}",
                                      "{\"a\": NaN"};
    cJSON *o;
    int64_t i = 0;
    double d = 0, l[3];
    const char *s = NULL;
    const cJSON *c = NULL;
    int count = 0;
    vg_err err;

    (void)state;
    CHECK_OK(vg_json_parse(text, strlen(text), "f", &o, &err), err);
    CHECK_OK(vg_json_get_int(o, "f", "e", 0, 5, &i, &err), err);
    assert_int_equal(i, 3);
    CHECK_OK(vg_json_get_object(o, "f", "c", &c, &err), err);
    CHECK_OK(vg_json_get_string(c, "f", "NaN", &s, &err), err);
    assert_string_equal(s, "Infinity \" NaN");
    CHECK_FAILS(vg_json_get_double(o, "f", "a", -1e308, 1e308, &d, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "f: \"a\" is not finite, must be a number"));
    CHECK_FAILS(vg_json_get_int(o, "f", "d", INT64_MIN, INT64_MAX, &i, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_doubles(o, "f", "b", l, 3, &count, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "\"b\"[1]"));
    CHECK_FAILS(vg_json_get_bool(o, "f", "d", &(bool){false}, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_string(o, "f", "d", &s, &err), VG_E_FORMAT, err);
    cJSON_Delete(o);
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        CHECK_FAILS(vg_json_parse(bad[k], strlen(bad[k]), "f", &o, &err), VG_E_FORMAT, err);
    /* The place is that of the text, not of what it was rewritten to. */
    const char *plain = "{\"a\": 1.0,\n \"b\": 1.0, x}";
    vg_err wanted;
    CHECK_FAILS(vg_json_parse(bad[0], strlen(bad[0]), "f", &o, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_parse(plain, strlen(plain), "f", &o, &wanted), VG_E_FORMAT, wanted);
    assert_string_equal(err.message, wanted.message);
}

/* What the reader of a message can act on: the reason of this call, and not what errno was left at; at any length of path. */
static void test_fileio_says_why_a_folder_cannot_be_made(void **state)
{
    static const struct {
        const char *below, *why;
    } cases[] = {{"file/sub", "Not a directory"},
                 {"file", "Not a directory"},
                 {"/proc/nobody/here", "No such file or directory"},
                 {NULL, "File name too long"}};
    char name[300];
    vg_err err;

    scratch_text(state, "file", "x");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *below = cases[i].below ? cases[i].below : name;
        char *path = below[0] == '/' ? strdup(below) : strdup(scratch_path(state, below));
        errno = EBADF;
        CHECK_FAILS(vg_file_make_private_dirs(path, &err), VG_E_IO, err);
        if (!vg_ends_with(err.message, cases[i].why))
            fail_msg("%s: %s", below, err.message);
        free(path);
    }
}

static void test_fileio_reasons_survive_long_paths(void **state)
{
    char path[3000];
    char *text;
    vg_err err;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof path; i++)
        path[i] = i % 100 ? 'p' : '/';
    path[sizeof path - 1] = '\0';
    CHECK_FAILS(vg_file_read(path, 10, &text, NULL, &err), VG_E_IO, err);
    assert_true(vg_ends_with(err.message, ": No such file or directory"));
    assert_true(strncmp(err.message, path, 200) == 0 && strstr(err.message, " ... "));
    assert_true(strlen(err.message) < VG_ERR_MESSAGE_MAX);
    vg_err_prefix(&err, "%s", path);
    assert_true(vg_ends_with(err.message, ": No such file or directory"));
    (void)VG_FAIL(&err, VG_E_IO, "%0*d", VG_ERR_MESSAGE_MAX - 1, 7); /* the longest that fits */
    assert_true(strlen(err.message) == VG_ERR_MESSAGE_MAX - 1 && !strstr(err.message, "..."));
    (void)VG_FAIL(&err, VG_E_IO, "%0*d", VG_ERR_MESSAGE_MAX, 7);
    assert_true(strlen(err.message) < VG_ERR_MESSAGE_MAX && vg_ends_with(err.message, "07"));
}

static void test_json_limits(void **state)
{
    char *text = malloc(10 << 20);
    cJSON *root;
    size_t n = 0;
    vg_err err;

    (void)state;
    assert_non_null(text);
    n = (size_t)sprintf(text, "{\"a\":");
    memset(text + n, '[', 70);
    memset(text + n + 70, ']', 70);
    text[n + 140] = '}';
    CHECK_FAILS(vg_json_parse(text, n + 141, "deep", &root, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "nested"));
    text[n++] = '[';
    while (n < (9u << 20)) {
        text[n++] = '1';
        text[n++] = ',';
    }
    memcpy(text + n, "1]}", 3);
    CHECK_FAILS(vg_json_parse(text, n + 3, "wide", &root, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "values"));
    free(text);
}

static void test_json_getters(void **state)
{
    const char *text =
        "{\"i\": 5, \"d\": 1.5, \"b\": true, \"s\": \"x\", \"n\": null, \"l\": [1, 2.5], \"big\": 1e300, \"huge\": 9007199254740993}";
    cJSON *o;
    int64_t i = -7;
    double d = -7.0, l[2];
    bool b = false;
    const char *s = NULL;
    int count = -1;
    vg_err err;

    (void)state;
    CHECK_OK(vg_json_parse(text, strlen(text), "f", &o, &err), err);
    CHECK_OK(vg_json_get_int(o, "f", "none", 0, 1, &i, &err), err);
    assert_true(i == -7);
    CHECK_FAILS(vg_json_get_int(o, "f", "n", 0, 1, &i, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "f: \"n\" is null, must be a whole number"));
    assert_false(vg_json_is_set(o, "n") || vg_json_is_set(o, "none"));
    assert_true(vg_json_is_set(o, "i"));
    CHECK_OK(vg_json_get_int(o, "f", "i", 0, 5, &i, &err), err);
    assert_true(i == 5);
    CHECK_FAILS(vg_json_get_int(o, "f", "i", 6, 9, &i, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_int(o, "f", "d", 0, 9, &i, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_int(o, "f", "s", 0, 9, &i, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_int(o, "f", "b", 0, 9, &i, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_int(o, "f", "big", 0, INT64_MAX, &i, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_get_double(o, "f", "d", 0, 2, &d, &err), err);
    assert_true(d == 1.5);
    CHECK_FAILS(vg_json_get_double(o, "f", "d", 0, 1, &d, &err), VG_E_FORMAT, err);
    assert_true(strstr(err.message, "\"d\"") && strstr(err.message, "f:"));
    CHECK_OK(vg_json_get_bool(o, "f", "b", &b, &err), err);
    assert_true(b);
    CHECK_FAILS(vg_json_get_bool(o, "f", "i", &b, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_get_string(o, "f", "s", &s, &err), err);
    assert_string_equal(s, "x");
    CHECK_FAILS(vg_json_get_string(o, "f", "l", &s, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_get_doubles(o, "f", "none", l, 2, &count, &err), err);
    assert_int_equal(count, -1);
    CHECK_OK(vg_json_get_doubles(o, "f", "l", l, 2, &count, &err), err);
    assert_true(count == 2 && l[0] == 1.0 && l[1] == 2.5);
    CHECK_FAILS(vg_json_get_doubles(o, "f", "l", l, 1, &count, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_doubles(o, "f", "i", l, 1, &count, &err), VG_E_FORMAT, err);
    cJSON_Delete(o);
}

static void test_json_lists_and_objects(void **state)
{
    const char *text =
        "{\"o\": {\"x\": 1}, \"l\": [1, \"x\"], \"b\": [true, false, true], \"m\": [true, null], \"n\": null}";
    cJSON *o;
    const cJSON *value = NULL;
    bool b[3] = {false, false, false};
    int count = -1;
    vg_err err;

    (void)state;
    CHECK_OK(vg_json_parse(text, strlen(text), "f", &o, &err), err);
    CHECK_OK(vg_json_get_object(o, "f", "none", &value, &err), err);
    CHECK_OK(vg_json_get_list(o, "f", "none", 1, 1, &value, &err), err);
    assert_null(value);
    CHECK_OK(vg_json_get_object(o, "f", "o", &value, &err), err);
    assert_true(cJSON_IsObject(value));
    CHECK_FAILS(vg_json_get_object(o, "f", "l", &value, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_object(o, "f", "n", &value, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_get_list(o, "f", "l", 2, 2, &value, &err), err);
    assert_int_equal(cJSON_GetArraySize(value), 2);
    CHECK_FAILS(vg_json_get_list(o, "f", "l", 3, 4, &value, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "f: \"l\" has 2 entries, must have 3..4"));
    CHECK_FAILS(vg_json_get_list(o, "f", "l", 0, 1, &value, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_list(o, "f", "o", 0, 1, &value, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_list(o, "f", "n", 0, 1, &value, &err), VG_E_FORMAT, err);
    CHECK_OK(vg_json_get_bools(o, "f", "none", b, 3, &count, &err), err);
    assert_int_equal(count, -1);
    CHECK_OK(vg_json_get_bools(o, "f", "b", b, 3, &count, &err), err);
    assert_true(count == 3 && b[0] && !b[1] && b[2]);
    CHECK_FAILS(vg_json_get_bools(o, "f", "b", b, 2, &count, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_json_get_bools(o, "f", "m", b, 3, &count, &err), VG_E_FORMAT, err);
    assert_non_null(strstr(err.message, "\"m\"[1] is null"));
    cJSON_Delete(o);
}

static void test_json_save_and_load(void **state)
{
    const char *path = scratch_path(state, "f.json");
    cJSON *o = cJSON_CreateObject(), *back;
    char *text;
    vg_err err;

    cJSON_AddStringToObject(o, "k", "v\n\"\xc3\xa9");
    CHECK_OK(vg_json_save(path, o, &err), err);
    CHECK_OK(vg_file_read(path, 1000, &text, NULL, &err), err);
    assert_true(text[strlen(text) - 1] == '\n');
    free(text);
    CHECK_OK(vg_json_load(path, &back, &err), err);
    assert_true(cJSON_Compare(o, back, true));
    cJSON_Delete(back);
    cJSON_Delete(o);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_fileio_reads_whole_files_with_a_limit),
        WITH_SCRATCH(test_fileio_refuses_what_is_no_file),
        WITH_SCRATCH(test_fileio_names_lfs_pointers),
        WITH_SCRATCH(test_fileio_replaces_atomically),
        WITH_SCRATCH(test_fileio_makes_and_removes_trees),
        cmocka_unit_test(test_fileio_paths),
        cmocka_unit_test(test_json_errors_name_file_and_line),
        cmocka_unit_test(test_json_of_python),
        cmocka_unit_test_setup_teardown(test_fileio_says_why_a_folder_cannot_be_made, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_fileio_reasons_survive_long_paths),
        cmocka_unit_test(test_json_limits),
        cmocka_unit_test(test_json_getters),
        cmocka_unit_test(test_json_lists_and_objects),
        WITH_SCRATCH(test_json_save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
