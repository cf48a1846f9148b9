/* test_op_registry.c: a row of ops.def without its files, its test or its CPU kernel fails here. */
#include "tests/check.h"

/* The text of a file below the source tree; NULL when it is not there. The caller frees it. */
static char *read_text(const char *folder, const char *prefix, const char *name, const char *suffix)
{
    char path[512], *text;
    size_t used;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s%s%s", folder, prefix, name, suffix);
    file = fopen(path, "rb");
    if (!file)
        return NULL;
    text = malloc(1 << 20);
    assert_non_null(text);
    used = fread(text, 1, (1 << 20) - 1, file);
    text[used] = '\0';
    fclose(file);
    return text;
}

static void test_registry_every_row_is_served(void **state)
{
    vg_backend *be = check_cpu()->one;

    (void)state;
    for (int op = 0; op < VG_OP_COUNT; op++) {
        const char *name = vg_op_name((vg_op)op);
        char run[64], *test = read_text(VG_TEST_DIR, "kernels/test_op_", name, ".c"),
                      *cpu = read_text(VG_SOURCE_DIR, "kernels/cpu/", name, ".c");
        if (!test || !cpu)
            fail_msg("operation %s lacks %s%s.c", name,
                     test ? "kernels/cpu/" : "tests/kernels/test_op_", name);
        snprintf(run, sizeof run, "CHECK_RUN(%s,", name);
        if (!strstr(test, run) || !strstr(test, "refuses_wrong_operands"))
            fail_msg(
                "tests/kernels/test_op_%s.c runs no case of the operation, or none with wrong operands",
                name);
        if (!vg_backend_supports(be, (vg_op)op))
            fail_msg("the CPU backend, the oracle of every test, lacks operation %s", name);
        assert_true(vg_op_help((vg_op)op)[0] != '\0');
        free(test);
        free(cpu);
    }
    assert_string_equal(vg_op_name(VG_OP_COUNT), "?");
    assert_false(vg_backend_supports(be, VG_OP_COUNT));
}

static void test_registry_missing_operation_is_an_error(void **state)
{
    vg_backend *be = check_cpu()->one;
    vg_backend_ops table = *be->ops;
    vg_backend stub = {.ops = &table};
    float value = 1.0f;
    vg_tensor t = vg_tensor_make(&value, VG_F32, 1, 1);
    vg_cast_args args = {&t, &t};
    int64_t calls = be->calls[VG_OP_cast];
    vg_err err;

    (void)state;
    table.cast = NULL;
    CHECK_FAILS(vg_cast(&stub, &args, &err), VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "cast"));
    assert_non_null(strstr(err.message, "cpu"));
    assert_int_equal(stub.calls[VG_OP_cast], 0);
    CHECK_OK(vg_cast(be, &args, &err), err);
    assert_int_equal(be->calls[VG_OP_cast], calls + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_every_row_is_served),
        cmocka_unit_test(test_registry_missing_operation_is_an_error),
    };
    return cmocka_run_group_tests_name("op_registry", tests, NULL, check_close_cpu);
}
