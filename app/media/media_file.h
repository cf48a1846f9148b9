/* media_file.h: a file that a run is given, as frames: a picture (picture.h) or a clip (clip.h), told apart by its first bytes. */
#ifndef VG_APP_MEDIA_MEDIA_FILE_H
#define VG_APP_MEDIA_MEDIA_FILE_H

#include "app/media/picture.h"

enum { VG_MEDIA_PICTURE = 1, VG_MEDIA_CLIP = 2 }; /* kinds of files, as bits */

#define VG_MEDIA_FILE_MAX                                                                          \
    ((size_t)1 << 30) /* bytes of a clip's file; of a picture's: VG_PICTURE_FILE_MAX */
#define VG_MEDIA_BYTES_MAX ((size_t)4 << 30) /* of all its frames in memory */

typedef struct vg_media_file {
    vg_frames frames; /* one, or a clip's */
    const char *kind; /* "PNG", "mkv"; static */
    char note[128];   /* what its owner may not expect; "" = nothing */
} vg_media_file;

/* Read a file into memory, *bytes malloc'd, and decode all of it: damage at its end is found now, not after the work.
 *   kinds  bits of what it may be; a .safetensors file holds frames [T,H,W,3] and is what is wanted
 * Errors, each one line that starts with the path: VG_E_MISSING, VG_E_IO, VG_E_FORMAT, VG_E_UNSUPPORTED, VG_E_NOMEM. Tests: test_cli_vace. */
vg_status vg_media_file_read(const char *path, unsigned kinds, vg_media_file *file, char **bytes,
                             size_t *size, vg_err *err);
/* Free the frames; all zero afterwards. */
void vg_media_file_deinit(vg_media_file *file);
#endif
