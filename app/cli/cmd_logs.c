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

static void print_word(const cJSON *json, const char *key, const char *behind)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!cJSON_IsString(item))
        return;
    vg_text_print(stdout, item->valuestring);
    fputs(behind, stdout);
}

static void print_event(void *user, const vg_event_line *line)
{
    const log_printer *p = user;
    char date[40];
    if (p->json) {
        vg_text_print(stdout, line->text);
        fputc('\n', stdout);
        return;
    }
    /* Also what this version does not know is printed as it stands. */
    const cJSON *item, *t = cJSON_GetObjectItemCaseSensitive(line->json, "t");
    printf("%s  ", vg_text_date(cJSON_IsNumber(t) ? t->valuedouble : 0, date, sizeof date));
    print_word(line->json, "variant", " ");
    print_word(line->json, "type", "");
    cJSON_ArrayForEach(item, line->json) print_field(item);
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

static int logs(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    log_printer printer = {.json = vg_args_has(args, "json")};
    /* From the beginning again, so that the events that were taken in at the opening are seen here too. */
    vg_snapshot_deinit(snapshot);
    vg_snapshot_init(snapshot, job);
    vg_snapshot_refresh(snapshot, print_event, &printer);
    while (vg_args_has(args, "follow") && !vg_job_state_is_final(snapshot->state) &&
           !ferror(stdout)) {
        fflush(stdout);
        usleep(200 * 1000);
        vg_snapshot_refresh(snapshot, print_event, &printer);
    }
    if (!printer.json)
        print_worker_log(job);
    if (snapshot->events_malformed || snapshot->events_unknown)
        fprintf(stderr, "vgen logs: %lld damaged lines, %lld events of kinds unknown here\n",
                (long long)snapshot->events_malformed, (long long)snapshot->events_unknown);
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
