/* test_ui_keys.c: ui/README.md lists the keys that the screens have, no others. `vgen-tui --print-keys` prints the part between the marks. */
#include "ui/host/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void test_ui_keys_are_those_of_the_readme(void **state)
{
    static const char begin[] = "<!-- vgen-tui --print-keys -->\n\n",
                      end[] = "\n<!-- end of the keys -->";
    char *keys = NULL, *readme = read_all(VG_SOURCE_DIR "/ui/README.md");
    size_t size = 0;
    FILE *out = open_memstream(&keys, &size);
    (void)state;
    assert_non_null(out);
    vg_ui_print_keys(out, "    ");
    fclose(out);
    char *from = strstr(readme, begin), *to = from ? strstr(from, end) : NULL;
    assert_non_null(to);
    *to = 0;
    assert_string_equal(from + strlen(begin), keys);
    free(keys);
    free(readme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ui_keys_are_those_of_the_readme)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
