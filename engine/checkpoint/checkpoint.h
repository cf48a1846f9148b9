/* checkpoint.h: a HuggingFace diffusers folder: model_index.json, its components, and their sharded weights.
 * Also finds models: by path, by hub id in the local hub cache, or as a bundled demo. Loads nothing to a device. */
#ifndef VG_ENGINE_CHECKPOINT_CHECKPOINT_H
#define VG_ENGINE_CHECKPOINT_CHECKPOINT_H

#include "kernels/base/json.h"
#include "engine/checkpoint/safetensors.h"

/* All safetensors files of one component, as one name -> tensor table. */
typedef struct vg_weights vg_weights;

/* Open DIR/COMPONENT: <stem>.safetensors.index.json with its shards, or the single <stem>.safetensors, for stem
 * "diffusion_pytorch_model" or "model". Every tensor of the index must be in the shard it names (tensors of a shard that the
 * index does not name are left out); shard names are plain file names, though the files may be symbolic links, as in the hub
 * cache. "dummy:DIR" opens generated weights instead (engine/checkpoint/dummy.h): no names are known beforehand. Errors: VG_E_MISSING (which files), VG_E_FORMAT. */
vg_status vg_weights_open(const char *component_dir, vg_weights **weights, vg_err *err);
/* NULL is a no-op; tensors found in it are gone. */
void vg_weights_close(vg_weights *weights);
bool vg_weights_dummy(
    const vg_weights *weights); /* generated: the module makes what is asked for */
/* Tensors in all files; 0 when generated. */
int vg_weights_count(const vg_weights *weights);
const char *vg_weights_name(const vg_weights *weights, int index); /* sorted */
/* NULL when there is no such index; else as vg_weights_find. */
const vg_tensor *vg_weights_tensor(const vg_weights *weights, int index);
const vg_tensor *vg_weights_find(const vg_weights *weights,
                                 const char *name); /* NULL when absent; view into the map */
int vg_weights_index(const vg_weights *weights, const char *name); /* -1 when absent */
/* vg_safetensors_locate in the file that holds the data. */
bool vg_weights_locate(const vg_weights *weights, const void *data, int *fd, uint64_t *offset);
/* Why a tensor that is in the files cannot be used (vg_safetensors_unsupported), NULL otherwise. */
const char *vg_weights_unsupported(const vg_weights *weights, const char *name);
/* safetensors __metadata__ of the first file that has the key; NULL when absent. */
const char *vg_weights_metadata(const vg_weights *weights, const char *key);
int vg_weights_files(const vg_weights *weights); /* count; 0 when generated */
/* Path of file 0 to count - 1; borrowed until close. */
const char *vg_weights_file(const vg_weights *weights, int index);
/* Of all its files on disk. */
size_t vg_weights_file_bytes(const vg_weights *weights);
/* Identity of the weights, 64 bits: names, dtypes, shapes, file sizes, and their values: all of them where the files have at most
 * VG_IDENTITY_WHOLE_BYTES together (every VAE, the encoders of pictures, small models), else the first and last 4 KiB of every tensor and 4 KiB of
 * every 16 MiB between: reading tens of GB before each stage would cost minutes, and a file that was replaced differs in far more. */
#define VG_IDENTITY_WHOLE_BYTES ((size_t)1 << 30)
uint64_t vg_weights_identity(const vg_weights *weights);
/* Carrying on from `before`: names and bytes of what is configuration in a component's folder: its files .json, .txt and .model (a tokenizer is
 * nothing else). A folder that is not there has none. */
uint64_t vg_config_identity(const char *component_dir, uint64_t before);

/* Which weight files are missing, by name, opening none: *count of them, the name of the first in *first (malloc'd; NULL when
 * they are all there). Errors: VG_E_FORMAT for an index that cannot be read. */
vg_status vg_weights_missing(const char *component_dir, char **first, int *count, vg_err *err);

typedef struct vg_checkpoint vg_checkpoint;

/* Open DIR/model_index.json and list the components; no weights are mapped. Errors: VG_E_MISSING, VG_E_FORMAT (also for an entry of a
 * component that is none). */
vg_status vg_checkpoint_open(const char *dir, vg_checkpoint **checkpoint, vg_err *err);
/* NULL is a no-op. */
void vg_checkpoint_close(vg_checkpoint *checkpoint);
const char *vg_checkpoint_dir(const vg_checkpoint *checkpoint);    /* absolute */
const char *vg_checkpoint_class(const vg_checkpoint *checkpoint);  /* "WanPipeline" */
const cJSON *vg_checkpoint_index(const vg_checkpoint *checkpoint); /* model_index.json */
/* Class name of a component ("WanTransformer3DModel"), NULL when absent or [null, null]. */
const char *vg_checkpoint_component(const vg_checkpoint *checkpoint, const char *name);
const char *vg_checkpoint_config_name(const char *component); /* "config.json", ... */
/* DIR/NAME/config.json (or scheduler_config.json for "scheduler", tokenizer_config.json for "tokenizer");
 * caller deletes. VG_E_MISSING names the file. */
vg_status vg_checkpoint_config(const vg_checkpoint *checkpoint, const char *name, cJSON **config,
                               vg_err *err);

/* Missing config and weight files of all components, e.g. "transformer/diffusion_pytorch_model-00003-of-00012.safetensors and
 * 2 more", malloc'd; NULL when complete. Looks at names only. */
vg_status vg_checkpoint_missing(const vg_checkpoint *checkpoint, char **missing, vg_err *err);
#endif
