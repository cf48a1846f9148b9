/* hub.c: finds checkpoints on this machine: paths, the HuggingFace hub cache, the presets' demos. Never downloads.
 * Cache layout: <cache>/models--<org>--<name>/{refs/<revision> -> a commit, snapshots/<commit>/...}, whose files are symbolic links
 * into ../../blobs. Source: huggingface_hub's "Understand caching". */
#include "engine/run/hub.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/run/model.h"

#define INDEX_NAME     "model_index.json"
#define REPO_PREFIX    "models--"
#define DEMO_DEFAULT   "wan-t2v"
#define SIZE_DEPTH_MAX 8

/* ---- small helpers ---- */

/* A growing list of malloc'd lines. */
typedef struct lines {
    char **text;
    size_t count;
} lines;

/* Takes `text`; false when out of memory (text is freed). */
static bool lines_add(lines *l, char *text)
{
    char **grown = text ? realloc(l->text, (l->count + 1) * sizeof *grown) : NULL;

    if (!grown) {
        free(text);
        return false;
    }
    l->text = grown;
    l->text[l->count++] = text;
    return true;
}

static void lines_deinit(lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->text[i]);
    free(l->text);
    memset(l, 0, sizeof *l);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names in a folder, dot files left out; a folder that cannot be read is empty. */
static bool list_dir(const char *dir, lines *names)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    bool ok = true;

    while (d && ok && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.')
            ok = lines_add(names, strdup(entry->d_name));
    }
    if (d)
        closedir(d);
    if (names->count > 1)
        qsort(names->text, names->count, sizeof *names->text, compare_lines);
    return ok;
}

static bool has_index(const char *dir)
{
    char *path = vg_path_join(dir, INDEX_NAME);
    bool found = path && vg_file_exists(path);

    free(path);
    return found;
}

/* "~/x" and "~user/x" with the home in front, malloc'd; anything else, and homes nobody knows, as they are. */
static char *expand_home(const char *path)
{
    const char *user = path + 1, *home = getenv("HOME");

    if (path[0] != '~')
        return strdup(path);
    size_t length = strcspn(user, "/");
    if (length > 0 || !home || !home[0]) {
        char *name = strndup(user, length);
        const struct passwd *entry = !name ? NULL : length ? getpwnam(name) : getpwuid(getuid());
        free(name);
        home = entry ? entry->pw_dir : NULL;
    }
    return home ? vg_strf("%s%s", home, user + length) : strdup(path);
}

/* Length of "$NAME" or "${NAME}" at the start of text, 0 when it is neither; *name, *size: where the name is. */
static size_t variable_at(const char *text, const char **name, size_t *size)
{
    const bool braces = text[0] == '$' && text[1] == '{';

    if (text[0] != '$')
        return 0;
    *name = text + 1 + braces;
    *size = braces ? strcspn(*name, "}") : 0;
    if (braces)
        return (*name)[*size] ? *size + 3 : 0;
    while (isalnum((unsigned char)(*name)[*size]) || (*name)[*size] == '_')
        ++*size;
    return *size ? *size + 1 : 0;
}

/* The same with variables of the environment replaced; those that are not set stay as they are. Takes `path`. */
static char *expand_variables(char *path)
{
    char *text = path ? strdup("") : NULL;

    for (const char *at = path; text && *at;) {
        const char *name = NULL, *value = NULL;
        size_t size = 0, length = variable_at(at, &name, &size);
        char *key = length ? strndup(name, size) : NULL;
        if (key)
            value = getenv(key);
        free(key);
        if (!length)
            length = 1;
        char *grown =
            value ? vg_strf("%s%s", text, value) : vg_strf("%s%.*s", text, (int)length, at);
        free(text);
        text = grown;
        at += length;
    }
    free(path);
    return text;
}

/* The value of an environment variable with "~" and "$NAME" expanded as huggingface_hub does it (Python's expanduser, then expandvars),
 * malloc'd; NULL when unset or empty. */
static char *env_path(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? expand_variables(expand_home(value)) : NULL;
}

/* Joins and frees `base`; NULL stays NULL. */
static char *below(char *base, const char *tail)
{
    char *path = base ? vg_path_join(base, tail) : NULL;

    free(base);
    return path;
}

/* The hub cache in effect, malloc'd; NULL when even HOME is unset. */
static char *cache_dir(void)
{
    char *dir = env_path("HF_HUB_CACHE");

    if (!dir)
        dir = env_path("HUGGINGFACE_HUB_CACHE"); /* its older name */
    if (!dir)
        dir = below(env_path("HF_HOME"), "hub");
    if (!dir)
        dir = below(env_path("XDG_CACHE_HOME"), "huggingface/hub");
    if (!dir)
        dir = below(env_path("HOME"), ".cache/huggingface/hub");
    return dir;
}

/* ---- one repository of the cache ---- */

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* "org/name[@revision]": plain names, so that no folder outside of the cache can be meant. */
static bool split_id(const char *id, char org[100], char name[100], char revision[200])
{
    const char *slash = strchr(id, '/'), *at = strchr(id, '@');
    size_t org_length = slash ? (size_t)(slash - id) : 0;
    size_t name_length = slash ? (at ? (size_t)(at - slash - 1) : strlen(slash + 1)) : 0;

    if (!slash || (at && at < slash) || org_length == 0 || org_length >= 100 || name_length == 0 ||
        name_length >= 100)
        return false;
    for (size_t i = 0; i < org_length + 1 + name_length; i++) {
        if (i != org_length && !name_char(id[i]))
            return false;
    }
    if (id[0] == '.' || slash[1] == '.')
        return false;
    memcpy(org, id, org_length);
    org[org_length] = '\0';
    memcpy(name, slash + 1, name_length);
    name[name_length] = '\0';
    revision[0] = '\0';
    if (at) {
        size_t length = strlen(at + 1);
        if (length == 0 || length >= 200 || at[1] == '/' || strstr(at + 1, ".."))
            return false;
        for (const char *c = at + 1; *c; c++) {
            if (!name_char(*c) && *c != '/')
                return false;
        }
        memcpy(revision, at + 1, length + 1);
    }
    return true;
}

/* The commit that refs/<revision> holds, malloc'd; NULL when there is none or it is not a commit. */
static char *read_ref(const char *repo, const char *revision)
{
    char *path = vg_strf("%s/refs/%s", repo, revision), *text = NULL;
    size_t size = 0;

    if (!path || vg_file_read(path, 1024, &text, &size, NULL) != VG_OK)
        text = NULL;
    free(path);
    while (text && size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    for (size_t i = 0; text && i < size; i++) {
        if (!isxdigit((unsigned char)text[i])) {
            free(text);
            return NULL;
        }
    }
    if (size == 0) {
        free(text);
        return NULL;
    }
    return text;
}

static char *snapshot(const char *repo, const char *commit)
{
    char *dir = vg_strf("%s/snapshots/%s", repo, commit);

    if (dir && !vg_file_is_dir(dir)) {
        free(dir);
        return NULL;
    }
    return dir;
}

static bool has_main(const char *repo)
{
    char *path = vg_path_join(repo, "refs/main");
    bool there = path && vg_file_exists(path);

    free(path);
    return there;
}

/* The snapshot folder of a repository: the revision asked for, else refs/main, else the newest; NULL when there is none, or when
 * refs/main names one that is not there. */
static char *repo_snapshot(const char *repo, const char *revision)
{
    char *commit = read_ref(repo, revision[0] ? revision : "main");
    char *dir = commit ? snapshot(repo, commit) : NULL;

    free(commit);
    if (dir)
        return dir;
    if (!revision[0] && has_main(repo))
        return NULL; /* what is meant is not here; another snapshot would be another model */
    if (revision[0])
        return strchr(revision, '/') ? NULL : snapshot(repo, revision); /* a commit by itself */

    lines names = {0};
    struct stat info, newest = {0};
    char *all = vg_path_join(repo, "snapshots");
    if (all)
        list_dir(all, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *candidate = vg_path_join(all, names.text[i]);
        bool newer = candidate && stat(candidate, &info) == 0 && S_ISDIR(info.st_mode) &&
                     (!dir || info.st_mtim.tv_sec > newest.st_mtim.tv_sec ||
                      (info.st_mtim.tv_sec == newest.st_mtim.tv_sec &&
                       info.st_mtim.tv_nsec > newest.st_mtim.tv_nsec));
        if (newer) {
            free(dir);
            dir = candidate;
            newest = info;
        } else {
            free(candidate);
        }
    }
    free(all);
    lines_deinit(&names);
    return dir;
}

/* ---- finding one ---- */

static bool explicit_path(const char *model)
{
    return model[0] == '/' || strncmp(model, "./", 2) == 0 || strncmp(model, "../", 3) == 0 ||
           strncmp(model, "~/", 2) == 0 || strcmp(model, ".") == 0 || strcmp(model, "..") == 0;
}

/* A path to a checkpoint folder, to its model_index.json, or to a repository of the cache; NULL when it is none of these. */
static char *find_path(const char *model)
{
    char *dir = model[0] == '~' && model[1] == '/' && getenv("HOME")
                    ? vg_strf("%s%s", getenv("HOME"), model + 1)
                    : strdup(model);
    if (!dir)
        return NULL;
    char *slash = strrchr(dir, '/');
    if (strcmp(slash ? slash + 1 : dir, INDEX_NAME) == 0 && vg_file_exists(dir)) {
        if (!slash)
            memcpy(dir, ".", 2);
        else
            slash[slash == dir] = '\0';
    }
    if (vg_file_is_dir(dir) && !has_index(dir)) {
        char *inner = repo_snapshot(dir, "");
        if (inner) {
            free(dir);
            dir = inner;
        }
    }
    bool good = vg_file_is_dir(dir) && (has_index(dir) || explicit_path(model));
    char *absolute = good ? realpath(dir, NULL) : NULL;
    free(dir);
    return absolute;
}

/* "demo", "demo/<name>" (with weights) and "arch/<name>" (configs alone, for generated weights) in the presets folders. */
static char *find_bundled(const char *model, const char *const *presets_dirs, int presets_count,
                          lines *tried)
{
    if (strcmp(model, "demo") == 0)
        model = "demo/" DEMO_DEFAULT;
    const char *name = strchr(model, '/');

    if ((strncmp(model, "demo/", 5) != 0 && strncmp(model, "arch/", 5) != 0) || !name[1] ||
        name[1] == '.' || strchr(name + 1, '/'))
        return NULL;
    for (int i = 0; i < presets_count; i++) {
        char *dir = vg_strf("%s/%s", presets_dirs[i], model);
        if (dir && has_index(dir)) {
            char *absolute = realpath(dir, NULL);
            free(dir);
            return absolute;
        }
        if (dir)
            lines_add(tried, dir);
    }
    return NULL;
}

static char *find_hub(const char *model, lines *tried)
{
    char org[100], name[100], revision[200];

    if (!split_id(model, org, name, revision))
        return NULL;
    char *cache = cache_dir();
    char *repo = cache ? vg_strf("%s/" REPO_PREFIX "%s--%s", cache, org, name) : NULL;
    char *dir = repo ? repo_snapshot(repo, revision) : NULL;
    free(cache);
    char *absolute = dir ? realpath(dir, NULL) : NULL;
    free(dir);
    if (!absolute && repo)
        lines_add(tried,
                  revision[0] ? vg_strf("%s at %s", repo, revision)
                  : has_main(repo)
                      ? vg_strf("%s (its refs/main names a snapshot that is not there)", repo)
                      : strdup(repo));
    free(repo);
    return absolute;
}

vg_status vg_model_find(const char *model, const char *const *presets_dirs, int presets_count,
                        char **dir, vg_err *err)
{
    lines tried = {0};
    char text[VG_ERR_MESSAGE_MAX] = "";

    if (!model || !model[0])
        return VG_FAIL(err, VG_E_ARG, "no model is named");
    char *found = find_path(model);
    if (!found && !explicit_path(model)) {
        found = find_bundled(model, presets_dirs, presets_count, &tried);
        if (!found)
            found = find_hub(model, &tried);
    }
    if (found) {
        lines_deinit(&tried);
        *dir = found;
        return VG_OK;
    }
    for (size_t i = 0; i < tried.count; i++) {
        strncat(text, ", ", sizeof text - strlen(text) - 1);
        strncat(text, tried.text[i], sizeof text - strlen(text) - 1);
    }
    lines_deinit(&tried);
    return VG_FAIL(err, VG_E_MISSING,
                   "model \"%s\" is not on this machine; looked at: the path %s%s", model, model,
                   text);
}

/* ---- listing all ---- */

typedef struct entry_list {
    vg_model_entry *entries;
    int count;
} entry_list;

static uint64_t tree_bytes(const char *dir, int depth)
{
    lines names = {0};
    uint64_t bytes = 0;
    struct stat info;

    list_dir(dir, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *path = vg_path_join(dir, names.text[i]);
        /* Files through links (the cache is made of them), folders only directly: a link could lead in a circle. */
        if (path && lstat(path, &info) == 0) {
            if (S_ISDIR(info.st_mode))
                bytes += depth > 0 ? tree_bytes(path, depth - 1) : 0;
            else if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
                bytes += (uint64_t)info.st_size;
        }
        free(path);
    }
    lines_deinit(&names);
    return bytes;
}

static void entry_deinit(vg_model_entry *e)
{
    free(e->id);
    free(e->dir);
    free(e->family);
    free(e->modes);
    free(e->precision);
    free(e->missing);
}

static void take_family(vg_model_entry *e, const vg_checkpoint *checkpoint)
{
    for (int i = 0; i < vg_families_count; i++) {
        if (!vg_families[i]->probe(checkpoint))
            continue;
        free(e->family);
        e->family = strdup(vg_families[i]->name);
        return;
    }
}

/* Family, modes, precision, and why it cannot be used: what making a job of it would say. Of a half-finished download all that is missing
 * is counted. */
static void describe(vg_model_entry *e, const vg_checkpoint *checkpoint)
{
    char precision[200] = "";
    vg_model *model = NULL;
    vg_err why = {0};

    take_family(e, checkpoint);
    vg_status status = vg_model_open(e->dir, VG_LOAD_FILES, &model, &why);
    if (status == VG_E_MISSING)
        (void)vg_checkpoint_missing(checkpoint, &e->missing, NULL);
    if (status == VG_OK) {
        free(e->modes);
        e->modes = strdup(vg_model_modes(model));
        vg_model_describe_precision(model, precision, sizeof precision);
        status = vg_model_check(model, &why);
    }
    if (status != VG_OK && !e->missing)
        e->missing = strdup(why.message);
    vg_model_close(model);
    free(e->precision);
    e->precision = strdup(precision);
}

/* Takes `id` and `dir` (either may be NULL: out of memory). */
static vg_status add_entry(entry_list *list, char *id, char *dir, vg_err *err)
{
    vg_model_entry e = {
        .id = id, .dir = dir, .family = strdup(""), .modes = strdup(""), .precision = strdup("")};
    vg_checkpoint *checkpoint = NULL;
    vg_err why = {0};

    vg_model_entry *grown = realloc(list->entries, ((size_t)list->count + 1) * sizeof *grown);
    if (grown)
        list->entries = grown;
    if (grown && id && dir) {
        e.bytes = tree_bytes(dir, SIZE_DEPTH_MAX);
        if (!has_index(dir))
            e.missing = strdup(INDEX_NAME);
        else if (vg_checkpoint_open(dir, &checkpoint, &why) != VG_OK)
            e.missing = strdup(why.message);
        else
            describe(&e, checkpoint);
        if (e.missing && strncmp(id, "arch/", 5) == 0) {
            free(e.missing);
            e.missing = strdup("its weights: configs only, for --load-format dummy");
        }
        vg_checkpoint_close(checkpoint);
    }
    if (!grown || !id || !dir || !e.family || !e.modes || !e.precision) {
        entry_deinit(&e);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory listing the models");
    }
    list->entries[list->count++] = e;
    return VG_OK;
}

static bool listed(const entry_list *list, const char *id)
{
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].id, id) == 0)
            return true;
    }
    return false;
}

/* kind: "demo" or "arch". */
static vg_status list_bundled(entry_list *list, const char *presets_dir, const char *kind,
                              vg_err *err)
{
    lines names = {0};
    char *demos = vg_path_join(presets_dir, kind);
    vg_status status = VG_OK;

    if (!demos || !list_dir(demos, &names))
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory listing the bundled models");
    for (size_t i = 0; status == VG_OK && i < names.count; i++) {
        char *dir = vg_path_join(demos, names.text[i]);
        char *id = vg_strf("%s/%s", kind, names.text[i]);
        if (dir && id && has_index(dir) && !listed(list, id)) {
            status = add_entry(list, id, realpath(dir, NULL), err);
            id = NULL;
        }
        free(id);
        free(dir);
    }
    free(demos);
    lines_deinit(&names);
    return status;
}

/* A repository is a pipeline when it has an index, or looks like the beginning of a download of one. */
static bool looks_like_pipeline(const char *dir)
{
    static const char *const parts[] = {"transformer", "vae", "scheduler"};
    int found = 0;

    if (has_index(dir))
        return true;
    for (int i = 0; i < 3; i++) {
        char *path = vg_path_join(dir, parts[i]);
        found += path && vg_file_is_dir(path);
        free(path);
    }
    return found >= 2;
}

static vg_status list_hub(entry_list *list, vg_err *err)
{
    const size_t prefix = strlen(REPO_PREFIX);
    lines names = {0};
    char *cache = cache_dir();
    vg_status status = VG_OK;

    if (cache && !list_dir(cache, &names))
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory listing the hub cache");
    for (size_t i = 0; status == VG_OK && i < names.count; i++) {
        const char *separator = strncmp(names.text[i], REPO_PREFIX, prefix) == 0
                                    ? strstr(names.text[i] + prefix, "--")
                                    : NULL;
        if (!separator)
            continue;
        char *repo = vg_path_join(cache, names.text[i]);
        char *dir = repo ? repo_snapshot(repo, "") : NULL;
        if (dir && looks_like_pipeline(dir)) {
            char *id = vg_strf("%.*s/%s", (int)(separator - names.text[i] - (ptrdiff_t)prefix),
                               names.text[i] + prefix, separator + 2);
            status = add_entry(list, id, realpath(dir, NULL), err);
        }
        free(dir);
        free(repo);
    }
    free(cache);
    lines_deinit(&names);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const vg_model_entry *)a)->id, ((const vg_model_entry *)b)->id);
}

vg_status vg_model_list(const char *const *presets_dirs, int presets_count,
                        vg_model_entry **entries, int *count, vg_err *err)
{
    entry_list list = {0};
    vg_status status = VG_OK;

    for (int i = 0; status == VG_OK && i < presets_count; i++) {
        status = list_bundled(&list, presets_dirs[i], "demo", err);
        if (status == VG_OK)
            status = list_bundled(&list, presets_dirs[i], "arch", err);
    }
    if (status == VG_OK)
        status = list_hub(&list, err);
    if (status != VG_OK) {
        vg_model_list_free(list.entries, list.count);
        return status;
    }
    if (list.count > 1)
        qsort(list.entries, (size_t)list.count, sizeof *list.entries, compare_entries);
    *entries = list.entries;
    *count = list.count;
    return VG_OK;
}

void vg_model_list_free(vg_model_entry *entries, int count)
{
    for (int i = 0; i < count; i++)
        entry_deinit(&entries[i]);
    free(entries);
}
