/* cmd_export.c: vgen export. */
#include <math.h>
#include <stdlib.h>
#include "app/cli/cmd_job.h"
#include "app/job/export.h"
#include "app/settings/paths.h"

static int run(vg_args *args)
{
    vg_job job;
    vg_snapshot snapshot;
    vg_err err = {0};
    double gain = 0;
    const char *diff = vg_args_get(args, "diff"), *output = vg_args_get(args, "output");
    if (diff) {
        char *end;
        gain = strtod(diff, &end);
        if (end == diff || *end || !isfinite(gain) || gain < 0 || gain > 1000)
            return vg_cli_usage(
                args, "--diff: \"%s\" is not right: it needs a number from 0 to 1000", diff);
    }
    if (output && vg_job_check_output("--output", output, ".mp4", &err) != VG_OK)
        return vg_cli_fail(args, &err);
    int status = vg_cmd_job_open(args, args->words[0], &job, &snapshot);
    if (status != VG_EXIT_OK)
        return status;
    char *path = output ? vg_paths_absolute(output)
                        : vg_job_path(&job, gain > 0 ? VG_JOB_COMPARISON_DIFF : VG_JOB_COMPARISON);
    if (vg_job_export(&job, &snapshot, path, gain, vg_args_has(args, "timings"), NULL, NULL,
                      &err) != VG_OK) {
        err.code = err.code == VG_E_ARG ? VG_E_IO : err.code; /* the frames', not the asker's */
        status = vg_cli_fail(args, &err);
    } else if (vg_args_has(args, "json")) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "job", job.id);
        cJSON_AddStringToObject(o, "clip", path);
        vg_json_print(stdout, o, false);
    } else {
        vg_text_print(stdout, path);
        putchar('\n');
    }
    free(path);
    vg_cmd_job_close(&job, &snapshot);
    return status;
}

static const vg_arg_spec specs[] = {
    {"output", 'o', "FILE", "where to write it (.mp4) [in the job's folder]"},
    {"diff", 0, "GAIN", "add the difference from the reference, amplified so many times"},
    {"timings", 0, NULL, "s/it in the captions; the clip then differs from run to run"},
    {"json", 0, NULL, "the path as JSON"},
    VG_SPEC_JOBS_DIR,
    {0},
};

extern const vg_command vg_command_export;
const vg_command vg_command_export = {
    .name = "export",
    .arguments = "JOB [--output FILE] [--diff GAIN] [--timings]",
    .summary = "write the clip with all schemes side by side",
    .text =
        "Write the clip with all schemes of a job side by side, labelled, and print its path. " VG_JOB_NAMES,
    .examples = "  vgen export last --diff 8 --output for-the-pull-request.mp4\n",
    .specs = specs,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
