/* fuzz_summary.c: summary.json as arbitrary bytes, beside an empty journal that it may claim to know. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include "app/job/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char dir[64];
    vg_job job;
    vg_snapshot snapshot;
    vg_err err = {0};
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/vgen-fuzz-XXXXXX");
        if (!mkdtemp(dir))
            abort();
        char *journal = vg_xstrf("%s/%s", dir, VG_EVENTS_FILE);
        write_file(journal, "", 0);
        free(journal);
    }
    char *path = vg_xstrf("%s/%s", dir, VG_JOB_SUMMARY);
    write_file(path, data, size);
    free(path);
    if (vg_snapshot_glance(dir, &job, &snapshot, &err) != VG_OK)
        return 0;
    if (snapshot.variants_count < 1 || !vg_job_state_is_final(snapshot.state) ||
        !vg_text_is_utf8(snapshot.message))
        abort();
    vg_snapshot_deinit(&snapshot);
    vg_job_deinit(&job);
    return 0;
}
