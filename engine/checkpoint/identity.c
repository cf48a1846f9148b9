/* identity.c: are these the files that a job was made with? See checkpoint.h. */
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/dummy.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define EDGE_BYTES   ((size_t)4096)
#define SPACED_BYTES ((size_t)16 << 20)
#define CONFIG_BYTES ((size_t)256 << 20)

/* ---- weights ---- */

static uint64_t text_into(uint64_t hash, const char *text)
{
    return vg_digest(hash, text, strlen(text) + 1);
}

static uint64_t number_into(uint64_t hash, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return vg_digest(hash, bytes, sizeof bytes);
}

/* The edges of the data, and a piece every now and then between them. */
static uint64_t samples_into(uint64_t hash, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += SPACED_BYTES) {
        size_t left = bytes - at;
        hash = vg_digest(hash, data + at, left < EDGE_BYTES ? left : EDGE_BYTES);
    }
    size_t last = bytes < EDGE_BYTES ? bytes : EDGE_BYTES;
    return vg_digest(hash, data + bytes - last, last);
}

uint64_t vg_weights_identity(const vg_weights *weights)
{
    size_t total = vg_weights_file_bytes(weights);
    uint64_t hash = number_into(0, total);
    /* Generated weights follow from the config and from how they are generated. */
    if (vg_weights_dummy(weights))
        return text_into(hash, VG_DUMMY_PREFIX "1");
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const vg_tensor *t = vg_weights_tensor(weights, i);
        size_t bytes = vg_tensor_bytes(t);
        hash = text_into(hash, vg_weights_name(weights, i));
        hash = text_into(hash, vg_dtype_name(t->dtype));
        hash = number_into(hash, (uint64_t)t->ndim);
        for (int d = 0; d < t->ndim; d++)
            hash = number_into(hash, (uint64_t)t->shape[d]);
        hash = total <= VG_IDENTITY_WHOLE_BYTES ? vg_digest(hash, t->data, bytes)
                                                : samples_into(hash, t->data, bytes);
    }
    return hash;
}

/* ---- configuration ---- */

static int is_config(const struct dirent *item)
{
    return vg_ends_with(item->d_name, ".json") || vg_ends_with(item->d_name, ".txt") ||
           vg_ends_with(item->d_name, ".model");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* One that cannot be read is known by its name: whoever needs it will say what is wrong. */
static uint64_t file_into(uint64_t hash, const char *dir, const char *name)
{
    char *path = vg_path_join(dir, name), *bytes = NULL;
    size_t size = 0;
    hash = text_into(hash, name);
    if (path && vg_file_read(path, CONFIG_BYTES, &bytes, &size, NULL) == VG_OK)
        hash = vg_digest(number_into(hash, size), bytes, size);
    free(bytes);
    free(path);
    return hash;
}

uint64_t vg_config_identity(const char *dir, uint64_t before)
{
    struct dirent **items = NULL;
    int count = scandir(dir, &items, is_config, by_name);
    for (int i = 0; i < count; i++) {
        before = file_into(before, dir, items[i]->d_name);
        free(items[i]);
    }
    free(items);
    return before;
}
