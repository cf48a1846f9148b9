/* cmd_job.c: see cmd_job.h. */
#include "app/cli/cmd_job.h"

#include <stdlib.h>
#include "app/settings/paths.h"

int vg_cmd_job_open(vg_args *args, const char *name, vg_job *job, vg_job_view *view)
{
    vg_err err = {0};
    char *jobs = vg_paths_jobs(vg_args_get(args, "jobs-dir")), *dir = NULL;
    *job = (vg_job){0};
    vg_status status = vg_job_find(jobs, name, &dir, &err);
    if (status == VG_OK)
        status = vg_job_open(dir, job, &err);
    free(jobs);
    free(dir);
    if (status != VG_OK)
        return vg_cli_fail(args, &err);
    vg_job_view_init(view, job);
    vg_job_view_refresh(view, NULL, NULL);
    return VG_EXIT_OK;
}

void vg_cmd_job_close(vg_job *job, vg_job_view *view)
{
    vg_job_view_deinit(view);
    vg_job_deinit(job);
}

int vg_cmd_job_run(vg_args *args)
{
    vg_job job;
    vg_job_view view;
    int status = vg_cmd_job_open(args, args->words[0], &job, &view);
    if (status != VG_EXIT_OK)
        return status;
    status = args->command->job(args, &job, &view);
    vg_cmd_job_close(&job, &view);
    return status;
}
