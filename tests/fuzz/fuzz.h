/* fuzz.h: what the targets share that need files: a folder of their own in memory, removed at the end. */
#ifndef VG_TESTS_FUZZ_FUZZ_H
#define VG_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kernels/base/fileio.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_dir[64];

static void fuzz_remove_dir(void)
{
    (void)vg_file_remove_tree(fuzz_dir, NULL);
}

/* The folder, made at the first call. */
static inline const char *fuzz_folder(void)
{
    if (!fuzz_dir[0]) {
        snprintf(fuzz_dir, sizeof fuzz_dir, "/dev/shm/vgen-fuzz-XXXXXX");
        if (!mkdtemp(fuzz_dir)) {
            snprintf(fuzz_dir, sizeof fuzz_dir, "/tmp/vgen-fuzz-XXXXXX");
            if (!mkdtemp(fuzz_dir))
                abort();
        }
        atexit(fuzz_remove_dir);
    }
    return fuzz_dir;
}

/* Path of NAME in it; valid until four more calls. */
static inline const char *fuzz_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
    return path;
}

/* mode: as of fopen. */
static inline void fuzz_write(const char *name, const char *mode, const void *bytes, size_t size)
{
    FILE *f = fopen(fuzz_path(name), mode);
    if (!f || (size && fwrite(bytes, 1, size, f) != size) || fclose(f) != 0)
        abort();
}
#endif
