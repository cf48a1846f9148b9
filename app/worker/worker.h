/* worker.h: the process that runs a job: takes the job's lock, waits for the device's slot, runs the engine, writes everything down.
 * It owns no terminal: SIGHUP is ignored, SIGTERM, SIGINT and SIGQUIT cancel at the next block. */
#ifndef VG_APP_WORKER_WORKER_H
#define VG_APP_WORKER_WORKER_H

#include "app/job/job.h"

/* Run the job in this process, from where it stands. max_steps: stop after this many steps now, or VG_UNSET_INT.
 * Returns the exit status: 0 done (or stopped as asked), 1 failed, 130 cancelled. */
int vg_worker_run(const char *job_dir, int max_steps);

/* Start a worker for the job in a session of its own, its output in JOB/worker.log. The program is this one (/proc/self/exe work DIR).
 * It keeps no descriptor of its caller's, and leaves its folder. max_steps as above. The caller may wait for *pid. */
vg_status vg_worker_start(const char *job_dir, int max_steps, pid_t *pid, vg_err *err);
/* Ask the job's worker to stop at its next block. VG_E_MISSING when none is on it. */
vg_status vg_worker_cancel(const char *job_dir, vg_err *err);
/* End it where it is: SIGKILL, after it was proven to be this job's worker and this user's (vg_process_signal). What it did is kept up to the last
 * finished step, as with vg_worker_cancel. Its locks are free afterwards, and the journal says that it was cancelled. VG_E_MISSING as above,
 * VG_E_BUSY when it has not ended after wait_s all the same (it hangs in the kernel). */
vg_status vg_worker_kill(const char *job_dir, double wait_s, vg_err *err);
/* Cancel, and end it after grace_s seconds. *killed may be NULL. */
vg_status vg_worker_stop(const char *job_dir, double grace_s, bool *killed, vg_err *err);
#define VG_WORKER_GRACE_S 30
#endif
