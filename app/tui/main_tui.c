/* main_tui.c: the program with the screens. It is the program of its own child processes as well: `vgen-tui work DIR` is `vgen work DIR`,
 * `vgen-tui device` is `vgen device`. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/cli/cli.h"
#include "app/settings/paths.h"
#include "app/job/job.h"
#include "app/settings/presets.h"
#include "app/tui/tui_host.h"
#include "app/worker/worker.h"
#include "ui/host/run.h"

static const vg_arg_spec specs[] = {
    {"preset", 0, "NAME", "begin with these settings; flags win"},
    {"job", 0, "JOB", "open this job"},
    {"jobs-dir", 0, "DIR", "where the job folders are [~/.local/state/vgen/jobs]"},
    {"pictures", 0, "KIND", "auto, symbols, sixel, kitty or none"},
    {"colors", 0, "KIND", "auto, truecolor, 256, 16 or mono"},
    {"ascii", 0, NULL, "no glyphs beyond ASCII"},
    {"no-mouse", 0, NULL, "leave the mouse to the terminal"},
    {"version", 'V', NULL, "the version"},
    {0},
};

static const vg_command command = {
    .name = "",
    .arguments = "[options]",
    .summary = "video diffusion in the terminal",
    .text =
        "Set up a job, watch it run, compare what came out, keep it. Jobs go on when this program ends; starting it again finds them. For scripts there is vgen.",
    .settings = "*",
    .specs = specs,
};

static int usage(const char *message)
{
    fputs("vgen-tui: ", stderr);
    vg_text_print(stderr, message);
    fputc('\n', stderr);
    return VG_EXIT_USAGE;
}

static void print_help(void)
{
    fputs("usage: vgen-tui [options]\n\n", stdout);
    fputs(
        "Set up a job, watch it run, compare what came out, keep it. Jobs go on when this program ends; starting it\n"
        "again finds them. For scripts there is vgen.\n\nOptions:\n",
        stdout);
    vg_args_print_specs(stdout, specs);
    fputs("\nAny setting fills in the form:\n", stdout);
    vg_args_print_settings(stdout, "*");
}

/* One of "a|b|c", the first when not given. */
static bool choose(const vg_args *args, const char *name, const char *choices, const char **value,
                   vg_err *err)
{
    const char *given = vg_args_get(args, name);
    const vg_option o = {.key = name, .type = VG_TYPE_ENUM, .choices = choices};
    vg_lines list = {0};
    vg_option_choices(&o, &list);
    bool found = !given;
    for (int i = 0; i < list.count; i++)
        found = found || !strcmp(list.items[i], given);
    if (found) {
        *value = given ? given : "auto";
    } else {
        const char *near = vg_text_nearest(given, (const char *const *)list.items, list.count);
        char expects[160];
        vg_option_expects(&o, expects, sizeof expects);
        VG_FAIL(err, VG_E_ARG, "--%s: \"%s\" is not known%s%s; it needs %s", name, given,
                near ? ", did you mean " : "", near ? near : "", expects);
    }
    vg_lines_free(&list);
    return found;
}

/* The form to begin with: preset and flags; without either, the last form, else the demo. */
static vg_status first_form(const vg_args *args, vg_settings *form, vg_err *err)
{
    const char *preset = vg_args_get(args, "preset");
    bool any = false;
    for (int i = 0; i < VG_OPT_COUNT; i++)
        any = any || vg_settings_is_set(&args->settings, (vg_option_id)i);
    if (!preset && !any && vg_tui_setup_last(form))
        return VG_OK;
    if (!preset && !vg_settings_is_set(&args->settings, VG_OPT_model)) {
        (void)vg_presets_load("demo", form, NULL, NULL);
        vg_settings_merge(form, &args->settings);
        return VG_OK;
    }
    return vg_cli_settings(args, form, err);
}

static int run(const vg_args *args)
{
    vg_ui_options options = {.mouse = !vg_args_has(args, "no-mouse"),
                             .ascii = vg_args_has(args, "ascii")};
    vg_settings form = {{0}};
    vg_tui_host *host = NULL;
    vg_err err = {0};
    char message[VG_ERR_MESSAGE_MAX] = "", *job_dir = NULL, *job_id = NULL;
    int status = VG_EXIT_FAILURE;
    if (vg_paths_check(&err) != VG_OK) {
        usage(err.message);
        goto done;
    }
    status = VG_EXIT_USAGE;
    if (!choose(args, "pictures", "auto|symbols|sixel|kitty|none", &options.pictures, &err) ||
        !choose(args, "colors", "auto|truecolor|256|16|mono", &options.colors, &err) ||
        first_form(args, &form, &err) != VG_OK) {
        usage(err.message);
        goto done;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        usage("this needs a terminal; without one use vgen, e.g. vgen compare --preset demo");
        goto done;
    }
    status = VG_EXIT_FAILURE;
    const vg_tui_host_options of_host = {.jobs_dir = vg_args_get(args, "jobs-dir"),
                                         .form = &form,
                                         .start = vg_worker_start,
                                         .ask_device = true};
    if (vg_tui_host_open(&of_host, &host, &err) != VG_OK) {
        usage(err.message);
        goto done;
    }
    if (vg_args_get(args, "job")) {
        char *jobs = vg_paths_jobs(vg_args_get(args, "jobs-dir"));
        vg_status found = vg_job_find(jobs, vg_args_get(args, "job"), &job_dir, &err);
        free(jobs);
        if (found != VG_OK) {
            usage(err.message);
            goto done;
        }
        job_id = vg_job_id_of(job_dir);
        options.job = job_id;
    }
    status = vg_ui_run(&host->table, &options, message, sizeof message);
    if (message[0]) {
        fputs("vgen-tui: ", stderr);
        vg_text_print(stderr, message);
        fputc('\n', stderr);
    }
done:
    vg_tui_host_close(host);
    vg_settings_deinit(&form);
    free(job_dir);
    free(job_id);
    return status;
}

int main(int argc, char **argv)
{
    vg_args args;
    vg_err err = {0};
    int status = VG_EXIT_OK;
    if (argc > 1 && (!strcmp(argv[1], "work") || !strcmp(argv[1], "device")))
        return vg_cli_main(argc, argv);
    if (argc == 2 && !strcmp(argv[1], "--print-keys")) { /* for ui/README.md */
        vg_ui_print_keys(stdout, "    ");
        return VG_EXIT_OK;
    }
    signal(SIGXFSZ, SIG_IGN); /* an error of the write, not the end of the screen */
    setlocale(LC_CTYPE, "");
    if (vg_args_parse(&command, argc - 1, argv + 1, &args, &err) != VG_OK)
        status = usage(err.message);
    else if (args.help)
        print_help();
    else if (vg_args_has(&args, "version"))
        printf("vgen-tui %s\n", VG_VERSION);
    else
        status = run(&args);
    vg_args_deinit(&args);
    return status;
}
