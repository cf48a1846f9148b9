/* test_utf8.c: broken UTF-8 repaired as Python's bytes.decode("utf-8", "replace") does it; the wanted texts are Python's. */
#include "kernels/base/utf8.h"
#include "tests/check.h"

#define FFFD "\xef\xbf\xbd"

static void test_utf8_repair_equals_python(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", ""},
        {"plain \xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\xb1",
         "plain \xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\xb1"},
        {"\x80", FFFD},
        {"a\xbf\xbf z", "a" FFFD FFFD " z"},
        {"\xc3", FFFD},
        {"\xc3(", FFFD "("},
        {"\xe7\x8c", FFFD},
        {"\xe7\x8c\xe7\x8c\xab", FFFD "\xe7\x8c\xab"},
        {"\xe7(\x8c", FFFD "(" FFFD},
        {"\xf0\x9f\x90", FFFD},
        {"\xf0\x9fx", FFFD "x"},
        {"\xf0\x80\x80\x80", FFFD FFFD FFFD FFFD}, /* overlong */
        {"\xe0\x80\xaf", FFFD FFFD FFFD},          /* overlong */
        {"\xc0\x80", FFFD FFFD},                   /* overlong */
        {"\xed\xa0\x80", FFFD FFFD FFFD},          /* a surrogate */
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},          /* the last before them */
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD}, /* beyond it */
        {"\xf8\x88\x80\x80\x80", FFFD FFFD FFFD FFFD FFFD},
        {"\xff\xfe", FFFD FFFD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *repaired = vg_utf8_repair(cases[i].text, strlen(cases[i].text), &size);
        assert_non_null(repaired);
        if (strcmp(repaired, cases[i].wanted) != 0 || size != strlen(cases[i].wanted))
            fail_msg("case %zu gives \"%s\"", i, repaired);
        assert_true(vg_utf8_valid(repaired, size, NULL));
        free(repaired);
    }
    size_t size;
    char *repaired = vg_utf8_repair("a\0\xff", 3, &size);
    assert_non_null(repaired);
    assert_memory_equal(repaired, "a\0" FFFD, size + 1);
    assert_int_equal(size, 5);
    free(repaired);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_utf8_repair_equals_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
