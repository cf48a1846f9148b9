/* cli.h: the command line: commands as a table, arguments parsed from tables, help generated from both. */
#ifndef VG_APP_CLI_CLI_H
#define VG_APP_CLI_CLI_H

#include "app/settings/variants.h"

#define VG_EXIT_OK        0
#define VG_EXIT_FAILURE   1
#define VG_EXIT_USAGE     2
#define VG_EXIT_CANCELLED 130
/* Of vgen check alone, where 2 is an answer: warnings only, and a wrong use. */
#define VG_EXIT_WARNINGS    2
#define VG_EXIT_CHECK_USAGE 64

/* One flag of a command that is not a setting. A table ends with a NULL name. */
typedef struct vg_arg_spec {
    const char *name; /* "jobs-dir" */
    char letter;      /* 0 for none */
    /* What it takes, "DIR"; "TEXT...": it may be given several times (vg_args_all); NULL: it is a switch. */
    const char *value;
    const char *help;
} vg_arg_spec;
#define VG_ARG_SPECS_MAX 16

typedef struct vg_args vg_args;
typedef struct vg_args_given {
    int spec;
    const char *value; /* borrowed from argv */
} vg_args_given;
struct vg_job;
struct vg_snapshot;

typedef struct vg_command {
    const char *name, *alias; /* alias may be NULL */
    const char *arguments;    /* "JOB [--follow]" as shown in usage */
    const char *summary;      /* one line for the list of commands */
    const char *text;         /* what it does, for its --help */
    const char *examples;     /* lines, or NULL */
    const char *settings;     /* NULL none, "*" all, or keys with blanks between */
    const vg_arg_spec *specs; /* or NULL */
    int min_args, max_args;   /* words that are not flags */
    bool hidden;
    int usage_status;          /* exit status of a wrong use; 0: VG_EXIT_USAGE */
    int (*run)(vg_args *args); /* exit status */
    /* Instead of run, of a command on the one job that its word names: opened before, closed afterwards (cmd_job.h). */
    int (*job)(vg_args *args, const struct vg_job *job, struct vg_snapshot *snapshot);
} vg_command;

struct vg_args {
    const vg_command *command;
    vg_settings settings; /* from flags only */
    const char *values
        [VG_ARG_SPECS_MAX]; /* of specs: NULL not given, "" a switch that was given; borrowed from argv */
    vg_args_given *given; /* of specs that repeat, in order */
    int given_count;
    const char **words; /* borrowed from argv */
    int words_count;
    bool help;
};

extern const vg_command *const vg_commands[]; /* NULL-terminated */

/* Parse what follows the command's name. VG_E_ARG: one line with the nearest match. */
vg_status vg_args_parse(const vg_command *command, int argc, char **argv, vg_args *args,
                        vg_err *err);
/* Free what parsing took; texts that _get and _all returned belong to argv. */
void vg_args_deinit(vg_args *args);
const char *vg_args_get(const vg_args *args, const char *name); /* NULL when not given */
/* Was the flag given? */
bool vg_args_has(const vg_args *args, const char *name);
/* Every value of a flag that repeats, in order; the array is malloc'd, NULL when there is none. */
const char **vg_args_all(const vg_args *args, const char *name, int *count);
/* Generated help. */
void vg_args_print_help(FILE *out, const char *program, const vg_command *command);
/* The settings that a command with these keys takes (vg_command.settings), under the titles of their groups. */
void vg_args_print_settings(FILE *out, const char *keys);
/* Flags that are no settings, then --help. specs: ends with a row without a name; NULL: --help alone. */
void vg_args_print_specs(FILE *out, const vg_arg_spec *specs);

/* The rule of exit statuses. 2: what a person gave is wrong and that can be seen before a job exists: words, flags, their values, and the
 * contents of the files they name (preset, prompts, initial latents). 1: everything else: checkpoint, the tensors of vgen component, disk,
 * device, a job that failed, a job that is not there. 130: cancelled. */
int vg_cli_status(const vg_err *err);
/* "vgen CMD: message" on stderr, and with --json {"error": message, "status": N} on stdout; returns the exit status. */
int vg_cli_fail(const vg_args *args, const vg_err *err);
/* {"error": message, "status": N}, control characters of the message replaced. Caller deletes. */
cJSON *vg_cli_error_json(const char *message, int status);
/* vg_cli_fail for a wrong use of the command: a message as of printf; returns VG_EXIT_USAGE, or the command's own. */
int vg_cli_usage(const vg_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "warning: LINE" on stderr for each. */
void vg_cli_warn(const vg_lines *warnings);
/* Settings of a command: the preset of --preset, then the flags. */
vg_status vg_cli_settings(const vg_args *args, vg_settings *settings, vg_err *err);

/* What --variant (VG_SPEC_VARIANT) and the schemes of these settings ask for. */
#define VG_SPEC_VARIANT                                                                                                \
    {                                                                                                                  \
        "variant", 0, "TEXT...",                                                                                       \
            "compare with the same but for these settings: \"label: key=value,key=value\" (the label may be left out)" \
    }
/* Fill *variants, which begins all zero; the caller deinitialises. VG_E_ARG as vg_variants_make. */
vg_status vg_cli_variants(const vg_args *args, const vg_settings *settings, vg_variants *variants,
                          vg_err *err);
/* Where no device was named and it is the CPU: one line on stderr that says why. always: also where this machine shows no GPU. */
void vg_cli_say_device(const vg_settings *settings, bool always);

/* main of both programs for commands. */
int vg_cli_main(int argc, char **argv);
#endif
