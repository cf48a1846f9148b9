/* models.h: the checkpoints that this machine has. */
#ifndef VG_UI_HOST_MODELS_H
#define VG_UI_HOST_MODELS_H

#include <stdbool.h>

typedef struct vg_ui_model {
    const char *name; /* as the model field takes it */
    const char *what; /* "wan  t2v  19.6 MiB  bf16", or what is missing of it */
    bool usable;
} vg_ui_model;

typedef struct vg_ui_models_host {
    void *self;
    /* All of them, looked for anew; borrowed until the next call. May read a few folders. */
    const vg_ui_model *(*list)(void *self, int *count);
} vg_ui_models_host;
#endif
