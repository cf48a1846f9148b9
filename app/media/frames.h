/* frames.h: the kept frames of a variant: a lossless file that survives the worker, and random
 * access to its pictures.
 *
 * In a build with clips (VGEN_CLIP) frames are kept as `frames.mkv` (FFV1, RGB, each frame on its
 * own and with a CRC-32); without, when the encoder refuses, or at sizes where it is not lossless, as `frames.safetensors` (key
 * `frames`, U8 [T,H,W,3]). Reading takes whichever is there; a build without clips cannot read the
 * .mkv and says so. A store belongs to one thread. */
#ifndef VG_APP_MEDIA_FRAMES_H
#define VG_APP_MEDIA_FRAMES_H

#include "engine/run/run.h"

#define VG_FRAMES_FILE_CLIP    "frames.mkv"
#define VG_FRAMES_FILE_TENSORS "frames.safetensors"
#define VG_FRAMES_SIDE_MAX     16384 /* pixels, either side */
#define VG_FRAMES_COUNT_MAX    65536

/* Where pictures come from, for clips and metrics: `get` hands out frame `index` as RGB [height,
 * width, 3], borrowed until the next call of this source. `user` outlives the source. */
typedef struct vg_frame_source {
    int count, width, height;
    void *user;
    vg_status (*get)(void *user, int index, const uint8_t **rgb, vg_err *err);
} vg_frame_source;

/* Frames in memory as a source; frames is borrowed. */
vg_frame_source vg_frames_source(const vg_frames *frames);

/* Called during long work with the parts done of all; false stops it with VG_E_CANCELLED. */
typedef bool (*vg_frames_progress)(void *user, int done, int total);

/* Keep frames in `dir` (which exists), lossless, atomically: a reader sees the old file or the
 * whole new one. The other form, if one lies there, is removed afterwards. Same input, same bytes.
 *   fps       frames per second, 0.01..1000
 *   metadata  key, value pairs, NULL-terminated, or NULL
 * Errors: VG_E_ARG, VG_E_IO, VG_E_NOMEM. Tests: test_frames. */
vg_status vg_frames_store_write(const char *dir, const vg_frames *frames, double fps,
                                const char *const *metadata, vg_err *err);

typedef struct vg_frames_store vg_frames_store;

/* Open what vg_frames_store_write kept in `dir`. Errors: VG_E_MISSING (no frames there),
 * VG_E_FORMAT (damaged: says what), VG_E_UNSUPPORTED (.mkv in a build without clips). */
vg_status vg_frames_store_open(const char *dir, vg_frames_store **store, vg_err *err);
/* The same for a file by its path: .safetensors, or any clip that vg_clip_reader_open takes. */
vg_status vg_frames_store_open_file(const char *path, vg_frames_store **store, vg_err *err);
/* Frames and metadata that were handed out end with it. NULL is a no-op. */
void vg_frames_store_close(vg_frames_store *store);

/* Frames; _get takes 0 to count - 1. */
int vg_frames_store_count(const vg_frames_store *store);
/* Pixels. */
int vg_frames_store_width(const vg_frames_store *store);
/* Pixels. */
int vg_frames_store_height(const vg_frames_store *store);
/* Frames per second. */
double vg_frames_store_fps(const vg_frames_store *store);
/* Borrowed until close; NULL when absent. Matroska writes keys in capitals; case does not matter
 * there. */
const char *vg_frames_store_metadata(const vg_frames_store *store, const char *key);

#define VG_FRAMES_CACHE_BYTES (256u << 20)
/* Frame `index` as RGB [height, width, 3], borrowed until the next _get of this store. Decoded
 * frames are cached: the whole clip when it fits VG_FRAMES_CACHE_BYTES, else the last used ones.
 * Errors: VG_E_ARG (index), VG_E_FORMAT (damaged). */
vg_status vg_frames_store_get(vg_frames_store *store, int index, const uint8_t **rgb, vg_err *err);
/* All frames into memory; the caller frees with vg_frames_deinit. progress may be NULL. */
vg_status vg_frames_store_load(vg_frames_store *store, vg_frames_progress progress,
                               void *progress_user, vg_frames *frames, vg_err *err);
/* The store as a source; borrowed. */
vg_frame_source vg_frames_store_source(vg_frames_store *store);
#endif
