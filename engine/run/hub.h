/* hub.h: the checkpoints of this machine: paths, the HuggingFace hub cache, the demos among the presets. Never downloads. */
#ifndef VG_ENGINE_RUN_HUB_H
#define VG_ENGINE_RUN_HUB_H

#include "engine/checkpoint/checkpoint.h"

/* Resolve what a person typed into a directory: an existing path; "demo" (= demo/wan-t2v), "demo/<name>" or "arch/<name>" in the presets folders
 * given; or a hub id "org/name" or "org/name@revision" in the hub cache: $HF_HUB_CACHE, else $HF_HOME/hub, else
 * $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub, with "~" and "$NAME" expanded as huggingface_hub does (refs/main, else the newest snapshot). A path counts when it
 * holds model_index.json or starts with '/', './', '../' or '~/'. *dir is malloc'd. VG_E_MISSING lists what was looked at. */
vg_status vg_model_find(const char *model, const char *const *presets_dirs, int presets_count,
                        char **dir, vg_err *err);

typedef struct vg_model_entry {
    char *id; /* hub id, demo name or path, as vg_model_find takes it */
    char *dir;
    char *family;    /* e.g. "wan"; "" when no family claims it */
    char *modes;     /* "t2v" */
    char *precision; /* e.g. "bf16", "fp8 per-tensor (400 of 410)", "f32" */
    uint64_t bytes;  /* files on disk */
    char *missing;   /* NULL when complete, else what is missing, one line */
} vg_model_entry;

/* Everything found in the hub cache and the presets folders, sorted by id. Incomplete ones are listed with `missing`. */
vg_status vg_model_list(const char *const *presets_dirs, int presets_count,
                        vg_model_entry **entries, int *count, vg_err *err);
/* The entries with their texts, and the array. */
void vg_model_list_free(vg_model_entry *entries, int count);
#endif
