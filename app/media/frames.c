/* frames.c: kept frames, one lossless file per variant, and a cache of decoded pictures over it. */
#include "app/media/frames.h"
#include "kernels/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/media/clip.h"
#include "engine/checkpoint/safetensors.h"

#define CACHE_FRAMES_MIN 4 /* even when one frame fills the cache */

/* ---- frames in memory ---- */

static vg_status get_from_memory(void *user, int index, const uint8_t **rgb, vg_err *err)
{
    const vg_frames *f = user;
    if (index < 0 || index >= f->count)
        return VG_FAIL(err, VG_E_ARG, "frame %d of %d does not exist", index, f->count);
    *rgb = f->rgb + (size_t)index * f->width * f->height * 3;
    return VG_OK;
}

vg_frame_source vg_frames_source(const vg_frames *frames)
{
    return (vg_frame_source){frames->count, frames->width, frames->height, (void *)frames,
                             get_from_memory};
}

/* ---- writing ---- */

static vg_status check_frames(const vg_frames *f, double fps, vg_err *err)
{
    if (!f->rgb || f->count < 1 || f->count > VG_FRAMES_COUNT_MAX || f->width < 1 ||
        f->width > VG_FRAMES_SIDE_MAX || f->height < 1 || f->height > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_ARG,
                       "cannot keep %d frames of %dx%d; 1 to %d frames, sides 1 to %d", f->count,
                       f->width, f->height, VG_FRAMES_COUNT_MAX, VG_FRAMES_SIDE_MAX);
    if (!(fps >= 0.01 && fps <= 1000))
        return VG_FAIL(err, VG_E_ARG, "frame rate %g is outside 0.01 to 1000", fps);
    return VG_OK;
}

static vg_status write_tensors(const char *path, const vg_frames *f, double fps,
                               const char *const *metadata, vg_err *err)
{
    vg_safetensors_entry entry = {.name = "frames"};
    entry.tensor.data = f->rgb;
    entry.tensor.dtype = VG_U8;
    entry.tensor.ndim = 4;
    entry.tensor.shape[0] = f->count;
    entry.tensor.shape[1] = f->height;
    entry.tensor.shape[2] = f->width;
    entry.tensor.shape[3] = 3;
    char rate[40];
    snprintf(rate, sizeof rate, "%.17g", fps);
    int pairs = 0;
    while (metadata && metadata[2 * pairs] && metadata[2 * pairs + 1])
        pairs++;
    const char **all = malloc(((size_t)pairs * 2 + 5) * sizeof *all);
    if (!all)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metadata", path);
    all[0] = VG_SAFETENSORS_CHECKSUM;
    all[1] = VG_SAFETENSORS_UNKNOWN;
    if (pairs)
        memcpy(all + 2, metadata, (size_t)pairs * 2 * sizeof *all);
    all[pairs * 2 + 2] = "vgen_fps";
    all[pairs * 2 + 3] = rate;
    all[pairs * 2 + 4] = NULL;
    vg_status status = vg_safetensors_write(path, &entry, 1, all, err);
    free(all);
    return status;
}

/* As FFV1, or VG_E_UNSUPPORTED where the encoder is not there, refuses the size, or would not be lossless. */
static vg_status write_clip(const char *path, const vg_frames *f, double fps,
                            const char *const *metadata, vg_err *err)
{
    if (!vg_clip_available())
        return VG_E_UNSUPPORTED;
    vg_frame_source source = vg_frames_source(f);
    return vg_clip_write_lossless(path, &source, fps, metadata, err);
}

vg_status vg_frames_store_write(const char *dir, const vg_frames *frames, double fps,
                                const char *const *metadata, vg_err *err)
{
    VG_TRY(check_frames(frames, fps, err));
    vg_status status = VG_OK;
    char *clip = vg_path_join(dir, VG_FRAMES_FILE_CLIP);
    char *tensors = vg_path_join(dir, VG_FRAMES_FILE_TENSORS);
    if (!clip || !tensors) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a path", dir);
        goto done;
    }
    const char *other = tensors;
    status = write_clip(clip, frames, fps, metadata, err);
    if (status == VG_E_UNSUPPORTED) {
        other = clip;
        status = write_tensors(tensors, frames, fps, metadata, err);
    }
    /* Two files would leave open which one is meant. */
    if (status == VG_OK && unlink(other) != 0 && errno != ENOENT)
        status = VG_FAIL(err, VG_E_IO, "%s: an older file cannot be removed: %s", other,
                         strerror(errno));
done:
    free(clip);
    free(tensors);
    return status;
}

/* ---- reading ---- */

typedef struct slot {
    int index; /* frame held, -1 = none */
    uint64_t used;
    uint8_t *rgb;
} slot;

struct vg_frames_store {
    char *path;
    int count, width, height;
    double fps;
    vg_clip_reader *clip; /* one of these two */
    vg_safetensors *tensors;
    const uint8_t *mapped; /* frames inside tensors */
    slot *slots;
    int slot_count;
    int *slot_of; /* [count]: slot of a frame, -1 = not decoded */
    uint64_t clock;
};

void vg_frames_store_close(vg_frames_store *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->slot_count && s->slots; i++)
        free(s->slots[i].rgb);
    free(s->slots);
    free(s->slot_of);
    vg_clip_reader_close(s->clip);
    vg_safetensors_close(s->tensors);
    free(s->path);
    free(s);
}

static vg_status open_tensors(vg_frames_store *s, vg_err *err)
{
    VG_TRY(vg_safetensors_open(s->path, &s->tensors, err));
    vg_status intact = vg_safetensors_check(s->tensors, err);
    if (intact != VG_OK && intact != VG_E_MISSING) /* files of --save-frames carry no checksum */
        return intact;
    const vg_tensor *t = vg_safetensors_find(s->tensors, "frames");
    if (!t)
        return VG_FAIL(err, VG_E_FORMAT, "%s: no tensor 'frames' in it", s->path);
    if (t->dtype != VG_U8 || t->ndim != 4 || t->shape[3] != 3 || t->shape[0] < 1 ||
        t->shape[0] > VG_FRAMES_COUNT_MAX || t->shape[1] < 1 || t->shape[1] > VG_FRAMES_SIDE_MAX ||
        t->shape[2] < 1 || t->shape[2] > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: 'frames' is not U8 [T,H,W,3] with 1 to %d frames and sides of 1 to %d",
                       s->path, VG_FRAMES_COUNT_MAX, VG_FRAMES_SIDE_MAX);
    s->count = (int)t->shape[0];
    s->height = (int)t->shape[1];
    s->width = (int)t->shape[2];
    s->mapped = t->data;
    const char *rate = vg_safetensors_metadata(s->tensors, "vgen_fps");
    char *end = NULL;
    s->fps = rate ? strtod(rate, &end) : 16; /* files of --save-frames carry no rate */
    if (rate && (end == rate || *end || !(s->fps >= 0.01 && s->fps <= 1000)))
        return VG_FAIL(err, VG_E_FORMAT, "%s: its frame rate is outside 0.01 to 1000", s->path);
    return VG_OK;
}

static vg_status open_clip(vg_frames_store *s, vg_err *err)
{
    VG_TRY(vg_clip_reader_open(s->path, &s->clip, err));
    s->count = vg_clip_reader_count(s->clip);
    s->width = vg_clip_reader_width(s->clip);
    s->height = vg_clip_reader_height(s->clip);
    s->fps = vg_clip_reader_fps(s->clip);
    size_t fit = VG_FRAMES_CACHE_BYTES / ((size_t)s->width * s->height * 3);
    if (fit < CACHE_FRAMES_MIN)
        fit = CACHE_FRAMES_MIN;
    s->slot_count = fit < (size_t)s->count ? (int)fit : s->count;
    s->slots = calloc((size_t)s->slot_count, sizeof *s->slots);
    s->slot_of = malloc((size_t)s->count * sizeof *s->slot_of);
    if (!s->slots || !s->slot_of)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for the frame cache", s->path);
    for (int i = 0; i < s->slot_count; i++)
        s->slots[i].index = -1;
    for (int i = 0; i < s->count; i++)
        s->slot_of[i] = -1;
    return VG_OK;
}

vg_status vg_frames_store_open_file(const char *path, vg_frames_store **store, vg_err *err)
{
    vg_frames_store *s = calloc(1, sizeof *s);
    if (!s)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", path);
    s->path = strdup(path);
    vg_status status = !s->path ? VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", path)
                       : vg_ends_with(path, ".safetensors") ? open_tensors(s, err)
                                                            : open_clip(s, err);
    if (status != VG_OK) {
        vg_frames_store_close(s);
        return status;
    }
    *store = s;
    return VG_OK;
}

vg_status vg_frames_store_open(const char *dir, vg_frames_store **store, vg_err *err)
{
    static const char *const names[] = {VG_FRAMES_FILE_CLIP, VG_FRAMES_FILE_TENSORS};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = vg_path_join(dir, names[i]);
        if (!path)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a path", dir);
        bool there = vg_file_exists(path);
        vg_status status = there ? vg_frames_store_open_file(path, store, err) : VG_OK;
        free(path);
        if (there)
            return status;
    }
    return VG_FAIL(err, VG_E_MISSING, "%s: no frames are kept there", dir);
}

int vg_frames_store_count(const vg_frames_store *s)
{
    return s->count;
}

int vg_frames_store_width(const vg_frames_store *s)
{
    return s->width;
}

int vg_frames_store_height(const vg_frames_store *s)
{
    return s->height;
}

double vg_frames_store_fps(const vg_frames_store *s)
{
    return s->fps;
}

const char *vg_frames_store_metadata(const vg_frames_store *s, const char *key)
{
    return s->clip ? vg_clip_reader_metadata(s->clip, key)
                   : vg_safetensors_metadata(s->tensors, key);
}

/* A slot to decode into: an empty one, else the one whose last use is longest ago. */
static slot *free_slot(vg_frames_store *s)
{
    slot *oldest = &s->slots[0];
    for (int i = 0; i < s->slot_count; i++) {
        if (s->slots[i].index < 0)
            return &s->slots[i];
        if (s->slots[i].used < oldest->used)
            oldest = &s->slots[i];
    }
    s->slot_of[oldest->index] = -1;
    oldest->index = -1;
    return oldest;
}

vg_status vg_frames_store_get(vg_frames_store *s, int index, const uint8_t **rgb, vg_err *err)
{
    if (index < 0 || index >= s->count)
        return VG_FAIL(err, VG_E_ARG, "%s: frame %d of %d does not exist", s->path, index,
                       s->count);
    size_t bytes = (size_t)s->width * s->height * 3;
    if (s->mapped) {
        *rgb = s->mapped + (size_t)index * bytes;
        return VG_OK;
    }
    slot *at = s->slot_of[index] >= 0 ? &s->slots[s->slot_of[index]] : free_slot(s);
    if (at->index < 0) {
        if (!at->rgb && !(at->rgb = malloc(bytes)))
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a frame of %zu bytes", s->path,
                           bytes);
        VG_TRY(vg_clip_reader_get(s->clip, index, at->rgb, err));
        at->index = index;
        s->slot_of[index] = (int)(at - s->slots);
    }
    at->used = ++s->clock;
    *rgb = at->rgb;
    return VG_OK;
}

vg_status vg_frames_store_load(vg_frames_store *s, vg_frames_progress progress, void *progress_user,
                               vg_frames *frames, vg_err *err)
{
    size_t bytes = (size_t)s->width * s->height * 3;
    if ((size_t)s->count > SIZE_MAX / 2 / bytes)
        return VG_FAIL(err, VG_E_NOMEM, "%s: %d frames of %zu bytes are too much", s->path,
                       s->count, bytes);
    uint8_t *all = malloc(bytes * (size_t)s->count);
    if (!all)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %zu bytes of frames", s->path,
                       bytes * (size_t)s->count);
    for (int i = 0; i < s->count; i++) {
        const uint8_t *rgb;
        vg_status status =
            progress && !progress(progress_user, i, s->count)
                ? VG_FAIL(err, VG_E_CANCELLED, "%s: stopped before frame %d", s->path, i + 1)
                : vg_frames_store_get(s, i, &rgb, err);
        if (status != VG_OK) {
            free(all);
            return status;
        }
        memcpy(all + (size_t)i * bytes, rgb, bytes);
    }
    *frames = (vg_frames){s->count, s->height, s->width, all};
    return VG_OK;
}

static vg_status get_from_store(void *user, int index, const uint8_t **rgb, vg_err *err)
{
    return vg_frames_store_get(user, index, rgb, err);
}

vg_frame_source vg_frames_store_source(vg_frames_store *s)
{
    return (vg_frame_source){s->count, s->width, s->height, s, get_from_store};
}
