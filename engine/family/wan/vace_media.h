/* vace_media.h: from the media of a mode to the frames and masks that the reference's pipeline is given, and to its reference pictures.
 * Inside of this family only. Source: wan 3.4, 3.5. */
#ifndef VG_ENGINE_FAMILY_WAN_VACE_MEDIA_H
#define VG_ENGINE_FAMILY_WAN_VACE_MEDIA_H

#include "engine/family/wan/wan.h"

#define WAN_VACE_GREY 128 /* what is to be made, where frames are given */

/* A clip of bytes [frames,height,width,3] as the reference's PIL pictures have them; mask: white is made anew, black is kept. A video's
 * frames beyond 4k + 1 are there as well: the VAE drops them, the mask's frames are chosen among all. */
typedef struct wan_vace_clip {
    int frames, height, width;
    uint8_t *rgb;  /* NULL: no video, which is 0 (mid-grey), not WAN_VACE_GREY */
    uint8_t *mask; /* NULL: all white */
} wan_vace_clip;

/* Bring the media of p to the clip's size. Errors: VG_E_NOMEM, VG_E_ARG. */
vg_status wan_vace_clip_make(const vg_generate_params *p, wan_vace_clip *clip, vg_err *err);
/* Free both; all zero afterwards. */
void wan_vace_clip_deinit(wan_vace_clip *clip);

/* The clip as the VAE takes it, [3,frames,height,width] in [-1,1]: with `reactive` what is to be made, else what is kept; the other is 0. */
void wan_vace_clip_sample(const wan_vace_clip *clip, bool reactive, float *sample);
/* What the mask's channels hold, [spatial*spatial,T,h,w]: each pixel of a latent pixel is a channel; each latent frame has the mask of the
 * frame in its middle. Not binarised. */
void wan_vace_clip_fold(const wan_vace_clip *clip, int spatial, int64_t latent_frames,
                        float *folded);

/* A reference picture on a white canvas of the clip's size, [3,height,width] in [-1,1], as large as fits. Errors: VG_E_ARG (nothing is left
 * of it), VG_E_NOMEM. */
vg_status wan_vace_reference(const vg_frames *picture, int spatial, int height, int width,
                             float *canvas, vg_err *err);

/* What a video says about a clip whose size or length is unset: its own, no larger than 480x832 in all. */
void wan_vace_defaults(const wan_config *config, vg_generate_params *p);
/* Do video and mask have the frames of the clip, and references a size that the reference takes? Errors: VG_E_ARG. */
vg_status wan_vace_check_inputs(const wan_config *config, const vg_generate_params *p, vg_err *err);
#endif
