/* run_jobs.h: what generate and compare have in common: make one job per prompt, start its worker, watch it, print the result. */
#ifndef VG_APP_CLI_RUN_JOBS_H
#define VG_APP_CLI_RUN_JOBS_H

#include "app/cli/cli.h"

extern const vg_arg_spec vg_run_jobs_specs[];
/* compare: needs several schemes. Returns the exit status. */
int vg_run_jobs(vg_args *args, bool compare);
#endif
