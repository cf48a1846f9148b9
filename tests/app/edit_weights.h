/* edit_weights.h: checkpoints with something changed: copies of folders, their tensors taken out, changed and written again, texts replaced. */
#ifndef VG_TESTS_APP_EDIT_WEIGHTS_H
#define VG_TESTS_APP_EDIT_WEIGHTS_H

#include "engine/checkpoint/safetensors.h"
#include "kernels/base/json.h"
#include "tests/app/test_cli.h"

#define EDIT_WEIGHTS "diffusion_pytorch_model.safetensors"

static inline void edit_copy_tree(const char *from, const char *to)
{
    char command[1200];
    snprintf(command, sizeof command, "mkdir -p '%s' && cp -rL '%s'/. '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

typedef struct edit_file {
    vg_safetensors_entry entries[200];
    char names[200][128];
    int count;
    const char *const *metadata; /* of the file that is written, or NULL */
} edit_file;

typedef void edit_fn(edit_file *f);

static inline vg_safetensors_entry *edit_entry_of(edit_file *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (!strcmp(f->names[i], name))
            return &f->entries[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static inline void edit_drop(edit_file *f, const char *name)
{
    vg_safetensors_entry *e = edit_entry_of(f, name);
    int at = (int)(e - f->entries);
    free(e->tensor.data);
    for (int i = at; i + 1 < f->count; i++) {
        f->entries[i] = f->entries[i + 1];
        memcpy(f->names[i], f->names[i + 1], sizeof f->names[i]);
    }
    f->count--;
}

static inline void edit_set_f32(edit_file *f, const char *name, float value)
{
    memcpy(edit_entry_of(f, name)->tensor.data, &value, sizeof value);
}

/* Open a folder's weights, change them, write them again. */
static inline void edit_weights(const char *dir, const char *folder, edit_fn *fn)
{
    static edit_file f;
    char path[600];
    vg_safetensors *st = NULL;
    vg_err err = {0};
    snprintf(path, sizeof path, "%s/%s/" EDIT_WEIGHTS, dir, folder);
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    f.count = vg_safetensors_count(st);
    f.metadata = NULL;
    assert_true(f.count < 190);
    for (int i = 0; i < f.count; i++) {
        f.entries[i].tensor = *vg_safetensors_tensor(st, i);
        size_t bytes = vg_tensor_bytes(&f.entries[i].tensor);
        void *copy = malloc(bytes + 1);
        memcpy(copy, f.entries[i].tensor.data, bytes);
        f.entries[i].tensor.data = copy;
        snprintf(f.names[i], sizeof f.names[i], "%s", vg_safetensors_name(st, i));
    }
    vg_safetensors_close(st);
    fn(&f);
    for (int i = 0; i < f.count; i++)
        f.entries[i].name = f.names[i];
    CHECK_OK(vg_safetensors_write(path, f.entries, f.count, f.metadata, &err), err);
    for (int i = 0; i < f.count; i++)
        free(f.entries[i].tensor.data);
}

static inline void edit_text(const char *dir, const char *name, const char *text)
{
    char path[600];
    vg_err err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(vg_file_write_atomic(path, text, strlen(text), &err), err);
}

/* Replace in a text file; there must be something to replace. */
static inline void edit_replace(const char *dir, const char *name, const char *old, const char *new)
{
    char path[600], made[8192];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = cli_read(path), *at = text ? strstr(text, old) : NULL;
    assert_non_null(at);
    snprintf(made, sizeof made, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    edit_text(dir, name, made);
    free(text);
}

#endif
