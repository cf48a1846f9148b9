/* picture_yuv.h: planes of luma and chroma become rows of RGB with libwebp's arithmetic; inside of app/media/picture*.c only.
 *
 * Chroma of half a size is widened with weights 3/4 and 1/4 ("fancy upsampling"). swscale does it otherwise: on small pictures
 * with hard edges it is up to 88 levels off. */
#ifndef VG_APP_MEDIA_PICTURE_YUV_H
#define VG_APP_MEDIA_PICTURE_YUV_H

#include <stddef.h>
#include <stdint.h>

/* 4:2:0, 8 bits a sample: planes 1 and 2 have half the width and height, rounded up. */
typedef struct vg_picture_yuv {
    int width, height;
    const uint8_t *data[3]; /* borrowed */
    int stride[3];          /* bytes a row, may be negative */
} vg_picture_yuv;

/* Row y as RGB [width,3]. scratch: 2 * width bytes of the caller. */
void vg_picture_yuv_row(const vg_picture_yuv *p, int y, uint8_t *rgb, uint8_t *scratch);
#endif
