/* cmd_jobs.c: vgen jobs (ls). */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "app/cli/cmd_job.h"
#include "app/settings/paths.h"

#define PIPE_PROMPT_COLUMNS 120

static cJSON *row_json(const vg_snapshot *snapshot)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "job", snapshot->card.id);
    cJSON_AddStringToObject(o, "dir", snapshot->card.dir);
    cJSON_AddStringToObject(o, "state", vg_job_state_text(snapshot->state));
    cJSON_AddStringToObject(o, "message", snapshot->message);
    cJSON_AddNumberToObject(o, "created", snapshot->card.created);
    cJSON_AddStringToObject(o, "prompt", snapshot->card.prompt);
    cJSON *variants = cJSON_AddArrayToObject(o, "variants");
    for (int i = 0; i < snapshot->variants_count; i++) {
        cJSON *v = cJSON_CreateObject();
        cJSON_AddStringToObject(v, "id", snapshot->variants[i].id);
        cJSON_AddStringToObject(v, "label", snapshot->variants[i].label);
        cJSON_AddStringToObject(v, "state", vg_job_state_text(snapshot->variants[i].state));
        cJSON_AddNumberToObject(v, "steps_done", snapshot->variants[i].step);
        cJSON_AddNumberToObject(v, "steps", snapshot->variants[i].steps);
        cJSON_AddItemToArray(variants, v);
    }
    return o;
}

/* id_columns: of the longest id there is. */
static void print_row(const vg_snapshot *snapshot, int id_columns, int columns)
{
    char progress[96], *prompt = vg_text_clean(snapshot->card.prompt);
    int done = 0, all = 0;
    for (int i = 0; i < snapshot->variants_count; i++) {
        done += snapshot->variants[i].state == VG_JOB_DONE ? snapshot->variants[i].steps
                                                           : snapshot->variants[i].step;
        all += snapshot->variants[i].steps;
    }
    snprintf(progress, sizeof progress, "%d/%d", done, all);
    int n = printf("%-*s %-11s %8s  ", id_columns, snapshot->card.id,
                   vg_job_state_text(snapshot->state), progress);
    char *rest =
        snapshot->state == VG_JOB_FAILED || snapshot->state == VG_JOB_QUEUED
            ? vg_xstrf("%s%s%s", snapshot->message, *snapshot->message ? " - " : "", prompt)
            : vg_xstrdup(prompt);
    /* Into a pipe: enough to know it by; --json has it all. */
    vg_text_cut(rest, columns == 0 ? PIPE_PROMPT_COLUMNS : columns > n ? columns - n : 0);
    printf("%s\n", rest);
    free(rest);
    free(prompt);
}

static int run(vg_args *args)
{
    char *jobs = vg_paths_jobs(vg_args_get(args, "jobs-dir"));
    bool json = vg_args_has(args, "json");
    cJSON *list = cJSON_CreateArray();
    vg_lines dirs = {0};
    struct winsize size;
    int id_columns = 3;
    int columns =
        isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
    if (vg_file_exists(jobs) && !vg_file_is_dir(jobs)) {
        int status = vg_cli_usage(args, "--jobs-dir: %s is not a folder", jobs);
        cJSON_Delete(list);
        free(jobs);
        return status;
    }
    vg_job_list(jobs, &dirs);
    for (int i = 0; i < dirs.count; i++) {
        const char *id = strrchr(dirs.items[i], '/');
        int n = id ? (int)strlen(id + 1) : 0;
        id_columns = n > id_columns ? n : id_columns;
    }
    if (!json && dirs.count == 0) {
        fputs("no jobs in ", stderr);
        vg_text_print(stderr, jobs);
        fputc('\n', stderr);
    } else if (!json) {
        printf("%-*s %-11s %8s  %s\n", id_columns, "JOB", "STATE", "STEPS", "PROMPT");
    }
    for (int i = 0; i < dirs.count; i++) {
        vg_job job = {0};
        vg_snapshot snapshot;
        vg_err err = {0};
        if (vg_snapshot_glance(dirs.items[i], &job, &snapshot, &err) != VG_OK) {
            fputs("warning: ", stderr);
            vg_text_print(stderr, err.message);
            fputc('\n', stderr);
            continue;
        }
        if (json)
            cJSON_AddItemToArray(list, row_json(&snapshot));
        else
            print_row(&snapshot, id_columns, columns);
        vg_cmd_job_close(&job, &snapshot);
    }
    if (json) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddItemToObject(root, "jobs", list);
        vg_json_print(stdout, root, false);
    } else {
        cJSON_Delete(list);
    }
    vg_lines_free(&dirs);
    free(jobs);
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {VG_SPEC_JOBS_DIR, {"json", 0, NULL, "as one JSON object"}, {0}};

extern const vg_command vg_command_jobs;
const vg_command vg_command_jobs = {
    .name = "jobs",
    .alias = "ls",
    .arguments = "[--json]",
    .summary = "list jobs, newest first",
    .text =
        "List jobs, newest first: their state, finished steps of all schemes, and the prompt. States: queued, running, done, failed, cancelled, interrupted (the worker was killed; vgen "
        "resume goes on).",
    .specs = specs,
    .run = run,
};
