/* test_safetensors.c: reader and writer. Hand-made broken files are in tests/bad (test_checkpoint_bad.c); here a good file is damaged
 * systematically: every byte of its header in several ways, every truncation, growth by one byte. */
#include "engine/checkpoint/safetensors.h"
#include "tests/check.h"
#include "tests/scratch.h"

static const char *const metadata[] = {"format", "pt", "note", "a \"quoted\"\n\\ \xc3\xa9 \x01",
                                       NULL};

/* Every dtype, a scalar, an empty tensor, and a name that needs escaping. */
static size_t write_sample(void **state, const char *name, char **bytes)
{
    static float f32[6] = {1, 2, 3, 4, 5, 6};
    static double f64 = 0.25;
    static int64_t i64[2] = {-1, 1};
    static int32_t i32 = 7;
    static uint16_t half[3] = {0x3f80, 0x4000, 0x4040};
    static uint8_t u8[5] = {1, 2, 3, 4, 5};
    const vg_safetensors_entry entries[] = {
        {"blocks.0.weight", vg_tensor_make(f32, VG_F32, 2, 2, 3)},
        {"scalar", vg_tensor_make(&f64, VG_F64, 0)},
        {"i64", vg_tensor_make(i64, VG_I64, 1, 2)},
        {"i32", vg_tensor_make(&i32, VG_I32, 1, 1)},
        {"bf16", vg_tensor_make(half, VG_BF16, 1, 3)},
        {"f16", vg_tensor_make(half, VG_F16, 3, 1, 3, 1)},
        {"e4m3", vg_tensor_make(u8, VG_E4M3, 1, 5)},
        {"u8 \"\\\n", vg_tensor_make(u8, VG_U8, 1, 5)},
        {"empty", vg_tensor_make(NULL, VG_F32, 2, 0, 4)},
    };
    size_t size;
    vg_err err;

    CHECK_OK(vg_safetensors_write(scratch_path(state, name), entries, 9, metadata, &err), err);
    CHECK_OK(vg_file_read(scratch_path(state, name), 1 << 20, bytes, &size, &err), err);
    return size;
}

static void test_safetensors_round_trip(void **state)
{
    char *bytes, *again;
    size_t size = write_sample(state, "a.safetensors", &bytes);
    vg_safetensors *st;
    vg_err err;

    assert_true(write_sample(state, "b.safetensors", &again) == size &&
                memcmp(bytes, again, size) == 0);
    uint64_t header;
    memcpy(&header, bytes, 8);
    assert_true(header % 8 == 0);
    CHECK_OK(vg_safetensors_open(scratch_path(state, "a.safetensors"), &st, &err), err);
    assert_true(vg_safetensors_file_bytes(st) == size && vg_safetensors_count(st) == 9);
    assert_string_equal(vg_safetensors_path(st), scratch_path(state, "a.safetensors"));
    assert_string_equal(vg_safetensors_name(st, 0), "blocks.0.weight"); /* in order of the data */
    const vg_tensor *t = vg_safetensors_find(st, "blocks.0.weight");
    assert_true(vg_tensor_is(t, VG_F32, 2) && t->shape[0] == 2 && t->shape[1] == 3);
    float values[6];
    memcpy(values, t->data, sizeof values);
    assert_true(values[5] == 6.0f);
    t = vg_safetensors_find(st, "scalar");
    assert_true(t && t->ndim == 0 && t->dtype == VG_F64);
    t = vg_safetensors_find(st, "empty");
    assert_true(t && t->data && vg_tensor_numel(t) == 0);
    t = vg_safetensors_find(st, "u8 \"\\\n");
    assert_true(vg_tensor_is(t, VG_U8, 1) && ((const uint8_t *)t->data)[4] == 5);
    assert_true(vg_safetensors_tensor(st, vg_safetensors_index(st, "e4m3")) ==
                vg_safetensors_find(st, "e4m3"));
    assert_null(vg_safetensors_find(st, "none"));
    assert_int_equal(vg_safetensors_index(st, "none"), -1);
    assert_true(!vg_safetensors_name(st, -1) && !vg_safetensors_name(st, 9) &&
                !vg_safetensors_tensor(st, 9));
    assert_string_equal(vg_safetensors_metadata(st, "note"), metadata[3]);
    assert_null(vg_safetensors_metadata(st, "none"));
    vg_safetensors_close(st);
    vg_safetensors_close(NULL);
    free(bytes);
    free(again);
}

static void test_safetensors_foreign_dtypes_are_skipped(void **state)
{
    const char *header =
        "{\"a\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
        "\"c\":{\"dtype\":\"F8_E5M2\",\"shape\":[],\"data_offsets\":[8,9]},"
        "\"d\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[9,13]},"
        "\"e\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[13,14]},\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[14,15]}}";
    unsigned char file[1024] = {0};
    size_t n = strlen(header);
    vg_safetensors *st;
    vg_err err;

    (void)state;
    for (int i = 0; i < 2; i++)
        file[i] = (unsigned char)(n >> (8 * i));
    memcpy(file + 8, header, n);
    file[8 + n + 14] = 42;
    CHECK_OK(vg_safetensors_open_memory(file, 8 + n + 15, "mixed", &st, &err), err);
    assert_int_equal(vg_safetensors_count(st), 2);
    assert_null(vg_safetensors_find(st, "a"));
    assert_string_equal(vg_safetensors_unsupported(st, "a"), "dtype I16");
    assert_string_equal(vg_safetensors_unsupported(st, "c"), "dtype F8_E5M2");
    assert_string_equal(vg_safetensors_unsupported(st, "d"), "7 dimensions");
    assert_string_equal(vg_safetensors_unsupported(st, "e"), "dtype F4");
    assert_null(vg_safetensors_unsupported(st, "b"));
    assert_null(vg_safetensors_unsupported(st, "none"));
    assert_true(((const uint8_t *)vg_safetensors_find(st, "x")->data)[0] == 42);
    vg_safetensors_close(st);
}

static void test_safetensors_writer_errors(void **state)
{
    float value = 1.0f;
    const char *path = scratch_path(state, "f");
    const vg_tensor good = vg_tensor_make(&value, VG_F32, 1, 1);
    const vg_safetensors_entry twice[] = {{"a", good}, {"a", good}},
                               reserved[] = {{"__metadata__", good}}, not_utf8[] = {{"\xff", good}},
                               absent[] = {{"a", vg_tensor_make(NULL, VG_F32, 1, 1)}},
                               negative[] = {{"a", vg_tensor_make(&value, VG_F32, 1, -1)}},
                               unnamed[] = {{NULL, good}}, fine[] = {{"a", good}};
    vg_err err;

    CHECK_FAILS(vg_safetensors_write(path, twice, 2, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, reserved, 1, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, not_utf8, 1, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, absent, 1, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, unnamed, 1, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, negative, 1, NULL, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_safetensors_write(path, fine, -1, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(path, fine, 1, (const char *[]){"k", NULL}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(
        vg_safetensors_write(path, fine, 1, (const char *[]){"k", "v", "k", "w", NULL}, &err),
        VG_E_ARG, err);
    CHECK_FAILS(vg_safetensors_write(scratch_path(state, "no/f"), fine, 1, NULL, &err), VG_E_IO,
                err);
    assert_false(vg_file_exists(path));
    /* Nothing at all is a file too. */
    vg_safetensors *st;
    CHECK_OK(vg_safetensors_write(path, NULL, 0, NULL, &err), err);
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    assert_int_equal(vg_safetensors_count(st), 0);
    assert_null(vg_safetensors_find(st, "a"));
    vg_safetensors_close(st);
}

/* Open bytes in a block of their own; when it works, touch every byte of every tensor. Returns whether it opened. */
static bool try_bytes(const char *bytes, size_t size)
{
    char *block = malloc(size ? size : 1);
    vg_safetensors *st;
    vg_err err = {0};
    unsigned sum = 0;

    assert_non_null(block);
    memcpy(block, bytes, size);
    vg_status status = vg_safetensors_open_memory(block, size, "damaged", &st, &err);
    if (status == VG_OK) {
        for (int i = 0; i < vg_safetensors_count(st); i++) {
            const vg_tensor *t = vg_safetensors_tensor(st, i);
            for (size_t k = 0; k < vg_tensor_bytes(t); k++)
                sum += ((const uint8_t *)t->data)[k];
            assert_true(vg_safetensors_find(st, vg_safetensors_name(st, i)) == t);
        }
        vg_safetensors_close(st);
    } else {
        assert_true(status == VG_E_FORMAT && err.code == status && err.message[0]);
    }
    free(block);
    return status == VG_OK && sum < UINT32_MAX;
}

static void test_safetensors_damaged_headers(void **state)
{
    char *bytes;
    size_t size = write_sample(state, "a.safetensors", &bytes);
    uint64_t header;
    int opened = 0, tried = 0;

    memcpy(&header, bytes, 8);
    assert_true(try_bytes(bytes, size));
    for (size_t length = 0; length < size; length++)
        assert_false(try_bytes(bytes, length));
    for (size_t at = 0; at < 8 + header; at++) {
        static const unsigned char masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff};
        char keep = bytes[at];
        for (size_t m = 0; m < sizeof masks; m++) {
            bytes[at] = (char)(keep ^ masks[m]);
            opened += try_bytes(bytes, size);
            tried++;
        }
        for (const char *c = "{}[]\",:0-9e.\\ "; *c; c++) {
            bytes[at] = *c;
            opened += try_bytes(bytes, size);
            tried++;
        }
        bytes[at] = keep;
        if (at >= 8) { /* leave one byte out, under the same length: all behind it moves */
            char *shorter = malloc(size);
            assert_non_null(shorter);
            memcpy(shorter, bytes, at);
            memcpy(shorter + at, bytes + at + 1, size - at - 1);
            opened += try_bytes(shorter, size - 1);
            tried++;
            free(shorter);
        }
    }
    print_message("%d of %d damaged files still open (a name or a text changed)\n", opened, tried);
    char *longer = malloc(size + 1);
    assert_non_null(longer);
    memcpy(longer, bytes, size);
    longer[size] = 'x';
    assert_false(try_bytes(longer, size + 1));
    free(longer);
    free(bytes);
}

/* Large headers are read in about linear time. */
static void test_safetensors_many_tensors(void **state)
{
    enum { COUNT = 50000 };
    vg_safetensors_entry *entries = calloc(COUNT, sizeof *entries);
    char(*names)[32] = calloc(COUNT, sizeof *names);
    uint8_t byte = 3;
    vg_safetensors *st;
    vg_err err;

    assert_true(entries && names);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "blocks.%d.weight", (i * 7919) % COUNT);
        entries[i] = (vg_safetensors_entry){names[i], vg_tensor_make(&byte, VG_U8, 1, 1)};
    }
    CHECK_OK(vg_safetensors_write(scratch_path(state, "many"), entries, COUNT, NULL, &err), err);
    CHECK_OK(vg_safetensors_open(scratch_path(state, "many"), &st, &err), err);
    assert_int_equal(vg_safetensors_count(st), COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(vg_safetensors_index(st, names[i]), i);
    vg_safetensors_close(st);
    free(entries);
    free(names);
}

static void test_safetensors_open_errors(void **state)
{
    vg_safetensors *st;
    vg_err err;

    CHECK_FAILS(vg_safetensors_open(scratch_path(state, "none"), &st, &err), VG_E_IO, err);
    CHECK_FAILS(vg_safetensors_open(*state, &st, &err), VG_E_IO, err);
    CHECK_FAILS(vg_safetensors_open("/dev/zero", &st, &err), VG_E_IO, err);
}

/* Every bit of a file that carries a checksum matters, those of its header too. */
static void test_safetensors_checksum_finds_every_bit(void **state)
{
    float values[24];
    uint8_t codes[7] = {1, 2, 3, 4, 5, 6, 7};
    vg_err err;
    vg_safetensors *st;
    const char *path = scratch_path(state, "sealed.safetensors");
    char *bytes;
    size_t size;
    for (int i = 0; i < 24; i++)
        values[i] = (float)i;
    vg_safetensors_entry entries[] = {{"a", vg_tensor_make(values, VG_F32, 2, 4, 6)},
                                      {"none", vg_tensor_make(values, VG_F32, 1, 0)},
                                      {"b", vg_tensor_make(codes, VG_U8, 1, 7)}};
    const char *const sealed[] = {VG_SAFETENSORS_CHECKSUM, VG_SAFETENSORS_UNKNOWN, "key", "value",
                                  NULL},
                      *const plain[] = {"key", VG_SAFETENSORS_UNKNOWN, NULL};
    CHECK_OK(vg_safetensors_write(path, entries, 3, plain, &err), err);
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    CHECK_FAILS(vg_safetensors_check(st, &err), VG_E_MISSING, err);
    vg_safetensors_close(st);
    CHECK_OK(vg_safetensors_write(path, entries, 3, sealed, &err), err);
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    CHECK_OK(vg_safetensors_check(st, &err), err);
    const char *checksum = vg_safetensors_metadata(st, VG_SAFETENSORS_CHECKSUM);
    assert_true(strlen(checksum) == 16 && strcmp(checksum, VG_SAFETENSORS_UNKNOWN) != 0);
    assert_string_equal(vg_safetensors_metadata(st, "key"), "value");
    vg_safetensors_close(st);
    CHECK_OK(vg_file_read(path, 1 << 20, &bytes, &size, &err), err);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (vg_safetensors_open_memory(bytes, size, "flipped", &st, NULL) == VG_OK) {
            if (vg_safetensors_check(st, NULL) == VG_OK)
                fail_msg("bit %zu of %zu bytes", bit, size);
            vg_safetensors_close(st);
        }
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_safetensors_round_trip, scratch_open, scratch_close),
        cmocka_unit_test(test_safetensors_foreign_dtypes_are_skipped),
        cmocka_unit_test_setup_teardown(test_safetensors_writer_errors, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_safetensors_damaged_headers, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_safetensors_many_tensors, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_safetensors_checksum_finds_every_bit, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_safetensors_open_errors, scratch_open, scratch_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
