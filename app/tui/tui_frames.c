/* tui_frames.c: see tui_frames.h. The thread hands over through an atomic. */
#include "app/tui/tui_frames.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/text.h"

enum { LOADING, THERE, BROKEN };

struct vg_tui_frames {
    pthread_t thread;
    bool started;
    atomic_int state;
    atomic_int stop; /* nobody wants them any more */
    char *dir;
    vg_tui_wake *wake;
    int width, height;
    vg_frames frames;
    char broken[VG_ERR_MESSAGE_MAX]; /* why, once the state says so */
};

static bool still_wanted(void *user, int done, int total)
{
    (void)done, (void)total;
    return atomic_load(&((vg_tui_frames *)user)->stop) == 0;
}

static vg_status read_frames(vg_tui_frames *f, vg_err *err)
{
    vg_frames_store *store = NULL;
    vg_status status = vg_frames_store_open(f->dir, &store, err);
    if (status == VG_OK)
        status = vg_frames_store_load(store, still_wanted, f, &f->frames, err);
    vg_frames_store_close(store);
    /* The screens take width and height from the job; a file of another size is as good as broken. */
    if (status == VG_OK && (f->frames.width != f->width || f->frames.height != f->height))
        status = VG_FAIL(err, VG_E_FORMAT, "the frames are %dx%d, the job's are %dx%d",
                         f->frames.height, f->frames.width, f->height, f->width);
    return status;
}

static void *load(void *user)
{
    vg_tui_frames *f = user;
    vg_err err = {0};
    bool good = read_frames(f, &err) == VG_OK;
    /* The folder is known; the file's name is enough. */
    size_t folder = strlen(f->dir);
    const char *why = err.message;
    if (!strncmp(why, f->dir, folder) && why[folder] == '/')
        why += folder + 1;
    vg_text_clean_to(f->broken, sizeof f->broken, why);
    atomic_store(&f->state, good ? THERE : BROKEN);
    vg_tui_wake_now(f->wake);
    return NULL;
}

vg_tui_frames *vg_tui_frames_new(const char *dir, int width, int height, vg_tui_wake *wake)
{
    vg_tui_frames *f = vg_xcalloc(1, sizeof *f);
    f->dir = vg_xstrdup(dir);
    f->wake = wake;
    f->width = width;
    f->height = height;
    f->started = pthread_create(&f->thread, NULL, load, f) == 0;
    if (!f->started) {
        snprintf(f->broken, sizeof f->broken, "no thread to read them with");
        atomic_store(&f->state, BROKEN);
    }
    return f;
}

void vg_tui_frames_free(vg_tui_frames *f)
{
    if (!f)
        return;
    atomic_store(&f->stop, 1);
    if (f->started)
        pthread_join(f->thread, NULL);
    vg_frames_deinit(&f->frames);
    free(f->dir);
    free(f);
}

const uint8_t *vg_tui_frames_at(const vg_tui_frames *f, int index)
{
    if (atomic_load(&f->state) != THERE || index < 0 || index >= f->frames.count)
        return NULL;
    return f->frames.rgb + (size_t)index * (size_t)f->frames.width * (size_t)f->frames.height * 3;
}

const char *vg_tui_frames_broken(const vg_tui_frames *f)
{
    return atomic_load(&f->state) == BROKEN ? f->broken : NULL;
}
