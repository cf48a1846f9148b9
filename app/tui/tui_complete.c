/* tui_complete.c: see tui_complete.h. */
#include "app/tui/tui_complete.h"
#include "app/media/media_file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

/* By their names; what a file is, its bytes say when it is read. */
static bool is_wanted(const char *name, unsigned kinds)
{
    static const struct {
        const char *end;
        unsigned kinds;
    } ends[] = {{".png", VG_MEDIA_PICTURE},
                {".jpg", VG_MEDIA_PICTURE},
                {".jpeg", VG_MEDIA_PICTURE},
                {".webp", VG_MEDIA_PICTURE},
                {".gif", VG_MEDIA_PICTURE},
                {".bmp", VG_MEDIA_PICTURE},
                {".safetensors", VG_MEDIA_PICTURE | VG_MEDIA_CLIP},
                {".mp4", VG_MEDIA_CLIP},
                {".mkv", VG_MEDIA_CLIP},
                {".mov", VG_MEDIA_CLIP},
                {".m4v", VG_MEDIA_CLIP}};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i].end);
        if (ends[i].kinds & kinds && n > m && strcasecmp(name + n - m, ends[i].end) == 0)
            return true;
    }
    return false;
}

/* What of `folder` ("" or with its '/') goes on from `stem`: files of these kinds, and folders with a '/'. */
static void list(const char *folder, const char *stem, unsigned kinds, vg_lines *names)
{
    DIR *dir = opendir(*folder ? folder : ".");
    size_t n = strlen(stem);
    struct dirent *item;
    while (dir && (item = readdir(dir))) {
        const char *name = item->d_name;
        if (strncmp(name, stem, n) != 0 || (name[0] == '.' && stem[0] != '.') ||
            !strcmp(name, ".") || !strcmp(name, "..") || !vg_text_is_utf8(name))
            continue;
        char *path = vg_xstrf("%s%s", folder, name);
        bool is_folder = vg_file_is_dir(path);
        if (is_folder || is_wanted(name, kinds))
            vg_lines_add(names, vg_xstrf("%s%s", name, is_folder ? "/" : ""));
        free(path);
    }
    if (dir)
        closedir(dir);
    vg_lines_sort(names);
}

/* Bytes that all names begin with, whole characters. */
static size_t common(const vg_lines *names)
{
    size_t n = strlen(names->items[0]);
    for (int i = 1; i < names->count; i++) {
        size_t k = 0;
        while (k < n && names->items[i][k] == names->items[0][k])
            k++;
        n = k;
    }
    while (n && ((unsigned char)names->items[0][n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* "a.png  b.png  more/ ..." */
static void say_names(const vg_lines *names, char *message, size_t size)
{
    size_t n = 0;
    message[0] = 0;
    for (int i = 0; i < names->count; i++) {
        char clean[128];
        vg_text_clean_to(clean, sizeof clean, names->items[i]);
        size_t need = strlen(clean) + 2;
        if (n + need + 6 > size) {
            snprintf(message + n, size - n, "  ...");
            return;
        }
        n += (size_t)snprintf(message + n, size - n, "%s%s", n ? "  " : "", clean);
    }
}

void vg_tui_complete(const char *text, unsigned kinds, char *out, size_t out_size, char *message,
                     size_t size)
{
    const char *home = strncmp(text, "~/", 2) == 0 ? getenv("HOME") : NULL;
    char *typed = home ? vg_xstrf("%s%s", home, text + 1) : vg_xstrdup(text);
    const char *slash = strrchr(typed, '/'), *stem = slash ? slash + 1 : typed;
    char *folder = vg_xstrf("%.*s", (int)(stem - typed), typed);
    vg_lines names = {0};
    message[0] = 0;
    list(folder, stem, kinds, &names);
    size_t n = names.count ? common(&names) : 0;
    if (!names.count)
        snprintf(message, size, "no %s or folder there begins like this",
                 kinds == VG_MEDIA_CLIP ? "clip" : "picture");
    else if (names.count > 1 && n <= strlen(stem))
        say_names(&names, message, size);
    if (names.count && n > strlen(stem) && strlen(folder) + n < out_size)
        snprintf(out, out_size, "%s%.*s", folder, (int)n, names.items[0]);
    else
        snprintf(out, out_size, "%s", typed);
    vg_lines_free(&names);
    free(folder);
    free(typed);
}
