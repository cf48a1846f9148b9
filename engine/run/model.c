/* model.c: an open checkpoint folder: its family, its configuration, its components. */
#include "engine/run/model.h"

#include "engine/checkpoint/dummy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vg_status find_family(const vg_family *const *families, int count,
                             const vg_checkpoint *checkpoint, const vg_family **family, vg_err *err)
{
    const vg_family *found = NULL;
    for (int i = 0; i < count; i++) {
        if (!families[i]->probe(checkpoint))
            continue;
        if (found)
            return VG_FAIL(err, VG_E_FORMAT, "%s is claimed by two model families, %s and %s",
                           vg_checkpoint_dir(checkpoint), found->name, families[i]->name);
        found = families[i];
    }
    if (!found) {
        const char *transformer = vg_checkpoint_component(checkpoint, "transformer");
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: no model family here runs a %s with transformer %s",
                       vg_checkpoint_dir(checkpoint), vg_checkpoint_class(checkpoint),
                       transformer ? transformer : "(none)");
    }
    *family = found;
    return VG_OK;
}

static vg_status read_scheduler(vg_model *m, vg_err *err)
{
    cJSON *json = NULL;
    VG_TRY(vg_checkpoint_config(m->checkpoint, "scheduler", &json, err));
    vg_status status = vg_scheduler_params_from_config(json, "scheduler/scheduler_config.json",
                                                       &m->scheduler, err);
    if (status == VG_OK) {
        snprintf(m->scheduler_kind, sizeof m->scheduler_kind, "%s", m->scheduler.kind);
        m->scheduler.kind = m->scheduler_kind;
    }
    cJSON_Delete(json);
    return status;
}

/* The map of vgen.json, or the family's published one. Otherwise one is fitted when it is first wanted. */
static vg_status choose_preview(vg_model *m, vg_err *err)
{
    vg_geometry g;
    m->family->geometry(m, &g);
    m->preview.channels = (int)g.channels;
    m->preview_frame = -1;
    if (m->own.has_preview) {
        if (m->own.preview.channels != g.channels)
            return VG_FAIL(
                err, VG_E_FORMAT,
                "vgen.json: \"latent_rgb_factors\" must have %lld rows, one per latent channel, not %d",
                (long long)g.channels, m->own.preview.channels);
        m->preview = m->own.preview;
        m->preview_known = true;
    } else if (m->family->preview) {
        m->preview_known = m->family->preview(m, &m->preview);
    }
    return VG_OK;
}

static void choose_modes(vg_model *m)
{
    const vg_family *f = m->family;
    size_t at = 0;
    for (int i = 0; i < f->modes_count && m->modes_count < VG_MODES_MAX; i++) {
        const vg_mode *mode = &f->modes[i];
        if (!f->allows(m, mode))
            continue;
        m->modes[m->modes_count++] = mode;
        if (at < sizeof m->modes_text)
            at += (size_t)snprintf(m->modes_text + at, sizeof m->modes_text - at, "%s%s",
                                   at ? ", " : "", mode->name);
    }
}

vg_status vg_model_open_with(const vg_family *const *families, int count, const char *dir,
                             vg_load_format format, vg_model **model, vg_err *err)
{
    vg_status status;
    vg_model *m = calloc(1, sizeof *m);
    if (!m)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the model");
    m->dummy = format == VG_LOAD_DUMMY;
    VG_TRY_GOTO(status, vg_checkpoint_open(dir, &m->checkpoint, err), fail);
    VG_TRY_GOTO(status, find_family(families, count, m->checkpoint, &m->family, err), fail);
    VG_TRY_GOTO(status, vg_checkpoint_defaults_read(m->checkpoint, &m->own, err), fail);
    VG_TRY_GOTO(status, m->family->config_load(m->checkpoint, &m->config, err), fail);
    choose_modes(m);
    VG_TRY_GOTO(status, read_scheduler(m, err), fail);
    if (m->family->has(m, m->family->decoder->part.component))
        VG_TRY_GOTO(status, choose_preview(m, err), fail);
    *model = m;
    return VG_OK;
fail:
    vg_model_close(m);
    return status;
}

vg_status vg_model_open(const char *dir, vg_load_format format, vg_model **model, vg_err *err)
{
    return vg_model_open_with(vg_families, vg_families_count, dir, format, model, err);
}

void vg_model_close(vg_model *model)
{
    if (!model)
        return;
    if (model->family && model->config)
        model->family->config_free(model->config);
    vg_checkpoint_close(model->checkpoint);
    free(model);
}

const void *vg_model_config(const vg_model *model)
{
    return model->config;
}

const char *vg_model_family_name(const vg_model *model)
{
    return model->family->name;
}

const char *vg_model_modes(const vg_model *model)
{
    return model->modes_text;
}

vg_status vg_model_component_dir(const vg_model *model, const char *component, char **dir,
                                 vg_err *err)
{
    *dir = vg_path_join(vg_checkpoint_dir(model->checkpoint), component);
    return *dir ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
}

vg_status vg_model_weights_dir(const vg_model *model, const char *component, char **dir,
                               vg_err *err)
{
    *dir = vg_strf("%s%s/%s", model->dummy ? VG_DUMMY_PREFIX : "",
                   vg_checkpoint_dir(model->checkpoint), component);
    return *dir ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
}

vg_status vg_model_missing(const vg_model *model, const char *folder, vg_err *err)
{
    const vg_family *f = model->family;
    const char *what = folder, *config = vg_checkpoint_config_name(folder);
    for (int i = 0; i < f->components_count; i++)
        if (strcmp(f->components[i].folder, folder) == 0)
            what = f->components[i].what;
    return VG_FAIL(err, VG_E_MISSING,
                   "%s: this checkpoint has no %s (%s/%s, and its entry in model_index.json)",
                   vg_checkpoint_dir(model->checkpoint), what, folder, config);
}

vg_status vg_model_need(const vg_model *model, const char *folder, vg_err *err)
{
    return model->family->has(model, folder) ? VG_OK : vg_model_missing(model, folder, err);
}

const vg_mode *vg_model_mode(const vg_model *model, const vg_generate_params *params)
{
    for (int i = 0; i < model->modes_count; i++)
        if (params->mode && strcmp(model->modes[i]->name, params->mode) == 0)
            return model->modes[i];
    return NULL;
}

vg_status vg_model_need_decoder(const vg_model *model, vg_err *err)
{
    return vg_model_need(model, model->family->decoder->part.component, err);
}

int vg_model_expert(const vg_model *model, const vg_generate_params *p, double timestep)
{
    return model->family->experts_count(model) == 2 && timestep < p->boundary_ratio * 1000.0 ? 1
                                                                                             : 0;
}

bool vg_model_guided(const vg_model *model, const vg_generate_params *p)
{
    return model->family->guided ? model->family->guided(p) : p->guidance_scale > 1;
}

/* ---- components by stage, and their identities ---- */

static int add_folder(const vg_model *model, const char *folder, const char **folders, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(folders[i], folder) == 0)
            return count;
    if (count == VG_COMPONENTS_MAX || !vg_checkpoint_component(model->checkpoint, folder))
        return count;
    folders[count] = folder;
    return count + 1;
}

/* Tokenizers and processors of pictures. What a scheduler's file says is in a job's settings. */
static bool helps_encoding(const vg_component *c)
{
    return !c->weights && strcmp(c->folder, "scheduler") != 0;
}

int vg_model_components(const vg_model *model, const vg_generate_params *params, vg_stage stage,
                        const char *folders[VG_COMPONENTS_MAX])
{
    const vg_family *f = model->family;
    int count = 0;
    for (int i = 0; stage == VG_STAGE_LOAD && i < f->components_count; i++)
        if (f->components[i].weights || helps_encoding(&f->components[i]))
            count = add_folder(model, f->components[i].folder, folders, count);
    for (int i = 0; i < f->encoders_count; i++)
        if (f->encoders[i]->part.stage == stage && f->encoders[i]->wanted(model, params))
            count = add_folder(model, f->encoders[i]->part.component, folders, count);
    for (int i = 0, encodes = count; stage != VG_STAGE_LOAD && encodes && i < f->components_count;
         i++)
        if (helps_encoding(&f->components[i]))
            count = add_folder(model, f->components[i].folder, folders, count);
    for (int i = 0;
         (stage == VG_STAGE_DENOISE || stage == VG_STAGE_CALIBRATE) && i < f->experts_count(model);
         i++)
        count = add_folder(model, f->experts[i], folders, count);
    if (stage == VG_STAGE_DECODE)
        count = add_folder(model, f->decoder->part.component, folders, count);
    return count;
}

static bool has_weights(const vg_model *model, const char *folder)
{
    const vg_family *f = model->family;
    for (int i = 0; i < f->components_count; i++)
        if (strcmp(f->components[i].folder, folder) == 0)
            return f->components[i].weights;
    return true; /* and opening them will say what is missing */
}

vg_status vg_model_identity(const vg_model *model, const char *folder, char identity[17],
                            vg_err *err)
{
    uint64_t hash = 0;
    char *dir;
    if (has_weights(model, folder)) {
        vg_weights *weights;
        VG_TRY(vg_model_weights(model, folder, &weights, err));
        hash = vg_weights_identity(weights);
        vg_weights_close(weights);
    }
    VG_TRY(vg_model_component_dir(model, folder, &dir, err));
    snprintf(identity, 17, "%016" PRIx64, vg_config_identity(dir, hash));
    free(dir);
    return VG_OK;
}
