/* run_jobs.h: what the commands that make jobs have in common: make one, start its worker, watch it, print the result. */
#ifndef VG_APP_CLI_RUN_JOBS_H
#define VG_APP_CLI_RUN_JOBS_H

#include "app/cli/cli.h"
#include "app/job/kind.h"

/* One job of any kind, from making to its result. The command's specs have jobs-dir, detach, json and quiet (as vg_run_jobs_specs).
 *   batch      0, or its number in a batch, from 1
 *   results    with --json the result object is added; the caller prints it. An error of the first job is printed at once (vg_cli_fail).
 *   went_away  set when the person stopped watching: the job goes on by itself
 * Returns the exit status. */
int vg_run_job(vg_args *args, const vg_job_kind *kind, const vg_settings *settings,
               const vg_variants *variants, int batch, cJSON *results, bool *went_away);

/* Its text, of `size` bytes and a NUL behind them, which is changed. False: there is a zero byte in it. */
bool vg_run_split_prompts(char *text, size_t size, vg_lines *prompts);
/* The file of --prompt-file: one prompt a line; lines end in LF, CR LF or CR; a byte order mark is not part of the first one. Returns an exit
 * status, wrong files are told. */
int vg_run_read_prompts(vg_args *args, const char *path, vg_lines *prompts);

extern const vg_arg_spec vg_run_jobs_specs[];
/* generate and compare: one job per prompt. compare: needs several schemes. Returns the exit status. */
int vg_run_jobs(vg_args *args, bool compare);
#endif
