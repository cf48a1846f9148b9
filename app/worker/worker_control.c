/* worker_control.c: workers from outside: starting, asking to stop, ending. See worker.h. */
#include "app/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/job/lock.h"
#include "app/job/process.h"

#define POLL_MS     25
#define START_TRIES 20 /* of POLL_MS: the lock appears a moment after the process */
#define KILLED_S    10 /* until a killed process is gone: it gives back memory */

extern char **environ;

/* ---- starting ---- */

/* JOB/worker.log, to append to; its folder may come from anybody. */
static vg_status open_log(const char *job_dir, int *fd, vg_err *err)
{
    char *path = vg_xstrf("%s/%s", job_dir, VG_JOB_LOG);
    struct stat st;
    vg_status status = VG_OK;
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (*fd < 0)
        status = VG_FAIL(err, VG_E_IO, "%s: cannot open for writing: %s", path, strerror(errno));
    else if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = VG_FAIL(err, VG_E_IO, "%s: not a regular file", path);
        close(*fd);
    }
    free(path);
    return status;
}

/* Said first, so that whoever looks in the next second sees a job that begins, not one that was left. */
static vg_status tell(const char *job_dir, const vg_job_event *event, vg_err *err)
{
    vg_event_writer events = {.fd = -1};
    VG_TRY(vg_event_writer_open(job_dir, &events, err));
    vg_status status = vg_event_write(&events, event, err);
    vg_event_writer_close(&events);
    return status;
}

static vg_status spawn(char *const *argv, int log, pid_t *pid, vg_err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log, 1);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    sigaddset(&defaults, SIGQUIT);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(pid, "/proc/self/exe", &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return rc ? VG_FAIL(err, VG_E_IO, "cannot start a worker: %s", strerror(rc)) : VG_OK;
}

vg_status vg_worker_start(const char *job_dir, int max_steps, pid_t *pid, vg_err *err)
{
    char steps[24];
    char *argv[] = {"vgen", "work", (char *)job_dir, NULL, NULL, NULL};
    const vg_job_event asked = vg_job_event_of(VG_JOB_EVENT_resume);
    int log = -1;
    if (max_steps > 0) {
        snprintf(steps, sizeof steps, "%d", max_steps);
        argv[3] = "--max-steps-run";
        argv[4] = steps;
    }
    VG_TRY(vg_job_check_folder(job_dir, err));
    VG_TRY(open_log(job_dir, &log, err));
    vg_status status = tell(job_dir, &asked, err);
    if (status == VG_OK)
        status = spawn(argv, log, pid, err);
    close(log);
    return status;
}

/* ---- stopping ---- */

static vg_status signal_worker(const char *job_dir, int number, vg_err *err)
{
    pid_t pid = 0;
    char *lock = vg_xstrf("%s/%s", job_dir, VG_JOB_LOCK);
    for (int i = 0; i < START_TRIES && !vg_job_running(job_dir, &pid); i++)
        usleep(POLL_MS * 1000);
    vg_status status = pid > 1 ? vg_process_signal(pid, lock, number, err)
                               : VG_FAIL(err, VG_E_MISSING, "no worker is on this job");
    free(lock);
    return status;
}

/* True: no worker is on it any more. */
static bool wait_for_end(const char *job_dir, double seconds)
{
    for (int polls = (int)(seconds * 1000 / POLL_MS); polls > 0; polls--) {
        if (!vg_job_running(job_dir, NULL))
            return true;
        usleep(POLL_MS * 1000);
    }
    return !vg_job_running(job_dir, NULL);
}

vg_status vg_worker_cancel(const char *job_dir, vg_err *err)
{
    return signal_worker(job_dir, SIGTERM, err);
}

vg_status vg_worker_kill(const char *job_dir, double wait_s, vg_err *err)
{
    char *path = vg_xstrf("%s/%s", job_dir, VG_JOB_LOCK);
    int lock = -1;
    vg_status status;
    VG_TRY_GOTO(status, signal_worker(job_dir, SIGKILL, err), done);
    if (!wait_for_end(job_dir, wait_s)) {
        status =
            VG_FAIL(err, VG_E_BUSY,
                    "the worker was killed and has not ended yet: it waits for a device or a disk");
        goto done;
    }
    /* Its last word, in its place; where another worker has begun meanwhile there is none to say. */
    if (vg_lock_take(path, "", &lock, NULL) == VG_OK) {
        vg_job_event e = vg_job_event_of(VG_JOB_EVENT_cancelled);
        e.message = "it did not answer and was killed; resume goes on from the last finished step";
        status = tell(job_dir, &e, err);
        vg_lock_release(lock);
    }
done:
    free(path);
    return status;
}

vg_status vg_worker_stop(const char *job_dir, double grace_s, bool *killed, vg_err *err)
{
    vg_status status = vg_worker_cancel(job_dir, err);
    bool hard = status == VG_OK && !wait_for_end(job_dir, grace_s);
    if (hard) {
        vg_err inner = {0};
        status = vg_worker_kill(job_dir, KILLED_S, &inner);
        if (status == VG_E_MISSING && !vg_job_running(job_dir, NULL)) { /* ended in between */
            hard = false;
            status = VG_OK;
        } else if (status != VG_OK) {
            status = VG_FAIL(err, status, "%s", inner.message);
        }
    }
    if (killed)
        *killed = hard;
    return status;
}
