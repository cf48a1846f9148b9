/* sentencepiece_shim.h: the few calls of libsentencepiece that the tokenizer needs, in C. The library is C++ and throws; nothing
 * crosses this line. Not covered: running out of host memory while libprotobuf reads the model ends the process.
 * Private to engine/tokenizer*.c. */
#ifndef VG_ENGINE_TEXT_SENTENCEPIECE_SHIM_H
#define VG_ENGINE_TEXT_SENTENCEPIECE_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_spiece vg_spiece;

/* Load a serialised ModelProto; its pieces and specs are trusted (vg_spiece_model_parse made it). NULL on failure, with the
 * library's reason in message. */
vg_spiece *vg_spiece_new(const void *proto, size_t size, char *message, size_t message_size);
/* NULL is a no-op. */
void vg_spiece_free(vg_spiece *sp);
/* Best segmentation of text[0..size) as ids into ids[0..room): the number of ids, also when it is more than room (then only room
 * are stored); -1 on failure. Adjacent unknown characters give one id. */
long vg_spiece_encode(const vg_spiece *sp, const char *text, size_t size, int *ids, size_t room);

#ifdef __cplusplus
}
#endif
#endif
