/* args.c: parsing and help from the tables. See cli.h. */
#include "app/cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Other names that reference command lines use for the same thing. */
static const struct {
    const char *alias;
    vg_option_id id;
} aliases[] = {
#define VG_ALIAS(key, flag) {flag, VG_OPT_##key},
#include "app/settings/options.def"
};

static const char *const groups[] = {
#define VG_GROUP(name) #name,
#include "app/settings/options.def"
};

static bool takes_setting(const vg_command *command, int id)
{
    const char *s = command->settings, *key = vg_options[id].key;
    size_t n = strlen(key);
    if (!s)
        return false;
    if (!strcmp(s, "*"))
        return !vg_option_has(&vg_options[id], VG_OPTION_QUANTIZE);
    for (const char *at = s; (at = strstr(at, key)); at += n) {
        if ((at == s || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    }
    return false;
}

static int find_setting(const vg_command *command, const char *name)
{
    int id = vg_option_find(name);
    for (size_t i = 0; id < 0 && i < sizeof aliases / sizeof *aliases; i++) {
        if (!strcmp(aliases[i].alias, name))
            id = (int)aliases[i].id;
    }
    return id >= 0 && takes_setting(command, id) ? id : -1;
}

static int find_spec(const vg_command *command, const char *name, char letter)
{
    for (int i = 0; command->specs && command->specs[i].name; i++) {
        if (name ? !strcmp(command->specs[i].name, name)
                 : letter && command->specs[i].letter == letter)
            return i;
    }
    return -1;
}

static vg_status unknown_flag(const vg_command *command, const char *name, vg_err *err)
{
    char flags[VG_OPT_COUNT + VG_ARG_SPECS_MAX + 1][48];
    const char *candidates[VG_OPT_COUNT + VG_ARG_SPECS_MAX + 1];
    int n = 0;
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (takes_setting(command, i))
            candidates[n] = vg_option_flag(&vg_options[i], flags[n], sizeof flags[n]), n++;
    }
    for (int i = 0; command->specs && command->specs[i].name; i++)
        candidates[n++] = command->specs[i].name;
    candidates[n++] = "help";
    char clean[48], word[48];
    vg_text_clean_to(clean, sizeof clean, name);
    snprintf(word, sizeof word, "%s", clean);
    for (char *c = word; *c; c++) {
        if (*c == '_')
            *c = '-';
    }
    const char *near = vg_text_nearest(word, candidates, n);
    if (near)
        return VG_FAIL(err, VG_E_ARG, "--%s is not an option; did you mean --%s?", clean, near);
    return VG_FAIL(err, VG_E_ARG, "--%s is not an option; --help lists them", clean);
}

static vg_status set_flag(vg_args *args, int id, const char *value, vg_err *err)
{
    vg_err inner = {0};
    char flag[48];
    vg_option_flag(&vg_options[id], flag, sizeof flag);
    if (!*value && vg_options[id].type != VG_TYPE_TEXT)
        return VG_FAIL(err, VG_E_ARG, "--%s: the value is empty", flag);
    vg_status status = vg_options[id].type == VG_TYPE_PATHS
                           ? vg_settings_add_path(&args->settings, (vg_option_id)id, value, &inner)
                           : vg_settings_set(&args->settings, (vg_option_id)id, value, &inner);
    if (status != VG_OK) {
        /* The message begins with the key; people typed the flag. */
        const char *rest = strstr(inner.message, ": ");
        VG_FAIL(err, status, "--%s%s", flag, rest ? rest : inner.message);
    }
    return status;
}

typedef struct words {
    int argc, at;
    char **argv;
} words;

/* The value of a flag: after '=', or the next word. A next word that is itself a known flag is a forgotten value. */
static vg_status take_value(const vg_command *command, words *w, const char *flag,
                            const char *equals, const char **value, vg_err *err)
{
    if (equals) {
        *value = equals + 1;
        return VG_OK;
    }
    if (w->at + 1 >= w->argc)
        return VG_FAIL(err, VG_E_ARG, "--%s needs a value", flag);
    const char *next = w->argv[w->at + 1];
    if (!strncmp(next, "--", 2) && next[2]) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(next + 2, "="), next + 2);
        if (find_setting(command, name) >= 0 || find_spec(command, name, 0) >= 0)
            return VG_FAIL(err, VG_E_ARG, "--%s needs a value, but --%s follows", flag, name);
    }
    *value = w->argv[++w->at];
    return VG_OK;
}

static bool repeats(const vg_arg_spec *spec)
{
    return spec->value && vg_ends_with(spec->value, "...");
}

static void take_spec(vg_args *args, int spec, const char *value)
{
    args->values[spec] = value;
    if (!repeats(&args->command->specs[spec]))
        return;
    args->given = vg_xrealloc(args->given, (size_t)(args->given_count + 1) * sizeof *args->given);
    args->given[args->given_count].spec = spec;
    args->given[args->given_count++].value = value;
}

static vg_status take_long(vg_args *args, words *w, vg_err *err)
{
    const char *arg = w->argv[w->at] + 2, *equals = strchr(arg, '='), *value = NULL;
    char name[64];
    size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), arg);
    if (!strcmp(name, "help") && !equals) {
        args->help = true;
        return VG_OK;
    }
    int spec = find_spec(args->command, name, 0);
    if (spec >= 0) {
        if (!args->command->specs[spec].value && equals)
            return VG_FAIL(err, VG_E_ARG, "--%s takes no value", name);
        if (args->command->specs[spec].value)
            VG_TRY(take_value(args->command, w, name, equals, &value, err));
        take_spec(args, spec, value ? value : "");
        return VG_OK;
    }
    int id = find_setting(args->command, name);
    if (id >= 0 && vg_options[id].type == VG_TYPE_BOOL)
        return set_flag(args, id, equals ? equals + 1 : "true", err);
    if (id >= 0) {
        VG_TRY(take_value(args->command, w, name, equals, &value, err));
        return set_flag(args, id, value, err);
    }
    if (!strncmp(name, "no-", 3) && (id = find_setting(args->command, name + 3)) >= 0 &&
        vg_options[id].type == VG_TYPE_BOOL && !equals)
        return set_flag(args, id, "false", err);
    return unknown_flag(args->command, name, err);
}

static vg_status take_short(vg_args *args, words *w, vg_err *err)
{
    const char *arg = w->argv[w->at] + 1, *value = NULL;
    if (!strcmp(arg, "h")) {
        args->help = true;
        return VG_OK;
    }
    int spec = arg[1] ? -1 : find_spec(args->command, NULL, arg[0]);
    if (spec < 0) {
        char clean[48];
        return VG_FAIL(err, VG_E_ARG, "-%s is not an option; --help lists them",
                       vg_text_clean_to(clean, sizeof clean, arg));
    }
    if (args->command->specs[spec].value)
        VG_TRY(take_value(args->command, w, args->command->specs[spec].name, NULL, &value, err));
    take_spec(args, spec, value ? value : "");
    return VG_OK;
}

vg_status vg_args_parse(const vg_command *command, int argc, char **argv, vg_args *args,
                        vg_err *err)
{
    words w = {argc, 0, argv};
    bool only_words = false;
    *args =
        (vg_args){.command = command, .words = vg_xcalloc((size_t)argc + 1, sizeof *args->words)};
    for (; w.at < argc; w.at++) {
        const char *arg = argv[w.at];
        if (!only_words && !strcmp(arg, "--"))
            only_words = true;
        else if (!only_words && !strncmp(arg, "--", 2))
            VG_TRY(take_long(args, &w, err));
        else if (!only_words && arg[0] == '-' && arg[1])
            VG_TRY(take_short(args, &w, err));
        else
            args->words[args->words_count++] = arg;
        if (args->help)
            return VG_OK;
    }
    char clean[64];
    const char *program = *command->name ? "vgen " : "vgen-tui";
    if (args->words_count > command->max_args)
        return VG_FAIL(err, VG_E_ARG, "\"%s\" is one word too many; usage: %s%s %s",
                       vg_text_clean_to(clean, sizeof clean, args->words[command->max_args]),
                       program, command->name, command->arguments);
    if (args->words_count < command->min_args)
        return VG_FAIL(err, VG_E_ARG, "something is missing; usage: %s%s %s", program,
                       command->name, command->arguments);
    return VG_OK;
}

void vg_args_deinit(vg_args *args)
{
    vg_settings_deinit(&args->settings);
    free(args->words);
    free(args->given);
    args->words = NULL;
    args->given = NULL;
    args->given_count = 0;
}

const char *vg_args_get(const vg_args *args, const char *name)
{
    int spec = find_spec(args->command, name, 0);
    return spec >= 0 ? args->values[spec] : NULL;
}

bool vg_args_has(const vg_args *args, const char *name)
{
    return vg_args_get(args, name) != NULL;
}

const char **vg_args_all(const vg_args *args, const char *name, int *count)
{
    const char **values = NULL;
    int spec = find_spec(args->command, name, 0);
    *count = 0;
    for (int i = 0; i < args->given_count; i++) {
        if (args->given[i].spec != spec)
            continue;
        values = vg_xrealloc(values, (size_t)(*count + 1) * sizeof *values);
        values[(*count)++] = args->given[i].value;
    }
    return values;
}

/* ---- help ---- */

#define HELP_COLUMN 32
#define HELP_WIDTH  100

/* Words of `text` from `column` on, wrapped. */
static void print_wrapped(FILE *out, const char *text, int column)
{
    int at = column;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (at > column && at + 1 + (int)n > HELP_WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        }
        at += fprintf(out, "%s%.*s", at > column ? " " : "", (int)n, text);
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", column, "");
            at = column;
        }
        text += *text != 0;
    }
    fputc('\n', out);
}

static void print_entry(FILE *out, const char *left, const char *help)
{
    int n = fprintf(out, "  %s", left);
    if (n + 2 > HELP_COLUMN)
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(out, "%*s", HELP_COLUMN - n, "");
    print_wrapped(out, help, HELP_COLUMN);
}

static const char *value_name(const vg_option *o, char *buf, size_t size)
{
    switch (o->type) {
    case VG_TYPE_BOOL:
        buf[0] = 0;
        break;
    case VG_TYPE_ENUM:
        snprintf(buf, size, " {%s}", o->choices);
        break;
    case VG_TYPE_LIST:
        snprintf(buf, size, " {%s},...", o->choices);
        break;
    case VG_TYPE_PATH:
        snprintf(buf, size, " FILE");
        break;
    case VG_TYPE_PATHS:
        snprintf(buf, size, " FILE ...");
        break;
    case VG_TYPE_INT:
    case VG_TYPE_SEED:
        snprintf(buf, size, " N");
        break;
    case VG_TYPE_REAL:
        snprintf(buf, size, " X");
        break;
    default:
        snprintf(buf, size, " TEXT");
        break;
    }
    return buf;
}

static void print_setting(FILE *out, const vg_option *o)
{
    char flag[48], value[96], left[160], help[512];
    size_t n;
    snprintf(left, sizeof left, "--%s%s", vg_option_flag(o, flag, sizeof flag),
             value_name(o, value, sizeof value));
    n = (size_t)snprintf(help, sizeof help, "%s", o->help);
    if ((o->type == VG_TYPE_INT || o->type == VG_TYPE_REAL) && n < sizeof help)
        n += (size_t)snprintf(help + n, sizeof help - n, " (%g to %g%s%s)", o->min, o->max,
                              *o->unit && strcmp(o->unit, "1/s") ? " " : "",
                              strcmp(o->unit, "1/s") ? o->unit : "");
    if (*o->def && o->type != VG_TYPE_BOOL && n < sizeof help)
        n += (size_t)snprintf(help + n, sizeof help - n, " [%s]", o->def);
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases && n < sizeof help; i++) {
        if (o == &vg_options[aliases[i].id])
            n += (size_t)snprintf(help + n, sizeof help - n, "; also --%s", aliases[i].alias);
    }
    print_entry(out, left, help);
}

void vg_args_print_settings(FILE *out, const char *keys)
{
    const vg_command command = {.settings = keys};
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        bool titled = false;
        for (int i = 0; i < VG_OPT_COUNT; i++) {
            if (strcmp(vg_options[i].group, groups[g]) || !takes_setting(&command, i))
                continue;
            if (!titled)
                fprintf(out, "\n%c%s:\n", groups[g][0] - 'a' + 'A', groups[g] + 1);
            titled = true;
            print_setting(out, &vg_options[i]);
        }
    }
}

void vg_args_print_specs(FILE *out, const vg_arg_spec *specs)
{
    for (int i = 0; specs && specs[i].name; i++) {
        char left[96], letter[8] = "";
        if (specs[i].letter)
            snprintf(letter, sizeof letter, "-%c, ", specs[i].letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, specs[i].name, specs[i].value ? " " : "",
                 specs[i].value ? specs[i].value : "");
        print_entry(out, left, specs[i].help);
    }
    print_entry(out, "-h, --help", "this text");
}

void vg_args_print_help(FILE *out, const char *program, const vg_command *c)
{
    fprintf(out, "usage: %s %s %s\n\n", program, c->name, c->arguments);
    print_wrapped(out, c->text ? c->text : c->summary, 0);
    if (c->alias)
        fprintf(out, "\nAlso: %s %s\n", program, c->alias);
    fprintf(out, "\nOptions:\n");
    vg_args_print_specs(out, c->specs);
    if (c->settings)
        vg_args_print_settings(out, c->settings);
    if (c->examples)
        fprintf(out, "\nExamples:\n%s", c->examples);
}
