/* safetensors_write.c: the header of a file, and whole files from memory. Pieces at a time: safetensors_writer.c. */
#include "engine/checkpoint/safetensors_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/digest.h"
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

typedef struct text_buffer {
    char *text;
    size_t used, room;
    bool failed;
} text_buffer;

static void put_bytes(text_buffer *b, const char *bytes, size_t size)
{
    if (b->failed)
        return;
    if (b->room - b->used < size) {
        size_t room = (b->used + size) * 2;
        char *grown = realloc(b->text, room);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->text = grown;
        b->room = room;
    }
    memcpy(b->text + b->used, bytes, size);
    b->used += size;
}

static void put(text_buffer *b, const char *text)
{
    put_bytes(b, text, strlen(text));
}

static void put_number(text_buffer *b, uint64_t value)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    put(b, digits);
}

static void put_quoted(text_buffer *b, const char *text)
{
    char escape[8];

    put(b, "\"");
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        put(b, escape);
    }
    put(b, "\"");
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names must be UTF-8 and all different. */
static vg_status check_names(const char *path, const char **names, size_t count, vg_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!names[i] || !vg_utf8_valid(names[i], strlen(names[i]), NULL))
            return VG_FAIL(err, VG_E_ARG, "%s: name %zu is missing or not UTF-8", path, i);
        if (strcmp(names[i], VG_SAFETENSORS_METADATA) == 0)
            return VG_FAIL(err, VG_E_ARG, "%s: %s is not a name for a tensor", path,
                           VG_SAFETENSORS_METADATA);
    }
    qsort(names, count, sizeof *names, compare_text);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            return VG_FAIL(err, VG_E_ARG, "%s: name \"%s\" twice", path, names[i]);
    }
    return VG_OK;
}

static vg_status put_metadata(const char *path, const char *const *metadata, text_buffer *b,
                              vg_err *err)
{
    put(b, "\"" VG_SAFETENSORS_METADATA "\":{");
    for (int i = 0; metadata[i]; i += 2) {
        if (!metadata[i + 1])
            return VG_FAIL(err, VG_E_ARG, "%s: metadata \"%s\" has no value", path, metadata[i]);
        if (!vg_utf8_valid(metadata[i], strlen(metadata[i]), NULL) ||
            !vg_utf8_valid(metadata[i + 1], strlen(metadata[i + 1]), NULL))
            return VG_FAIL(err, VG_E_ARG, "%s: metadata \"%s\" is not UTF-8", path, metadata[i]);
        put(b, i > 0 ? "," : "");
        put_quoted(b, metadata[i]);
        put(b, ":");
        put_quoted(b, metadata[i + 1]);
    }
    put(b, "}");
    return VG_OK;
}

/* Its row; *at: where its data begins, and then ends. */
static vg_status put_tensor(const char *path, const vg_safetensors_shape *t, uint64_t *at,
                            text_buffer *b, vg_err *err)
{
    size_t bytes;
    vg_status status = vg_shape_bytes(t->shape, t->ndim, t->dtype, &bytes, err);
    if (status != VG_OK) {
        vg_err_prefix(err, "%s: tensor \"%s\"", path, t->name);
        return status;
    }
    put_quoted(b, t->name);
    put(b, ":{\"dtype\":\"");
    put(b, vg_dtype_name(t->dtype));
    put(b, "\",\"shape\":[");
    for (int d = 0; d < t->ndim; d++) {
        put(b, d > 0 ? "," : "");
        put_number(b, (uint64_t)t->shape[d]);
    }
    put(b, "],\"data_offsets\":[");
    put_number(b, *at);
    put(b, ",");
    *at += bytes;
    put_number(b, *at);
    put(b, "]}");
    return VG_OK;
}

static vg_status put_header(const char *path, const vg_safetensors_shape *tensors, int count,
                            const char *const *metadata, text_buffer *b, vg_err *err)
{
    bool pairs = metadata && metadata[0];
    uint64_t at = 0;

    put_bytes(b, "\0\0\0\0\0\0\0\0", 8); /* the length, known at the end */
    put(b, "{");
    if (pairs)
        VG_TRY(put_metadata(path, metadata, b, err));
    for (int i = 0; i < count; i++) {
        put(b, pairs || i > 0 ? "," : "");
        VG_TRY(put_tensor(path, &tensors[i], &at, b, err));
    }
    put(b, "}");
    while (!b->failed && b->used % 8 != 0)
        put(b, " ");
    if (b->failed)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for the header", path);
    if (b->used - 8 > VG_SAFETENSORS_HEADER_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: header over %u bytes", path, VG_SAFETENSORS_HEADER_MAX);
    for (int i = 0; i < 8; i++)
        b->text[i] = (char)((uint64_t)(b->used - 8) >> (8 * i) & 0xff);
    return VG_OK;
}

static vg_status check_all_names(const char *path, const vg_safetensors_shape *tensors, int count,
                                 const char *const *metadata, vg_err *err)
{
    size_t keys = 0;

    while (metadata && metadata[2 * keys] && metadata[2 * keys + 1])
        keys++;
    const char **names = calloc((size_t)count + keys + 1, sizeof *names);
    if (!names)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", path, count);
    for (int i = 0; i < count; i++)
        names[i] = tensors[i].name;
    vg_status status = check_names(path, names, (size_t)count, err);
    for (size_t i = 0; i < keys; i++)
        names[i] = metadata[2 * i];
    if (status == VG_OK)
        status = check_names(path, names, keys, err);
    free(names);
    return status;
}

vg_status vg_safetensors_header(const char *path, const vg_safetensors_shape *tensors, int count,
                                const char *const *metadata, char **text, size_t *size, vg_err *err)
{
    text_buffer b = {0};

    VG_TRY(check_all_names(path, tensors, count, metadata, err));
    vg_status status = put_header(path, tensors, count, metadata, &b, err);
    if (status != VG_OK) {
        free(b.text);
        return status;
    }
    *text = b.text;
    *size = b.used;
    return VG_OK;
}

/* The checksum over header and tensors, in its place in the header, where that has one. */
static void seal(char *header, size_t size, const vg_file_part *parts, int count)
{
    const size_t at = 8 + sizeof VG_SAFETENSORS_SEAL - 1;
    char text[VG_DIGEST_HEX + 1];
    if (size < at + VG_DIGEST_HEX ||
        memcmp(header + 8, VG_SAFETENSORS_SEAL VG_SAFETENSORS_UNKNOWN,
               sizeof VG_SAFETENSORS_SEAL VG_SAFETENSORS_UNKNOWN - 1) != 0)
        return;
    uint64_t digest = vg_digest(0, header, size);
    for (int i = 1; i < count; i++)
        digest = vg_digest(digest, parts[i].bytes, parts[i].size);
    vg_digest_text(digest, text);
    memcpy(header + at, text, VG_DIGEST_HEX);
}

vg_status vg_safetensors_write(const char *path, const vg_safetensors_entry *entries, int count,
                               const char *const *metadata, vg_err *err)
{
    vg_status status = VG_OK;
    char *header = NULL;
    size_t size;

    if (count < 0)
        return VG_FAIL(err, VG_E_ARG, "%s: %d tensors", path, count);
    vg_safetensors_shape *shapes = calloc((size_t)count + 1, sizeof *shapes);
    vg_file_part *parts = calloc((size_t)count + 1, sizeof *parts);
    if (!shapes || !parts) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d tensors", path, count);
        goto done;
    }
    for (int i = 0; i < count; i++) {
        const vg_tensor *t = &entries[i].tensor;
        shapes[i] = (vg_safetensors_shape){entries[i].name, t->dtype, t->ndim, {0}};
        memcpy(shapes[i].shape, t->shape, sizeof t->shape);
    }
    VG_TRY_GOTO(status, vg_safetensors_header(path, shapes, count, metadata, &header, &size, err),
                done);
    parts[0] = (vg_file_part){header, size};
    for (int i = 0; i < count; i++) {
        const vg_tensor *t = &entries[i].tensor;
        parts[i + 1] = (vg_file_part){t->data, vg_tensor_bytes(t)};
        if (!t->data && parts[i + 1].size > 0) {
            status = VG_FAIL(err, VG_E_ARG, "%s: tensor \"%s\" has no data", path, entries[i].name);
            goto done;
        }
    }
    seal(header, size, parts, count + 1);
    status = vg_file_write_atomic_parts(path, parts, count + 1, err);
done:
    free(header);
    free(parts);
    free(shapes);
    return status;
}
