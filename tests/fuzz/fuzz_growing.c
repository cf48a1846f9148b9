/* fuzz_growing.c: events.jsonl that grows while it is read: the same lines, however they come. The first two bytes cut it. */
#include "tests/fuzz/fuzz.h"

#include "app/job/events.h"
#include "kernels/base/digest.h"

typedef struct seen {
    uint64_t digest;
    int lines;
} seen;

static void take(void *user, const vg_event_line *line)
{
    seen *s = user;
    s->digest = vg_digest(s->digest, line->text, strlen(line->text));
    s->lines++;
    if (!cJSON_IsObject(line->json))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_event_reader grown, fresh;
    seen a = {0}, b = {0};
    if (size < 3)
        return 0;
    size_t piece = 1 + data[0] + ((size_t)data[1] << 4);
    data += 2;
    size -= 2;
    if (piece < size / 16) /* each is written by itself */
        piece = size / 16;
    (void)unlink(fuzz_path(VG_EVENTS_FILE));
    vg_event_reader_init(&grown, fuzz_folder());
    (void)vg_event_reader_poll(&grown, take, &a);
    for (size_t at = 0; at < size; at += piece) {
        fuzz_write(VG_EVENTS_FILE, "ab", data + at, size - at < piece ? size - at : piece);
        (void)vg_event_reader_poll(&grown, take, &a);
    }
    vg_event_reader_init(&fresh, fuzz_folder());
    (void)vg_event_reader_poll(&fresh, take, &b);
    if (a.digest != b.digest || a.lines != b.lines || grown.malformed != fresh.malformed ||
        grown.offset != fresh.offset)
        abort();
    /* Replaced by a shorter one, it is read from its beginning. */
    fuzz_write(VG_EVENTS_FILE, "wb", "{\"type\":\"done\"}\n", 16);
    int before = a.lines, more = vg_event_reader_poll(&grown, take, &a);
    if (size > 16 && (more != 1 || a.lines != before + 1))
        abort();
    vg_event_reader_deinit(&grown);
    vg_event_reader_deinit(&fresh);
    return 0;
}
