/* options.c: see options.h. */
#include "app/settings/options.h"

#include <stdio.h>
#include <string.h>
#include "app/settings/choices.h"
#include "engine/run/limits.h"

const vg_option vg_options[VG_OPT_COUNT] = {
#define VG_OPTION(key, type, def, min, max, unit, choices, decides, modes, flags, group, label,    \
                  help)                                                                            \
    {#key,    VG_TYPE_##type, def,   min,   max,   unit, VG_CHOICES(choices),                      \
     decides, modes,          flags, group, label, help},
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

const char *vg_option_nearest(const char *name)
{
    const char *keys[VG_OPT_COUNT];
    for (int i = 0; i < VG_OPT_COUNT; i++)
        keys[i] = vg_options[i].key;
    return vg_text_nearest(name, keys, VG_OPT_COUNT);
}

bool vg_option_has(const vg_option *option, char flag)
{
    return strchr(option->flags, flag) != NULL;
}

bool vg_option_decides(const vg_option *option, char what)
{
    return strchr(option->decides, what) != NULL;
}

/* Where `word` of n bytes is in "a|b|c", counted in words; -1: nowhere. */
static int word_index(const char *list, const char *word, size_t n)
{
    for (int i = 0; *list; i++) {
        size_t m = strcspn(list, "|");
        if (m == n && !strncmp(list, word, n))
            return i;
        list += m + (list[m] == '|');
    }
    return -1;
}

bool vg_option_applies(const vg_option *option, const char *mode)
{
    return !*option->modes || word_index(option->modes, mode, strlen(mode)) >= 0;
}

/* Length of the ":N" at the end of "cuda:N"; 0 when there is none. Of the CPU there is one. */
static size_t trailing_ordinal(const char *word, size_t n)
{
    size_t digits = 0;
    while (digits < n && digits < 4 && word[n - 1 - digits] >= '0' && word[n - 1 - digits] <= '9')
        digits++;
    bool is = digits > 0 && digits < 4 && digits < n && word[n - 1 - digits] == ':';
    return is && strncmp(word, "cpu", 3) ? digits + 1 : 0;
}

int vg_option_choice(const vg_option *option, const char *word, size_t n)
{
    size_t kind = option == &vg_options[VG_OPT_device] ? n - trailing_ordinal(word, n) : n;
    return word_index(option->choices, word, kind);
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
        snprintf(buf, size,
                 "a whole number from -9223372036854775808 to 18446744073709551615, or random");
        break;
    case VG_TYPE_PATH:
        snprintf(buf, size, "a path");
        break;
    case VG_TYPE_PATHS:
        snprintf(buf, size, "a path, or up to %g with | between", option->max);
        break;
    default:
        snprintf(buf, size, "a text of at most %g bytes", option->max > 0 ? option->max : 4096.0);
        break;
    }
    return buf;
}
