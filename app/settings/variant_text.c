/* variant_text.c: see variant_text.h. */
#include "app/settings/variant_text.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* Up to a comma outside of quotes, or the end; quotes and the backslashes in them are taken away. *end: behind the value. malloc'd; NULL: a quote
 * is not closed. */
static char *take_value(const char *s, const char **end)
{
    char *value = vg_xcalloc(strlen(s) + 1, 1), quote = 0;
    size_t n = 0;
    for (; *s && (quote || *s != ','); s++) {
        if (quote && *s == '\\' && (s[1] == quote || s[1] == '\\'))
            value[n++] = *++s;
        else if (quote && *s == quote)
            quote = 0;
        else if (!quote && !n && (*s == '"' || *s == '\''))
            quote = *s;
        else
            value[n++] = *s;
    }
    *end = s;
    if (!quote)
        return value;
    free(value);
    return NULL;
}

static vg_status take_key(const char *s, size_t n, vg_option_id *id, vg_err *err)
{
    char key[64], clean[64];
    snprintf(key, sizeof key, "%.*s", (int)(n < sizeof key ? n : sizeof key - 1), s);
    for (size_t i = strlen(key); i && (key[i - 1] == ' ' || key[i - 1] == '\t'); i--)
        key[i - 1] = 0;
    vg_text_clean_to(clean, sizeof clean, key);
    int found = vg_option_find(key);
    const char *near = vg_option_nearest(key);
    if (found < 0)
        return VG_FAIL(err, VG_E_ARG, "%s is not a setting%s%s%s", clean,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    if (!vg_option_has(&vg_options[found], VG_OPTION_VARIES))
        return VG_FAIL(err, VG_E_ARG, "%s cannot differ between the variants of a job", clean);
    *id = (vg_option_id)found;
    return VG_OK;
}

/* "key=value" at *at; *at goes behind it. */
static vg_status take_setting(const char **at, vg_settings *overlay, vg_err *err)
{
    const char *s = skip_blanks(*at);
    size_t n = strcspn(s, "=,");
    char clean[64];
    vg_option_id id = VG_OPT_COUNT;
    vg_status status;
    if (s[n] != '=') {
        char *word = vg_xstrf("%.*s", (int)(n < 60 ? n : 60), s);
        vg_text_clean_to(clean, sizeof clean, word);
        free(word);
        return VG_FAIL(err, VG_E_ARG,
                       "\"%s\" is not key=value (a value with commas stands in quotes)", clean);
    }
    VG_TRY(take_key(s, n, &id, err));
    const vg_option *o = &vg_options[id];
    char *value = take_value(s + n + 1, at);
    if (!value)
        return VG_FAIL(err, VG_E_ARG, "%s: the quote is not closed", o->key);
    if (overlay->text[id])
        status = VG_FAIL(err, VG_E_ARG, "%s is there twice", o->key);
    else if (!value[strspn(value, " \t")] && o->type != VG_TYPE_TEXT)
        status = VG_FAIL(err, VG_E_ARG, "%s: the value is empty", o->key);
    else if (o->type == VG_TYPE_LIST && strchr(value, ','))
        status = VG_FAIL(err, VG_E_ARG, "%s: one of them to a variant", o->key);
    else
        status = vg_settings_set(overlay, id, value, err);
    free(value);
    return status;
}

/* "label:" in front of the settings; the length of all that, 0 when there is none. */
static size_t take_label(const char *text, char **label)
{
    size_t colon = strcspn(text, ":="), from = strspn(text, " \t"), to = colon;
    *label = NULL;
    if (text[colon] != ':')
        return 0;
    while (to > from && (text[to - 1] == ' ' || text[to - 1] == '\t'))
        to--;
    *label = vg_xstrf("%.*s", (int)(to > from ? to - from : 0), text + from);
    return colon + 1;
}

vg_status vg_variant_label_check(const char *label, size_t most, vg_err *err)
{
    char *clean = vg_text_clean(label);
    bool same = !strcmp(clean, label);
    vg_status status = VG_OK;
    if (!*label)
        status = VG_FAIL(err, VG_E_ARG, "the label is empty");
    else if (strlen(label) > most)
        status =
            VG_FAIL(err, VG_E_ARG, "the label has %zu bytes, at most %zu", strlen(label), most);
    else if (!same)
        status = VG_FAIL(err, VG_E_ARG, "the label \"%s\" is not plain UTF-8 text", clean);
    free(clean);
    return status;
}

/* What is said of a variant that nobody named: its scheme, or all its settings. malloc'd. */
static char *label_of(const vg_settings *overlay)
{
    char *label = vg_xstrdup(""), clean[VG_VARIANT_LABEL_BYTES_MAX + 1];
    bool scheme_alone = true;
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (!overlay->text[i])
            continue;
        scheme_alone = scheme_alone && (i == VG_OPT_quantization || i == VG_OPT_attention);
        /* Of a folder its name is enough. */
        const char *text = overlay->text[i], *slash = i == VG_OPT_model ? strrchr(text, '/') : NULL;
        char *longer = vg_xstrf("%s%s%s=%s", label, *label ? ", " : "", vg_options[i].key,
                                slash && slash[1] ? slash + 1 : text);
        free(label);
        label = longer;
    }
    if (scheme_alone && overlay->text[VG_OPT_quantization]) {
        free(label);
        return vg_settings_scheme_label(
            overlay, (vg_scheme)vg_settings_choice(overlay, VG_OPT_quantization));
    }
    vg_text_clean_to(clean, sizeof clean, label);
    vg_text_cut(clean, 40);
    free(label);
    return vg_xstrdup(clean);
}

vg_status vg_variant_text_parse(const char *text, char **label, vg_settings *overlay, vg_err *err)
{
    const char *at = text + take_label(text, label);
    if (*label)
        VG_TRY(vg_variant_label_check(*label, VG_VARIANT_LABEL_BYTES_MAX, err));
    while (*skip_blanks(at)) {
        VG_TRY(take_setting(&at, overlay, err));
        at += *at == ',';
    }
    if (!*label)
        *label = label_of(overlay);
    if (!**label)
        return VG_FAIL(err, VG_E_ARG, "it says nothing; write \"label: key=value\"");
    return VG_OK;
}
