/* inspect.c: what a listing says of a checkpoint: is it complete, and in which precision are its weights? Headers only. */
#include "engine/layers/precision_report.h"
#include "engine/run/family.h"

#include "kernels/base/fileio.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size,
                                                         const char *format, ...)
{
    size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    if (n < size)
        vsnprintf(text + n, size - n, format, args);
    va_end(args);
}

/* One component of a listing: open its weights (header only), add what is missing. */
static void inspect_component(const vg_checkpoint *checkpoint, const char *component, char *missing,
                              size_t size, vg_weights **weights)
{
    vg_err why = {0};
    char *dir = vg_path_join(vg_checkpoint_dir(checkpoint), component);
    if (!dir || vg_weights_open(dir, weights, &why) != VG_OK) {
        *weights = NULL;
        append(missing, size, "%s%s", missing[0] ? "; " : "",
               why.message[0] ? why.message : component);
    }
    free(dir);
}

/* A component without weights: its configuration. */
static void inspect_config(const vg_checkpoint *checkpoint, const char *component, char *missing,
                           size_t size)
{
    cJSON *json = NULL;
    vg_err why = {0};
    if (vg_checkpoint_config(checkpoint, component, &json, &why) != VG_OK)
        append(missing, size, "%s%s", missing[0] ? "; " : "", why.message);
    cJSON_Delete(json);
}

vg_status vg_family_inspect(const vg_family *f, const vg_checkpoint *checkpoint, char **missing,
                            char *precision, size_t precision_size, vg_err *err)
{
    char text[512] = "";
    *missing = NULL;
    if (precision_size)
        precision[0] = 0;
    for (int i = 0; i < f->components_count; i++) {
        const vg_component *c = &f->components[i];
        if (!vg_checkpoint_component(checkpoint, c->folder)) {
            if (c->needed)
                append(text, sizeof text, "%sno %s", text[0] ? "; " : "", c->folder);
            continue;
        }
        if (!c->weights) {
            inspect_config(checkpoint, c->folder, text, sizeof text);
            continue;
        }
        vg_weights *weights = NULL;
        inspect_component(checkpoint, c->folder, text, sizeof text, &weights);
        if (weights && strcmp(c->folder, f->experts[0]) == 0)
            vg_precision_describe(weights, precision, precision_size);
        vg_weights_close(weights);
    }
    if (!text[0])
        return VG_OK;
    *missing = vg_strf("%s", text);
    return *missing ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory while listing models");
}
