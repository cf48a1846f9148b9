/* fuzz_hub.c: a hub cache of arbitrary folders and files: listing it and looking models up in it ends, with texts that are text. Lines:
 * "PATH" makes a folder, "PATH=TEXT" a file, "PATH>TARGET" a link. */
#include "tests/fuzz/fuzz.h"

#include "engine/run/hub.h"
#include "kernels/base/text.h"

#define LINES_MAX 24

/* Below the cache, and no file name of the system's: a path of plain parts. */
static bool is_plain(const char *path)
{
    return *path && *path != '/' && strlen(path) < 150 && !strstr(path, "..");
}

static void make(char *line)
{
    char path[256], folder[256];
    size_t end = strcspn(line, "=>");
    char kind = line[end], *rest = kind ? line + end + 1 : line + end;
    line[end] = 0;
    if (!is_plain(line))
        return;
    snprintf(path, sizeof path, "%s/hub/%s", fuzz_folder(), line);
    snprintf(folder, sizeof folder, "%s", path);
    if (kind)
        *strrchr(folder, '/') = 0;
    if (vg_file_make_dirs(folder, NULL) != VG_OK)
        return;
    if (kind == '>' && is_plain(rest))
        (void)!symlink(rest, path);
    FILE *f = kind == '=' ? fopen(path, "wb") : NULL;
    if (f) {
        fputs(rest, f);
        fclose(f);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setenv("HF_HUB_CACHE", fuzz_path("hub"), 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ids[] = {"a/b", "a/b@r", "a/b@main", "demo", "x/../y"};
    vg_model_entry *entries = NULL;
    int count = 0;
    char *text = malloc(size + 1), *save = NULL;
    memcpy(text, data, size);
    text[size] = 0;
    (void)vg_file_remove_tree(fuzz_path("hub"), NULL);
    int lines = 0;
    for (char *line = strtok_r(text, "\n", &save); line && lines < LINES_MAX;
         line = strtok_r(NULL, "\n", &save), lines++)
        make(line);
    free(text);
    if (vg_model_list(NULL, 0, &entries, &count, NULL) == VG_OK) {
        for (int i = 0; i < count; i++)
            if (!entries[i].id || !entries[i].dir || !vg_text_is_utf8(entries[i].family))
                abort();
        vg_model_list_free(entries, count);
    }
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char *dir = NULL;
        if (vg_model_find(ids[i], NULL, 0, &dir, NULL) == VG_OK)
            free(dir);
    }
    return 0;
}
