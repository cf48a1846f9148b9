/* json.h: cJSON with manners: size-limited loading with line numbers in errors, typed getters that name file and key. */
#ifndef VG_KERNELS_BASE_JSON_H
#define VG_KERNELS_BASE_JSON_H

#include <cjson/cJSON.h>
#include "kernels/base/fileio.h"
#include <stdint.h>
#include <stdio.h>

#define VG_JSON_LIMIT_BYTES (64u << 20)

/* Parse a file; the root must be an object. The caller frees with cJSON_Delete. Limits: VG_JSON_LIMIT_BYTES (files), nesting
 * 64, 4 million values; text must be valid UTF-8 without NUL. NaN and Infinity, which Python writes, are numbers that no getter below
 * accepts. Errors: VG_E_IO, VG_E_FORMAT with the line, VG_E_NOMEM. */
vg_status vg_json_load(const char *path, cJSON **root, vg_err *err);
/* The same for DIR/FILE, which may be missing: *root is then as it was. *path is its path, malloc'd, also when loading fails. */
vg_status vg_json_load_if(const char *dir, const char *file, char **path, cJSON **root,
                          vg_err *err);
/* text need not end with NUL; name is for messages. *root is the caller's (cJSON_Delete). Errors: VG_E_FORMAT with the line. */
vg_status vg_json_parse(const char *text, size_t size, const char *name, cJSON **root, vg_err *err);
/* Atomic, indented, newline at the end. */
vg_status vg_json_save(const char *path, const cJSON *root, vg_err *err);

/* Typed getters: the one way to read a value of a file that somebody else wrote. A missing key leaves *value as it is (the default) and
 * returns VG_OK; a wrong type (null is one), a number that is not finite, a list of a wrong length or a value outside [min,max] is
 * VG_E_FORMAT naming `name` (the file) and key. Where null is a value like any other, ask vg_json_is_set first. */
vg_status vg_json_get_int(const cJSON *o, const char *name, const char *key, int64_t min,
                          int64_t max, int64_t *value, vg_err *err);
/* Any finite number from min to max. */
vg_status vg_json_get_double(const cJSON *o, const char *name, const char *key, double min,
                             double max, double *value, vg_err *err);
/* true or false; numbers are a wrong type. */
vg_status vg_json_get_bool(const cJSON *o, const char *name, const char *key, bool *value,
                           vg_err *err);
/* Borrowed from o, as are objects and lists. */
vg_status vg_json_get_string(const cJSON *o, const char *name, const char *key, const char **value,
                             vg_err *err);
/* A list, a text or null is a wrong type. */
vg_status vg_json_get_object(const cJSON *o, const char *name, const char *key, const cJSON **value,
                             vg_err *err);
/* Of min_count..max_count entries; their types are the caller's to check. */
vg_status vg_json_get_list(const cJSON *o, const char *name, const char *key, int min_count,
                           int max_count, const cJSON **value, vg_err *err);
/* List of numbers, or of true and false, into values[0..max_count); *count says how many; missing: *count unchanged. */
vg_status vg_json_get_doubles(const cJSON *o, const char *name, const char *key, double *values,
                              int max_count, int *count, vg_err *err);
/* Of at most max_count entries; true and false only. */
vg_status vg_json_get_bools(const cJSON *o, const char *name, const char *key, bool *values,
                            int max_count, int *count, vg_err *err);
bool vg_json_is_set(const cJSON *o, const char *key); /* there, and not null */
const char *vg_json_kind(const cJSON *item);          /* "a number", "null", ... for messages */
/* Print JSON so that it is safe on a terminal too: DEL and C1 controls are escaped. Deletes root. */
void vg_json_print(FILE *out, cJSON *root, bool indented);
#endif
