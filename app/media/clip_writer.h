/* clip_writer.h: one video file being written, frame by frame; inside of app/clip*.c only. */
#ifndef VG_APP_MEDIA_CLIP_WRITER_H
#define VG_APP_MEDIA_CLIP_WRITER_H

#include "app/media/clip.h"

typedef struct vg_clip_writer vg_clip_writer;

typedef enum vg_clip_kind {
    VG_CLIP_H264_MP4, /* lossy, for people; sides become even by repeating the last column or row */
    VG_CLIP_FFV1_MKV, /* lossless RGB */
} vg_clip_kind;

/* Keep libav's own messages off the terminal, which belongs to the screens: errors come back as
 * vg_err. */
void vg_clip_quiet(void);

/* metadata: key, value pairs, NULL-terminated, or NULL. encoder: NULL = the best one; crf 0 =
 * default. Nothing is seen at path until vg_clip_writer_finish. */
vg_status vg_clip_writer_open(const char *path, vg_clip_kind kind, const char *encoder, int crf,
                              int width, int height, double fps, const char *const *metadata,
                              vg_clip_writer **writer, vg_err *err);
/* The next frame: rgb [height,width,3] of the size given at open, borrowed for the call. After an error, _abort it. */
vg_status vg_clip_writer_add(vg_clip_writer *writer, const uint8_t *rgb, vg_err *err);
/* The encoder that it uses, as libavcodec calls it; valid for ever. */
const char *vg_clip_writer_encoder(const vg_clip_writer *writer);
/* Flush, read it again, sync, and put it in place. The writer is gone afterwards, whatever the result. */
vg_status vg_clip_writer_finish(vg_clip_writer *writer, vg_err *err);
/* Drop the unfinished file; NULL is a no-op. */
void vg_clip_writer_abort(vg_clip_writer *writer);
#endif
