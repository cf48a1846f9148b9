/* export.c: see export.h. */
#include "app/job/export.h"

#include <stdlib.h>
#include "app/media/clip.h"

/* The figures as the file has them: a snapshot that could not read it goes without, and a clip must not. */
static vg_status read_metrics(const char *dir, vg_report_row *row, vg_report_metrics *metrics,
                              vg_err *err)
{
    vg_err inner = {0};
    vg_status status = vg_report_metrics_read(dir, metrics, &inner);
    if (status == VG_E_MISSING) /* not measured yet */
        return VG_OK;
    row->metrics = metrics;
    return status == VG_OK ? status : VG_FAIL(err, status, "%s", inner.message);
}

vg_status vg_job_export(const vg_job *job, const vg_snapshot *snapshot, const char *path,
                        double diff_gain, bool timings, vg_frames_progress progress,
                        void *progress_user, vg_err *err)
{
    vg_frames_store *stores[VG_VARIANTS_MAX] = {0};
    vg_clip_pane panes[VG_VARIANTS_MAX] = {0};
    vg_report_metrics metrics[VG_VARIANTS_MAX] = {0};
    char captions[VG_VARIANTS_MAX][160];
    vg_lines paths = {0};
    char *title = vg_text_clean(vg_settings_get(&job->resolved, VG_OPT_prompt)),
         *recipe = vg_job_recipe(job, 0);
    double fps = vg_settings_real(&job->resolved, VG_OPT_fps);
    vg_clip_options options = {
        .title = title, .comment = recipe, .progress = progress, .progress_user = progress_user};
    vg_status status = VG_OK;
    vg_report_row *rows = vg_snapshot_rows(snapshot, &paths);
    int n = snapshot->variants_count;
    for (int i = 0; i < n; i++) {
        char *dir = vg_job_variant_path(job, i, NULL);
        status = vg_frames_store_open(dir, &stores[i], err);
        if (status == VG_OK && i > 0)
            status = read_metrics(dir, &rows[i], &metrics[i], err);
        free(dir);
        if (!stores[i]) {
            vg_err_prefix(err, "%s has no finished frames", snapshot->variants[i].id);
            goto done;
        }
        if (status != VG_OK)
            goto done;
        vg_report_caption(&rows[i], timings, captions[i], sizeof captions[i]);
        panes[i] = (vg_clip_pane){vg_frames_store_source(stores[i]), snapshot->variants[i].label,
                                  captions[i]};
    }
    status = n == 1 ? vg_clip_write(path, &panes[0].source, fps, &options, err)
                    : vg_clip_write_comparison(path, panes, n, diff_gain, fps, &options, err);
done:
    for (int i = 0; i < VG_VARIANTS_MAX; i++)
        vg_frames_store_close(stores[i]);
    for (int i = 0; i < VG_VARIANTS_MAX; i++)
        vg_report_metrics_deinit(&metrics[i]);
    vg_lines_free(&paths);
    free(rows);
    free(title);
    free(recipe);
    return status;
}
