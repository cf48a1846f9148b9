/* worker.c: the life of a worker: lock, slot, signals, engine, the work of the job's kind, the last word in events.jsonl. See worker.h. */
#include "app/worker/worker_run.h"
#include "app/job/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/job/device_lock.h"
#include "app/settings/paths.h"

#define SLOT_POLL_MS 100
#define LOCK_TRIES                                                                                 \
    60 /* of 50 ms: a worker that was just killed still holds its lock until its memory is given back */

atomic_int vg_worker_cancel_flag;

static void on_cancel(int number)
{
    (void)number;
    atomic_store(&vg_worker_cancel_flag, 1);
}

static void take_signals(void)
{
    struct sigaction cancel = {.sa_handler = on_cancel, .sa_flags = SA_RESTART},
                     ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&cancel.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGTERM, &cancel, NULL);
    sigaction(SIGINT, &cancel, NULL);
    sigaction(SIGQUIT, &cancel, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* ---- the slot: one job at a time per device, who came first goes first ---- */

static vg_status wait_for_slot(vg_worker *w, int *fd, vg_err *err)
{
    char holder[160], said[160] = "", note[32], *place = NULL;
    char *path = vg_device_lock_path(w->job.device, err);
    int waiting = -1;
    vg_status status;
    if (!path)
        return err ? err->code : VG_E_IO;
    /* All users read it: no name, which has words of the prompt in it. */
    snprintf(note, sizeof note, "process %ld", (long)getpid());
    VG_TRY_GOTO(status, vg_lock_queue(path, &place, &waiting, err), done);
    for (;;) {
        status = vg_lock_first(path, place) ? vg_lock_take(path, note, fd, err) : VG_E_BUSY;
        if (status != VG_E_BUSY)
            break;
        vg_device_lock_holder(path, holder, sizeof holder);
        if (*holder && strcmp(holder, said)) {
            vg_job_event e = vg_job_event_of(VG_JOB_EVENT_queued);
            e.waiting_for = holder;
            vg_worker_tell(w, e);
            snprintf(said, sizeof said, "%s", holder);
        }
        if (atomic_load(&vg_worker_cancel_flag)) {
            status = VG_FAIL(err, VG_E_CANCELLED, "cancelled while waiting");
            break;
        }
        usleep(SLOT_POLL_MS * 1000);
    }
done:
    vg_lock_leave(place, waiting);
    free(path);
    return status;
}

/* ---- the run ---- */

static void tell_started(vg_worker *w, const vg_device_info *info)
{
    char *device = vg_xstrf("%s: %s", w->job.device, info->name);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_started);
    e.pid = (int)getpid();
    e.device = device;
    e.vgen = VG_VERSION;
    e.memory_is_device = !vg_engine_backend(w->engine)->ops->host_memory;
    e.memory_total = e.memory_is_device ? info->memory_total : vg_memory_total();
    vg_worker_tell(w, e);
    free(device);
}

static vg_status open_engine(vg_worker *w, vg_device_info *info, vg_err *err)
{
    VG_TRY(vg_device_open(w->job.device, vg_settings_int(&w->job.resolved, VG_OPT_threads),
                          &w->engine, err));
    VG_TRY(vg_backend_info(vg_engine_backend(w->engine), info, err));
    tell_started(w, info);
    return VG_OK;
}

static vg_status run(vg_worker *w, vg_err *err)
{
    int slot = -1;
    vg_device_info info = {0};
    vg_status status;
    VG_TRY(wait_for_slot(w, &slot, err));
    VG_TRY_GOTO(status, open_engine(w, &info, err), done);
    vg_worker_watch_begin(w, &info);
    status = w->job.kind->run(w, err);
    vg_worker_watch_end(w);
done:
    vg_engine_close(w->engine);
    vg_lock_release(slot);
    return status;
}

static int last_word(vg_worker *w, vg_status status, const vg_err *err)
{
    vg_job_event e =
        vg_job_event_of(status == VG_E_CANCELLED ? VG_JOB_EVENT_cancelled : VG_JOB_EVENT_failed);
    if (status == VG_OK) {
        vg_worker_say(w, w->stopped ? VG_JOB_EVENT_stopped : VG_JOB_EVENT_done);
        return 0;
    }
    if (status == VG_E_CANCELLED) {
        e.message = "resume goes on from the last finished step";
        vg_worker_tell(w, e);
        return 130;
    }
    e.message = err->message;
    e.code = vg_status_name(err->code);
    vg_worker_tell(w, e);
    fprintf(stderr, "vgen work: %s\n", err->message);
    return 1;
}

int vg_worker_run(const char *job_dir, int max_steps)
{
    vg_worker w = {.events.fd = -1, .max_steps = max_steps};
    vg_err err = {0};
    int lock = -1, result = 1;
    char pid[32];
    take_signals();
    if (vg_job_open(job_dir, &w.job, &err) != VG_OK ||
        vg_job_check_folder(w.job.dir, &err) != VG_OK) {
        fprintf(stderr, "vgen work: %s\n", err.message);
        vg_job_deinit(&w.job);
        return 1;
    }
    char *lock_path = vg_job_path(&w.job, VG_JOB_LOCK);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    vg_status locked = vg_lock_take(lock_path, pid, &lock, &err);
    for (int i = 0; locked == VG_E_BUSY && i < LOCK_TRIES && !atomic_load(&vg_worker_cancel_flag);
         i++) {
        usleep(50 * 1000);
        locked = vg_lock_take(lock_path, pid, &lock, &err);
    }
    if (locked != VG_OK) {
        if (err.code == VG_E_BUSY)
            fprintf(stderr, "vgen work: %s: another worker is on this job\n", w.job.id);
        else
            fprintf(stderr, "vgen work: %s\n", err.message);
        goto done;
    }
    if (vg_event_writer_open(w.job.dir, &w.events, &err) != VG_OK) {
        fprintf(stderr, "vgen work: %s\n", err.message);
        goto done;
    }
    vg_worker_sweep(&w.job);
    vg_snapshot_init(&w.snapshot, &w.job);
    vg_snapshot_refresh(&w.snapshot, NULL, NULL);
    vg_worker_callbacks(&w);
    result = last_word(&w, run(&w, &err), &err);
    /* For lists of jobs. Without it they read the journal. */
    vg_snapshot_refresh(&w.snapshot, NULL, NULL);
    if (vg_job_state_is_final(w.snapshot.state))
        (void)vg_snapshot_summarise(&w.snapshot, NULL);
    vg_snapshot_deinit(&w.snapshot);
    vg_event_writer_close(&w.events);
done:
    vg_lock_release(lock);
    free(lock_path);
    vg_job_deinit(&w.job);
    return result;
}
