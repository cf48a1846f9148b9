/* weights.c: the safetensors files of one component as one sorted table. Tensors stay views into the maps. */
#include "engine/checkpoint/checkpoint.h"

#include "engine/checkpoint/dummy.h"

#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name; /* inside the file's header */
    const vg_tensor *tensor;
} row;

struct vg_weights {
    vg_safetensors **files;
    int files_count;
    row *rows; /* sorted by name */
    int count;
    char *dummy; /* folder of a component whose weights are generated; NULL: files */
};

static const char *const stems[] = {"diffusion_pytorch_model", "model"};
#define STEMS 2

/* One line of an index. */
typedef struct place {
    const char *tensor, *file;
} place;

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const row *)a)->name, ((const row *)b)->name);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const place *)a)->tensor, ((const place *)b)->tensor);
}

/* What holds the weights of a folder: an index, or one file. Exactly one of the two is set. */
typedef struct source {
    char *index, *single;
} source;

static void source_deinit(source *s)
{
    free(s->index);
    free(s->single);
    memset(s, 0, sizeof *s);
}

/* VG_E_MISSING when the folder has neither. */
static vg_status source_find(const char *dir, source *s, vg_err *err)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < STEMS; i++) {
        char *index = vg_strf("%s/%s.safetensors.index.json", dir, stems[i]);
        char *single = vg_strf("%s/%s.safetensors", dir, stems[i]);
        if (!index || !single) {
            free(index);
            free(single);
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        }
        if (vg_file_exists(index))
            s->index = index;
        else
            free(index);
        if (!s->index && vg_file_exists(single))
            s->single = single;
        else
            free(single);
        if (s->index || s->single)
            return VG_OK;
    }
    return VG_FAIL(
        err, VG_E_MISSING,
        "%s: no weights: neither %s.safetensors[.index.json] nor %s.safetensors[.index.json] (generated ones: --load-format dummy)",
        dir, stems[0], stems[1]);
}

/* Shard names come from a file: only plain names of this folder. */
static bool plain_name(const char *name)
{
    size_t length = strlen(name);

    return length > 12 && length < 256 && !strchr(name, '/') && name[0] != '.' &&
           strcmp(name + length - 12, ".safetensors") == 0;
}

/* Rows of an index sorted by tensor, and the sorted list of its different files; both point into `root`. */
static vg_status index_read(const char *path, cJSON **root, place **places, int *count,
                            const char ***files, int *files_count, vg_err *err)
{
    const cJSON *item;
    cJSON *parsed = NULL;
    place *all = NULL;
    const char **names = NULL;
    size_t n = 0;
    vg_status status;

    VG_TRY(vg_json_load(path, &parsed, err));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(parsed, "weight_map");
    if (!cJSON_IsObject(map) || !map->child) {
        status = VG_FAIL(err, VG_E_FORMAT, "%s: \"weight_map\" is missing or empty", path);
        goto fail;
    }
    cJSON_ArrayForEach(item, map) n++;
    all = calloc(n, sizeof *all);
    names = calloc(n, sizeof *names);
    if (!all || !names) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %zu tensors", path, n);
        goto fail;
    }
    n = 0;
    cJSON_ArrayForEach(item, map)
    {
        if (!cJSON_IsString(item) || !plain_name(item->valuestring)) {
            status = VG_FAIL(err, VG_E_FORMAT,
                             "%s: tensor \"%s\": \"%s\" is not the name of a safetensors file here",
                             path, item->string, cJSON_IsString(item) ? item->valuestring : "");
            goto fail;
        }
        all[n] = (place){item->string, item->valuestring};
        names[n++] = item->valuestring;
    }
    qsort(all, n, sizeof *all, compare_places);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(all[i - 1].tensor, all[i].tensor) == 0) {
            status =
                VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\" is there twice", path, all[i].tensor);
            goto fail;
        }
    }
    qsort(names, n, sizeof *names, compare_files);
    size_t different = 1;
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[different - 1], names[i]) != 0)
            names[different++] = names[i];
    }
    *root = parsed;
    *places = all;
    *count = (int)n;
    *files = names;
    *files_count = (int)different;
    return VG_OK;
fail:
    cJSON_Delete(parsed);
    free(all);
    free(names);
    return status;
}

static vg_status missing_of(const char *dir, const char *const *files, int count, char **first,
                            int *missing, vg_err *err)
{
    const char *name = NULL;

    *first = NULL;
    *missing = 0;
    for (int i = 0; i < count; i++) {
        char *path = vg_path_join(dir, files[i]);
        if (!path)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        if (!vg_file_exists(path)) {
            name = name ? name : files[i];
            ++*missing;
        }
        free(path);
    }
    if (name && !(*first = strdup(name)))
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    return VG_OK;
}

vg_status vg_weights_missing(const char *component_dir, char **first, int *count, vg_err *err)
{
    source s;
    cJSON *root = NULL;
    place *places = NULL;
    const char **files = NULL;
    int places_count, files_count;

    *first = NULL;
    *count = 0;
    vg_status status = source_find(component_dir, &s, err);
    if (status == VG_E_MISSING) {
        *first = vg_strf("%s.safetensors", stems[0]);
        *count = 1;
        return *first ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", component_dir);
    }
    if (status != VG_OK)
        return status;
    if (s.index) {
        status = index_read(s.index, &root, &places, &places_count, &files, &files_count, err);
        if (status == VG_OK)
            status = missing_of(component_dir, files, files_count, first, count, err);
    }
    cJSON_Delete(root);
    free(places);
    free(files);
    source_deinit(&s);
    return status;
}

static vg_status open_files(vg_weights *w, const char *dir, const char *const *files, int count,
                            vg_err *err)
{
    w->files = calloc((size_t)count, sizeof *w->files);
    if (!w->files)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d files", dir, count);
    for (int i = 0; i < count; i++) {
        char *path = vg_path_join(dir, files[i]);
        if (!path)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        vg_status status = vg_safetensors_open(path, &w->files[i], err);
        free(path);
        VG_TRY(status);
        w->files_count++;
    }
    return VG_OK;
}

static vg_status open_single(vg_weights *w, const char *path, vg_err *err)
{
    w->files = calloc(1, sizeof *w->files);
    if (!w->files)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", path);
    VG_TRY(vg_safetensors_open(path, &w->files[0], err));
    w->files_count = 1;
    int count = vg_safetensors_count(w->files[0]);
    w->rows = calloc((size_t)count + 1, sizeof *w->rows);
    if (!w->rows)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", path, count);
    for (int i = 0; i < count; i++)
        w->rows[i] =
            (row){vg_safetensors_name(w->files[0], i), vg_safetensors_tensor(w->files[0], i)};
    w->count = count;
    qsort(w->rows, (size_t)count, sizeof *w->rows, compare_rows);
    return VG_OK;
}

static vg_status open_sharded(vg_weights *w, const char *dir, const char *index, vg_err *err)
{
    cJSON *root = NULL;
    place *places = NULL;
    const char **files = NULL;
    char *first = NULL;
    int count, files_count, missing = 0;

    VG_TRY(index_read(index, &root, &places, &count, &files, &files_count, err));
    vg_status status = missing_of(dir, files, files_count, &first, &missing, err);
    if (status == VG_OK && missing == 1)
        status = VG_FAIL(err, VG_E_MISSING, "%s: missing %s", dir, first);
    else if (status == VG_OK && missing > 1)
        status = VG_FAIL(err, VG_E_MISSING, "%s: missing %s and %d more", dir, first, missing - 1);
    if (status == VG_OK)
        status = open_files(w, dir, files, files_count, err);
    if (status == VG_OK && !(w->rows = calloc((size_t)count, sizeof *w->rows)))
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", index, count);
    for (int i = 0; status == VG_OK && i < count; i++) {
        const char **found =
            bsearch(&places[i].file, files, (size_t)files_count, sizeof *files, compare_files);
        const vg_safetensors *file = w->files[found - files];
        int at = vg_safetensors_index(file, places[i].tensor);
        if (at >= 0)
            w->rows[w->count++] =
                (row){vg_safetensors_name(file, at), vg_safetensors_tensor(file, at)};
        else if (!vg_safetensors_unsupported(file, places[i].tensor))
            status = VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\" is not in %s", index,
                             places[i].tensor, places[i].file);
    }
    free(first);
    free(places);
    free(files);
    cJSON_Delete(root);
    return status;
}

static vg_status open_dummy(const char *dir, vg_weights **weights, vg_err *err)
{
    vg_weights *w = calloc(1, sizeof *w);

    if (!w || !(w->dummy = strdup(dir))) {
        free(w);
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    }
    *weights = w;
    return VG_OK;
}

bool vg_weights_dummy(const vg_weights *weights)
{
    return weights->dummy != NULL;
}

vg_status vg_weights_open(const char *component_dir, vg_weights **weights, vg_err *err)
{
    size_t prefix = sizeof VG_DUMMY_PREFIX - 1;
    source s;

    if (strncmp(component_dir, VG_DUMMY_PREFIX, prefix) == 0)
        return open_dummy(component_dir + prefix, weights, err);

    if (!vg_file_is_dir(component_dir))
        return VG_FAIL(err, VG_E_MISSING, "%s: no such folder", component_dir);
    VG_TRY(source_find(component_dir, &s, err));
    vg_weights *w = calloc(1, sizeof *w);
    vg_status status;
    if (!w)
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", component_dir);
    else if (s.index)
        status = open_sharded(w, component_dir, s.index, err);
    else
        status = open_single(w, s.single, err);
    source_deinit(&s);
    if (status != VG_OK) {
        vg_weights_close(w);
        return status;
    }
    *weights = w;
    return VG_OK;
}

void vg_weights_close(vg_weights *weights)
{
    if (!weights)
        return;
    for (int i = 0; i < weights->files_count; i++)
        vg_safetensors_close(weights->files[i]);
    free(weights->files);
    free(weights->rows);
    free(weights->dummy);
    free(weights);
}

int vg_weights_count(const vg_weights *weights)
{
    return weights->count;
}

const char *vg_weights_name(const vg_weights *weights, int index)
{
    return index >= 0 && index < weights->count ? weights->rows[index].name : NULL;
}

const vg_tensor *vg_weights_tensor(const vg_weights *weights, int index)
{
    return index >= 0 && index < weights->count ? weights->rows[index].tensor : NULL;
}

int vg_weights_index(const vg_weights *weights, const char *name)
{
    row key = {name, NULL};

    if (weights->count == 0)
        return -1;
    const row *found =
        bsearch(&key, weights->rows, (size_t)weights->count, sizeof *weights->rows, compare_rows);
    return found ? (int)(found - weights->rows) : -1;
}

const vg_tensor *vg_weights_find(const vg_weights *weights, const char *name)
{
    int at = vg_weights_index(weights, name);

    return at >= 0 ? weights->rows[at].tensor : NULL;
}

bool vg_weights_locate(const vg_weights *weights, const void *data, int *fd, uint64_t *offset)
{
    for (int i = 0; i < weights->files_count; i++)
        if (vg_safetensors_locate(weights->files[i], data, fd, offset))
            return true;
    return false;
}

int vg_weights_files(const vg_weights *weights)
{
    return weights->files_count;
}

const char *vg_weights_file(const vg_weights *weights, int index)
{
    return vg_safetensors_path(weights->files[index]);
}

const char *vg_weights_unsupported(const vg_weights *weights, const char *name)
{
    const char *why = NULL;

    for (int i = 0; !why && i < weights->files_count; i++)
        why = vg_safetensors_unsupported(weights->files[i], name);
    return why;
}

const char *vg_weights_metadata(const vg_weights *weights, const char *key)
{
    const char *value = NULL;

    for (int i = 0; !value && i < weights->files_count; i++)
        value = vg_safetensors_metadata(weights->files[i], key);
    return value;
}

size_t vg_weights_file_bytes(const vg_weights *weights)
{
    size_t bytes = 0;

    for (int i = 0; i < weights->files_count; i++)
        bytes += vg_safetensors_file_bytes(weights->files[i]);
    return bytes;
}
