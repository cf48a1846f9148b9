/* cmd_logs.c: vgen logs. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/cli/cmd_job.h"

typedef struct log_printer {
    bool json;
} log_printer;

static void print_field(const cJSON *item)
{
    if (!strcmp(item->string, "t") || !strcmp(item->string, "ms") ||
        !strcmp(item->string, "type") || !strcmp(item->string, "variant"))
        return;
    fputc(' ', stdout);
    vg_text_print(stdout, item->string);
    fputc('=', stdout);
    if (cJSON_IsString(item)) {
        vg_text_print(stdout, item->valuestring);
    } else {
        char *text = cJSON_PrintUnformatted(item);
        vg_text_print(stdout, text ? text : "?");
        cJSON_free(text);
    }
}

static void print_event(void *user, const cJSON *event, const char *line)
{
    const log_printer *p = user;
    char date[40];
    if (p->json) {
        vg_text_print(stdout, line);
        fputc('\n', stdout);
        return;
    }
    printf("%s  ", vg_text_date(vg_event_number(event, "t", 0), date, sizeof date));
    vg_text_print(stdout, vg_event_text(event, "variant"));
    fputs(*vg_event_text(event, "variant") ? " " : "", stdout);
    vg_text_print(stdout, vg_event_text(event, "type"));
    const cJSON *item;
    cJSON_ArrayForEach(item, event) print_field(item);
    fputc('\n', stdout);
}

static void print_worker_log(const vg_job *job)
{
    char *path = vg_job_path(job, VG_JOB_LOG), *text = NULL;
    size_t size = 0;
    if (vg_file_read(path, VG_JOB_LOG_BYTES_MAX, &text, &size, NULL) == VG_OK && size) {
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            fputs("worker: ", stdout);
            vg_text_print(stdout, line);
            fputc('\n', stdout);
        }
    }
    free(text);
    free(path);
}

static int logs(vg_args *args, const vg_job *job, vg_job_view *view)
{
    log_printer printer = {.json = vg_args_has(args, "json")};
    /* From the beginning again, so that the events that were taken in at the opening are seen here too. */
    vg_job_view_deinit(view);
    vg_job_view_init(view, job);
    vg_job_view_refresh(view, print_event, &printer);
    while (vg_args_has(args, "follow") && !vg_job_state_is_final(view->state) && !ferror(stdout)) {
        fflush(stdout);
        usleep(200 * 1000);
        vg_job_view_refresh(view, print_event, &printer);
    }
    if (!printer.json)
        print_worker_log(job);
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {
    {"follow", 'f', NULL, "go on until the job ends"},
    {"json", 0, NULL, "the events as they are: one JSON object a line"},
    VG_SPEC_JOBS_DIR,
    {0}};

extern const vg_command vg_command_logs;
const vg_command vg_command_logs = {
    .name = "logs",
    .arguments = "JOB [-f]",
    .summary = "what happened in a job, line by line",
    .text =
        "Print the journal of a job, and what its worker said on its standard error. " VG_JOB_NAMES,
    .examples = "  vgen logs -f last\n",
    .specs = specs,
    VG_JOB_COMMAND(logs),
};
