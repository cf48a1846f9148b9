/* safetensors_impl.h: what the reader and the writers of the format share. */
#ifndef VG_ENGINE_CHECKPOINT_SAFETENSORS_IMPL_H
#define VG_ENGINE_CHECKPOINT_SAFETENSORS_IMPL_H

#include "engine/checkpoint/safetensors.h"

#define VG_SAFETENSORS_HEADER_MAX 100000000u
#define VG_SAFETENSORS_METADATA   "__metadata__"

/* Where the checksum of a file stands that has one, behind the header's length. */
#define VG_SAFETENSORS_SEAL "{\"" VG_SAFETENSORS_METADATA "\":{\"" VG_SAFETENSORS_CHECKSUM "\":\""

/* Everything in front of the data of these tensors, laid out in the given order: length, JSON, padding to 8 bytes. path: for messages.
 * metadata: key, value pairs, NULL-terminated, or NULL. *text is malloc'd. Errors: VG_E_ARG (a name twice or not UTF-8, "__metadata__"),
 * VG_E_SHAPE, VG_E_NOMEM. */
vg_status vg_safetensors_header(const char *path, const vg_safetensors_shape *tensors, int count,
                                const char *const *metadata, char **text, size_t *size,
                                vg_err *err);
#endif
