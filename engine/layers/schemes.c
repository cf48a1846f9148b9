/* schemes.c: names of the quantisation schemes, from schemes.def. */
#include "engine/layers/precision_policy.h"

#include <string.h>

static const struct {
    const char *name, *label, *help;
    vg_precision precision;
} schemes[VG_SCHEME_COUNT] = {
#define VG_SCHEME(id, name, label, precision, help) {name, label, help, VG_PRECISION_##precision},
#include "engine/layers/schemes.def"
#undef VG_SCHEME
};

const char *vg_scheme_name(vg_scheme scheme)
{
    return (unsigned)scheme < VG_SCHEME_COUNT ? schemes[scheme].name : "?";
}

const char *vg_scheme_label(vg_scheme scheme)
{
    return (unsigned)scheme < VG_SCHEME_COUNT ? schemes[scheme].label : "?";
}

const char *vg_scheme_help(vg_scheme scheme)
{
    return (unsigned)scheme < VG_SCHEME_COUNT ? schemes[scheme].help : "?";
}

vg_precision vg_scheme_precision(vg_scheme scheme)
{
    return (unsigned)scheme < VG_SCHEME_COUNT ? schemes[scheme].precision : VG_PRECISION_HIGH;
}

vg_status vg_scheme_parse(const char *name, vg_scheme *scheme, vg_err *err)
{
    char names[160] = "";
    for (int i = 0; i < VG_SCHEME_COUNT; i++) {
        if (name && strcmp(name, schemes[i].name) == 0) {
            *scheme = (vg_scheme)i;
            return VG_OK;
        }
        if (i > 0)
            strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, schemes[i].name, sizeof names - strlen(names) - 1);
    }
    return VG_FAIL(err, VG_E_ARG, "unknown scheme \"%s\"; there are: %s", name ? name : "", names);
}
