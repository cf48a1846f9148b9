/* test_ui_input.c: bytes into keys, text into columns, the editor. */
#include "ui/term/input.h"
#include "ui/term/text.h"
#include "ui/widgets/editor.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct seen {
    vg_key keys[64];
    int count;
    char paste[256];
} seen;

static void sink(void *user, const vg_key *key)
{
    seen *s = user;
    if (key->code == VG_K_PASTE)
        snprintf(s->paste, sizeof s->paste, "%.*s", (int)key->text_size, key->text);
    if (s->count < 64)
        s->keys[s->count++] = *key;
}

/* Decode bytes in pieces of `step`: how reads are cut must not matter. */
static seen decode(const char *bytes, size_t n, size_t step)
{
    seen s = {0};
    vg_input in = {0};
    for (size_t i = 0; i < n; i += step)
        vg_input_feed(&in, bytes + i, n - i < step ? n - i : step, sink, &s);
    if (vg_input_waiting(&in))
        vg_input_flush(&in, sink, &s);
    vg_input_deinit(&in);
    return s;
}

static void test_input_knows_the_common_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        vg_key_code code;
        uint32_t cp;
        unsigned mods;
    } cases[] = {
        {"a", VG_K_CHAR, 'a', 0},
        {"\xe7\xba\xa2", VG_K_CHAR, 0x7ea2, 0},
        {"\xf0\x9f\x8e\xac", VG_K_CHAR, 0x1f3ac, 0},
        {"\r", VG_K_ENTER, 0, 0},
        {"\n", VG_K_CHAR, 'j', VG_MOD_CTRL},
        {"\x1b", VG_K_ESC, 0, 0},
        {"\x1b\r", VG_K_ENTER, 0, VG_MOD_ALT},
        {"\x1b"
         "4",
         VG_K_CHAR, '4', VG_MOD_ALT},
        {"\x12", VG_K_CHAR, 'r', VG_MOD_CTRL},
        {"\x7f", VG_K_BACKSPACE, 0, 0},
        {"\x1b[A", VG_K_UP, 0, 0},
        {"\x1bOB", VG_K_DOWN, 0, 0},
        {"\x1b[1;5C", VG_K_RIGHT, 0, VG_MOD_CTRL},
        {"\x1b[Z", VG_K_BACKTAB, 0, 0},
        {"\x1b[3~", VG_K_DELETE, 0, 0},
        {"\x1b[1~", VG_K_HOME, 0, 0},
        {"\x1bOF", VG_K_END, 0, 0},
        {"\x1b[15~", VG_K_F5, 0, 0},
        {"\x1bOP", VG_K_F1, 0, 0},
        {"\x1b[[E", VG_K_F5, 0, 0},
        {"\x1b[21~", VG_K_F10, 0, 0},
        {"\x1b[<0;35;2M", VG_K_CLICK, 0, 0},
        {"\x1b[<32;35;2M", VG_K_CLICK, 0, VG_MOD_DRAG},
        {"\x1b[<65;35;2M", VG_K_WHEEL, 0, 0},
        {"\x1b[6;19;9t", VG_K_REPORT, 0, 0},
        {"\x1b]11;rgb:ffff/8080/0000\x1b\\", VG_K_REPORT, 0, 0},
        {"\x1b]11;rgb:ff/80/00\x07", VG_K_REPORT, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step <= 16; step += 5) {
            seen s = decode(cases[i].bytes, strlen(cases[i].bytes), step);
            if (s.count != 1 || s.keys[0].code != cases[i].code || s.keys[0].cp != cases[i].cp ||
                s.keys[0].mods != cases[i].mods)
                fail_msg("case %zu by %zu: %d keys, code %d cp %x mods %u", i, step, s.count,
                         (int)s.keys[0].code, s.keys[0].cp, s.keys[0].mods);
        }
    seen s = decode("\x1b[<0;35;2M", 10, 3);
    assert_int_equal(s.keys[0].row, 1);
    assert_int_equal(s.keys[0].col, 34);
    s = decode("\x1b]11;rgb:ffff/8080/0000\x1b\\", 25, 4);
    assert_int_equal(s.keys[0].a, 255);
    assert_int_equal(s.keys[0].b, 128);
}

static void test_input_swallows_what_it_does_not_know(void **state)
{
    (void)state;
    static const char *const bytes[] = {"\x1b[?1;2c",         "\x1b[>0;95;0c", "\x1b[12;34R",
                                        "\x1bP>|xterm\x1b\\", "\x1b[<0;3;4m",  "\x1b[<35;3;4M",
                                        "\x1b[M !!",          "\xff",          "\xc3\x28x"};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        seen s = decode(bytes[i], strlen(bytes[i]), 1);
        for (int k = 0; k < s.count; k++)
            assert_true(s.keys[k].code == VG_K_CHAR &&
                        (s.keys[k].cp == '(' || s.keys[k].cp == 'x'));
    }
}

static void test_input_pastes_are_whole(void **state)
{
    (void)state;
    static const char bytes[] = "\x1b[200~one\r\ntwo\rq\tx\x1b[A\x1b[201~z";
    for (size_t step = 1; step < 9; step += 3) {
        seen s = decode(bytes, sizeof bytes - 1, step);
        assert_int_equal(s.count, 2);
        assert_string_equal(s.paste, "one\ntwo\nq x[A");
        assert_int_equal(s.keys[1].cp, 'z');
    }
    /* A paste whose end never comes is ended by silence. */
    seen s = decode("\x1b[200~half", 10, 3);
    assert_int_equal(s.count, 1);
    assert_string_equal(s.paste, "half");
}

static void test_input_survives_random_bytes(void **state)
{
    (void)state;
    uint32_t seed = 1;
    vg_input in = {0};
    seen s;
    for (int i = 0; i < 200000; i++) {
        static const char likely[] = "\x1b[]OP<;0123456789~MmAt\x07\\?";
        seed = seed * 1664525u + 1013904223u;
        char c = seed & 0x10000 ? likely[(seed >> 20) % (sizeof likely - 1)] : (char)(seed >> 24);
        s.count = 0;
        vg_input_feed(&in, &c, 1, sink, &s);
        if ((seed >> 8) % 97 == 0)
            vg_input_flush(&in, sink, &s);
        assert_true(in.pending_size < sizeof in.pending);
    }
    vg_input_deinit(&in);
}

static void test_text_counts_columns_and_refuses_controls(void **state)
{
    (void)state;
    assert_int_equal(vg_text_width("abc"), 3);
    assert_int_equal(vg_text_width("\xe7\xba\xa2"), 2);
    assert_int_equal(vg_text_width("e\xcc\x81"), 1);
    assert_int_equal(vg_text_fit("\xe7\xba\xa2\xe7\xba\xa2", 3), 3);
    static const uint32_t bad[] = {0, 7, 0x1b, 0x7f, 0x9b, 0x200e, 0x202e, 0x2066, 0xfeff, 0xe0001};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(vg_cp_safe(bad[i]));
    uint32_t cp;
    static const char *const broken[] = {"\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82",
                                         "\x80"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_int_equal(vg_utf8_decode(broken[i], strlen(broken[i]), &cp), 1);
        assert_int_equal(cp, 0xfffd);
    }
}

static void test_text_formats_say_unknown(void **state)
{
    (void)state;
    char s[32];
    vg_format_bytes(s, sizeof s, UINT64_MAX);
    assert_string_equal(s, "N/A");
    vg_format_bytes(s, sizeof s, 1024ull * 1024 * 1024 * 5 / 4);
    assert_string_equal(s, "1.25 GiB");
    vg_format_bytes(s, sizeof s, 1023);
    assert_string_equal(s, "1.00 KiB");
    vg_format_seconds(s, sizeof s, (double)NAN);
    assert_string_equal(s, "--");
    vg_format_seconds(s, sizeof s, 65);
    assert_string_equal(s, "1:05");
    vg_format_seconds(s, sizeof s, 59.97);
    assert_string_equal(s, "1:00");
    vg_format_rate(s, sizeof s, (double)NAN);
    assert_string_equal(s, "-- s/it");
    vg_format_metric(s, sizeof s, (double)INFINITY);
    assert_string_equal(s, "identical");
}

static void press(vg_editor *e, vg_key_code code, uint32_t cp, unsigned mods)
{
    vg_key key = {.code = code, .cp = cp, .mods = mods};
    vg_editor_key(e, &key, 10);
}

static void test_editor_moves_over_whole_characters(void **state)
{
    (void)state;
    vg_editor e = {0};
    vg_editor_set(&e,
                  "a\xe7\xba\xa2"
                  "e\xcc\x81",
                  true);
    press(&e, VG_K_LEFT, 0, 0);
    assert_int_equal(e.cursor, 4);
    press(&e, VG_K_LEFT, 0, 0);
    assert_int_equal(e.cursor, 1);
    press(&e, VG_K_DELETE, 0, 0);
    assert_string_equal(e.text, "ae\xcc\x81");
    press(&e, VG_K_END, 0, 0);
    press(&e, VG_K_BACKSPACE, 0, 0);
    assert_string_equal(e.text, "a");
    press(&e, VG_K_CHAR, 'j', VG_MOD_CTRL);
    press(&e, VG_K_CHAR, 'b', 0);
    assert_string_equal(e.text, "a\nb");
    press(&e, VG_K_UP, 0, 0);
    assert_int_equal(e.cursor, 1);
    press(&e, VG_K_CHAR, 0x1b, 0);
    assert_string_equal(e.text, "a\nb");
    vg_editor_set(&e, "the quick brown fox jumps", true);
    assert_int_equal(vg_editor_lines(&e, 10), 3);
    press(&e, VG_K_CHAR, 'w', VG_MOD_CTRL);
    assert_string_equal(e.text, "the quick brown fox ");
    vg_editor_set(&e, "line\n", true);
    assert_int_equal(vg_editor_lines(&e, 10), 2);
    vg_editor_deinit(&e);
}

static void test_editor_clicks_count_from_what_is_shown(void **state)
{
    (void)state;
    vg_editor e = {0};
    vg_rect r = {3, 5, 1, 10};
    vg_editor_set(&e, "/a/long/folder/of/a/model",
                  false); /* the cursor at its end: "a/model" and two more are shown */
    vg_editor_click(&e, r, 3, 5 + 4);
    assert_string_equal(e.text + e.cursor, "model");
    vg_editor_set(&e, "short", false);
    vg_editor_click(&e, r, 3, 5 + 2);
    assert_int_equal(e.cursor, 2);
    vg_editor_deinit(&e);
}

static void test_editor_takes_64_kib_quickly_and_no_more(void **state)
{
    (void)state;
    vg_editor e = {0};
    char *big = malloc(100000);
    assert_non_null(big);
    for (int i = 0; i < 100000; i++)
        big[i] = i % 9 == 8 ? ' ' : 'x';
    vg_key key = {.code = VG_K_PASTE, .text = big, .text_size = 20000};
    vg_editor_set(&e, "", true);
    for (int i = 0; i < 5; i++)
        vg_editor_key(&e, &key, 60);
    assert_int_equal(e.size, VG_EDITOR_MAX);
    press(&e, VG_K_UP, 0, 0);
    assert_true(e.cursor < e.size);
    free(big);
    vg_editor_deinit(&e);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_knows_the_common_sequences),
        cmocka_unit_test(test_input_swallows_what_it_does_not_know),
        cmocka_unit_test(test_input_pastes_are_whole),
        cmocka_unit_test(test_input_survives_random_bytes),
        cmocka_unit_test(test_text_counts_columns_and_refuses_controls),
        cmocka_unit_test(test_text_formats_say_unknown),
        cmocka_unit_test(test_editor_moves_over_whole_characters),
        cmocka_unit_test(test_editor_clicks_count_from_what_is_shown),
        cmocka_unit_test(test_editor_takes_64_kib_quickly_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
