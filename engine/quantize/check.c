/* check.c: the whole checkpoint: its parts, the folders of its denoiser one by one, what they are to each other, and sizes. See check.h. */
#include "engine/quantize/check_impl.h"
#include "engine/run/model.h"
#include "kernels/base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const char *vg_check_granularity(const vg_check_folder *f)
{
    const int *n = f->layers;
    int kinds =
        (n[VG_PRECISION_TENSOR] > 0) + (n[VG_PRECISION_CHANNEL] > 0) + (n[VG_PRECISION_BLOCK] > 0);
    if (kinds > 1)
        return "mixed";
    if (n[VG_PRECISION_CHANNEL])
        return "per-channel (one scale an output row)";
    if (n[VG_PRECISION_BLOCK])
        return "per-block (128x128 weight tiles)";
    return n[VG_PRECISION_TENSOR] ? "per-tensor (all scalar scales)" : "none";
}

/* ---- sizes ---- */

#define DEPTH_MOST 8

/* Of all files below; links are followed, as the hub cache has files elsewhere. */
static uint64_t tree_bytes(const char *path, int depth)
{
    struct stat st;
    uint64_t bytes = 0;
    if (stat(path, &st) != 0)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    DIR *folder = depth < DEPTH_MOST ? opendir(path) : NULL;
    for (struct dirent *item; folder && (item = readdir(folder));) {
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
            continue;
        char *inner = vg_path_join(path, item->d_name);
        bytes += inner ? tree_bytes(inner, depth + 1) : 0;
        free(inner);
    }
    if (folder)
        closedir(folder);
    return bytes;
}

/* ---- one folder ---- */

static vg_status open_source(vg_checking *c, vg_err *err)
{
    vg_err why = {0};
    char *path = vg_path_join(c->options->source, c->folder->name);
    if (!path)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    c->folder->source_bytes = tree_bytes(path, 0);
    vg_status status = vg_weights_open(path, &c->source, &why);
    if (status == VG_OK) {
        vg_precision_census census;
        vg_precision_census_take(c->source, &census);
        if (census.fp8 > 0)
            status = vg_findings_add(c->findings, VG_FINDING_WARNING, c->folder->name, err,
                                     "the source is FP8 itself: %d of its weights cannot be "
                                     "compared",
                                     census.fp8);
    } else {
        status = vg_findings_add(c->findings, VG_FINDING_FAILURE, c->folder->name, err,
                                 "the source cannot be read: %s", why.message);
    }
    free(path);
    return status;
}

static vg_status check_folder(vg_checking *c, vg_err *err)
{
    vg_err why = {0};
    c->folder->quantisable = -1;
    c->folder->disk_bytes = tree_bytes(c->path, 0);
    if (vg_weights_open(c->path, &c->weights, &why) != VG_OK) {
        VG_FIND(c, FAILURE, "%s", why.message);
        return vg_check_config(c, err);
    }
    VG_TRY(vg_check_index(c, err));
    VG_TRY(vg_check_tensors(c, err));
    if (c->folder->fp8)
        VG_TRY(vg_check_config(c, err));
    if (c->options->source)
        VG_TRY(open_source(c, err));
    return c->options->headers_only ? VG_OK : vg_check_values(c, err);
}

static vg_status add_folder(const char *dir, const char *name, const vg_check_options *options,
                            const vg_model *model, vg_threads *pool, vg_check_report *report,
                            vg_err *err)
{
    vg_weight_table table = {.component = name};
    vg_checking c = {.options = options,
                     .findings = &report->findings,
                     .folder = &report->folders[report->count],
                     .dir = dir,
                     .path = vg_path_join(dir, name),
                     .pool = pool};
    if (!c.path)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    report->count++;
    snprintf(c.folder->name, sizeof c.folder->name, "%s", name);
    if (model && model->family->weight_table(model, name, &table, NULL) == VG_OK)
        c.table = &table;
    c.all_bf16 = model && model->family->recipe && model->family->recipe->all_bf16;
    vg_status status = check_folder(&c, err);
    vg_weight_table_deinit(&table);
    vg_weights_close(c.weights);
    vg_weights_close(c.source);
    free(c.path);
    return status;
}

/* ---- the checkpoint ---- */

/* Folders of denoisers as everybody calls them, of a checkpoint that no family here runs. */
static const char *const usual[] = {"transformer", "transformer_2"};

static vg_status check_folders(const char *dir, const vg_check_options *options,
                               const vg_model *model, vg_threads *pool, vg_check_report *report,
                               vg_err *err)
{
    int count = model ? model->family->experts_count(model) : 2;
    for (int i = 0; i < count && i < VG_CHECK_FOLDERS_MAX; i++) {
        const char *name = model ? model->family->experts[i] : usual[i];
        char *path = vg_path_join(dir, name);
        bool there = path && vg_file_is_dir(path);
        free(path);
        if (there)
            VG_TRY(add_folder(dir, name, options, model, pool, report, err));
        else if (model || i == 0)
            VG_TRY(vg_findings_add(&report->findings, VG_FINDING_FAILURE, name, err,
                                   "%s/%s does not exist", dir, name));
    }
    return VG_OK;
}

static bool is_folder(const vg_check_report *report, const char *name)
{
    for (int i = 0; i < report->count; i++)
        if (!strcmp(report->folders[i].name, name))
            return true;
    return false;
}

/* Everything beside the denoiser that a generation reads. */
static vg_status check_parts(const vg_model *model, vg_check_report *report, vg_err *err)
{
    const vg_family *family = model->family;
    vg_err why = {0};
    for (int i = 0; i < family->components_count; i++) {
        const vg_component *part = &family->components[i];
        bool listed = vg_checkpoint_component(model->checkpoint, part->folder);
        if (is_folder(report, part->folder))
            continue;
        if (part->needed && !listed) {
            VG_TRY(vg_findings_add(&report->findings, VG_FINDING_WARNING, part->folder, err,
                                   "the checkpoint has no %s: it is a part of one", part->what));
            continue;
        }
        vg_status status = VG_OK;
        if (listed && !family->has(model, part->folder))
            status = vg_model_missing(model, part->folder, &why);
        else if (listed && part->weights)
            status = vg_model_check_component(model, part->folder, &why);
        if (status != VG_OK)
            VG_TRY(vg_findings_add(&report->findings, VG_FINDING_FAILURE, part->folder, err, "%s",
                                   why.message));
    }
    return VG_OK;
}

static vg_status check_each_other(vg_check_report *report, vg_err *err)
{
    int fp8 = 0;
    const vg_check_folder *first = &report->folders[0], *without = NULL;
    for (int i = 0; i < report->count; i++) {
        fp8 += report->folders[i].fp8 > 0;
        without = report->folders[i].fp8 ? without : &report->folders[i];
    }
    if (report->count && !fp8)
        return vg_findings_add(&report->findings, VG_FINDING_FAILURE, "", err,
                               "there are no FP8 weights: nothing was quantised");
    if (without)
        return vg_findings_add(&report->findings, VG_FINDING_WARNING, without->name, err,
                               "it has no FP8 weights, the other expert has: only one of them is "
                               "quantised");
    for (int i = 1; i < report->count; i++)
        if (strcasecmp(report->folders[i].label.algo, first->label.algo))
            VG_TRY(vg_findings_add(&report->findings, VG_FINDING_WARNING, report->folders[i].name,
                                   err, "quant_algo is %s, %s has %s",
                                   report->folders[i].label.algo, first->name, first->label.algo));
    return VG_OK;
}

static vg_status check_all(const char *dir, const vg_check_options *options, vg_threads *pool,
                           vg_check_report *report, vg_err *err)
{
    vg_model *model = NULL;
    vg_err why = {0};
    vg_status status = VG_OK;
    if (vg_model_open(dir, VG_LOAD_FILES, &model, &why) == VG_OK)
        snprintf(report->family, sizeof report->family, "%s", vg_model_family_name(model));
    else
        status =
            vg_findings_add(&report->findings,
                            why.code == VG_E_UNSUPPORTED ? VG_FINDING_WARNING : VG_FINDING_FAILURE,
                            "", err, "%s", why.message);
    if (status == VG_OK)
        status = check_folders(dir, options, model, pool, report, err);
    if (status == VG_OK && model)
        status = check_parts(model, report, err);
    if (status == VG_OK)
        status = check_each_other(report, err);
    vg_model_close(model);
    return status;
}

vg_status vg_check(const char *dir, const vg_check_options *options, vg_check_report *report,
                   vg_err *err)
{
    vg_threads *pool = NULL;
    *report = (vg_check_report){.values = !options->headers_only};
    VG_TRY(vg_threads_new(options->threads, &pool, err));
    vg_status status = check_all(dir, options, pool, report, err);
    vg_threads_free(pool);
    report->repo_bytes = tree_bytes(dir, 0);
    if (options->source)
        report->source_repo_bytes = tree_bytes(options->source, 0);
    return status;
}

void vg_check_report_deinit(vg_check_report *report)
{
    vg_findings_deinit(&report->findings);
    *report = (vg_check_report){0};
}
