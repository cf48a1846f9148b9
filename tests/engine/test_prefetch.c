/* test_prefetch.c: all of a component's files come into the page cache, and a prefetch can be stopped at any time. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/checkpoint/prefetch.h"
#include "tests/check.h"
#include "tests/scratch.h"

#define VALUES ((int64_t)12 << 20) /* 48 MiB: more than any one readahead */
#define FILE   "t/diffusion_pytorch_model.safetensors"

static void write_weights(void **state)
{
    vg_err err;
    float *values = calloc((size_t)VALUES, sizeof *values);
    const vg_safetensors_entry entry = {"w", vg_tensor_make(values, VG_F32, 1, VALUES)};
    assert_non_null(values);
    CHECK_OK(vg_file_make_dirs(scratch_path(state, "t"), &err), err);
    CHECK_OK(vg_safetensors_write(scratch_path(state, FILE), &entry, 1, NULL, &err), err);
    free(values);
}

/* Pages of the file that are not in the page cache; evict: those that can be are dropped before. */
static size_t absent_pages(void **state, bool evict)
{
    struct stat info;
    size_t absent = 0, page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open(scratch_path(state, FILE), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    if (evict)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    size_t pages = ((size_t)info.st_size + page - 1) / page;
    unsigned char *in = malloc(pages);
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(in && map != MAP_FAILED && mincore(map, (size_t)info.st_size, in) == 0);
    for (size_t i = 0; i < pages; i++)
        absent += !(in[i] & 1);
    munmap(map, (size_t)info.st_size);
    free(in);
    close(fd);
    return absent;
}

static void test_prefetch_brings_all_of_a_file(void **state)
{
    write_weights(state);
    if (absent_pages(state, true) == 0)
        skip(); /* a file system that lives in memory */
    vg_prefetch *p = vg_prefetch_start(scratch_path(state, "t"));
    if (!p)
        skip(); /* too little memory for a prefetch to be worth it */
    size_t absent = 1;
    for (int i = 0; i < 1000 && absent; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        absent = absent_pages(state, false);
    }
    vg_prefetch_stop(p);
    assert_int_equal(absent, 0);
}

static void test_prefetch_stops_and_may_be_missing(void **state)
{
    write_weights(state);
    for (int i = 0; i < 20; i++)
        vg_prefetch_stop(vg_prefetch_start(scratch_path(state, "t")));
    assert_null(vg_prefetch_start("dummy:nowhere"));
    assert_null(vg_prefetch_start(scratch_path(state, "absent")));
    vg_prefetch_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prefetch_brings_all_of_a_file, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_prefetch_stops_and_may_be_missing, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
