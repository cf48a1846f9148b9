/* fuzz_job.c: job.json and events.jsonl as arbitrary bytes. The first byte chooses: even is a job, odd a journal, which is folded into a snapshot
 * of a fixed job. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/job/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed_job[] =
    "{\"vgen_job\": 1, \"created\": 1, \"device\": \"cpu\", \"model\": {\"dir\": \"/nowhere\"}, \"variants\": [{\"quantization\": \"bf16\"}, "
    "{\"quantization\": \"fp8\"}], \"settings\": {}, \"resolved\": {\"height\": 32, \"width\": 32, \"num_frames\": 5, \"num_inference_steps\": 3}}";

static void fuzz_journal(const uint8_t *data, size_t size)
{
    static char dir[64];
    vg_job job = {0};
    vg_snapshot snapshot;
    vg_err err;
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/vgen-fuzz-XXXXXX");
        if (!mkdtemp(dir))
            abort();
    }
    if (vg_job_parse(fixed_job, sizeof fixed_job - 1, "fixed", &job, &err) != VG_OK)
        abort();
    job.dir = vg_xstrdup(dir);
    job.id = vg_xstrdup("fuzz");
    char *path = vg_xstrf("%s/%s", dir, VG_EVENTS_FILE);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    vg_snapshot_init(&snapshot, &job);
    vg_snapshot_refresh(&snapshot, NULL, NULL);
    cJSON_Delete(vg_snapshot_json(&snapshot));
    vg_job_memory memory = vg_snapshot_memory(&snapshot);
    if (memory.is_device && memory.others > (uint64_t)1e18)
        abort();
    vg_snapshot_deinit(&snapshot);
    vg_job_deinit(&job);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_job job = {0};
    vg_err err = {0};
    if (!size)
        return 0;
    if (data[0] & 1) {
        fuzz_journal(data + 1, size - 1);
    } else if (vg_job_parse((const char *)data + 1, size - 1, "fuzz.json", &job, &err) == VG_OK) {
        if (job.variants_count < 1 || job.variants_count > VG_VARIANTS_MAX)
            abort();
        for (int i = 0; i < job.variants_count; i++)
            free(vg_job_recipe(&job, i));
    }
    vg_job_deinit(&job);
    return 0;
}
