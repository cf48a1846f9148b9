/* clip_encoder.h: which encoder writes a clip, and with which settings; inside of app/media/clip*.c only. */
#ifndef VG_APP_MEDIA_CLIP_ENCODER_H
#define VG_APP_MEDIA_CLIP_ENCODER_H

#include <libavcodec/avcodec.h>
#include "app/media/clip_writer.h"

/* Open the encoder of a clip of this kind; the caller frees it with avcodec_free_context.
 *   name    NULL: FFV1, or the best H.264 or MPEG-4 encoder that accepts the size
 *   crf     1..51
 *   width   as it will be written; H.264 in 4:2:0 needs even sides
 * path is for messages. Errors: VG_E_UNSUPPORTED (none accepts it: says what the best one said), VG_E_ARG, VG_E_NOMEM. */
vg_status vg_clip_encoder_open(const char *path, vg_clip_kind kind, const char *name, int crf,
                               int width, int height, double fps, AVCodecContext **encoder,
                               vg_err *err);
#endif
