/* json.c: cJSON behind a gate. Before cJSON sees a byte, one pass over the text checks what cJSON does not: valid UTF-8, no
 * NUL (raw or \u0000: it would cut a name short), bounded nesting, and a bounded number of values (cJSON spends about 64
 * bytes on each, so "1,1,1,..." would grow thirty-fold).
 * Python's json writes NaN and Infinity, which JSON does not have, and the libraries that write configs let it. cJSON gets a number
 * too large for a double instead: infinite, so every getter refuses it, and nobody minds it where nobody reads it. */
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  64
#define VALUES_MAX (4u << 20)

static int line_of(const char *text, size_t at)
{
    int line = 1;

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

#define INFINITE "1e999"

/* Length of the constant of Python's json at the start of text[0..size), 0 when there is none. A sign before it stays where it is. */
static size_t constant_length(const char *text, size_t size)
{
    static const char *const constants[] = {"NaN", "Infinity"};

    for (int i = 0; i < 2; i++) {
        size_t length = strlen(constants[i]);
        if (length <= size && memcmp(text, constants[i], length) == 0)
            return length;
    }
    return 0;
}

/* text[0..size) into copy with INFINITE for every constant; copy has room for two bytes more per constant. Stops when `until` bytes
 * are written, *written (may be NULL) says how many are. Returns how much of the text that is. */
static size_t spell_out(const char *text, size_t size, char *copy, size_t until, size_t *written)
{
    size_t used = 0, i = 0;
    bool in_string = false;

    while (i < size && used < until) {
        size_t length = in_string ? 0 : constant_length(text + i, size - i);
        if (length > 0) {
            memcpy(copy + used, INFINITE, sizeof INFINITE - 1);
            used += sizeof INFINITE - 1;
            i += length;
            continue;
        }
        if (text[i] == '"')
            in_string = !in_string;
        else if (in_string && text[i] == '\\' && i + 1 < size)
            copy[used++] = text[i++];
        copy[used++] = text[i++];
    }
    if (written)
        *written = used;
    return i < size ? i : size;
}

/* *constants: how many there are to spell out. */
static vg_status gate(const char *text, size_t size, const char *name, size_t *constants,
                      vg_err *err)
{
    size_t bad = 0, values = 0;
    int depth = 0;
    bool in_string = false;

    if (!vg_utf8_valid(text, size, &bad))
        return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: not valid UTF-8 at byte %zu", name,
                       line_of(text, bad), bad);
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\0')
            return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: NUL byte", name, line_of(text, i));
        if (in_string) {
            if (c == '\\') {
                if (size - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
                    return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: NUL in a string", name,
                                   line_of(text, i));
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (c == ',')
            values++;
        else if ((c == 'N' || c == 'I') && constant_length(text + i, size - i) > 0)
            ++*constants;
        if (depth > DEPTH_MAX)
            return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: nested deeper than %d", name,
                           line_of(text, i), DEPTH_MAX);
        if (values > VALUES_MAX)
            return VG_FAIL(err, VG_E_FORMAT, "%s: more than %u values", name, VALUES_MAX);
    }
    return VG_OK;
}

vg_status vg_json_parse(const char *text, size_t size, const char *name, cJSON **root, vg_err *err)
{
    size_t constants = 0, room = size;
    char *copy = NULL;
    const char *source = text;

    VG_TRY(gate(text, size, name, &constants, err));
    if (constants > 0) {
        copy = malloc(size + 2 * constants + 1);
        if (!copy)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory reading %zu bytes", name, size);
        spell_out(text, size, copy, SIZE_MAX, &room);
        source = copy;
    }
    const char *end = source;
    cJSON *parsed = cJSON_ParseWithLengthOpts(source, room, &end, false);
    size_t at = end && end >= source && end <= source + room ? (size_t)(end - source) : 0;
    if (copy)
        at = spell_out(text, size, copy, at, NULL);
    free(copy);
    if (!parsed)
        return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: not valid JSON at byte %zu", name,
                       line_of(text, at), at);
    while (at < size && strchr(" \t\r\n", text[at]))
        at++;
    if (at < size) {
        cJSON_Delete(parsed);
        return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: text after the end of the JSON value", name,
                       line_of(text, at));
    }
    if (!cJSON_IsObject(parsed)) {
        cJSON_Delete(parsed);
        return VG_FAIL(err, VG_E_FORMAT, "%s: the top value must be a JSON object", name);
    }
    *root = parsed;
    return VG_OK;
}

vg_status vg_json_load(const char *path, cJSON **root, vg_err *err)
{
    char *text;
    size_t size;

    VG_TRY(vg_file_read(path, VG_JSON_LIMIT_BYTES, &text, &size, err));
    vg_status status = vg_json_parse(text, size, path, root, err);
    free(text);
    return status;
}

vg_status vg_json_load_if(const char *dir, const char *file, char **path, cJSON **root, vg_err *err)
{
    *path = vg_path_join(dir, file);
    if (!*path)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    return vg_file_exists(*path) ? vg_json_load(*path, root, err) : VG_OK;
}

vg_status vg_json_save(const char *path, const cJSON *root, vg_err *err)
{
    char *text = cJSON_Print(root);

    if (!text)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory printing JSON", path);
    vg_file_part parts[] = {{text, strlen(text)}, {"\n", 1}};
    vg_status status = vg_file_write_atomic_parts(path, parts, 2, err);
    cJSON_free(text);
    return status;
}

const char *vg_json_kind(const cJSON *item)
{
    return cJSON_IsString(item)   ? "a text"
           : cJSON_IsNumber(item) ? isfinite(item->valuedouble) ? "a number" : "not finite"
           : cJSON_IsBool(item)   ? "true or false"
           : cJSON_IsArray(item)  ? "a list"
           : cJSON_IsNull(item)   ? "null"
                                  : "an object";
}

bool vg_json_is_set(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    return item && !cJSON_IsNull(item);
}

static vg_status wrong_type(const cJSON *item, const char *name, const char *key,
                            const char *wanted, vg_err *err)
{
    return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" is %s, must be %s", name, key, vg_json_kind(item),
                   wanted);
}

static bool is_finite(const cJSON *item)
{
    return cJSON_IsNumber(item) && isfinite(item->valuedouble);
}

vg_status vg_json_get_int(const cJSON *o, const char *name, const char *key, int64_t min,
                          int64_t max, int64_t *value, vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    /* Beyond 2^53 a double no longer tells neighbours apart. */
    if (!is_finite(item) || !(fabs(item->valuedouble) <= 9007199254740992.0) ||
        item->valuedouble != trunc(item->valuedouble))
        return wrong_type(item, name, key, "a whole number", err);
    int64_t number = (int64_t)item->valuedouble;
    if (number < min || number > max)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" is %lld, must be %lld..%lld", name, key,
                       (long long)number, (long long)min, (long long)max);
    *value = number;
    return VG_OK;
}

vg_status vg_json_get_double(const cJSON *o, const char *name, const char *key, double min,
                             double max, double *value, vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    if (!is_finite(item))
        return wrong_type(item, name, key, "a number", err);
    if (item->valuedouble < min || item->valuedouble > max)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" is %g, must be %g..%g", name, key,
                       item->valuedouble, min, max);
    *value = item->valuedouble;
    return VG_OK;
}

vg_status vg_json_get_bool(const cJSON *o, const char *name, const char *key, bool *value,
                           vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsBool(item))
        return wrong_type(item, name, key, "true or false", err);
    *value = cJSON_IsTrue(item);
    return VG_OK;
}

vg_status vg_json_get_string(const cJSON *o, const char *name, const char *key, const char **value,
                             vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsString(item) || !item->valuestring)
        return wrong_type(item, name, key, "a text", err);
    *value = item->valuestring;
    return VG_OK;
}

vg_status vg_json_get_object(const cJSON *o, const char *name, const char *key, const cJSON **value,
                             vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsObject(item))
        return wrong_type(item, name, key, "an object", err);
    *value = item;
    return VG_OK;
}

vg_status vg_json_get_list(const cJSON *o, const char *name, const char *key, int min_count,
                           int max_count, const cJSON **value, vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsArray(item))
        return wrong_type(item, name, key, "a list", err);
    int count = cJSON_GetArraySize(item);
    if (count < min_count || count > max_count)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" has %d entries, must have %d..%d", name, key,
                       count, min_count, max_count);
    *value = item;
    return VG_OK;
}

/* An entry of a list is not what it has to be. */
static vg_status wrong_entry(const cJSON *element, const char *name, const char *key, int index,
                             const char *wanted, vg_err *err)
{
    return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\"[%d] is %s, must be %s", name, key, index,
                   vg_json_kind(element), wanted);
}

vg_status vg_json_get_doubles(const cJSON *o, const char *name, const char *key, double *values,
                              int max_count, int *count, vg_err *err)
{
    const cJSON *list = NULL, *element;
    int n = 0;

    VG_TRY(vg_json_get_list(o, name, key, 0, max_count, &list, err));
    if (!list)
        return VG_OK;
    /* Two passes: outputs stay as they were when anything is wrong. */
    cJSON_ArrayForEach(element, list)
    {
        if (!is_finite(element))
            return wrong_entry(element, name, key, n, "a number", err);
        n++;
    }
    n = 0;
    cJSON_ArrayForEach(element, list) values[n++] = element->valuedouble;
    *count = n;
    return VG_OK;
}

vg_status vg_json_get_bools(const cJSON *o, const char *name, const char *key, bool *values,
                            int max_count, int *count, vg_err *err)
{
    const cJSON *list = NULL, *element;
    int n = 0;

    VG_TRY(vg_json_get_list(o, name, key, 0, max_count, &list, err));
    if (!list)
        return VG_OK;
    cJSON_ArrayForEach(element, list)
    {
        if (!cJSON_IsBool(element))
            return wrong_entry(element, name, key, n, "true or false", err);
        n++;
    }
    n = 0;
    cJSON_ArrayForEach(element, list) values[n++] = cJSON_IsTrue(element);
    *count = n;
    return VG_OK;
}

void vg_json_print(FILE *out, cJSON *root, bool indented)
{
    char *text = indented ? cJSON_Print(root) : cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    for (const unsigned char *s = (const unsigned char *)(text ? text : "null"); *s; s++) {
        /* These bytes occur inside strings only, where the escape means the same. */
        if (*s == 0x7f)
            fputs("\\u007f", out);
        else if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
            fprintf(out, "\\u%04x", *++s);
        else
            fputc(*s, out);
    }
    fputc('\n', out);
    cJSON_free(text);
}
