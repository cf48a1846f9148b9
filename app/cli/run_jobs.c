/* run_jobs.c: see run_jobs.h. */
#include "app/cli/run_jobs.h"

#include <stdlib.h>
#include <string.h>
#include "app/cli/attach.h"
#include "app/job/kind.h"
#include "app/worker/worker.h"

#define PROMPT_FILE_LIMIT_BYTES (16u << 20)

const vg_arg_spec vg_run_jobs_specs[] = {
    {"preset", 0, "NAME", "begin with these settings (vgen presets lists them); flags win"},
    VG_SPEC_VARIANT,
    {"prompt-file", 0, "FILE",
     "one prompt a line, one job each, one after the other; empty lines are skipped"},
    {"jobs-dir", 0, "DIR", "where job folders are made [~/.local/state/vgen/jobs]"},
    {"detach", 'd', NULL, "start, print the job's name, and return at once"},
    {"json", 0, NULL,
     "print one JSON object with paths, timings and metrics, and nothing else, on stdout"},
    {"quiet", 'q', NULL, "no progress"},
    {0},
};

int vg_run_job(vg_args *args, const vg_job_kind *kind, const vg_settings *settings,
               const vg_variants *variants, int batch, cJSON *results, bool *went_away)
{
    vg_job job = {0};
    vg_snapshot snapshot;
    vg_err err = {0};
    pid_t worker = 0;
    bool json = vg_args_has(args, "json");
    if (vg_job_create(vg_args_get(args, "jobs-dir"), kind, settings, variants, batch, &job, &err) !=
        VG_OK) {
        /* One object on stdout, also when earlier prompts have their results in it. */
        if (!json || !batch)
            return vg_cli_fail(args, &err);
        fprintf(stderr, "vgen %s: ", args->command->name);
        vg_text_print(stderr, err.message);
        fputc('\n', stderr);
        cJSON_AddItemToArray(results, vg_cli_error_json(err.message, vg_cli_status(&err)));
        return vg_cli_status(&err);
    }
    if (batch <= 1)
        vg_cli_say_device(settings, !vg_args_has(args, "quiet") && !vg_args_has(args, "detach"));
    vg_snapshot_init(&snapshot, &job);
    int status = VG_EXIT_OK;
    if (vg_worker_start(job.dir, vg_settings_int(settings, VG_OPT_max_steps_run), &worker, &err) !=
        VG_OK) {
        fprintf(stderr, "vgen %s: ", args->command->name);
        vg_text_print(stderr, err.message);
        fputc('\n', stderr);
        if (json)
            cJSON_AddItemToArray(results, vg_cli_error_json(err.message, VG_EXIT_FAILURE));
        status = VG_EXIT_FAILURE;
    } else if (vg_args_has(args, "detach")) {
        if (json)
            cJSON_AddItemToArray(results, vg_snapshot_json(&snapshot));
        else
            printf("%s\n", job.id);
    } else {
        vg_attach_options options = {
            .quiet = vg_args_has(args, "quiet"), .cancel = true, .worker = worker};
        bool drawn = !strcmp(vg_settings_get(settings, VG_OPT_seed), VG_SEED_RANDOM);
        if (!options.quiet)
            fprintf(stderr, "job %s%s%s\n", job.id, drawn ? ", seed " : "",
                    drawn ? vg_settings_get(&job.settings, VG_OPT_seed) : "");
        *went_away = !vg_attach(&snapshot, &options);
        if (*went_away)
            fprintf(stderr, "job %s goes on by itself; vgen attach %s shows it\n", job.id, job.id);
        status = *went_away ? VG_EXIT_CANCELLED : vg_attach_exit(&snapshot);
        if (json)
            cJSON_AddItemToArray(results, vg_snapshot_json(&snapshot));
        else
            vg_attach_print_result(&snapshot, false);
        if (status == VG_EXIT_FAILURE) {
            fprintf(stderr, "vgen %s: %s: ", args->command->name, job.id);
            vg_text_print(stderr, snapshot.message[0] ? snapshot.message : "failed");
            fputc('\n', stderr);
        }
    }
    vg_snapshot_deinit(&snapshot);
    vg_job_deinit(&job);
    return status;
}

bool vg_run_split_prompts(char *text, size_t size, vg_lines *prompts)
{
    if (strlen(text) != size)
        return false;
    for (char *line = text + (strncmp(text, "\xef\xbb\xbf", 3) ? 0 : 3); *line;) {
        size_t n = strcspn(line, "\r\n");
        bool last = !line[n];
        line[n] = 0;
        if (line[strspn(line, " \t")])
            vg_lines_add(prompts, vg_xstrdup(line));
        line += n + !last;
    }
    return true;
}

int vg_run_read_prompts(vg_args *args, const char *path, vg_lines *prompts)
{
    char *text = NULL;
    size_t size = 0;
    vg_err err = {0};
    if (vg_file_read(path, PROMPT_FILE_LIMIT_BYTES, &text, &size, &err) != VG_OK)
        return vg_cli_usage(args, "--prompt-file: %s", err.message);
    bool split = vg_run_split_prompts(text, size, prompts);
    free(text);
    if (!split)
        return vg_cli_usage(args, "%s: a zero byte in it, so this is not a text file", path);
    return prompts->count ? VG_EXIT_OK : vg_cli_usage(args, "%s: there is no prompt in it", path);
}

/* What is made: by default two schemes where things are compared, one where not. */
static int make_variants(vg_args *args, vg_settings *settings, bool compare, vg_variants *variants)
{
    vg_scheme schemes[VG_SCHEME_COUNT];
    vg_err err = {0};
    bool by_flag = vg_settings_is_set(&args->settings, VG_OPT_quantization),
         said = vg_args_has(args, "variant");
    if (compare && !said && !vg_settings_is_set(settings, VG_OPT_quantization))
        (void)vg_settings_set(settings, VG_OPT_quantization, "bf16,fp8", NULL);
    /* A preset that compares still makes one clip here; several need to be asked for. */
    if ((!compare || said) && !by_flag && vg_settings_schemes(settings, schemes) > 1)
        (void)vg_settings_set(settings, VG_OPT_quantization, vg_scheme_name(schemes[0]), NULL);
    if (vg_cli_variants(args, settings, variants, &err) != VG_OK)
        return vg_cli_fail(args, &err);
    if (compare && variants->count < 2)
        return vg_cli_usage(args, "comparing needs at least two variants, e.g. --quantization "
                                  "bf16,fp8 or --variant \"other seed: seed=43\"");
    return VG_EXIT_OK;
}

static int run_all(vg_args *args, vg_settings *settings, const vg_variants *variants,
                   const vg_lines *prompts)
{
    int result = VG_EXIT_OK;
    bool json = vg_args_has(args, "json"), went_away = false;
    cJSON *results = cJSON_CreateArray();
    vg_err err = {0};
    int n = prompts->count ? prompts->count : 1;
    /* All prompts are looked at before the first hour of work. */
    for (int i = 0; i < prompts->count && result == VG_EXIT_OK; i++) {
        if (vg_settings_set(settings, VG_OPT_prompt, prompts->items[i], &err) != VG_OK) {
            vg_err_prefix(&err, "prompt %d", i + 1);
            result = vg_cli_fail(args, &err);
        }
    }
    for (int i = 0; i < n && result != VG_EXIT_CANCELLED && result != VG_EXIT_USAGE; i++) {
        if (prompts->count)
            (void)vg_settings_set(settings, VG_OPT_prompt, prompts->items[i], NULL);
        int status = vg_run_job(args, &vg_job_kind_generate, settings, variants, n > 1 ? i + 1 : 0,
                                results, &went_away);
        result = status != VG_EXIT_OK ? status : result;
    }
    if (json && cJSON_GetArraySize(results)) {
        cJSON *root = cJSON_DetachItemFromArray(results, 0);
        if (prompts->count) {
            cJSON *batch = cJSON_CreateObject(), *jobs = cJSON_AddArrayToObject(batch, "jobs");
            while (root) {
                cJSON_AddItemToArray(jobs, root);
                root = cJSON_DetachItemFromArray(results, 0);
            }
            root = batch;
        }
        vg_json_print(stdout, root, false);
    }
    cJSON_Delete(results);
    return result;
}

int vg_run_jobs(vg_args *args, bool compare)
{
    vg_settings settings = {{0}};
    vg_variants variants = {0};
    vg_lines prompts = {0};
    vg_err err = {0};
    const char *prompt_file = vg_args_get(args, "prompt-file");
    int result;
    if (vg_cli_settings(args, &settings, &err) != VG_OK)
        result = vg_cli_fail(args, &err);
    else if (prompt_file && vg_settings_is_set(&args->settings, VG_OPT_prompt))
        result = vg_cli_usage(args, "--prompt and --prompt-file exclude each other");
    else
        result = prompt_file ? vg_run_read_prompts(args, prompt_file, &prompts) : VG_EXIT_OK;
    if (result == VG_EXIT_OK)
        result = make_variants(args, &settings, compare, &variants);
    if (result == VG_EXIT_OK && !prompt_file && !vg_settings_has_prompt(&settings))
        result = vg_cli_usage(
            args,
            "there is no prompt: --prompt TEXT, --prompt-file FILE, or --preset NAME with one in it");
    if (result == VG_EXIT_OK)
        result = run_all(args, &settings, &variants, &prompts);
    vg_variants_deinit(&variants);
    vg_lines_free(&prompts);
    vg_settings_deinit(&settings);
    return result;
}
