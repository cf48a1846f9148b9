/* settings.c: see settings.h. */
#include "app/settings/settings.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const vg_option vg_options[VG_OPT_COUNT] = {
#define VG_OPTION(key, type, def, min, max, unit, choices, flags, group, label, help)              \
    {#key, VG_TYPE_##type, def, min, max, unit, choices, flags, group, label, help},
#include "app/settings/options.def"
};

int vg_option_find(const char *name)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *a = vg_options[i].key, *b = name;
        while (*a && (*a == *b || (*a == '_' && *b == '-'))) {
            a++;
            b++;
        }
        if (!*a && !*b)
            return i;
    }
    return -1;
}

bool vg_option_has(const vg_option *option, char flag)
{
    return strchr(option->flags, flag) != NULL;
}

const char *vg_option_flag(const vg_option *option, char *buf, size_t size)
{
    snprintf(buf, size, "%s", option->key);
    for (char *c = buf; *c; c++) {
        if (*c == '_')
            *c = '-';
    }
    return buf;
}

int vg_option_choices(const vg_option *option, vg_lines *choices)
{
    const char *s = option->choices;
    while (*s) {
        size_t n = strcspn(s, "|");
        vg_lines_add(choices, vg_xstrf("%.*s", (int)n, s));
        s += n + (s[n] == '|');
    }
    return choices->count;
}

/* "bf16, fp8 or fp8-block" */
static void choices_text(const vg_option *option, char *buf, size_t size)
{
    vg_lines c = {0};
    size_t n = 0;
    vg_option_choices(option, &c);
    buf[0] = 0;
    for (int i = 0; i < c.count && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s",
                              i == 0            ? ""
                              : i + 1 < c.count ? ", "
                                                : " or ",
                              c.items[i]);
    vg_lines_free(&c);
}

const char *vg_option_expects(const vg_option *option, char *buf, size_t size)
{
    char choices[160];
    choices_text(option, choices, sizeof choices);
    switch (option->type) {
    case VG_TYPE_INT:
        snprintf(buf, size, "a whole number from %g to %g", option->min, option->max);
        break;
    case VG_TYPE_REAL:
        snprintf(buf, size, "a number from %g to %g", option->min, option->max);
        break;
    case VG_TYPE_BOOL:
        snprintf(buf, size, "true or false");
        break;
    case VG_TYPE_ENUM:
        snprintf(buf, size, "%s", choices);
        break;
    case VG_TYPE_LIST:
        snprintf(buf, size, "%s, or several with commas between", choices);
        break;
    case VG_TYPE_SEED:
        snprintf(buf, size, "a whole number from 0 to 18446744073709551615");
        break;
    case VG_TYPE_PATH:
        snprintf(buf, size, "a path");
        break;
    default:
        snprintf(buf, size, "a text of at most %g bytes", option->max > 0 ? option->max : 4096.0);
        break;
    }
    return buf;
}

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

static char *real_text(double v)
{
    char buf[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    return vg_xstrdup(buf);
}

static bool in_choices(const vg_option *o, const char *word)
{
    vg_lines c = {0};
    bool found = false;
    vg_option_choices(o, &c);
    for (int i = 0; i < c.count; i++)
        found = found || !strcmp(c.items[i], word);
    vg_lines_free(&c);
    return found;
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
        *out = real_text(v == 0 ? 0.0 : v);
        return VG_OK;
    }
    case VG_TYPE_SEED: {
        if (*text < '0' || *text > '9')
            return wrong(o, text, err);
        unsigned long long v = strtoull(text, &end, 10);
        if (*end || errno)
            return wrong(o, text, err);
        *out = vg_xstrf("%llu", v);
        return VG_OK;
    }
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

uint64_t vg_settings_seed(const vg_settings *s)
{
    return strtoull(vg_settings_get(s, VG_OPT_seed), NULL, 10);
}

int vg_settings_schemes(const vg_settings *s, vg_scheme schemes[VG_SCHEME_COUNT])
{
    int count = 0;
    const char *t = vg_settings_get(s, VG_OPT_quantization);
    while (*t && count < VG_SCHEME_COUNT) {
        size_t n = strcspn(t, ",");
        char *word = vg_xstrf("%.*s", (int)n, t);
        if (vg_scheme_parse(word, &schemes[count], NULL) == VG_OK)
            count++;
        free(word);
        t += n + (t[n] == ',');
    }
    return count;
}

cJSON *vg_settings_to_json(const vg_settings *s)
{
    cJSON *object = cJSON_CreateObject();
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *t = s->text[i];
        if (!t)
            continue;
        switch (vg_options[i].type) {
        case VG_TYPE_INT:
        case VG_TYPE_REAL:
            cJSON_AddNumberToObject(object, vg_options[i].key, strtod(t, NULL));
            break;
        case VG_TYPE_SEED:
            /* Beyond 2^53 a JSON number is not exact: text then. */
            if (strtoull(t, NULL, 10) <= (1ull << 53))
                cJSON_AddNumberToObject(object, vg_options[i].key, strtod(t, NULL));
            else
                cJSON_AddStringToObject(object, vg_options[i].key, t);
            break;
        case VG_TYPE_BOOL:
            cJSON_AddBoolToObject(object, vg_options[i].key, !strcmp(t, "true"));
            break;
        case VG_TYPE_LIST: {
            cJSON *list = cJSON_AddArrayToObject(object, vg_options[i].key);
            while (*t) {
                size_t n = strcspn(t, ",");
                char *word = vg_xstrf("%.*s", (int)n, t);
                cJSON_AddItemToArray(list, cJSON_CreateString(word));
                free(word);
                t += n + (t[n] == ',');
            }
            break;
        }
        default:
            cJSON_AddStringToObject(object, vg_options[i].key, t);
            break;
        }
    }
    return object;
}

static const char *json_kind(const cJSON *item)
{
    return cJSON_IsString(item)   ? "a string"
           : cJSON_IsNumber(item) ? "a number"
           : cJSON_IsBool(item)   ? "true or false"
           : cJSON_IsArray(item)  ? "a list"
                                  : "an object";
}

/* The text form of a JSON value, malloc'd; NULL when its JSON type cannot be this option's. */
static char *json_text(const vg_option *o, const cJSON *item)
{
    if (cJSON_IsString(item) && o->type != VG_TYPE_BOOL && o->type != VG_TYPE_INT &&
        o->type != VG_TYPE_REAL)
        return vg_xstrdup(item->valuestring);
    if (cJSON_IsBool(item) && o->type == VG_TYPE_BOOL)
        return vg_xstrdup(cJSON_IsTrue(item) ? "true" : "false");
    if (cJSON_IsNumber(item) &&
        (o->type == VG_TYPE_INT || o->type == VG_TYPE_REAL || o->type == VG_TYPE_SEED)) {
        double v = item->valuedouble;
        if (o->type != VG_TYPE_REAL && v == floor(v) && fabs(v) <= 9007199254740992.0)
            return vg_xstrf("%.0f", v);
        return real_text(v);
    }
    /* "0.37" is a name here, and people write it as a number. */
    if (cJSON_IsNumber(item) && o->type == VG_TYPE_ENUM)
        return real_text(item->valuedouble);
    if (cJSON_IsArray(item) && o->type == VG_TYPE_LIST) {
        char *joined = vg_xstrdup("");
        const cJSON *part;
        cJSON_ArrayForEach(part, item)
        {
            if (!cJSON_IsString(part)) {
                free(joined);
                return NULL;
            }
            char *next = vg_xstrf("%s%s%s", joined, *joined ? "," : "", part->valuestring);
            free(joined);
            joined = next;
        }
        return joined;
    }
    return NULL;
}

static void warn_unknown(const char *key, const char *name, vg_lines *warnings)
{
    const char *keys[VG_OPT_COUNT];
    char clean[64], clean_name[256];
    for (int i = 0; i < VG_OPT_COUNT; i++)
        keys[i] = vg_options[i].key;
    const char *near = vg_text_nearest(key, keys, VG_OPT_COUNT);
    vg_text_clean_to(clean, sizeof clean, key);
    vg_text_clean_to(clean_name, sizeof clean_name, name);
    if (!warnings || warnings->count >= 16)
        return;
    if (near)
        vg_lines_add(warnings, vg_xstrf("%s: %s is not a setting and is ignored; did you mean %s?",
                                        clean_name, clean, near));
    else
        vg_lines_add(warnings,
                     vg_xstrf("%s: %s is not a setting and is ignored", clean_name, clean));
}

vg_status vg_settings_from_json(vg_settings *s, const cJSON *object, const char *name,
                                vg_lines *warnings, vg_err *err)
{
    vg_settings taken = {{0}};
    vg_status status = VG_OK;
    const cJSON *item;
    if (!cJSON_IsObject(object))
        return VG_FAIL(err, VG_E_FORMAT, "%s: settings need to be an object like {\"height\": 480}",
                       name);
    cJSON_ArrayForEach(item, object)
    {
        int id = item->string ? vg_option_find(item->string) : -1;
        if (!item->string || item->string[0] == '_' || cJSON_IsNull(item))
            continue;
        if (id < 0) {
            warn_unknown(item->string, name, warnings);
            continue;
        }
        const vg_option *o = &vg_options[id];
        char expects[256];
        char *text = json_text(o, item);
        if (!text) {
            status = VG_FAIL(err, VG_E_FORMAT, "%s: %s is %s, it needs %s", name, o->key,
                             json_kind(item), vg_option_expects(o, expects, sizeof expects));
            goto done;
        }
        vg_err inner = {0};
        status = !*text && o->type == VG_TYPE_LIST
                     ? VG_FAIL(&inner, VG_E_ARG, "%s: the list is empty", o->key)
                     : vg_settings_set(&taken, (vg_option_id)id, text, &inner);
        free(text);
        if (status != VG_OK) {
            status = VG_FAIL(err, VG_E_FORMAT, "%s: %s", name, inner.message);
            goto done;
        }
    }
    vg_settings_merge(s, &taken);
done:
    vg_settings_deinit(&taken);
    return status;
}

vg_load_format vg_settings_load_format(const vg_settings *s)
{
    return !strcmp(vg_settings_get(s, VG_OPT_load_format), "dummy") ? VG_LOAD_DUMMY : VG_LOAD_FILES;
}

void vg_settings_params(const vg_settings *s, vg_scheme scheme, vg_generate_params *p)
{
    const char *text;
    vg_generate_params_init(p);
    p->prompt = vg_settings_get(s, VG_OPT_prompt);
    p->negative_prompt = vg_settings_get(s, VG_OPT_negative_prompt);
    p->seed = vg_settings_seed(s);
    p->height = vg_settings_int(s, VG_OPT_height);
    p->width = vg_settings_int(s, VG_OPT_width);
    p->num_frames = vg_settings_int(s, VG_OPT_num_frames);
    p->steps = vg_settings_int(s, VG_OPT_num_inference_steps);
    p->guidance_scale = vg_settings_real(s, VG_OPT_guidance_scale);
    p->guidance_scale_2 = vg_settings_real(s, VG_OPT_guidance_scale_2);
    p->boundary_ratio = vg_settings_real(s, VG_OPT_boundary_ratio);
    p->flow_shift = vg_settings_real(s, VG_OPT_flow_shift);
    text = vg_settings_get(s, VG_OPT_scheduler);
    p->scheduler = *text ? text : NULL;
    text = vg_settings_get(s, VG_OPT_flow_grid);
    p->flow_grid = !*text                  ? VG_UNSET_INT
                   : !strcmp(text, "0.37") ? VG_FLOW_GRID_037
                                           : VG_FLOW_GRID_036;
    p->scheme = scheme;
    text = vg_settings_get(s, VG_OPT_fp8_act);
    p->fp8_act = !strcmp(text, "dynamic")       ? VG_FP8_ACT_DYNAMIC
                 : !strcmp(text, "weight-only") ? VG_FP8_ACT_WEIGHT_ONLY
                                                : VG_FP8_ACT_STATIC;
    p->fp8_exact = !strcmp(vg_settings_get(s, VG_OPT_fp8_sums), "exact");
    p->compute =
        !strcmp(vg_settings_get(s, VG_OPT_compute), "f32") ? VG_COMPUTE_F32 : VG_COMPUTE_BF16;
    p->vae_compute =
        !strcmp(vg_settings_get(s, VG_OPT_vae_compute), "bf16") ? VG_COMPUTE_BF16 : VG_COMPUTE_F32;
    p->vae_tiling = vg_settings_bool(s, VG_OPT_vae_use_tiling);
    p->max_steps_run = vg_settings_int(s, VG_OPT_max_steps_run);
    p->device = !strcmp(vg_settings_get(s, VG_OPT_device), "cuda") ? VG_DEVICE_CUDA : VG_DEVICE_CPU;
    double limit = vg_settings_real(s, VG_OPT_vram_limit);
    p->memory_limit = limit > 0 ? (size_t)(limit * 1073741824.0) : 0;
}

static vg_status take_int(vg_settings *s, vg_option_id id, int value, vg_err *err)
{
    char text[32];
    snprintf(text, sizeof text, "%d", value);
    return value == VG_UNSET_INT ? VG_OK : vg_settings_set(s, id, text, err);
}

static vg_status take_real(vg_settings *s, vg_option_id id, double value, vg_err *err)
{
    if (value == VG_UNSET_DOUBLE)
        return VG_OK;
    char *text = real_text(value);
    vg_status status = vg_settings_set(s, id, text, err);
    free(text);
    return status;
}

vg_status vg_settings_take_resolved(vg_settings *s, const vg_generate_params *p, vg_err *err)
{
    VG_TRY(take_int(s, VG_OPT_height, p->height, err));
    VG_TRY(take_int(s, VG_OPT_width, p->width, err));
    VG_TRY(take_int(s, VG_OPT_num_frames, p->num_frames, err));
    VG_TRY(take_int(s, VG_OPT_num_inference_steps, p->steps, err));
    VG_TRY(take_real(s, VG_OPT_guidance_scale, p->guidance_scale, err));
    VG_TRY(take_real(s, VG_OPT_guidance_scale_2, p->guidance_scale_2, err));
    VG_TRY(take_real(s, VG_OPT_boundary_ratio, p->boundary_ratio, err));
    VG_TRY(take_real(s, VG_OPT_flow_shift, p->flow_shift, err));
    if (p->scheduler)
        VG_TRY(vg_settings_set(s, VG_OPT_scheduler, p->scheduler, err));
    if (p->flow_grid != VG_UNSET_INT)
        VG_TRY(vg_settings_set(s, VG_OPT_flow_grid,
                               p->flow_grid == VG_FLOW_GRID_037 ? "0.37" : "0.36", err));
    return VG_OK;
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
