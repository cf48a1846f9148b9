/* settings.c: see settings.h. */
#include "app/settings/settings.h"

#include "app/settings/paths.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void vg_settings_deinit(vg_settings *s)
{
    for (int i = 0; i < VG_OPT_COUNT; i++)
        free(s->text[i]);
    *s = (vg_settings){{0}};
}

void vg_settings_copy(vg_settings *to, const vg_settings *from)
{
    for (int i = 0; i < VG_OPT_COUNT; i++)
        to->text[i] = vg_xstrdup(from->text[i]);
}

void vg_settings_merge(vg_settings *to, const vg_settings *from)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (from->text[i]) {
            free(to->text[i]);
            to->text[i] = vg_xstrdup(from->text[i]);
        }
    }
}

void vg_settings_copy_one(vg_settings *to, const vg_settings *from, vg_option_id id)
{
    char *text = vg_xstrdup(from->text[id]);
    free(to->text[id]);
    to->text[id] = text;
}

void vg_settings_unset(vg_settings *s, vg_option_id id)
{
    free(s->text[id]);
    s->text[id] = NULL;
}

/* The value in quotes for a message, cleaned and cut. */
static const char *quoted(const char *text, char buf[48])
{
    char clean[44];
    vg_text_clean_to(clean, sizeof clean, text);
    vg_text_cut(clean, 32);
    snprintf(buf, 48, "\"%s\"", clean);
    return buf;
}

static vg_status wrong(const vg_option *o, const char *text, vg_err *err)
{
    char expects[256], q[48];
    return VG_FAIL(err, VG_E_ARG, "%s: %s is not right: it needs %s", o->key, quoted(text, q),
                   vg_option_expects(o, expects, sizeof expects));
}

/* Leading and trailing blanks are nobody's intention. */
static char *trimmed(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    return vg_xstrf("%.*s", (int)(n > INT_MAX ? INT_MAX : n), text);
}

static bool in_choices(const vg_option *o, const char *word)
{
    return vg_option_choice(o, word, strlen(word)) >= 0;
}

static vg_status nearest_choice(const vg_option *o, const char *word, vg_err *err)
{
    vg_lines c = {0};
    char q[48], expects[256];
    vg_option_choices(o, &c);
    const char *near = vg_text_nearest(word, (const char *const *)c.items, c.count);
    vg_option_expects(o, expects, sizeof expects);
    if (near)
        VG_FAIL(err, VG_E_ARG, "%s: %s is not known, did you mean %s? It needs %s", o->key,
                quoted(word, q), near, expects);
    else
        VG_FAIL(err, VG_E_ARG, "%s: %s is not known: it needs %s", o->key, quoted(word, q),
                expects);
    vg_lines_free(&c);
    return VG_E_ARG;
}

static vg_status parse_list(const vg_option *o, const char *text, char **out, vg_err *err)
{
    char *result = vg_xstrdup("");
    vg_lines seen = {0};
    vg_status status = VG_OK;
    const char *s = text;
    for (;;) {
        size_t n = strcspn(s, ",");
        char *part = vg_xstrf("%.*s", (int)n, s);
        char *word = trimmed(part);
        free(part);
        if (!in_choices(o, word))
            status = nearest_choice(o, word, err);
        for (int i = 0; i < seen.count && status == VG_OK; i++) {
            if (!strcmp(seen.items[i], word))
                status = VG_FAIL(err, VG_E_ARG, "%s: %s is named twice", o->key, word);
        }
        if (status == VG_OK) {
            char *joined = vg_xstrf("%s%s%s", result, *result ? "," : "", word);
            free(result);
            result = joined;
        }
        vg_lines_add(&seen, word);
        if (status != VG_OK || !s[n])
            break;
        s += n + 1;
    }
    vg_lines_free(&seen);
    if (status == VG_OK)
        *out = result;
    else
        free(result);
    return status;
}

static void split_paths(const char *text, vg_lines *paths)
{
    for (;;) {
        size_t n = strcspn(text, VG_PATHS_BETWEEN);
        char *part = vg_xstrf("%.*s", (int)n, text);
        vg_lines_add(paths, trimmed(part));
        free(part);
        if (!text[n])
            return;
        text += n + 1;
    }
}

static char *join_paths(const vg_lines *paths)
{
    char *all = vg_xstrdup("");
    for (int i = 0; i < paths->count; i++) {
        char *next = vg_xstrf("%s%s%s", all, i ? VG_PATHS_BETWEEN : "", paths->items[i]);
        free(all);
        all = next;
    }
    return all;
}

static vg_status parse_paths(const vg_option *o, const char *text, char **out, vg_err *err)
{
    vg_lines paths = {0};
    vg_status status = VG_OK;
    split_paths(text, &paths);
    if (paths.count > o->max)
        status = VG_FAIL(err, VG_E_ARG, "%s: %d paths; at most %g are possible", o->key,
                         paths.count, o->max);
    for (int i = 0; i < paths.count && status == VG_OK; i++)
        if (!*paths.items[i])
            status = VG_FAIL(err, VG_E_ARG, "%s: a path is empty (they stand with %s between)",
                             o->key, VG_PATHS_BETWEEN);
    if (status == VG_OK)
        *out = join_paths(&paths);
    vg_lines_free(&paths);
    return status;
}

/* Below 0 as torch.manual_seed takes it: -1 is 2^64 - 1. */
static vg_status parse_seed(const vg_option *o, const char *text, char **out, vg_err *err)
{
    char *end = NULL;
    bool negative = *text == '-';
    const char *digits = text + negative;
    if (!strcmp(text, VG_SEED_RANDOM)) {
        *out = vg_xstrdup(text);
        return VG_OK;
    }
    errno = 0;
    unsigned long long v = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || errno || (negative && v > 1ull << 63))
        return wrong(o, text, err);
    *out = vg_xstrf("%llu", negative ? 0 - v : v);
    return VG_OK;
}

/* Canonical text of a value, or VG_E_ARG. */
static vg_status parse(const vg_option *o, const char *text, char **out, vg_err *err)
{
    char *end = NULL;
    errno = 0;
    switch (o->type) {
    case VG_TYPE_INT: {
        long long v = strtoll(text, &end, 10);
        if (end == text || *end || errno || (double)v < o->min || (double)v > o->max)
            return wrong(o, text, err);
        *out = vg_xstrf("%lld", v);
        return VG_OK;
    }
    case VG_TYPE_REAL: {
        double v = strtod(text, &end);
        if (end == text || *end || !isfinite(v) || v < o->min || v > o->max ||
            strpbrk(text, "xXpP"))
            return wrong(o, text, err);
        *out = vg_text_real(v == 0 ? 0.0 : v);
        return VG_OK;
    }
    case VG_TYPE_SEED:
        return parse_seed(o, text, out, err);
    case VG_TYPE_BOOL: {
        static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0",
                                                                                    "no", "off"};
        for (int i = 0; i < 4; i++) {
            if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
                *out = vg_xstrdup(!strcasecmp(text, yes[i]) ? "true" : "false");
                return VG_OK;
            }
        }
        return wrong(o, text, err);
    }
    case VG_TYPE_ENUM:
        if (!in_choices(o, text))
            return nearest_choice(o, text, err);
        *out = vg_xstrdup(text);
        return VG_OK;
    case VG_TYPE_LIST:
        return parse_list(o, text, out, err);
    case VG_TYPE_PATHS:
        return parse_paths(o, text, out, err);
    default:
        break;
    }
    size_t limit = o->max > 0 ? (size_t)o->max : 4095;
    if (strlen(text) > limit)
        return VG_FAIL(err, VG_E_ARG, "%s: %zu bytes is too long, at most %zu", o->key,
                       strlen(text), limit);
    if (o->type != VG_TYPE_PATH && !vg_text_is_utf8(text))
        return VG_FAIL(err, VG_E_ARG, "%s: the text is not UTF-8", o->key);
    *out = vg_xstrdup(text);
    return VG_OK;
}

vg_status vg_settings_set(vg_settings *s, vg_option_id id, const char *text, vg_err *err)
{
    const vg_option *o = &vg_options[id];
    char *value = NULL;
    bool is_text = o->type == VG_TYPE_TEXT;
    char *t = is_text || o->type == VG_TYPE_PATH ? vg_xstrdup(text) : trimmed(text);
    if (!*t && !is_text) {
        free(t);
        vg_settings_unset(s, id);
        return VG_OK;
    }
    vg_status status = parse(o, t, &value, err);
    free(t);
    if (status != VG_OK)
        return status;
    free(s->text[id]);
    s->text[id] = value;
    return VG_OK;
}

vg_status vg_settings_add_path(vg_settings *s, vg_option_id id, const char *path, vg_err *err)
{
    if (strpbrk(path, VG_PATHS_BETWEEN))
        return VG_FAIL(err, VG_E_ARG, "%s: a path with %s in it cannot be one of several",
                       vg_options[id].key, VG_PATHS_BETWEEN);
    if (!s->text[id])
        return vg_settings_set(s, id, path, err);
    char *all = vg_xstrf("%s%s%s", s->text[id], VG_PATHS_BETWEEN, path);
    vg_status status = vg_settings_set(s, id, all, err);
    free(all);
    return status;
}

int vg_settings_paths(const vg_settings *s, vg_option_id id, vg_lines *paths)
{
    const char *text = vg_settings_get(s, id);
    if (*text && vg_options[id].type == VG_TYPE_PATHS)
        split_paths(text, paths);
    else if (*text)
        vg_lines_add(paths, vg_xstrdup(text));
    return paths->count;
}

vg_status vg_settings_set_paths(vg_settings *s, vg_option_id id, const vg_lines *paths, vg_err *err)
{
    char *all = join_paths(paths);
    vg_status status = vg_settings_set(s, id, all, err);
    free(all);
    return status;
}

vg_status vg_settings_whole_paths(vg_settings *s, vg_option_id id, vg_err *err)
{
    vg_lines paths = {0}, whole = {0};
    vg_settings_paths(s, id, &paths);
    for (int i = 0; i < paths.count; i++)
        vg_lines_add(&whole, vg_paths_absolute(paths.items[i]));
    vg_status status = vg_settings_set_paths(s, id, &whole, err);
    vg_lines_free(&paths);
    vg_lines_free(&whole);
    return status;
}

bool vg_settings_is_set(const vg_settings *s, vg_option_id id)
{
    return s->text[id] != NULL;
}

bool vg_settings_has_prompt(const vg_settings *s)
{
    const char *prompt = vg_settings_get(s, VG_OPT_prompt);
    return prompt[strspn(prompt, " \t\r\n")] != 0;
}

const char *vg_settings_get(const vg_settings *s, vg_option_id id)
{
    return s->text[id] ? s->text[id] : vg_options[id].def;
}

int vg_settings_int(const vg_settings *s, vg_option_id id)
{
    const char *t = vg_settings_get(s, id);
    return *t ? (int)strtol(t, NULL, 10) : VG_UNSET_INT;
}

double vg_settings_real(const vg_settings *s, vg_option_id id)
{
    const char *t = vg_settings_get(s, id);
    return *t ? strtod(t, NULL) : VG_UNSET_DOUBLE;
}

bool vg_settings_bool(const vg_settings *s, vg_option_id id)
{
    return !strcmp(vg_settings_get(s, id), "true");
}

int vg_settings_choice(const vg_settings *s, vg_option_id id)
{
    const char *t = vg_settings_get(s, id);
    return vg_option_choice(&vg_options[id], t, strlen(t));
}

uint64_t vg_settings_seed(const vg_settings *s)
{
    return strtoull(vg_settings_get(s, VG_OPT_seed), NULL, 10);
}

vg_status vg_settings_draw_seed(vg_settings *s, vg_err *err)
{
    uint64_t seed;
    char text[24];
    if (strcmp(vg_settings_get(s, VG_OPT_seed), VG_SEED_RANDOM))
        return VG_OK;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return VG_FAIL(err, VG_E_IO, "seed: the system gives no random number: %s",
                       strerror(errno));
    /* Few enough digits to be typed again, and exact as a number of JSON. */
    snprintf(text, sizeof text, "%u", (unsigned)seed);
    return vg_settings_set(s, VG_OPT_seed, text, err);
}

int vg_settings_schemes(const vg_settings *s, vg_scheme schemes[VG_SCHEME_COUNT])
{
    int count = 0;
    const char *t = vg_settings_get(s, VG_OPT_quantization);
    while (*t && count < VG_SCHEME_COUNT) {
        size_t n = strcspn(t, ",");
        int choice = vg_option_choice(&vg_options[VG_OPT_quantization], t, n);
        if (choice >= 0)
            schemes[count++] = (vg_scheme)choice;
        t += n + (t[n] == ',');
    }
    return count;
}

const char *vg_settings_summary(const vg_settings *s, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    const char *h = vg_settings_get(s, VG_OPT_height), *w = vg_settings_get(s, VG_OPT_width),
               *f = vg_settings_get(s, VG_OPT_num_frames);
    const char *steps = vg_settings_get(s, VG_OPT_num_inference_steps);
    if (*h && *w && *f)
        n += (size_t)snprintf(buf + n, size - n, "%sx%sx%s, ", h, w, f);
    if (*steps && n < size)
        n += (size_t)snprintf(buf + n, size - n, "%s steps, ", steps);
    if (n < size)
        snprintf(buf + n, size - n, "seed %s", vg_settings_get(s, VG_OPT_seed));
    return buf;
}

static vg_attend attend_of(const vg_settings *s)
{
    return (vg_attend)vg_settings_choice(s, VG_OPT_attention);
}

char *vg_settings_scheme_label(const vg_settings *s, vg_scheme scheme)
{
    return vg_xstrf("%s%s", vg_scheme_label(scheme), vg_attend_label(attend_of(s)));
}

char *vg_settings_scheme_id(const vg_settings *s, vg_scheme scheme)
{
    return vg_xstrf("%s%s", vg_scheme_name(scheme), vg_attend_id(attend_of(s)));
}
