/* replay.c: the main of a fuzz target without libFuzzer, for the suite: every seed, and of each some hundred variations that are the same at every
 * run: a bit turned over, a byte replaced, a piece cut out, doubled or put in from another seed. Finds what comes back, not what is new.
 *
 *   fuzz_NAME SEEDS [VARIATIONS] */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/fileio.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE_MAX_BYTES ((size_t)64 << 10)

static uint64_t state = 1;

static size_t below(size_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return n ? (size_t)(state >> 33) % n : 0;
}

/* In a buffer of just that size, so that a sanitizer sees what is read behind it. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static size_t put(uint8_t *to, size_t size, size_t at, const uint8_t *from, size_t count)
{
    if (size + count > SIZE_MAX_BYTES)
        return size;
    memmove(to + at + count, to + at, size - at);
    memcpy(to + at, from, count);
    return size + count;
}

static void vary(const uint8_t *seed, size_t size, const uint8_t *other, size_t other_size)
{
    static uint8_t bytes[SIZE_MAX_BYTES];
    size_t n = size < sizeof bytes ? size : sizeof bytes;
    memcpy(bytes, seed, n);
    for (size_t changes = 1 + below(4); changes && n; changes--) {
        size_t at = below(n), count = 1 + below(n - at < 64 ? n - at : 64);
        switch (below(6)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1:
            bytes[at] = (uint8_t)below(256);
            break;
        case 2:
            n = put(bytes, n, at, (const uint8_t *)"\xff\xff\xff\xff\x7f\0\0\0" + below(8), 1);
            break;
        case 3:
            memmove(bytes + at, bytes + at + count, n - at - count);
            n -= count;
            break;
        case 4:
            n = put(bytes, n, below(n), other + below(other_size), other_size ? 1 : 0);
            break;
        default:
            n = below(8) ? put(bytes, n, at, seed + below(size - count < size ? size - count : 1),
                               count < size ? count : size)
                         : at;
        }
    }
    run(bytes, n);
}

int main(int argc, char **argv)
{
    struct dirent **items = NULL;
    uint8_t *seeds[1024];
    size_t sizes[1024];
    int count = 0, variations = argc > 2 ? atoi(argv[2]) : 200;
    if (argc < 2)
        return 2;
    if (LLVMFuzzerInitialize)
        (void)LLVMFuzzerInitialize(&argc, &argv);
    int found = scandir(argv[1], &items, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char *path = vg_path_join(argv[1], items[i]->d_name), *text = NULL;
        if (count < 1024 && items[i]->d_name[0] != '.' &&
            vg_file_read(path, SIZE_MAX_BYTES * 16, &text, &sizes[count], NULL) == VG_OK)
            seeds[count++] = (uint8_t *)text;
        free(path);
        free(items[i]);
    }
    free(items);
    run((const uint8_t *)"", 0);
    for (int i = 0; i < count; i++)
        run(seeds[i], sizes[i]);
    for (int i = 0; i < variations && count; i++) {
        size_t a = below((size_t)count), b = below((size_t)count);
        vary(seeds[a], sizes[a], seeds[b], sizes[b]);
    }
    for (int i = 0; i < count; i++)
        free(seeds[i]);
    printf("%d seeds, %d variations\n", count, count ? variations : 0);
    return count ? 0 : 1;
}
