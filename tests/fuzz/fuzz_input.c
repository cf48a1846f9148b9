/* fuzz_input.c: bytes from a terminal: the same keys, however the bytes are cut into reads; a key is a character, a paste is no longer than it may be. The first byte is the
 * size of a read. */
#include "tests/fuzz/fuzz.h"

#include "kernels/base/digest.h"
#include "ui/term/input.h"

static void take(void *user, const vg_key *key)
{
    uint64_t *digest = user;
    const int64_t numbers[] = {key->code, key->cp,     key->mods, key->row, key->col,
                               key->step, key->report, key->a,    key->b,   key->c};
    if (key->code == VG_K_PASTE && key->text_size > VG_PASTE_MAX)
        abort();
    if (key->code == VG_K_CHAR && (key->cp > 0x10ffff || (key->cp >= 0xd800 && key->cp < 0xe000)))
        abort();
    *digest = vg_digest(*digest, numbers, sizeof numbers);
    if (key->code == VG_K_PASTE)
        *digest = vg_digest(*digest, key->text, key->text_size);
}

static uint64_t keys_of(const uint8_t *data, size_t size, size_t piece)
{
    vg_input in = {0};
    uint64_t digest = 0;
    for (size_t at = 0; at < size; at += piece)
        vg_input_feed(&in, (const char *)data + at, size - at < piece ? size - at : piece, take,
                      &digest);
    vg_input_flush(&in, take, &digest);
    if (vg_input_waiting(&in) && !in.pasting)
        abort();
    vg_input_deinit(&in);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint64_t whole = keys_of(data + 1, size - 1, size);
    if (keys_of(data + 1, size - 1, 1) != whole ||
        keys_of(data + 1, size - 1, 1 + data[0] % 64) != whole)
        abort();
    return 0;
}
