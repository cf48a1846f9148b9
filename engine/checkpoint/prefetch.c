/* prefetch.c: see prefetch.h. Files are read in steps, so that stopping does not wait for a whole one, and the thread looks at nothing but
 * its own copy of the paths. They are really read: readahead() takes a few MiB of a call at most and says nothing about the rest. */
#include "engine/checkpoint/prefetch.h"

#include "kernels/base/fileio.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP_BYTES ((size_t)1 << 20)
#define NICENESS   10

struct vg_prefetch {
    pthread_t thread;
    atomic_bool stop;
    int count;
    char *paths[];
};

static void read_through(vg_prefetch *p, const char *path, char *buffer)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while (!atomic_load(&p->stop) && read(fd, buffer, STEP_BYTES) > 0)
        ;
    close(fd);
}

static void *prefetch_main(void *argument)
{
    vg_prefetch *p = argument;
    char *buffer = malloc(STEP_BYTES);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS); /* of this thread only */
    for (int i = 0; buffer && i < p->count && !atomic_load(&p->stop); i++)
        read_through(p, p->paths[i], buffer);
    free(buffer);
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
