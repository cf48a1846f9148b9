/* picture_jpeg.c: JPEG through libjpeg, with the settings that Pillow leaves as they are: integer transform, fancy upsampling.
 * What the library only warns about ends the reading where pixels are lost; Pillow goes on with grey ones unless the file is
 * cut. */
#include "app/media/picture_file.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#define SCANS_MAX 500 /* of a progressive file; each goes over the whole picture */

typedef struct jpeg {
    struct jpeg_decompress_struct z;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const vg_picture_file *file;
    vg_status status;
    vg_err *err;
    uint8_t *row;
} jpeg;

static bool begins(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

/* ---- libjpeg's messages ---- */

static void leave(jpeg *j, vg_status status, const char *what)
{
    j->status = VG_FAIL(j->err, status, "%s: this JPEG %s", j->file->path, what);
    longjmp(j->escape, 1);
}

static void on_error(j_common_ptr z)
{
    jpeg *j = z->client_data;
    char text[JMSG_LENGTH_MAX], what[JMSG_LENGTH_MAX + 32];
    z->err->format_message(z, text);
    bool memory = z->err->msg_code == JERR_OUT_OF_MEMORY;
    snprintf(what, sizeof what, "cannot be read (%s)", text);
    leave(j, memory ? VG_E_NOMEM : VG_E_FORMAT, what);
}

static void on_message(j_common_ptr z, int level)
{
    jpeg *j = z->client_data;
    if (level >= 0)
        return; /* traces */
    if (z->err->msg_code == JWRN_JPEG_EOF)
        leave(j, VG_E_FORMAT, "is cut: the file ends before its pixels do");
    if (z->err->msg_code == JWRN_HIT_MARKER || z->err->msg_code == JWRN_HUFF_BAD_CODE)
        leave(j, VG_E_FORMAT, "is damaged: some of its pixels are missing");
}

static void on_progress(j_common_ptr z)
{
    if (((j_decompress_ptr)z)->input_scan_number > SCANS_MAX)
        leave(z->client_data, VG_E_FORMAT, "has more scans than any picture needs");
}

/* ---- reading ---- */

/* Up to the header. The caller has set the jump. */
static void open_jpeg(jpeg *j, const uint8_t *bytes, size_t size)
{
    j->z.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->z.client_data = j;
    jpeg_create_decompress(&j->z);
    j->progress.progress_monitor = on_progress;
    j->z.progress = &j->progress;
    jpeg_mem_src(&j->z, bytes, (unsigned long)size);
    jpeg_save_markers(&j->z, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&j->z, TRUE);
}

static void close_jpeg(jpeg *j)
{
    jpeg_destroy_decompress(&j->z); /* of zeros too */
    free(j->row);
}

static int orientation(const jpeg *j)
{
    static const char xmp_name[] = "http://ns.adobe.com/xap/1.0/";
    int exif = 0, xmp = 0;
    for (jpeg_saved_marker_ptr m = j->z.marker_list; m; m = m->next) {
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0 && !exif)
            exif = vg_picture_exif_orientation(m->data, m->data_length);
        if (m->data_length > sizeof xmp_name && memcmp(m->data, xmp_name, sizeof xmp_name) == 0 &&
            !xmp)
            xmp = vg_picture_xmp_orientation(m->data, m->data_length);
    }
    return exif ? exif : xmp ? xmp : 1;
}

static vg_status read_header(jpeg *j, vg_picture_file *f, const uint8_t *bytes, size_t size)
{
    if (setjmp(j->escape))
        return j->status;
    open_jpeg(j, bytes, size);
    int n = j->z.num_components;
    if (j->z.data_precision != 8 || (n != 1 && n != 3 && n != 4))
        return VG_FAIL(j->err, VG_E_UNSUPPORTED,
                       "%s: a JPEG of %d components of %d bits; 1, 3 or 4 of 8 bits are read",
                       f->path, n, j->z.data_precision);
    f->orientation = orientation(j);
    return vg_picture_set_size(f, j->z.image_width, j->z.image_height, j->err);
}

static vg_status read_jpeg(vg_picture_file *f, const uint8_t *bytes, size_t size, vg_err *err)
{
    jpeg *j = calloc(1, sizeof *j);
    if (!j)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a decoder", f->path);
    j->file = f;
    j->err = err;
    vg_status status = read_header(j, f, bytes, size);
    close_jpeg(j);
    free(j);
    return status;
}

/* ---- decoding ---- */

/* a * b / 255, rounded. */
static int part(int a, int b)
{
    int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/* As Pillow: inks are stored inverted, which everybody does; what black lets through is dimmed by each of the others. */
static void rgb_of_cmyk(const uint8_t *row, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, row += 4)
        for (int c = 0; c < 3; c++)
            *rgb++ = (uint8_t)(row[3] - part(255 - row[c], row[3]));
}

static void rgb_of_grey(const uint8_t *row, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++)
            *rgb++ = row[x];
}

static vg_status decode_rows(jpeg *j, const uint8_t *bytes, size_t size, vg_picture_take_row take,
                             void *user)
{
    if (setjmp(j->escape))
        return j->status;
    open_jpeg(j, bytes, size);
    int n = j->z.num_components, width = j->file->width;
    j->z.out_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_start_decompress(&j->z);
    uint8_t *rgb = j->row, *row = j->row + 3 * (size_t)width;
    while (j->z.output_scanline < j->z.output_height) {
        int y = (int)j->z.output_scanline;
        JSAMPROW into = n == 3 ? rgb : row;
        jpeg_read_scanlines(&j->z, &into, 1);
        if (n == 1)
            rgb_of_grey(row, width, rgb);
        else if (n == 4)
            rgb_of_cmyk(row, width, rgb);
        take(user, y, rgb);
    }
    jpeg_finish_decompress(&j->z);
    return VG_OK;
}

static vg_status decode_jpeg(const vg_picture_file *f, const uint8_t *bytes, size_t size,
                             vg_picture_take_row take, void *user, vg_err *err)
{
    jpeg *j = calloc(1, sizeof *j);
    uint8_t *row = malloc(7 * (size_t)f->width);
    if (!j || !row) {
        free(j);
        free(row);
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a decoder", f->path);
    }
    j->file = f;
    j->err = err;
    j->row = row;
    vg_status status = decode_rows(j, bytes, size, take, user);
    close_jpeg(j);
    free(j);
    return status;
}

const vg_picture_format vg_picture_jpeg = {"JPEG", begins, read_jpeg, decode_jpeg};
