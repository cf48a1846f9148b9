/* cmd_work.c: vgen work, the hidden command that a worker process runs. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "app/cli/cli.h"
#include "app/worker/worker.h"

/* A worker outlives who started it: it holds nothing of that process's, not a pipe, not a file system that shall be unmounted. */
static void detach(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
#endif
        for (int fd = 3; fd < 1024; fd++) /* an old kernel */
            (void)close(fd);
    if (chdir("/") != 0) {
        /* then it stays where it is: nothing depends on it */
    }
}

static int run(vg_args *args)
{
    char *dir = realpath(args->words[0], NULL);
    if (dir)
        detach();
    int status = vg_worker_run(dir ? dir : args->words[0],
                               vg_settings_int(&args->settings, VG_OPT_max_steps_run));
    free(dir);
    return status;
}

extern const vg_command vg_command_work;
const vg_command vg_command_work = {
    .name = "work",
    .arguments = "JOBDIR [--max-steps-run N]",
    .summary = "run a job in this process",
    .settings = "max_steps_run",
    .min_args = 1,
    .max_args = 1,
    .hidden = true,
    .run = run,
};
