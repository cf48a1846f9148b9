/* prefetch.c: see prefetch.h. Reading ahead is done in steps, so that stopping does not wait for a whole file, and the thread looks at
 * nothing but its own copy of the paths. */
#include "engine/prefetch.h"

#include "engine/fileio.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP_BYTES ((size_t)16 << 20)
#define NICENESS   10

struct vg_prefetch {
    pthread_t thread;
    atomic_bool stop;
    int count;
    char *paths[];
};

static void read_ahead(vg_prefetch *p, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (off_t at = 0; fstat(fd, &info) == 0 && at < info.st_size && !atomic_load(&p->stop);
         at += (off_t)STEP_BYTES)
        (void)readahead(fd, at, STEP_BYTES); /* waits until the step is in memory */
    close(fd);
}

static void *prefetch_main(void *argument)
{
    vg_prefetch *p = argument;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS); /* of this thread only */
    for (int i = 0; i < p->count && !atomic_load(&p->stop); i++)
        read_ahead(p, p->paths[i]);
    return NULL;
}

static void prefetch_free(vg_prefetch *p)
{
    for (int i = 0; i < p->count; i++)
        free(p->paths[i]);
    free(p);
}

static bool worth_it(const vg_weights *weights)
{
    return vg_weights_files(weights) > 0 &&
           vg_weights_file_bytes(weights) < vg_memory_available() / 2;
}

vg_prefetch *vg_prefetch_start(const char *weights_dir)
{
    vg_weights *weights;
    vg_prefetch *p = NULL;
    if (vg_weights_open(weights_dir, &weights, NULL) != VG_OK)
        return NULL;
    int files = vg_weights_files(weights);
    if (worth_it(weights))
        p = calloc(1, sizeof *p + (size_t)files * sizeof p->paths[0]);
    for (int i = 0; p && i < files; i++)
        if ((p->paths[p->count] = strdup(vg_weights_file(weights, i))))
            p->count++;
    vg_weights_close(weights);
    if (p && pthread_create(&p->thread, NULL, prefetch_main, p) != 0) {
        prefetch_free(p);
        p = NULL;
    }
    return p;
}

void vg_prefetch_stop(vg_prefetch *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    prefetch_free(p);
}
