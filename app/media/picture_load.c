/* picture_load.c: what a file holds, decoded, put in its place and turned. */
#include "app/media/picture_load.h"

#include <stdio.h>
#include <string.h>
#include "app/media/picture_file.h"

/* Where decoded pixels go: EXIF's orientations are a mirror across each axis and an exchange of both. */
typedef struct canvas {
    const vg_picture_file *file;
    vg_frames *frames;
    bool mirror_x, mirror_y, exchange;
} canvas;

static uint8_t *pixel(const canvas *c, int x, int y)
{
    x = c->mirror_x ? c->file->width - 1 - x : x;
    y = c->mirror_y ? c->file->height - 1 - y : y;
    size_t at = c->exchange ? (size_t)x * (size_t)c->frames->width + (size_t)y
                            : (size_t)y * (size_t)c->frames->width + (size_t)x;
    return c->frames->rgb + 3 * at;
}

static void take_row(void *user, int y, const uint8_t *rgb)
{
    const canvas *c = user;
    const vg_picture_file *f = c->file;
    if (!c->mirror_x && !c->exchange) {
        memcpy(pixel(c, f->frame_x, f->frame_y + y), rgb, (size_t)f->frame_width * 3);
        return;
    }
    for (int x = 0; x < f->frame_width; x++)
        memcpy(pixel(c, f->frame_x + x, f->frame_y + y), rgb + 3 * x, 3);
}

static void fill(const canvas *c, const uint8_t colour[3])
{
    size_t pixels = (size_t)c->frames->width * (size_t)c->frames->height;
    for (size_t i = 0; i < pixels; i++)
        memcpy(c->frames->rgb + 3 * i, colour, 3);
}

static void note(const vg_picture_file *f, char *text, size_t size)
{
    if (f->frames > 1)
        snprintf(text, size, "an animation: the first of %d pictures", f->frames);
    else if (f->clip_16)
        snprintf(text, size, "16-bit greys are cut off at 255, as in the reference: most is white");
}

vg_status vg_picture_load(const char *path, const void *bytes, size_t size, vg_picture *picture,
                          vg_err *err)
{
    vg_picture_file f;
    vg_status status;
    VG_TRY_GOTO(status, vg_picture_file_open(path, bytes, size, &f, err), done);
    int o = f.orientation;
    canvas c = {.file = &f,
                .frames = &picture->frames,
                .mirror_x = o == 2 || o == 3 || o == 7 || o == 8,
                .mirror_y = o == 3 || o == 4 || o == 6 || o == 7,
                .exchange = o >= 5};
    VG_TRY_GOTO(status,
                vg_picture_allocate(path, c.exchange ? f.height : f.width,
                                    c.exchange ? f.width : f.height, &picture->frames, err),
                done);
    if (f.frame_width != f.width || f.frame_height != f.height)
        fill(&c, f.background);
    VG_TRY_GOTO(status, f.format->decode(&f, bytes, size, take_row, &c, err), done);
    picture->kind = f.kind;
    note(&f, picture->note, sizeof picture->note);
done:
    vg_picture_file_deinit(&f);
    return status;
}
