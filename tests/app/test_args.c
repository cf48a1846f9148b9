/* test_args.c: flags to settings and words; help from the tables. */
#include "tests/check.h"

#include "app/cli/cli.h"

static const vg_arg_spec specs[] = {{"json", 0, NULL, "h"}, {"jobs-dir", 'j', "DIR", "h"}, {0}};
static const vg_command command = {.name = "test",
                                   .arguments = "[X]",
                                   .summary = "s",
                                   .settings = "*",
                                   .specs = specs,
                                   .max_args = 1};

static vg_status parse(vg_args *args, vg_err *err, const char *const *argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return vg_args_parse(&command, argc, (char **)(uintptr_t)argv, args, err);
}
#define PARSE(args, err, ...) parse(args, err, (const char *const[]){__VA_ARGS__, NULL})

static void test_args_both_spellings_of_a_value(void **state)
{
    (void)state;
    vg_args args;
    vg_err err;
    CHECK_OK(PARSE(&args, &err, "--num-frames", "17", "--seed=9", "--frame-rate=12",
                   "--guidance_scale", "2", "word", "--json", "-j", "dir",
                   "--prompt=--not-a-flag=1", "--negative-prompt", ""),
             err);
    assert_string_equal(vg_settings_get(&args.settings, VG_OPT_num_frames), "17");
    assert_string_equal(vg_settings_get(&args.settings, VG_OPT_seed), "9");
    assert_string_equal(vg_settings_get(&args.settings, VG_OPT_fps), "12");
    assert_string_equal(vg_settings_get(&args.settings, VG_OPT_guidance_scale), "2");
    assert_string_equal(vg_settings_get(&args.settings, VG_OPT_prompt), "--not-a-flag=1");
    assert_true(vg_settings_is_set(&args.settings, VG_OPT_negative_prompt));
    assert_int_equal(args.words_count, 1);
    assert_string_equal(args.words[0], "word");
    assert_true(vg_args_has(&args, "json"));
    assert_string_equal(vg_args_get(&args, "jobs-dir"), "dir");
    vg_args_deinit(&args);
}

static void test_args_switches(void **state)
{
    (void)state;
    vg_args args;
    vg_err err;
    CHECK_OK(PARSE(&args, &err, "--vae-use-tiling"), err);
    assert_true(vg_settings_bool(&args.settings, VG_OPT_vae_use_tiling));
    vg_args_deinit(&args);
    CHECK_OK(PARSE(&args, &err, "--vae-use-tiling", "--no-vae-use-tiling"), err);
    assert_true(vg_settings_is_set(&args.settings, VG_OPT_vae_use_tiling) &&
                !vg_settings_bool(&args.settings, VG_OPT_vae_use_tiling));
    vg_args_deinit(&args);
    CHECK_OK(PARSE(&args, &err, "--vae-use-tiling=true", "--", "--word"), err);
    assert_string_equal(args.words[0], "--word");
    vg_args_deinit(&args);
}

static void test_args_mistakes_are_one_clear_line(void **state)
{
    (void)state;
    static const struct {
        const char *argv[4], *word;
    } cases[] = {
        {{"--heigth", "96"}, "did you mean --height"},
        {{"--jsn"}, "did you mean --json"},
        {{"--num-frames"}, "needs a value"},
        {{"--num-frames", "--seed", "3"}, "needs a value"},
        {{"--json=1"}, "takes no value"},
        {{"--height="}, "empty"},
        {{"--height", "tall"}, "--height: \"tall\""},
        {{"a", "b"}, "one word too many"},
        {{"-x"}, "-x is not an option"},
        {{"--\x1b[31m"}, "not an option"},
        {{"--no-height"}, "not an option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_args args;
        vg_err err;
        CHECK_FAILS(parse(&args, &err, cases[i].argv), VG_E_ARG, err);
        if (!strstr(err.message, cases[i].word))
            fail_msg("%s: \"%s\"", cases[i].argv[0], err.message);
        for (const char *c = err.message; *c; c++)
            assert_true((unsigned char)*c >= 0x20);
        vg_args_deinit(&args);
    }
}

static void test_args_help_names_every_setting_and_command(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    vg_args_print_help(f, "vgen", &command);
    for (int i = 0; vg_commands[i]; i++) /* settings of its own */
        if (!strcmp(vg_commands[i]->name, "quantize"))
            vg_args_print_help(f, "vgen", vg_commands[i]);
    fclose(f);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        char flag[64], wanted[70];
        snprintf(wanted, sizeof wanted, "--%s", vg_option_flag(&vg_options[i], flag, sizeof flag));
        if (!strstr(text, wanted))
            fail_msg("help does not name %s", wanted);
    }
    free(text);
    for (int i = 0; vg_commands[i]; i++) {
        assert_true(*vg_commands[i]->summary && !vg_commands[i]->run != !vg_commands[i]->job &&
                    vg_commands[i]->arguments);
        int n = 0;
        for (const vg_arg_spec *s = vg_commands[i]->specs; s && s->name; s++)
            n++;
        assert_true(n < VG_ARG_SPECS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_args_both_spellings_of_a_value),
        cmocka_unit_test(test_args_switches),
        cmocka_unit_test(test_args_mistakes_are_one_clear_line),
        cmocka_unit_test(test_args_help_names_every_setting_and_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
