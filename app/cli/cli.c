/* cli.c: from argv to a command. See cli.h. */
#include "app/cli/cli.h"

#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "app/cli/cmd_job.h"
#include "app/job/device.h"
#include "app/settings/paths.h"
#include "app/settings/presets.h"

#define VG_COMMAND(name) extern const vg_command vg_command_##name;
#include "app/cli/commands.def"
#undef VG_COMMAND

const vg_command *const vg_commands[] = {
#define VG_COMMAND(name) &vg_command_##name,
#include "app/cli/commands.def"
#undef VG_COMMAND
    NULL,
};

/* The line on stderr and, for programs that read stdout, the object that --json promises. */
static int fail(const vg_args *args, const char *message, int status)
{
    fprintf(stderr, "vgen %s: ", args->command->name);
    vg_text_print(stderr, message);
    fputc('\n', stderr);
    const char *json = vg_args_get(args, "json");
    if (json && !*json) /* a switch; where it names a file, stdout is for people */
        vg_json_print(stdout, vg_cli_error_json(message, status), false);
    return status;
}

cJSON *vg_cli_error_json(const char *message, int status)
{
    cJSON *o = cJSON_CreateObject();
    char *clean = vg_text_clean(message);
    cJSON_AddStringToObject(o, "error", clean);
    cJSON_AddNumberToObject(o, "status", status);
    free(clean);
    return o;
}

int vg_cli_status(const vg_err *err)
{
    return err->code == VG_E_ARG ? VG_EXIT_USAGE : VG_EXIT_FAILURE;
}

static int usage_status(const vg_args *args)
{
    return args->command->usage_status ? args->command->usage_status : VG_EXIT_USAGE;
}

int vg_cli_fail(const vg_args *args, const vg_err *err)
{
    int status = vg_cli_status(err);
    return fail(args, err->message, status == VG_EXIT_USAGE ? usage_status(args) : status);
}

int vg_cli_usage(const vg_args *args, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return fail(args, text, usage_status(args));
}

void vg_cli_warn(const vg_lines *warnings)
{
    for (int i = 0; i < warnings->count; i++) {
        fputs("warning: ", stderr);
        vg_text_print(stderr, warnings->items[i]);
        fputc('\n', stderr);
    }
}

vg_status vg_cli_settings(const vg_args *args, vg_settings *settings, vg_err *err)
{
    const char *preset = vg_args_get(args, "preset");
    vg_lines warnings = {0};
    vg_status status = VG_OK;
    if (preset)
        status = vg_presets_load(preset, settings, &warnings, err);
    vg_cli_warn(&warnings);
    vg_lines_free(&warnings);
    if (status != VG_OK && err)
        err->code = status = VG_E_ARG;
    if (status == VG_OK)
        vg_settings_merge(settings, &args->settings);
    return status;
}

vg_status vg_cli_variants(const vg_args *args, const vg_settings *settings, vg_variants *variants,
                          vg_err *err)
{
    int count;
    const char **texts = vg_args_all(args, "variant", &count);
    vg_status status = vg_variants_make(settings, texts, count, variants, err);
    free(texts);
    return status;
}

static void print_overview(FILE *out)
{
    fputs("usage: vgen COMMAND [options]\n\n"
          "Text to video on this machine, BF16 against FP8: generate, watch, compare, keep.\n\n"
          "Commands:\n",
          out);
    for (int i = 0; vg_commands[i]; i++) {
        if (!vg_commands[i]->hidden)
            fprintf(out, "  %-12s%s\n", vg_commands[i]->name, vg_commands[i]->summary);
    }
    fputs(
        "\nOptions:\n"
        "  -h, --help      this text; vgen COMMAND --help for a command's\n"
        "  -V, --version   the version\n\n"
        "Examples:\n"
        "  vgen compare --preset demo\n"
        "  vgen generate --model demo --prompt \"a small blue square growing on a grey background\" --output clip.mp4\n"
        "  vgen jobs\n\n"
        "A job is a folder and survives this program: close the terminal, come back with vgen attach, go on with vgen resume.\n"
        "Exit status: 0 done, 1 failed, 2 asked wrongly, 130 cancelled.\n",
        out);
}

static const vg_command *find_command(const char *name)
{
    for (int i = 0; vg_commands[i]; i++) {
        if (!strcmp(vg_commands[i]->name, name) ||
            (vg_commands[i]->alias && !strcmp(vg_commands[i]->alias, name)))
            return vg_commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[64];
    char clean[64];
    int n = 0;
    for (int i = 0; vg_commands[i] && n < 62; i++) {
        if (!vg_commands[i]->hidden)
            names[n++] = vg_commands[i]->name;
    }
    const char *near = vg_text_nearest(name, names, n);
    vg_text_clean_to(clean, sizeof clean, name);
    if (near)
        fprintf(stderr, "vgen: %s is not a command; did you mean %s?\n", clean, near);
    else
        fprintf(stderr, "vgen: %s is not a command; vgen --help lists them\n", clean);
    return VG_EXIT_USAGE;
}

/* Whether this machine shows an NVIDIA GPU, with a driver that works or not. */
static bool shows_a_gpu(void)
{
    return vg_file_exists("/proc/driver/nvidia") || vg_file_exists("/dev/nvidiactl") ||
           vg_file_exists("/dev/dxg");
}

void vg_cli_say_device(const vg_settings *settings, bool always)
{
    const char *reason =
        *vg_settings_get(settings, VG_OPT_device) ? NULL : vg_device_default_reason();
    if (!reason || (!always && !shows_a_gpu()))
        return;
    fputs("note: this runs on the CPU: ", stderr);
    vg_text_print(stderr, reason);
    fputc('\n', stderr);
}

/* Output that nobody could read is a failure (a full disk behind a pipe to a file). */
static int flushed(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("vgen: cannot write the output\n", stderr);
        return status == VG_EXIT_OK ? VG_EXIT_FAILURE : status;
    }
    return status;
}

int vg_cli_main(int argc, char **argv)
{
    signal(
        SIGXFSZ,
        SIG_IGN); /* a file that may not grow (ulimit -f) is an error of the write, with a line of its own */
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_overview(stderr);
        return VG_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        const vg_command *about = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !about)
            return unknown_command(argv[2]);
        if (about)
            vg_args_print_help(stdout, "vgen", about);
        else
            print_overview(stdout);
        return flushed(VG_EXIT_OK);
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("vgen %s\n", VG_VERSION);
        return flushed(VG_EXIT_OK);
    }
    const vg_command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    vg_args args;
    vg_err err = {0};
    int status;
    if (vg_args_parse(command, argc - 2, argv + 2, &args, &err) != VG_OK ||
        (!args.help && vg_paths_check(&err) != VG_OK)) {
        /* Who asked for JSON behind the mistake asked for it all the same. */
        for (int i = 2; i < argc; i++) {
            for (int k = 0; !strcmp(argv[i], "--json") && command->specs && command->specs[k].name;
                 k++) {
                if (!strcmp(command->specs[k].name, "json") && !command->specs[k].value)
                    args.values[k] = "";
            }
        }
        status = vg_cli_fail(&args, &err);
    } else if (args.help) {
        vg_args_print_help(stdout, "vgen", command);
        status = VG_EXIT_OK;
    } else {
        status = command->job ? vg_cmd_job_run(&args) : command->run(&args);
    }
    vg_args_deinit(&args);
    return flushed(status);
}
