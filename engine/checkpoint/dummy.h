/* dummy.h: weights without files, for measuring speed and memory of an architecture whose checkpoint is not at hand. Every value is a
 * function of component, tensor name and index alone, so they are the same on every machine; their scales are those of a freshly
 * initialised network (unit variance in, unit variance out), so activations stay finite and look like activations, never zeros. */
#ifndef VG_ENGINE_CHECKPOINT_DUMMY_H
#define VG_ENGINE_CHECKPOINT_DUMMY_H

#include "kernels/base/tensor.h"

/* In front of a component's folder: open generated weights in place of files (vg_weights_open). The folder needs config.json only. */
#define VG_DUMMY_PREFIX "dummy:"

/* The distribution of one tensor: approximately normal (a sum of four uniform numbers). */
typedef struct vg_dummy_tensor {
    uint64_t seed;
    float mean, std;
} vg_dummy_tensor;

/* component: "transformer"; name: "blocks.0.attn1.to_q.weight"; shape as a checkpoint stores it. */
void vg_dummy_describe(const char *component, const char *name, int ndim, const int64_t *shape,
                       vg_dummy_tensor *d);
/* out[i] = BF16 value number begin + i, i < count; any range, from any thread. */
void vg_dummy_fill(const vg_dummy_tensor *d, int64_t begin, int64_t count, uint16_t *out);

/* Token ids for a text without a tokenizer: one per word, 3 <= id < vocab, then the end token 1; at most `max`. Returns the count. */
int vg_dummy_tokens(const char *text, int64_t vocab, int max, int32_t *ids);
#endif
