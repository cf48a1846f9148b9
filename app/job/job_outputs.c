/* job_outputs.c: the files that a person wants to have outside of the job's folder. See job_create.h. */
#include "app/job/job_create.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/settings/paths.h"

/* "out.mp4" with "-2" and "-fp8" (a variant's id) put before the ending. */
static char *output_name(const char *path, int batch, const char *variant)
{
    char *absolute = vg_paths_absolute(path);
    char number[24] = "";
    const char *slash = strrchr(absolute, '/'), *dot = strrchr(absolute, '.');
    if (batch > 0)
        snprintf(number, sizeof number, "-%d", batch);
    size_t stem = dot && dot > slash + 1 ? (size_t)(dot - absolute) : strlen(absolute);
    char *name = vg_xstrf("%.*s%s%s%s%s", (int)stem, absolute, number, variant ? "-" : "",
                          variant ? variant : "", absolute + stem);
    free(absolute);
    return name;
}

vg_status vg_job_check_output(const char *key, const char *path, const char *ending, vg_err *err)
{
    char *folder = vg_paths_absolute(path);
    char *slash = strrchr(folder, '/');
    size_t n = strlen(path), m = strlen(ending);
    vg_status status = VG_OK;
    *(slash == folder ? slash + 1 : slash) = 0;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strlen(name) <= m || strcasecmp(path + n - m, ending))
        status = VG_FAIL(err, VG_E_ARG, "%s: %s does not end in %s", key, path, ending);
    else if (!vg_file_is_dir(folder))
        status = VG_FAIL(err, VG_E_ARG, "%s: there is no folder %s", key, folder);
    else if (vg_file_is_dir(path))
        status = VG_FAIL(err, VG_E_ARG, "%s: %s is a folder", key, path);
    else if (access(folder, W_OK) != 0)
        status = VG_FAIL(err, VG_E_ARG, "%s: the folder %s cannot be written", key, folder);
    free(folder);
    return status;
}

vg_status vg_job_check_outputs(const vg_job *job, vg_err *err)
{
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->variants[i].outputs;
        if (o->output)
            VG_TRY(vg_job_check_output("output", o->output, ".mp4", err));
        if (o->save_latents)
            VG_TRY(vg_job_check_output("save_latents", o->save_latents, ".safetensors", err));
        if (o->save_frames)
            VG_TRY(vg_job_check_output("save_frames", o->save_frames, ".safetensors", err));
    }
    return job->comparison_output
               ? vg_job_check_output("output", job->comparison_output, ".mp4", err)
               : VG_OK;
}

/* The same file by two spellings: its folder is there (vg_job_check_output), it need not be. malloc'd. */
static char *real_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, path),
         *real = realpath(folder, NULL);
    char *name = vg_xstrf("%s/%s", real ? real : folder, slash + 1);
    free(folder);
    free(real);
    return name;
}

/* Two outputs in one file: the later one would overwrite the earlier. */
static vg_status check_distinct(const vg_job *job, vg_err *err)
{
    vg_lines names = {0};
    vg_status status = VG_OK;
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->variants[i].outputs;
        const char *const paths[] = {o->output, o->save_latents, o->save_frames};
        for (int k = 0; k < 3; k++) {
            if (paths[k])
                vg_lines_add(&names, real_name(paths[k]));
        }
    }
    if (job->comparison_output)
        vg_lines_add(&names, real_name(job->comparison_output));
    vg_lines_sort(&names);
    for (int i = 1; i < names.count && status == VG_OK; i++) {
        if (!strcmp(names.items[i - 1], names.items[i]))
            status =
                VG_FAIL(err, VG_E_ARG,
                        "output, save_latents, save_frames: two of them would be written to %s",
                        names.items[i]);
    }
    vg_lines_free(&names);
    return status;
}

vg_status vg_job_plan_outputs(vg_job *job, int batch, vg_err *err)
{
    static const struct {
        vg_option_id id;
        const char *ending;
        size_t offset;
    } kinds[] = {
        {VG_OPT_output, ".mp4", offsetof(vg_job_outputs, output)},
        {VG_OPT_save_latents, ".safetensors", offsetof(vg_job_outputs, save_latents)},
        {VG_OPT_save_frames, ".safetensors", offsetof(vg_job_outputs, save_frames)},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *path = vg_settings_get(&job->settings, kinds[k].id);
        if (!*path)
            continue;
        VG_TRY(vg_job_check_output(vg_options[kinds[k].id].key, path, kinds[k].ending, err));
        for (int i = 0; i < job->variants_count; i++) {
            char **slot = (char **)((char *)&job->variants[i].outputs + kinds[k].offset);
            *slot = output_name(path, batch, job->variants_count > 1 ? job->variants[i].id : NULL);
        }
        if (k == 0 && job->variants_count > 1)
            job->comparison_output = output_name(path, batch, NULL);
    }
    return check_distinct(job, err);
}
