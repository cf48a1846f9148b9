/* blas.c: see blas.h. */
#include "kernels/cpu/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef VG_OPENBLAS_FILE
#define VG_OPENBLAS_FILE "libopenblas.so"
#endif

/* What a buffer of OpenBLAS takes at most on 64-bit machines (BUFFER_SIZE of its sources), with something for what the C library takes
 * beside it. */
#define BUFFER_BYTES ((size_t)160 << 20)

vg_cpu_blas vg_blas;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static void *library;
static int buffers; /* that the library holds */
static const char *(*get_config)(void);
/* Its allocator of work buffers: exported, though not in a header. Given back, a buffer stays the library's. */
static void *(*take_buffer)(int);
static void (*give_buffer)(void *);

static bool find(const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static vg_status load(vg_err *err)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblasp.so.0", VG_OPENBLAS_FILE};
    void (*set_threads)(int) = NULL;
    char reason[256] = "";
    /* Read while it is loaded, before any of its functions could be called. */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        const char *said = library ? NULL : dlerror();
        if (said && !*reason)
            snprintf(reason, sizeof reason, "%s", said);
    }
    if (!library)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "OpenBLAS is needed to compute on the CPU and cannot be loaded: %s", reason);
    if (find("cblas_sgemm", &vg_blas.sgemm) && find("cblas_sgemv", &vg_blas.sgemv) &&
        find("openblas_get_config", &get_config) &&
        find("openblas_set_num_threads", &set_threads)) {
        set_threads(1);
        if (!find("blas_memory_alloc", &take_buffer) || !find("blas_memory_free", &give_buffer))
            take_buffer = NULL; /* not in this build of it */
        return VG_OK;
    }
    dlclose(library);
    library = NULL;
    vg_blas = (vg_cpu_blas){0};
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "the library that is loaded as OpenBLAS does not have its functions");
}

/* Whether `bytes` more addresses can be had. */
static bool there_is_room(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at != MAP_FAILED && munmap(at, bytes) == 0;
}

/* One buffer for each call at a time. OpenBLAS asks for ever for one that it does not get, so it is asked only where there is room. */
static vg_status reserve(int callers, vg_err *err)
{
    int more = callers - buffers, taken = 0;
    vg_status status = VG_OK;
    if (more <= 0)
        return VG_OK;
    void **held = calloc((size_t)callers, sizeof *held);
    if (!held)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for %d buffers of OpenBLAS", callers);
    for (; taken < callers; taken++) {
        if (taken >= buffers && !there_is_room(BUFFER_BYTES)) {
            status = VG_FAIL(err, VG_E_NOMEM,
                             "out of memory: OpenBLAS takes up to %zu MiB of addresses for each of "
                             "%d threads, and there are not so many (ulimit -v); fewer threads "
                             "need less",
                             BUFFER_BYTES >> 20, callers);
            break;
        }
        if (take_buffer && !(held[taken] = take_buffer(0))) {
            status = VG_FAIL(err, VG_E_NOMEM,
                             "OpenBLAS has no more than %d buffers, too few for %d threads", taken,
                             callers);
            break;
        }
    }
    buffers = taken > buffers ? taken : buffers;
    for (int i = 0; i < taken && take_buffer; i++)
        give_buffer(held[i]);
    free(held);
    return status;
}

vg_status vg_cpu_blas_open(int callers, vg_err *err)
{
    vg_status status = VG_OK;
    pthread_mutex_lock(&lock);
    if (!library && !there_is_room(BUFFER_BYTES))
        status = VG_FAIL(err, VG_E_NOMEM,
                         "out of memory: OpenBLAS takes up to %zu MiB of addresses, and there are "
                         "not so many (ulimit -v)",
                         BUFFER_BYTES >> 20);
    else if (!library)
        status = load(err);
    if (status == VG_OK)
        status = reserve(callers, err);
    pthread_mutex_unlock(&lock);
    return status;
}

void vg_cpu_blas_name(char *name, size_t size)
{
    /* "OpenBLAS 0.3.21" of "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." */
    const char *config = get_config ? get_config() : "", *second = strchr(config, ' ');
    size_t length = second ? (size_t)(second - config) + 1 + strcspn(second + 1, " ") : 0;
    snprintf(name, size, "%.*s", (int)length, config);
}
