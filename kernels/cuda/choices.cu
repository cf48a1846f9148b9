// choices.cu: see choices.cuh. Plain C in effect; a .cu file because it belongs to this backend.
#include "kernels/cuda/choices.cuh"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER    "vgen-gemm 1\n"
#define MOST_TEXT ((size_t)4 << 20) // some ten thousand products
#define MOST_LINE 1024

static char *joined(const char *folder, const char *name, const char *suffix)
{
    size_t size = strlen(folder) + strlen(name) + strlen(suffix) + 2;
    char *path = static_cast<char *>(malloc(size));

    if (path)
        snprintf(path, size, "%s/%s%s", folder, name, suffix);
    return path;
}

// The folder and those above it that are missing.
static void make_folder(const char *folder)
{
    char *path = strdup(folder);

    for (char *at = path; path && (at = strchr(at + 1, '/'));) {
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    if (path)
        (void)mkdir(path, 0700);
    free(path);
}

void vg_choices_open(vg_choices *c, const char *folder, const char *device, size_t version)
{
    char name[160];
    size_t used = 0;

    *c = vg_choices();
    c->lock = -1;
    if (!folder || !*folder)
        return;
    for (const char *at = device; *at && used < 120; at++)
        name[used++] = isalnum(static_cast<unsigned char>(*at)) ? *at : '-';
    snprintf(name + used, sizeof name - used, "-%zu", version);
    make_folder(folder);
    c->path = joined(folder, name, ".txt");
    c->lock_path = joined(folder, name, ".lock");
    if (!c->path || !c->lock_path)
        vg_choices_close(c);
}

void vg_choices_close(vg_choices *c)
{
    free(c->path);
    free(c->lock_path);
    free(c->text);
    *c = vg_choices();
    c->lock = -1;
}

bool vg_choices_kept(const vg_choices *c)
{
    return c->path != nullptr;
}

// The file's text, or only the header for one that is absent, too long, or of another form.
static char *read_text(const char *path)
{
    char *text = static_cast<char *>(malloc(MOST_TEXT + 1));
    size_t used = 0;
    FILE *file;

    if (!text)
        return nullptr;
    file = fopen(path, "rb");
    if (file) {
        used = fread(text, 1, MOST_TEXT, file);
        (void)fclose(file);
    }
    text[used] = '\0';
    if (used == MOST_TEXT || strlen(text) != used || strncmp(text, HEADER, strlen(HEADER)) != 0 ||
        text[used - 1] != '\n')
        strcpy(text, HEADER);
    return text;
}

bool vg_choices_lock(vg_choices *c)
{
    if (!c->path)
        return false;
    c->lock = open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock < 0)
        return false;
    if (flock(c->lock, LOCK_EX) == 0)
        c->text = read_text(c->path);
    if (!c->text)
        vg_choices_unlock(c);
    return c->text != nullptr;
}

void vg_choices_unlock(vg_choices *c)
{
    free(c->text);
    c->text = nullptr;
    if (c->lock >= 0)
        (void)close(c->lock);
    c->lock = -1;
}

static size_t to_hex(const void *bytes, size_t count, char *text)
{
    for (size_t i = 0; i < count; i++)
        snprintf(text + 2 * i, 3, "%02x", static_cast<const unsigned char *>(bytes)[i]);
    return 2 * count;
}

static bool from_hex(const char *text, size_t count, void *bytes)
{
    for (size_t i = 0; i < count; i++) {
        unsigned value;
        if (!isxdigit(static_cast<unsigned char>(text[2 * i])) ||
            !isxdigit(static_cast<unsigned char>(text[2 * i + 1])) ||
            sscanf(text + 2 * i, "%2x", &value) != 1)
            return false;
        static_cast<unsigned char *>(bytes)[i] = static_cast<unsigned char>(value);
    }
    return true;
}

bool vg_choices_find(const vg_choices *c, const void *key, size_t key_bytes, void *value,
                     size_t value_bytes)
{
    char wanted[MOST_LINE];
    size_t length;

    if (2 * (key_bytes + value_bytes) + 2 > sizeof wanted)
        return false;
    length = to_hex(key, key_bytes, wanted);
    for (const char *line = c->text, *end; (end = strchr(line, '\n')) != nullptr; line = end + 1)
        if ((size_t)(end - line) == length + 1 + 2 * value_bytes &&
            memcmp(line, wanted, length) == 0 && line[length] == ' ' &&
            from_hex(line + length + 1, value_bytes, value))
            return true;
    return false;
}

static bool write_text(const char *path, const char *text)
{
    size_t size = strlen(path) + 5;
    char *temporary = static_cast<char *>(malloc(size));
    bool ok = false;
    FILE *file;

    if (!temporary)
        return false;
    snprintf(temporary, size, "%s.tmp", path);
    file = fopen(temporary, "wb");
    if (file) {
        (void)fchmod(fileno(file), 0600);
        ok = fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
        ok = fclose(file) == 0 && ok && rename(temporary, path) == 0;
    }
    free(temporary);
    return ok;
}

// An entry that is there but was not taken (the library refuses it now) gives way.
bool vg_choices_add(vg_choices *c, const void *key, size_t key_bytes, const void *value,
                    size_t value_bytes)
{
    char line[MOST_LINE];
    size_t length, used = strlen(c->text);

    if (2 * (key_bytes + value_bytes) + 3 > sizeof line)
        return false;
    length = to_hex(key, key_bytes, line);
    for (char *at = c->text, *end; (end = strchr(at, '\n')) != nullptr;)
        if (strncmp(at, line, length) == 0 && at[length] == ' ') {
            memmove(at, end + 1, strlen(end + 1) + 1);
            used = strlen(c->text);
        } else
            at = end + 1;
    line[length++] = ' ';
    length += to_hex(value, value_bytes, line + length);
    line[length++] = '\n';
    line[length] = '\0';
    if (used + length >= MOST_TEXT)
        return false;
    memcpy(c->text + used, line, length + 1);
    return write_text(c->path, c->text);
}
