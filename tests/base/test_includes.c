/* test_includes.c: dependencies point one way. Every #include of the rooms is read; one that points back, or that reaches a library which
 * belongs to another sub-room, or a header that is not for it, directly or through others, fails. The order of the sub-rooms of a room is that of this table: a file may include its own sub-room and those
 * before it. */
#include "tests/check.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct room {
    const char *name;
    const char *sees; /* other rooms, each followed by a space; "kernels/base " a single sub-room */
    const char *subrooms[12]; /* in order */
} room;

static const room rooms[] = {
    {"kernels", "", {"base", "op", "backend", "cpu", "cuda"}},
    {"engine",
     "kernels/base kernels/op kernels/backend ",
     {"checkpoint", "layers", "text", "vision", "sampling", "metrics", "run", "family",
      "quantize"}},
    {"ui", "kernels/base ", {"host", "term", "widgets", "screens"}},
    {"app",
     "kernels/base kernels/op kernels/backend engine/ ",
     {"settings", "media", "report", "job", "worker", "bench", "cli", "tui"}},
};

/* Headers of libraries, and the only sub-room that may include them. */
static const struct {
    const char *prefix, *home;
} libraries[] = {
    {"curses.h", "ui/term"},   {"term.h", "ui/term"},
    {"chafa", "ui/term"},      {"libav", "app/media"},
    {"libsw", "app/media"},    {"cblas", "kernels/cpu"},
    {"cuda", "kernels/cuda"},  {"cublas", "kernels/cuda"},
    {"cjson", "kernels/base"}, {"xxhash", "kernels/base"},
    {"zlib", "app/media"},     {"jpeglib", "app/media"},
    {"jerror", "app/media"},   {"sentencepiece", "engine/text"},
    {"pcre2", "engine/text"},
};

/* What a model family's folder may not even see through other headers: it knows no budgets, schedulers, states, jobs, nor the run's inside. */
static const char *const hidden_from_families[] = {
    "engine/run/run.h",      "engine/run/model.h",    "engine/run/state.h",
    "engine/run/budget.h",   "engine/run/plan.h",     "engine/run/denoise.h",
    "engine/run/rehearse.h", "engine/run/stage.h",    "engine/run/emit.h",
    "engine/run/hub.h",      "engine/run/sequence.h", "engine/sampling/scheduler.h",
};

static int files_read, wrong;

static const room *room_of(const char *path)
{
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        size_t n = strlen(rooms[i].name);
        if (strncmp(path, rooms[i].name, n) == 0 && path[n] == '/')
            return &rooms[i];
    }
    return NULL;
}

/* Which sub-room of `r` the path "room/subroom/file" lies in; -1: none. */
static int subroom_of(const room *r, const char *path)
{
    const char *rest = path + strlen(r->name) + 1;
    for (int i = 0; i < 12 && r->subrooms[i]; i++) {
        size_t n = strlen(r->subrooms[i]);
        if (strncmp(rest, r->subrooms[i], n) == 0 && (rest[n] == '/' || rest[n] == '\0'))
            return i;
    }
    return -1;
}

/* Is "engine/" or the path's own "kernels/base" in the list? The screens are app/tui's alone. */
static bool sees(const room *r, const char *from, const char *to)
{
    char list[256], *save = NULL;
    snprintf(list, sizeof list, "%s%s", r->sees, strncmp(from, "app/tui/", 8) == 0 ? "ui/ " : "");
    for (char *word = strtok_r(list, " ", &save); word; word = strtok_r(NULL, " ", &save))
        if (strncmp(to, word, strlen(word)) == 0)
            return true;
    return false;
}

/* Why `from` may not include "to", or NULL. */
static const char *fault(const char *from, const char *to)
{
    const room *a = room_of(from), *b = room_of(to);
    if (!b)
        return "is in no room";
    int sa = subroom_of(a, from), sb = subroom_of(b, to);
    if (sa < 0 || sb < 0)
        return "is in no sub-room";
    if (a == b)
        return sb > sa ? "points back" : NULL;
    return sees(a, from, to) ? NULL : "is in a room that this one may not see";
}

static const char *library_fault(const char *from, const char *header)
{
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (strncmp(header, libraries[i].prefix, strlen(libraries[i].prefix)) == 0 &&
            strncmp(from, libraries[i].home, strlen(libraries[i].home)) != 0)
            return libraries[i].home;
    return NULL;
}

/* engine/family/NAME/FILE, not the table beside the folders. */
static bool is_of_a_family(const char *path)
{
    static const char room_name[] = "engine/family/";
    return strncmp(path, room_name, sizeof room_name - 1) == 0 &&
           strchr(path + sizeof room_name - 1, '/');
}

#define SEEN_MAX 256

/* Headers that a file sees, by name: it and those it includes, each once. */
typedef struct closure {
    int count;
    char names[SEEN_MAX][128];
} closure;

static void see(const char *root, const char *path, closure *c)
{
    char full[1024], line[1024], name[512];
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->names[i], path) == 0)
            return;
    assert_true(c->count < SEEN_MAX && strlen(path) < sizeof c->names[0]);
    snprintf(c->names[c->count++], sizeof c->names[0], "%s", path);
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *f = fopen(full, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "#include \"%511[^\"]\"", name) == 1)
            see(root, name, c);
    fclose(f);
}

/* The first header that a family's file sees and may not, or NULL; borrowed from the table. */
static const char *seen_by_family(const char *root, const char *path)
{
    static closure c;
    c.count = 0;
    see(root, path, &c);
    for (int i = 0; i < c.count; i++)
        for (size_t j = 0; j < sizeof hidden_from_families / sizeof *hidden_from_families; j++)
            if (strcmp(c.names[i], hidden_from_families[j]) == 0)
                return hidden_from_families[j];
    return NULL;
}

static void read_family_file(const char *root, const char *path)
{
    const char *header = seen_by_family(root, path);
    if (!header)
        return;
    print_error("%s: sees %s, which is not for families\n", path, header);
    wrong++;
}

static void read_file(const char *root, const char *path)
{
    char full[1024], line[1024], name[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *f = fopen(full, "r");
    assert_non_null(f);
    files_read++;
    if (is_of_a_family(path))
        read_family_file(root, path);
    for (int n = 1; fgets(line, sizeof line, f); n++) {
        const char *why = NULL;
        if (sscanf(line, "#include \"%511[^\"]\"", name) == 1)
            why = fault(path, name);
        else if (sscanf(line, "#include <%511[^>]>", name) == 1)
            why = library_fault(path, name);
        if (!why)
            continue;
        print_error("%s:%d: include of %s: %s\n", path, n, name, why);
        wrong++;
    }
    fclose(f);
}

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');
    static const char *const endings[] = {".c", ".h", ".cpp", ".cu", ".cuh"};
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static void walk(const char *root, const char *folder)
{
    char full[1024], path[768];
    struct dirent *e;
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", root, folder);
    DIR *d = opendir(full);
    assert_non_null(d);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        snprintf(full, sizeof full, "%s/%s", root, path);
        if (stat(full, &st) == 0 && S_ISDIR(st.st_mode))
            walk(root, path);
        else if (is_source(e->d_name))
            read_file(root, path);
    }
    closedir(d);
}

static void test_includes_point_one_way(void **state)
{
    (void)state;
    files_read = wrong = 0;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        walk(VG_SOURCE_DIR, rooms[i].name);
    assert_true(files_read > 200);
    assert_int_equal(wrong, 0);
}

static void test_includes_that_point_back_are_seen(void **state)
{
    (void)state;
    assert_null(fault("engine/run/run.c", "engine/layers/linear.h"));
    assert_null(fault("app/tui/tui_host.h", "ui/host/host.h"));
    assert_non_null(fault("engine/layers/linear.c", "engine/run/run.h"));
    assert_non_null(fault("engine/run/run.c", "app/settings/settings.h"));
    assert_non_null(fault("kernels/op/ops.h", "kernels/backend/backend.h"));
    assert_non_null(fault("ui/screens/ui.h", "engine/run/run.h"));
    assert_non_null(fault("app/cli/cli.c", "ui/host/host.h"));
    assert_non_null(fault("app/cli/cli.c", "kernels/cuda/cuda.cuh"));
    assert_non_null(library_fault("engine/run/run.c", "libavcodec/avcodec.h"));
    assert_null(library_fault("app/media/clip.c", "libavcodec/avcodec.h"));
    assert_true(is_of_a_family("engine/family/wan/wan.c") &&
                !is_of_a_family("engine/family/families.c"));
    assert_string_equal(seen_by_family(VG_SOURCE_DIR, "engine/run/denoise.h"),
                        "engine/run/denoise.h");
    assert_string_equal(seen_by_family(VG_SOURCE_DIR, "engine/run/budget.h"),
                        "engine/run/budget.h");
    assert_string_equal(seen_by_family(VG_SOURCE_DIR, "app/worker/worker_run.h"),
                        "engine/run/run.h");
    assert_null(seen_by_family(VG_SOURCE_DIR, "engine/run/family.h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_includes_point_one_way),
        cmocka_unit_test(test_includes_that_point_back_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
