/* state.h: what lies between two steps, in host memory and as a file (safetensors). */
#ifndef VG_ENGINE_RUN_STATE_H
#define VG_ENGINE_RUN_STATE_H

#include "engine/layers/attention.h"
#include "engine/sampling/scheduler.h"

/* State after a finished step: enough to go on with the same result, bit for bit. Host memory. */
typedef struct vg_denoise_state {
    int64_t shape[4]; /* C,T,h,w */
    float *latents;   /* F32 */
    vg_scheduler_state scheduler;
    double seconds_done;           /* denoise seconds so far */
    vg_attention_layer *attention; /* what is known of each layer, so that it goes on as it began */
    int attention_count;           /* 0: nothing */
} vg_denoise_state;
/* Free the latents and the scheduler's tensors; all zero afterwards. */
void vg_denoise_state_deinit(vg_denoise_state *state);
/* A .safetensors file. metadata: key, value pairs, NULL-terminated, or NULL. Errors: those of vg_safetensors_write. */
vg_status vg_denoise_state_write(const char *path, const vg_denoise_state *state,
                                 const char *const *metadata, vg_err *err);
/* Errors: VG_E_FORMAT (naming what does not fit), VG_E_NOMEM, those of vg_safetensors_open; *state is then untouched. The caller deinitialises. */
vg_status vg_denoise_state_read(const char *path, vg_denoise_state *state, vg_err *err);
#endif
