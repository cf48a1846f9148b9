/* safetensors_writer.c: see safetensors_writer.h. */
#include "engine/checkpoint/safetensors_writer.h"

#include "engine/checkpoint/safetensors_impl.h"
#include "kernels/base/json.h"
#include "kernels/base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct place {
    char *name;
    int shard;
    uint64_t offset; /* in its file */
    size_t bytes, written;
} place;

typedef struct shard {
    vg_newfile file;
    char *path;
    bool named; /* it is in its place */
} shard;

struct vg_safetensors_writer {
    char *dir, *stem;
    place *places;
    int count;
    shard *shards;
    int shards_count;
    uint64_t bytes;
};

/* ---- which tensor goes where ---- */

static vg_status measure(vg_safetensors_writer *w, const vg_safetensors_shape *tensors, vg_err *err)
{
    for (int i = 0; i < w->count; i++) {
        const vg_safetensors_shape *t = &tensors[i];
        place *p = &w->places[i];
        VG_TRY(vg_shape_bytes(t->shape, t->ndim, t->dtype, &p->bytes, err));
        if (!(p->name = strdup(t->name)))
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", w->dir, w->count);
        w->bytes += p->bytes;
    }
    return VG_OK;
}

#define OPEN (-1) /* the shard that is being filled gets its number when it is full */

static void close_shard(vg_safetensors_writer *w)
{
    bool any = false;
    for (int i = 0; i < w->count; i++)
        if (w->places[i].shard == OPEN) {
            w->places[i].shard = w->shards_count;
            any = true;
        }
    w->shards_count += any;
}

static void split(vg_safetensors_writer *w, uint64_t limit)
{
    uint64_t used = 0;
    for (int i = 0; i < w->count; i++)
        w->places[i].shard = INT_MAX; /* not reached yet */
    for (int i = 0; i < w->count; i++) {
        place *p = &w->places[i];
        if (limit && p->bytes > limit) {
            p->shard = w->shards_count++;
            continue;
        }
        if (limit && used + p->bytes > limit) {
            close_shard(w);
            used = 0;
        }
        p->shard = OPEN;
        used += p->bytes;
    }
    close_shard(w);
}

/* Its tensors by falling size of the dtype, then by name: as the reference lays files out. */
static int compare_layout(const void *a, const void *b, void *context)
{
    const vg_safetensors_shape *tensors = context, *x = &tensors[*(const int *)a],
                               *y = &tensors[*(const int *)b];
    size_t sx = vg_dtype_size(x->dtype), sy = vg_dtype_size(y->dtype);
    return sx != sy ? (sx < sy ? 1 : -1) : strcmp(x->name, y->name);
}

/* ---- files ---- */

static vg_status name_files(vg_safetensors_writer *w, vg_err *err)
{
    for (int i = 0; i < w->shards_count; i++) {
        shard *s = &w->shards[i];
        s->path = w->shards_count == 1 ? vg_strf("%s/%s.safetensors", w->dir, w->stem)
                                       : vg_strf("%s/%s-%05d-of-%05d.safetensors", w->dir, w->stem,
                                                 i + 1, w->shards_count);
        if (!s->path)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a path", w->dir);
    }
    return VG_OK;
}

static char *index_path(const vg_safetensors_writer *w)
{
    return vg_strf("%s/%s.safetensors.index.json", w->dir, w->stem);
}

/* An index of other files would be read in place of these. */
static vg_status check_folder(const vg_safetensors_writer *w, vg_err *err)
{
    char *single = vg_strf("%s/%s.safetensors", w->dir, w->stem), *index = index_path(w);
    vg_status status = VG_OK;
    if (!single || !index)
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a path", w->dir);
    else if (vg_file_exists(single) || vg_file_exists(index))
        status = VG_FAIL(err, VG_E_ARG, "%s: there are weights already (%s)", w->dir,
                         vg_file_exists(index) ? index : single);
    free(single);
    free(index);
    return status;
}

/* Reserved, so that a full disk is told before the work and not behind it. */
static vg_status reserve(const shard *s, uint64_t bytes, vg_err *err)
{
    if (fallocate(s->file.fd, 0, 0, (off_t)bytes) == 0)
        return VG_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
        if (ftruncate(s->file.fd, (off_t)bytes) == 0)
            return VG_OK;
    }
    return VG_FAIL(err, VG_E_IO, "%s: cannot take %llu bytes: %s", s->path,
                   (unsigned long long)bytes, strerror(errno));
}

/* Header and room of one file; its tensors learn their places. order: room for all numbers. */
static vg_status begin_shard(vg_safetensors_writer *w, int number,
                             const vg_safetensors_shape *tensors, const char *const *metadata,
                             int *order, vg_safetensors_shape *sorted, vg_err *err)
{
    shard *s = &w->shards[number];
    char *header = NULL;
    size_t size;
    int count = 0;
    for (int i = 0; i < w->count; i++)
        if (w->places[i].shard == number)
            order[count++] = i;
    qsort_r(order, (size_t)count, sizeof *order, compare_layout,
            (void *)(uintptr_t)tensors); /* which does not write */
    for (int i = 0; i < count; i++)
        sorted[i] = tensors[order[i]];
    VG_TRY(vg_safetensors_header(s->path, sorted, count, metadata, &header, &size, err));
    uint64_t at = size;
    for (int i = 0; i < count; i++) {
        w->places[order[i]].offset = at;
        at += w->places[order[i]].bytes;
    }
    vg_status status = vg_newfile_open(s->path, &s->file, err);
    if (status == VG_OK)
        status = reserve(s, at, err);
    if (status == VG_OK)
        status = vg_newfile_write(&s->file, header, size, err);
    free(header);
    return status;
}

static vg_status begin(vg_safetensors_writer *w, const vg_safetensors_shape *tensors,
                       uint64_t limit, const char *const *metadata, vg_err *err)
{
    char *header;
    size_t size;
    /* Names are checked over all files, not only within each. */
    VG_TRY(vg_safetensors_header(w->dir, tensors, w->count, metadata, &header, &size, err));
    free(header);
    VG_TRY(measure(w, tensors, err));
    VG_TRY(check_folder(w, err));
    split(w, limit);
    w->shards = calloc((size_t)w->shards_count + 1, sizeof *w->shards);
    int *order = calloc((size_t)w->count + 1, sizeof *order);
    vg_safetensors_shape *sorted = calloc((size_t)w->count + 1, sizeof *sorted);
    vg_status status = VG_OK;
    if (!w->shards || !order || !sorted)
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", w->dir, w->count);
    for (int i = 0; w->shards && i < w->shards_count; i++)
        w->shards[i].file = (vg_newfile){.fd = -1};
    if (status == VG_OK)
        status = name_files(w, err);
    for (int i = 0; status == VG_OK && i < w->shards_count; i++)
        status = begin_shard(w, i, tensors, metadata, order, sorted, err);
    free(order);
    free(sorted);
    return status;
}

vg_status vg_safetensors_writer_open(const char *dir, const char *stem,
                                     const vg_safetensors_shape *tensors, int count,
                                     uint64_t max_shard_bytes, const char *const *metadata,
                                     vg_safetensors_writer **writer, vg_err *err)
{
    if (count < 1)
        return VG_FAIL(err, VG_E_ARG, "%s: %d tensors", dir, count);
    vg_safetensors_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->places = calloc((size_t)count, sizeof *w->places)) || !(w->dir = strdup(dir)) ||
        !(w->stem = strdup(stem))) {
        vg_safetensors_writer_close(w);
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", dir, count);
    }
    w->count = count;
    vg_status status = begin(w, tensors, max_shard_bytes, metadata, err);
    if (status != VG_OK) {
        vg_safetensors_writer_close(w);
        return status;
    }
    *writer = w;
    return VG_OK;
}

vg_status vg_safetensors_writer_append(vg_safetensors_writer *w, int tensor, const void *bytes,
                                       size_t size, vg_err *err)
{
    if (tensor < 0 || tensor >= w->count)
        return VG_FAIL(err, VG_E_ARG, "%s: there is no tensor number %d", w->dir, tensor);
    place *p = &w->places[tensor];
    const shard *s = &w->shards[p->shard];
    const char *at = bytes;
    if (size > p->bytes - p->written)
        return VG_FAIL(err, VG_E_ARG, "%s: tensor \"%s\" has %zu bytes, %zu more came", s->path,
                       p->name, p->bytes, size - (p->bytes - p->written));
    while (size > 0) {
        ssize_t n = pwrite(s->file.fd, at, size < (1u << 30) ? size : 1u << 30,
                           (off_t)(p->offset + p->written));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return VG_FAIL(err, VG_E_IO, "%s: cannot write tensor \"%s\": %s", s->path, p->name,
                           strerror(n < 0 ? errno : ENOSPC));
        at += n;
        size -= (size_t)n;
        p->written += (size_t)n;
    }
    return VG_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const place *const *)a)->name, (*(const place *const *)b)->name);
}

static vg_status write_index(const vg_safetensors_writer *w, vg_err *err)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(root, "metadata");
    cJSON *map = cJSON_AddObjectToObject(root, "weight_map");
    const place **sorted = calloc((size_t)w->count, sizeof *sorted);
    char *path = index_path(w);
    bool ok = metadata && map && sorted && path &&
              cJSON_AddNumberToObject(metadata, "total_size", (double)w->bytes);
    for (int i = 0; ok && i < w->count; i++)
        sorted[i] = &w->places[i];
    if (ok)
        qsort(sorted, (size_t)w->count, sizeof *sorted, compare_names);
    for (int i = 0; ok && i < w->count; i++)
        ok = cJSON_AddStringToObject(map, sorted[i]->name,
                                     strrchr(w->shards[sorted[i]->shard].path, '/') + 1) != NULL;
    vg_status status = ok ? vg_json_save(path, root, err)
                          : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for the index", w->dir);
    free(path);
    free(sorted);
    cJSON_Delete(root);
    return status;
}

/* What has a name already, after a failure. There was no such file before: see check_folder. */
static void drop_named(const vg_safetensors_writer *w)
{
    char *index = index_path(w);
    for (int i = 0; i < w->shards_count; i++)
        if (w->shards[i].named)
            (void)unlink(w->shards[i].path);
    if (index)
        (void)unlink(index);
    free(index);
}

vg_status vg_safetensors_writer_finish(vg_safetensors_writer *w, vg_err *err)
{
    vg_status status = VG_OK;
    for (int i = 0; i < w->count; i++) {
        const place *p = &w->places[i];
        if (p->written < p->bytes)
            return VG_FAIL(err, VG_E_ARG, "%s: of tensor \"%s\" %zu of %zu bytes have come", w->dir,
                           p->name, p->written, p->bytes);
    }
    for (int i = 0; i < w->shards_count && status == VG_OK; i++) {
        status = vg_newfile_commit(&w->shards[i].file, true, err);
        w->shards[i].named = true; /* a failing commit may have named it all the same */
    }
    if (status == VG_OK && w->shards_count > 1)
        status = write_index(w, err);
    if (status != VG_OK)
        drop_named(w);
    return status;
}

void vg_safetensors_writer_close(vg_safetensors_writer *w)
{
    if (!w)
        return;
    for (int i = 0; w->shards && i < w->shards_count; i++) {
        vg_newfile_abort(&w->shards[i].file);
        free(w->shards[i].path);
    }
    for (int i = 0; w->places && i < w->count; i++)
        free(w->places[i].name);
    free(w->shards);
    free(w->places);
    free(w->stem);
    free(w->dir);
    free(w);
}

uint64_t vg_safetensors_writer_bytes(const vg_safetensors_writer *w)
{
    return w->bytes;
}

int vg_safetensors_writer_files(const vg_safetensors_writer *w)
{
    return w->shards_count;
}
