/* precision_policy.c: see precision_policy.h. */
#include "engine/layers/precision_policy.h"
#include "kernels/base/fileio.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 9

/* ---- patterns ---- */

/* Reads a number of at most NUMBER_DIGITS_MAX digits; false when there is none. */
static bool read_number(const char **at, long *value)
{
    const char *begin = *at;
    for (*value = 0; isdigit((unsigned char)**at) && *at - begin < NUMBER_DIGITS_MAX; ++*at)
        *value = 10 * *value + (**at - '0');
    return *at > begin && !isdigit((unsigned char)**at);
}

static bool ends_part(const char *at)
{
    return *at == '.' || *at == '\0';
}

/* A whole part "N-M" or "N-" at `at`, which moves behind it. */
static bool read_range(const char **at, long *from, long *to)
{
    const char *p = *at;
    if (!read_number(&p, from) || *p++ != '-')
        return false;
    *to = -1;
    if (!ends_part(p) && !read_number(&p, to))
        return false;
    if (!ends_part(p))
        return false;
    *at = p;
    return true;
}

/* Moves both behind what one element of the pattern, no '*', stands for. */
static bool step(const char *pattern, const char **p, const char *name, const char **s)
{
    const char *range = *p, *number = *s;
    long from, to, value;
    if ((*p == pattern || (*p)[-1] == '.') && read_range(&range, &from, &to)) {
        if ((*s != name && (*s)[-1] != '.') || !read_number(&number, &value) ||
            !ends_part(number) || value < from || (to >= 0 && value > to))
            return false;
        *p = range;
        *s = number;
        return true;
    }
    return **p != '\0' && *(*p)++ == *(*s)++;
}

bool vg_layer_pattern_match(const char *pattern, const char *name)
{
    const char *p = pattern, *s = name, *star = NULL, *retry = NULL;
    for (;;) {
        if (*p == '*') {
            star = ++p;
            retry = s;
        } else if (*s == '\0' && *p == '\0') {
            return true;
        } else if (*s == '\0' || !step(pattern, &p, name, &s)) {
            if (!star || *retry == '\0') /* the last '*' has to take one character more */
                return false;
            p = star;
            s = ++retry;
        }
    }
}

/* ---- the text form ---- */

const char *vg_precision_name(int precision)
{
    static const char *const names[VG_PRECISION_COUNT] = {"bf16", "fp8", "fp8-channel",
                                                          "fp8-block"};
    return (unsigned)precision < VG_PRECISION_COUNT ? names[precision] : "stored";
}

static const char *const input_names[VG_FP8_ACT_COUNT] = {
#define VG_FP8_ACT(id, name) name,
#include "engine/layers/fp8_acts.def"
#undef VG_FP8_ACT
};

static vg_status fail(const char *rule, const char *why, vg_err *err)
{
    return VG_FAIL(err, VG_E_ARG, "precision \"%.160s\": %.300s", rule, why);
}

static vg_status check_pattern(const char *rule, const char *pattern, vg_err *err)
{
    long from, to;
    if (pattern[0] == '\0')
        return fail(rule, "the name of a layer, or a pattern, is missing in front of \"=\"", err);
    for (const char *c = pattern; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-*", *c))
            return fail(rule, "a pattern has letters, digits and . _ - * only", err);
    for (const char *at = pattern; at; at = strchr(at, '.')) {
        const char *part = at += *at == '.';
        if (read_range(&part, &from, &to) && to >= 0 && to < from)
            return fail(rule, "a range of numbers goes upwards, as 0-3", err);
    }
    return VG_OK;
}

static vg_status parse_precision(const char *rule, const char *name, int *precision, vg_err *err)
{
    char text[160];
    for (int i = VG_PRECISION_STORED; i < VG_PRECISION_COUNT; i++)
        if (strcmp(name, vg_precision_name(i)) == 0) {
            *precision = i;
            return VG_OK;
        }
    snprintf(text, sizeof text,
             "unknown precision \"%.32s\"; there are bf16, fp8, fp8-block, fp8-channel and stored",
             name);
    return fail(rule, text, err);
}

static vg_status parse_inputs(const char *rule, const char *name, int precision, int *inputs,
                              vg_err *err)
{
    char text[160];
    for (int i = 0; i < VG_FP8_ACT_COUNT; i++) {
        if (strcmp(name, input_names[i]) != 0)
            continue;
        *inputs = i;
        if (precision == VG_PRECISION_HIGH)
            return fail(rule, "inputs are quantised for FP8 layers only", err);
        if (precision == VG_PRECISION_BLOCK && i == VG_FP8_ACT_STATIC)
            return fail(rule, "per-block inputs are dynamic, or weight-only", err);
        return VG_OK;
    }
    snprintf(text, sizeof text,
             "unknown inputs \"%.32s\"; there are static, dynamic and weight-only", name);
    return fail(rule, text, err);
}

static void rule_deinit(vg_precision_rule *rule)
{
    free(rule->text);
    free(rule->component);
    free(rule->layer);
}

/* The rule's own pieces, from a copy of its text that is cut up. */
static vg_status parse_pieces(char *copy, vg_precision_rule *rule, vg_err *err)
{
    char *value = strchr(copy, '='), *slash, *colon;
    if (!value)
        return fail(rule->text, "a rule is PATTERN=PRECISION, for example blocks.0-3.*=bf16", err);
    *value++ = '\0';
    slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    colon = strchr(value, ':');
    if (colon)
        *colon++ = '\0';
    if (slash)
        VG_TRY(check_pattern(rule->text, copy, err));
    VG_TRY(check_pattern(rule->text, slash ? slash : copy, err));
    VG_TRY(parse_precision(rule->text, value, &rule->precision, err));
    rule->inputs = VG_INPUTS_DEFAULT;
    if (colon)
        VG_TRY(parse_inputs(rule->text, colon, rule->precision, &rule->inputs, err));
    rule->component = slash ? strdup(copy) : NULL;
    rule->layer = strdup(slash ? slash : copy);
    if (!rule->layer || (slash && !rule->component))
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
    return VG_OK;
}

static vg_status parse_rule(const char *text, size_t length, vg_precision_rule *rule, vg_err *err)
{
    while (length > 0 && isspace((unsigned char)text[0])) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    if (length == 0)
        return VG_FAIL(err, VG_E_ARG,
                       "precision: a rule is empty; rules are separated by one comma");
    char *copy = strndup(text, length);
    *rule = (vg_precision_rule){.text = strndup(text, length)};
    vg_status status = copy && rule->text
                           ? parse_pieces(copy, rule, err)
                           : VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
    free(copy);
    if (status != VG_OK)
        rule_deinit(rule);
    return status;
}

/* NAME of a list of names as a rule. */
static vg_status parse_ignored(const char *text, size_t length, vg_precision_rule *rule,
                               vg_err *err)
{
    char *whole = vg_strf("%.*s=bf16", (int)length, text);
    if (!whole)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
    vg_status status = memchr(text, '=', length)
                           ? VG_FAIL(err, VG_E_ARG,
                                     "ignore_layers: %.160s: names of layers are wanted, without "
                                     "a precision",
                                     text)
                           : parse_rule(whole, strlen(whole), rule, err);
    if (status == VG_OK)
        rule->below = true;
    free(whole);
    return status;
}

typedef vg_status parse_fn(const char *text, size_t length, vg_precision_rule *rule, vg_err *err);

static vg_status add_rules(vg_precision_policy *policy, const char *text, parse_fn *parse,
                           vg_err *err)
{
    int before = policy->count;
    while (text && *text) {
        size_t length = strcspn(text, ",");
        vg_precision_rule *grown =
            realloc(policy->rules, ((size_t)policy->count + 1) * sizeof *grown);
        vg_status status = VG_OK;
        if (grown)
            policy->rules = grown;
        else
            status = VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
        if (status == VG_OK)
            status = parse(text, length, &policy->rules[policy->count], err);
        policy->count += status == VG_OK;
        if (status == VG_OK && text[length] == ',' && text[length + 1] == '\0')
            status = VG_FAIL(err, VG_E_ARG, "precision: there is no rule behind the last comma");
        if (status != VG_OK) {
            while (policy->count > before)
                rule_deinit(&policy->rules[--policy->count]);
            return status;
        }
        text += length + (text[length] == ',');
    }
    return VG_OK;
}

vg_status vg_precision_policy_add(vg_precision_policy *policy, const char *text, vg_err *err)
{
    return add_rules(policy, text, parse_rule, err);
}

vg_status vg_precision_policy_ignore(vg_precision_policy *policy, const char *names, vg_err *err)
{
    return add_rules(policy, names, parse_ignored, err);
}

void vg_precision_policy_deinit(vg_precision_policy *policy)
{
    for (int i = 0; i < policy->count; i++)
        rule_deinit(&policy->rules[i]);
    free(policy->rules);
    policy->rules = NULL;
    policy->count = 0;
}

/* ---- what it says ---- */

/* Does the pattern match a module that the layer is in? */
static bool match_above(const char *pattern, const char *layer)
{
    char name[VG_WEIGHT_NAME_BYTES];
    snprintf(name, sizeof name, "%s", layer);
    for (char *dot; (dot = strrchr(name, '.'));) {
        *dot = '\0';
        if (vg_layer_pattern_match(pattern, name))
            return true;
    }
    return false;
}

static bool matches(const vg_precision_rule *rule, const char *component, const char *layer)
{
    return (!rule->component || vg_layer_pattern_match(rule->component, component)) &&
           (vg_layer_pattern_match(rule->layer, layer) ||
            (rule->below && match_above(rule->layer, layer)));
}

const vg_precision_rule *vg_precision_policy_find(const vg_precision_policy *policy,
                                                  const char *component, const char *layer)
{
    for (int i = policy->count - 1; i >= 0; i--)
        if (matches(&policy->rules[i], component, layer))
            return &policy->rules[i];
    return NULL;
}

void vg_precision_policy_use(const vg_precision_policy *policy, const vg_weight_table *table,
                             bool *used)
{
    vg_weight_place place = {0};
    while (policy->count > 0 && vg_weight_table_next(table, &place)) {
        bool quantisable = place.row->flags & VG_WEIGHT_QUANTISABLE;
        for (int i = 0; i < policy->count && place.row->kind == VG_WEIGHT_LINEAR; i++)
            if ((quantisable || policy->rules[i].precision <= VG_PRECISION_HIGH) && !used[i])
                used[i] = matches(&policy->rules[i], table->component, place.name);
    }
}
