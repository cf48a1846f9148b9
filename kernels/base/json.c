/* json.c: cJSON behind a gate. Before cJSON sees a byte, one pass over the text checks what cJSON does not: valid UTF-8, no
 * NUL (raw or \u0000: it would cut a name short), bounded nesting, and a bounded number of values (cJSON spends about 64
 * bytes on each, so "1,1,1,..." would grow thirty-fold). */
#include "kernels/base/json.h"

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

bool vg_utf8_valid(const char *text, size_t size, size_t *bad)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    while (i < size) {
        size_t extra;
        uint32_t code, least;
        if (s[i] < 0x80) {
            i++;
            continue;
        }
        if (s[i] >= 0xc2 && s[i] <= 0xdf)
            extra = 1, code = s[i] & 0x1fu, least = 0x80;
        else if (s[i] >= 0xe0 && s[i] <= 0xef)
            extra = 2, code = s[i] & 0x0fu, least = 0x800;
        else if (s[i] >= 0xf0 && s[i] <= 0xf4)
            extra = 3, code = s[i] & 0x07u, least = 0x10000;
        else
            goto bad;
        if (size - i <= extra)
            goto bad;
        for (size_t k = 1; k <= extra; k++) {
            if ((s[i + k] & 0xc0) != 0x80)
                goto bad;
            code = code << 6 | (s[i + k] & 0x3fu);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            goto bad;
        i += extra + 1;
    }
    return true;
bad:
    if (bad)
        *bad = i;
    return false;
}

static vg_status gate(const char *text, size_t size, const char *name, vg_err *err)
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
    const char *end = text;

    VG_TRY(gate(text, size, name, err));
    cJSON *parsed = cJSON_ParseWithLengthOpts(text, size, &end, false);
    if (!parsed) {
        size_t at = end && end >= text && end <= text + size ? (size_t)(end - text) : 0;
        return VG_FAIL(err, VG_E_FORMAT, "%s: line %d: not valid JSON at byte %zu", name,
                       line_of(text, at), at);
    }
    size_t at = (size_t)(end - text);
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

/* The value of a key, or NULL when it is missing or null. */
static const cJSON *get(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);

    return item && !cJSON_IsNull(item) ? item : NULL;
}

vg_status vg_json_get_int(const cJSON *o, const char *name, const char *key, int64_t min,
                          int64_t max, int64_t *value, vg_err *err)
{
    const cJSON *item = get(o, key);

    if (!item)
        return VG_OK;
    /* Beyond 2^53 a double no longer tells neighbours apart. */
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= 9007199254740992.0) ||
        item->valuedouble != trunc(item->valuedouble))
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" must be a whole number", name, key);
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
    const cJSON *item = get(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" must be a number", name, key);
    if (item->valuedouble < min || item->valuedouble > max)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" is %g, must be %g..%g", name, key,
                       item->valuedouble, min, max);
    *value = item->valuedouble;
    return VG_OK;
}

vg_status vg_json_get_bool(const cJSON *o, const char *name, const char *key, bool *value,
                           vg_err *err)
{
    const cJSON *item = get(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsBool(item))
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" must be true or false", name, key);
    *value = cJSON_IsTrue(item);
    return VG_OK;
}

vg_status vg_json_get_string(const cJSON *o, const char *name, const char *key, const char **value,
                             vg_err *err)
{
    const cJSON *item = get(o, key);

    if (!item)
        return VG_OK;
    if (!cJSON_IsString(item) || !item->valuestring)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" must be a text", name, key);
    *value = item->valuestring;
    return VG_OK;
}

vg_status vg_json_get_doubles(const cJSON *o, const char *name, const char *key, double *values,
                              int max_count, int *count, vg_err *err)
{
    const cJSON *item = get(o, key), *element;
    int n = 0;

    if (!item)
        return VG_OK;
    if (!cJSON_IsArray(item))
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" must be a list of numbers", name, key);
    /* Two passes: outputs stay as they were when anything is wrong. */
    cJSON_ArrayForEach(element, item)
    {
        if (!cJSON_IsNumber(element) || !isfinite(element->valuedouble))
            return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\"[%d] must be a number", name, key, n);
        if (++n > max_count)
            return VG_FAIL(err, VG_E_FORMAT, "%s: \"%s\" has more than %d numbers", name, key,
                           max_count);
    }
    n = 0;
    cJSON_ArrayForEach(element, item) values[n++] = element->valuedouble;
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
