/* test_digest.c: checksums of bytes and files. */
#include "kernels/base/digest.h"

#include <sys/stat.h>

#include "tests/check.h"
#include "tests/scratch.h"

static void test_digest_is_xxh3(void **state)
{
    char text[VG_DIGEST_HEX + 1];

    (void)state;
    vg_digest_text(vg_digest(0, NULL, 0), text);
    assert_string_equal(text,
                        "2d06800538d394c2"); /* of nothing, as the library's specification has it */
    assert_true(vg_digest(0, "ab", 2) != vg_digest(0, "ba", 2));
    assert_true(vg_digest(vg_digest(0, "a", 1), "b", 1) != vg_digest(vg_digest(0, "b", 1), "a", 1));
}

static void test_digest_of_files(void **state)
{
    const size_t size = ((size_t)5 << 19) + 3; /* two and a half pieces */
    char *bytes = calloc(size, 1);
    uint64_t first, second, length = 0;
    vg_err err;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 >> 3);
    const char *path = scratch_write(state, "f", bytes, size);
    CHECK_OK(vg_digest_file(path, &first, &length, &err), err);
    assert_int_equal(length, size);
    for (size_t i = 0; i < size; i += size / 7) {
        bytes[i] ^= 1;
        scratch_write(state, "f", bytes, size);
        CHECK_OK(vg_digest_file(path, &second, NULL, &err), err);
        assert_true(second != first);
        bytes[i] ^= 1;
    }
    scratch_write(state, "f", bytes, size - 1);
    CHECK_OK(vg_digest_file(path, &second, &length, &err), err);
    assert_true(second != first && length == size - 1);
    scratch_write(state, "f", bytes, size);
    CHECK_OK(vg_digest_file(path, &second, NULL, &err), err);
    assert_true(second == first);
    free(bytes);
}

static void test_digest_refuses_what_is_no_file(void **state)
{
    uint64_t digest = 7;
    vg_err err;

    CHECK_FAILS(vg_digest_file(scratch_path(state, "none"), &digest, NULL, &err), VG_E_IO, err);
    CHECK_FAILS(vg_digest_file(*state, &digest, NULL, &err), VG_E_IO, err);
    assert_int_equal(mkfifo(scratch_path(state, "pipe"), 0600), 0);
    CHECK_FAILS(vg_digest_file(scratch_path(state, "pipe"), &digest, NULL, &err), VG_E_IO, err);
    assert_int_equal(symlink("none", scratch_path(state, "link")), 0);
    CHECK_FAILS(vg_digest_file(scratch_path(state, "link"), &digest, NULL, &err), VG_E_IO, err);
    assert_int_equal(digest, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_is_xxh3),
        cmocka_unit_test_setup_teardown(test_digest_of_files, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_digest_refuses_what_is_no_file, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
