/* safetensors_writer.h: the weights of a component written piece by piece, in as much memory as one piece takes: tensors are declared first,
 * their files are made with header and full size, then bytes come, and at the end the files get their names.
 *
 * Files are laid out and called as huggingface_hub does it: DIR/STEM.safetensors, or, when the tensors take more than max_shard_bytes,
 * DIR/STEM-00001-of-0000N.safetensors and DIR/STEM.safetensors.index.json. Tensors fill shards in the order of declaration; one that is larger
 * than a shard gets one of its own. Within a file they lie by falling size of their dtype, then by name, so that all are aligned. */
#ifndef VG_ENGINE_CHECKPOINT_SAFETENSORS_WRITER_H
#define VG_ENGINE_CHECKPOINT_SAFETENSORS_WRITER_H

#include "engine/checkpoint/safetensors.h"

#define VG_SHARD_BYTES UINT64_C(5000000000) /* what diffusers takes when nothing else is said */

typedef struct vg_safetensors_writer vg_safetensors_writer;

/* Reserve the space of all files; nothing has a name yet. max_shard_bytes: of tensors in one file; 0: no limit. metadata: of every file; key,
 * value pairs, NULL-terminated, or NULL. tensors and metadata may go away.
 * Errors: those of vg_safetensors_write; VG_E_ARG also where DIR has weights of this STEM already; VG_E_IO: the disk is full. */
vg_status vg_safetensors_writer_open(const char *dir, const char *stem,
                                     const vg_safetensors_shape *tensors, int count,
                                     uint64_t max_shard_bytes, const char *const *metadata,
                                     vg_safetensors_writer **writer, vg_err *err);
/* The next bytes of tensor number `tensor`, as they lie in the file. Tensors may take turns. Errors: VG_E_ARG (no such tensor, more bytes than it
 * has), VG_E_IO. */
vg_status vg_safetensors_writer_append(vg_safetensors_writer *writer, int tensor, const void *bytes,
                                       size_t size, vg_err *err);
/* All bytes have come: sync the files and give them their names, the index last. After a failure none of them is there.
 * Errors: VG_E_ARG naming the tensor whose bytes are missing, VG_E_IO, VG_E_NOMEM. */
vg_status vg_safetensors_writer_finish(vg_safetensors_writer *writer, vg_err *err);
/* Unfinished files are dropped. */
void vg_safetensors_writer_close(vg_safetensors_writer *writer);

uint64_t vg_safetensors_writer_bytes(const vg_safetensors_writer *writer); /* of all tensors */
int vg_safetensors_writer_files(const vg_safetensors_writer *writer);      /* without the index */
#endif
