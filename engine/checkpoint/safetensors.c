/* safetensors.c: the reader checks the whole header once, at open; afterwards every tensor is a plain view.
 * Format: u64 little-endian header length n, n bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}}, data. */
#include "engine/checkpoint/safetensors_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/digest.h"
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

/* Dtypes of the format that have no vg_dtype: X(name, bits per element). */
#define FOREIGN_DTYPES(X)                                                                          \
    X("BOOL", 8)                                                                                   \
    X("I16", 16)                                                                                   \
    X("U16", 16)                                                                                   \
    X("U32", 32)                                                                                   \
    X("U64", 64)                                                                                   \
    X("C64", 64)                                                                                   \
    X("F8_E5M2", 8)                                                                                \
    X("F8_E8M0", 8)                                                                                \
    X("F8_E4M3FNUZ", 8)                                                                            \
    X("F8_E5M2FNUZ", 8)                                                                            \
    X("F6_E2M3", 6)                                                                                \
    X("F6_E3M2", 6)                                                                                \
    X("F4", 4)

typedef struct entry {
    const char *name; /* inside the cJSON tree */
    vg_tensor tensor;
    uint64_t begin, end;
    char why[32]; /* not empty: cannot be used */
} entry;

struct vg_safetensors {
    const uint8_t *bytes;
    size_t size;
    bool mapped;
    int fd; /* of a mapped file, -1: none */
    char *path;
    cJSON *header;
    const cJSON *metadata; /* inside header, or NULL */
    entry *entries;        /* usable ones first, in order of the data; then the others */
    int count, total;
    int *by_name; /* indices into entries, sorted */
};

static int compare_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name); /* empty tensors share a place */
}

static int compare_name(const void *a, const void *b, void *context)
{
    const entry *entries = context;

    return strcmp(entries[*(const int *)a].name, entries[*(const int *)b].name);
}

/* A JSON number as an exact unsigned integer. Past 2^53 a double has lost bits; no file is that large. */
static bool exact_u64(const cJSON *item, uint64_t *value)
{
    if (!cJSON_IsNumber(item) ||
        !(item->valuedouble >= 0 && item->valuedouble < 9007199254740992.0))
        return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static vg_status parse_dtype(const char *path, const char *text, entry *e, unsigned *bits,
                             vg_err *err)
{
    for (int i = 0; i < VG_DTYPE_COUNT; i++) {
        if (strcmp(text, vg_dtype_name((vg_dtype)i)) == 0) {
            e->tensor.dtype = (vg_dtype)i;
            *bits = 8u * (unsigned)vg_dtype_size((vg_dtype)i);
            return VG_OK;
        }
    }
#define FOREIGN_CASE(name, width)                                                                  \
    if (strcmp(text, name) == 0) {                                                                 \
        *bits = width;                                                                             \
        memcpy(e->why, "dtype " name, sizeof "dtype " name);                                       \
        return VG_OK;                                                                              \
    }
    FOREIGN_DTYPES(FOREIGN_CASE)
#undef FOREIGN_CASE
    return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\": unknown dtype \"%s\"", path, e->name,
                   text);
}

/* One header row into *e, apart from its place among the others. */
static vg_status parse_entry(const char *path, const cJSON *row, uint64_t data_bytes, entry *e,
                             vg_err *err)
{
    const cJSON *item;
    unsigned bits = 0;
    int ndim = 0;
    uint64_t elements = 1;

    e->name = row->string;
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(row, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(row, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(row, "data_offsets");
    if (!cJSON_IsObject(row) || !cJSON_IsString(dtype) || !cJSON_IsArray(shape) ||
        !cJSON_IsArray(offsets))
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: tensor \"%s\": dtype, shape or data_offsets is missing or of a wrong type", path,
            e->name);
    VG_TRY(parse_dtype(path, dtype->valuestring, e, &bits, err));

    bool overflow = false;
    cJSON_ArrayForEach(item, shape)
    {
        uint64_t extent;
        if (!exact_u64(item, &extent))
            return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\": shape[%d] is not a size", path,
                           e->name, ndim);
        if (ndim < VG_MAX_DIMS)
            e->tensor.shape[ndim] = (int64_t)extent;
        if (ndim < INT_MAX)
            ndim++;
        overflow = overflow || __builtin_mul_overflow(elements, extent, &elements);
    }
    /* Multiplied in order, as the reference does: a zero further right does not excuse an overflow. */
    uint64_t total_bits;
    if (overflow || __builtin_mul_overflow(elements, (uint64_t)bits, &total_bits) ||
        total_bits / 8 > INT64_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\": the shape is too large", path,
                       e->name);
    if (total_bits % 8 != 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\": does not end on a byte", path,
                       e->name);
    if (ndim > VG_MAX_DIMS && !e->why[0])
        snprintf(e->why, sizeof e->why, "%d dimensions", ndim);
    e->tensor.ndim = ndim > VG_MAX_DIMS ? 0 : ndim;

    const cJSON *begin = offsets->child, *end = begin ? begin->next : NULL;
    if (!begin || !end || end->next || !exact_u64(begin, &e->begin) || !exact_u64(end, &e->end))
        return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\": data_offsets must be two sizes", path,
                       e->name);
    if (e->begin > e->end || e->end > data_bytes)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: tensor \"%s\": data_offsets [%llu, %llu] are outside of the %llu bytes of data",
            path, e->name, (unsigned long long)e->begin, (unsigned long long)e->end,
            (unsigned long long)data_bytes);
    if (e->end - e->begin != total_bits / 8)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: tensor \"%s\": %llu bytes of data, shape and dtype say %llu", path,
                       e->name, (unsigned long long)(e->end - e->begin),
                       (unsigned long long)(total_bits / 8));
    return VG_OK;
}

static vg_status parse_metadata(const char *path, const cJSON *metadata, vg_err *err)
{
    const cJSON *item;

    if (!cJSON_IsObject(metadata))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s must be an object", path, VG_SAFETENSORS_METADATA);
    cJSON_ArrayForEach(item, metadata)
    {
        if (!cJSON_IsString(item))
            return VG_FAIL(err, VG_E_FORMAT, "%s: %s: \"%s\" must be a text", path,
                           VG_SAFETENSORS_METADATA, item->string);
    }
    return VG_OK;
}

/* Tensors, sorted by place, must cover [0, data_bytes) exactly. */
static vg_status check_cover(const vg_safetensors *st, uint64_t data_bytes, vg_err *err)
{
    uint64_t at = 0;

    for (int i = 0; i < st->total; i++) {
        const entry *e = &st->entries[i];
        if (e->begin != at)
            return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\" starts at %llu, %s %llu", st->path,
                           e->name, (unsigned long long)e->begin,
                           e->begin < at ? "overlapping data up to" : "leaving a hole from",
                           (unsigned long long)at);
        at = e->end;
    }
    if (at != data_bytes)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %llu bytes of data, the tensors describe %llu",
                       st->path, (unsigned long long)data_bytes, (unsigned long long)at);
    return VG_OK;
}

static vg_status parse(vg_safetensors *st, vg_err *err)
{
    uint64_t length = 0;
    const cJSON *row;
    int rows = 0;

    VG_TRY(vg_file_check_pointer(st->path, st->bytes, st->size, err));
    if (st->size < 8)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %zu bytes is too short for a safetensors file",
                       st->path, st->size);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | st->bytes[i];
    if (length > VG_SAFETENSORS_HEADER_MAX || length > st->size - 8)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: header of %llu bytes does not fit (file %zu bytes, limit %u)", st->path,
                       (unsigned long long)length, st->size, VG_SAFETENSORS_HEADER_MAX);
    if (length < 2 || st->bytes[8] != '{')
        return VG_FAIL(err, VG_E_FORMAT, "%s: the header is not a JSON object", st->path);
    VG_TRY(vg_json_parse((const char *)st->bytes + 8, (size_t)length, st->path, &st->header, err));

    const uint8_t *data = st->bytes + 8 + length;
    const uint64_t data_bytes = st->size - 8 - length;
    cJSON_ArrayForEach(row, st->header)
        rows++; /* the gate of vg_json_parse keeps this far below INT_MAX */
    st->entries = calloc((size_t)rows + 1, sizeof *st->entries);
    st->by_name = calloc((size_t)rows + 1, sizeof *st->by_name);
    if (!st->entries || !st->by_name)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", st->path, rows);
    cJSON_ArrayForEach(row, st->header)
    {
        if (strcmp(row->string, VG_SAFETENSORS_METADATA) == 0) {
            if (st->metadata)
                return VG_FAIL(err, VG_E_FORMAT, "%s: %s twice", st->path, VG_SAFETENSORS_METADATA);
            VG_TRY(parse_metadata(st->path, row, err));
            st->metadata = row;
            continue;
        }
        VG_TRY(parse_entry(st->path, row, data_bytes, &st->entries[st->total], err));
        st->total++;
    }
    qsort(st->entries, (size_t)st->total, sizeof *st->entries, compare_place);
    VG_TRY(check_cover(st, data_bytes, err));

    /* Usable tensors to the front, keeping their order; the place of the others no longer matters. */
    for (int i = 0; i < st->total; i++) {
        st->entries[i].tensor.data =
            (void *)(uintptr_t)(data + st->entries[i].begin); /* read-only by contract */
        if (st->entries[i].why[0])
            continue;
        entry keep = st->entries[i];
        st->entries[i] = st->entries[st->count];
        st->entries[st->count++] = keep;
    }
    for (int i = 0; i < st->total; i++)
        st->by_name[i] = i;
    qsort_r(st->by_name, (size_t)st->total, sizeof *st->by_name, compare_name, st->entries);
    for (int i = 1; i < st->total; i++) {
        const char *name = st->entries[st->by_name[i]].name;
        if (strcmp(st->entries[st->by_name[i - 1]].name, name) == 0)
            return VG_FAIL(err, VG_E_FORMAT, "%s: tensor \"%s\" is there twice", st->path, name);
    }
    return VG_OK;
}

/* fd: of the mapped file, taken over in any case; -1: bytes are the caller's. */
static vg_status open_bytes(const void *bytes, size_t size, int fd, const char *path,
                            vg_safetensors **out, vg_err *err)
{
    vg_safetensors *st = calloc(1, sizeof *st);
    char *copy = strdup(path);

    if (!st || !copy) {
        free(st);
        free(copy);
        if (fd >= 0) {
            munmap((void *)(uintptr_t)bytes, size);
            close(fd);
        }
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", path);
    }
    st->bytes = bytes;
    st->size = size;
    st->mapped = fd >= 0;
    st->fd = fd;
    st->path = copy;
    vg_status status = parse(st, err);
    if (status != VG_OK) {
        vg_safetensors_close(st);
        return status;
    }
    *out = st;
    return VG_OK;
}

vg_status vg_safetensors_open_memory(const void *bytes, size_t size, const char *name,
                                     vg_safetensors **st, vg_err *err)
{
    return open_bytes(bytes, size, -1, name, st, err);
}

vg_status vg_safetensors_open(const char *path, vg_safetensors **st, vg_err *err)
{
    struct stat info;
    void *map = MAP_FAILED;

    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return VG_FAIL(err, VG_E_IO, "%s: cannot open: %s", path, strerror(errno));
    vg_status status = VG_OK;
    if (fstat(fd, &info) != 0)
        status = VG_FAIL(err, VG_E_IO, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = VG_FAIL(err, VG_E_IO, "%s: not a regular file", path);
    else if (info.st_size < 8)
        status = VG_FAIL(err, VG_E_FORMAT, "%s: %lld bytes is too short for a safetensors file",
                         path, (long long)info.st_size);
    else if ((map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        status = VG_FAIL(err, VG_E_IO, "%s: cannot map %lld bytes: %s", path,
                         (long long)info.st_size, strerror(errno));
    if (status == VG_OK)
        return open_bytes(map, (size_t)info.st_size, fd, path, st, err);
    close(fd);
    return status;
}

void vg_safetensors_close(vg_safetensors *st)
{
    if (!st)
        return;
    if (st->mapped) {
        munmap((void *)(uintptr_t)st->bytes, st->size);
        close(st->fd);
    }
    cJSON_Delete(st->header);
    free(st->entries);
    free(st->by_name);
    free(st->path);
    free(st);
}

bool vg_safetensors_locate(const vg_safetensors *st, const void *data, int *fd, uint64_t *offset)
{
    uintptr_t begin = (uintptr_t)st->bytes, at = (uintptr_t)data;

    if (!st->mapped || at < begin || at - begin > st->size)
        return false;
    *fd = st->fd;
    *offset = at - begin;
    return true;
}

int vg_safetensors_count(const vg_safetensors *st)
{
    return st->count;
}

const char *vg_safetensors_name(const vg_safetensors *st, int index)
{
    return index >= 0 && index < st->count ? st->entries[index].name : NULL;
}

const vg_tensor *vg_safetensors_tensor(const vg_safetensors *st, int index)
{
    return index >= 0 && index < st->count ? &st->entries[index].tensor : NULL;
}

static const entry *lookup(const vg_safetensors *st, const char *name)
{
    int low = 0, high = st->total;

    while (low < high) {
        int middle = low + (high - low) / 2;
        const entry *e = &st->entries[st->by_name[middle]];
        int order = strcmp(name, e->name);
        if (order == 0)
            return e;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const vg_tensor *vg_safetensors_find(const vg_safetensors *st, const char *name)
{
    const entry *e = lookup(st, name);

    return e && !e->why[0] ? &e->tensor : NULL;
}

int vg_safetensors_index(const vg_safetensors *st, const char *name)
{
    const entry *e = lookup(st, name);

    return e && !e->why[0] ? (int)(e - st->entries) : -1;
}

const char *vg_safetensors_unsupported(const vg_safetensors *st, const char *name)
{
    const entry *e = lookup(st, name);

    return e && e->why[0] ? e->why : NULL;
}

bool vg_safetensors_raw(const vg_safetensors *st, const char *name, const char **dtype,
                        vg_tensor *tensor)
{
    const entry *e = lookup(st, name);

    if (!e || (e->why[0] && strncmp(e->why, "dtype ", 6) != 0))
        return false;
    const cJSON *row = cJSON_GetObjectItemCaseSensitive(st->header, name);
    if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(row, "shape")) != e->tensor.ndim)
        return false;
    *dtype = cJSON_GetObjectItemCaseSensitive(row, "dtype")->valuestring;
    *tensor = e->tensor;
    return true;
}

const char *vg_safetensors_metadata(const vg_safetensors *st, const char *key)
{
    const cJSON *item = st->metadata ? cJSON_GetObjectItemCaseSensitive(st->metadata, key) : NULL;

    return item ? item->valuestring : NULL;
}

vg_status vg_safetensors_check(const vg_safetensors *st, vg_err *err)
{
    const size_t at = 8 + sizeof VG_SAFETENSORS_SEAL - 1;
    uint64_t length = 0;
    char text[VG_DIGEST_HEX + 1];
    for (int i = 7; i >= 0; i--)
        length = length << 8 | st->bytes[i];
    size_t size = 8 + (size_t)length; /* fits: it was parsed */
    if (size < at + VG_DIGEST_HEX ||
        memcmp(st->bytes + 8, VG_SAFETENSORS_SEAL, sizeof VG_SAFETENSORS_SEAL - 1) != 0)
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no checksum in it", st->path);
    char *header = malloc(size);
    if (!header)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a header of %zu bytes", st->path,
                       size);
    memcpy(header, st->bytes, size);
    memset(header + at, VG_SAFETENSORS_UNKNOWN[0], VG_DIGEST_HEX);
    uint64_t digest = vg_digest(0, header, size);
    free(header);
    /* The writer knows no others than the usable ones, which lie in order. */
    for (int i = 0; i < st->count; i++)
        digest =
            vg_digest(digest, st->entries[i].tensor.data, vg_tensor_bytes(&st->entries[i].tensor));
    vg_digest_text(digest, text);
    if (st->count != st->total || memcmp(text, st->bytes + at, VG_DIGEST_HEX) != 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: damaged: its checksum does not fit", st->path);
    return VG_OK;
}

size_t vg_safetensors_file_bytes(const vg_safetensors *st)
{
    return st->size;
}

const char *vg_safetensors_path(const vg_safetensors *st)
{
    return st->path;
}
