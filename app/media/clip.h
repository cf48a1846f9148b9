/* clip.h: clips through the FFmpeg libraries: H.264 .mp4 for people, FFV1 .mkv for keeping, and a
 * reader for both.
 *
 * Without VGEN_CLIP every function here answers VG_E_UNSUPPORTED with one line, vg_clip_available()
 * is false and vg_clip_encoder_name() is "none". Files appear whole or not at all
 * (newfile.h) and only after they could be read again, and the same input gives the same bytes on the same libraries: no dates, fixed
 * thread count, bit-exact flags. */
#ifndef VG_APP_MEDIA_CLIP_H
#define VG_APP_MEDIA_CLIP_H

#include "app/media/frames.h"

/* Whether this build reads and writes clips. */
bool vg_clip_available(void);
/* The best encoder for .mp4 that these libraries have, e.g. "libx264"; without H.264, "mpeg4"; "none" without clips. */
const char *vg_clip_encoder_name(void);
/* Can a .mp4 of this size be written? Opens the encoder (NULL = the best that accepts it) and closes it again, so that a long run
 * need not end with the answer. Sides may be odd. Errors: VG_E_UNSUPPORTED, VG_E_NOMEM, with one line. Tests: test_clip_sizes. */
vg_status vg_clip_probe(const char *encoder, int width, int height, double fps, vg_err *err);
/* The same for a comparison of `count` panes of width x height. */
vg_status vg_clip_probe_comparison(const char *encoder, int width, int height, int count,
                                   double fps, vg_err *err);

typedef struct vg_clip_options {
    const char *title;   /* one line for players, e.g. the prompt; NULL = none */
    const char *comment; /* settings and seed as JSON text; NULL = none */
    const char *encoder; /* NULL = the best that accepts the size */
    int crf; /* 0 = 16; lower is better and larger (libx264); others get a comparable setting */
    vg_frames_progress progress; /* or NULL */
    void *progress_user;
    const char **used; /* out, or NULL: the encoder that wrote it, valid for ever */
} vg_clip_options;
#define VG_CLIP_CRF_DEFAULT 16

/* Write frames as H.264 in .mp4: yuv420p, BT.709 limited range, tagged as such, index at the front.
 * An odd side gains one column or row that repeats the last one (4:2:0 needs even sizes); nothing
 * is ever rescaled.
 *   path     replaced when it exists
 *   fps      0.01..1000
 *   options  NULL = defaults
 * Errors: VG_E_ARG, VG_E_IO, VG_E_UNSUPPORTED (no encoder), VG_E_CANCELLED, and those of the
 * source. Tests: test_clip. */
vg_status vg_clip_write(const char *path, const vg_frame_source *source, double fps,
                        const vg_clip_options *options, vg_err *err);

/* One variant of a comparison clip. */
typedef struct vg_clip_pane {
    vg_frame_source source;
    const char *label; /* above the picture: "bf16", "fp8 per-tensor" */
    /* Below it: "0.42 s/it  PSNR 31.2 dB"; wrapped, at most 2 lines; NULL = none. */
    const char *caption;
} vg_clip_pane;
#define VG_CLIP_PANES_MAX 8

/* Write variants side by side in one picture, the reference (panes[0]) first, each with its label
 * and caption, and the frame number. Small clips are enlarged by a whole factor, nearest neighbour,
 * so that labels are readable; the label says so ("3x").
 *   diff_gain       above 0 each other variant also gets a pane |variant - reference| * diff_gain
 *   options->title  is shown on top
 * Errors: VG_E_SHAPE (sizes or frame counts differ: names both), and vg_clip_write's.
 * Tests: test_clip. */
vg_status vg_clip_write_comparison(const char *path, const vg_clip_pane *panes, int count,
                                   double diff_gain, double fps, const vg_clip_options *options,
                                   vg_err *err);

/* ---- FFV1, used by frames.c; VG_E_UNSUPPORTED where it would not be lossless, as with a side of 1 ---- */
/* Asks `source` twice for each frame: for the checksums, and to encode. metadata as in vg_frames_store_write. */
vg_status vg_clip_write_lossless(const char *path, const vg_frame_source *source, double fps,
                                 const char *const *metadata, vg_err *err);

/* ---- reading: .mkv and .mp4 with FFV1, H.264 or MPEG-4 video; the first video stream ---- */
typedef struct vg_clip_reader vg_clip_reader;
/* Nothing in the file is trusted: sizes are limited, other containers and codecs are refused,
 * damage is an error. Errors: VG_E_IO, VG_E_FORMAT, VG_E_UNSUPPORTED. */
vg_status vg_clip_reader_open(const char *path, vg_clip_reader **reader, vg_err *err);
/* NULL is a no-op. */
void vg_clip_reader_close(vg_clip_reader *reader);
/* Frames in the clip. */
int vg_clip_reader_count(const vg_clip_reader *reader);
/* Pixels. */
int vg_clip_reader_width(const vg_clip_reader *reader);
/* Pixels. */
int vg_clip_reader_height(const vg_clip_reader *reader);
/* Frames per second. */
double vg_clip_reader_fps(const vg_clip_reader *reader);
const char *vg_clip_reader_codec(const vg_clip_reader *reader); /* "ffv1", "h264" */
/* NULL when absent; borrowed until close. */
const char *vg_clip_reader_metadata(const vg_clip_reader *reader, const char *key);
/* How many packets of video are really in the file: all of it is read. Errors: VG_E_FORMAT, VG_E_IO. */
vg_status vg_clip_reader_packets(vg_clip_reader *reader, int64_t *count, vg_err *err);
/* Decode frame `index` into rgb [height, width, 3] of the caller. In order is cheapest. */
vg_status vg_clip_reader_get(vg_clip_reader *reader, int index, uint8_t *rgb, vg_err *err);
#endif
