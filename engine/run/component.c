/* component.c: finding and running single parts of a model. The parts themselves belong to the family. */
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_entries_free(vg_safetensors_entry *entries, int count)
{
    if (!entries)
        return;
    for (int i = 0; i < count; i++)
        free(entries[i].tensor.data);
    free(entries);
}

char *vg_component_list(const vg_model *model)
{
    const vg_family *f = model->family;
    size_t size = 1;
    for (int i = 0; i < f->parts_count; i++)
        size += strlen(f->parts[i].name) + strlen(f->parts[i].help) + 4;
    char *text = calloc(size, 1);
    size_t at = 0;
    for (int i = 0; text && i < f->parts_count; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s: %s", i ? "\n" : "", f->parts[i].name,
                               f->parts[i].help);
    return text;
}

static const vg_part *find_part(const vg_family *f, const char *name)
{
    for (int i = 0; i < f->parts_count; i++) {
        if (strcmp(f->parts[i].name, name) == 0)
            return &f->parts[i];
    }
    return NULL;
}

vg_status vg_component_check(const vg_model *model, const char *part, vg_err *err)
{
    const vg_family *f = model->family;
    char names[256] = "";
    if (find_part(f, part))
        return VG_OK;
    for (int i = 0; i < f->parts_count; i++) {
        if (i > 0)
            strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, f->parts[i].name, sizeof names - strlen(names) - 1);
    }
    return VG_FAIL(err, VG_E_ARG, "unknown part \"%s\" of a %s model; there are: %s", part, f->name,
                   names);
}

vg_status vg_component_run(vg_engine *engine, vg_model *model, const char *part,
                           const vg_component_params *params, const vg_safetensors *in,
                           vg_safetensors_entry **out, int *out_count, vg_err *err)
{
    VG_TRY(vg_component_check(model, part, err));
    vg_engine_backend(engine)->cancel = params->cancel;
    vg_status status =
        find_part(model->family, part)->run(engine, model, params, in, out, out_count, err);
    vg_engine_backend(engine)->cancel = NULL;
    return status;
}
