/* test_cli_outputs.c: what a person asked to have written: any size, any name that the file system can hold; what cannot be written is
 * told before there is a job. */
#include "tests/app/test_cli.h"

#include <dirent.h>
#include <limits.h>

#define TINY                                                                                       \
    "--preset", "demo", "--num-frames", "1", "--num-inference-steps", "1", "-q", "--jobs-dir"

static char *in_dir(const char *name)
{
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static int jobs_in(const char *name)
{
    DIR *dir = opendir(in_dir(name));
    int n = 0;
    for (struct dirent *item; dir && (item = readdir(dir));)
        n += item->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* Refused with exit status 2 and one line that holds `says`; no job was made. */
static void refused(const char *says, const char *const *argv)
{
    cli_result r = cli_run(argv);
    if (r.status != 2 || cli_lines(r.err) != 1 || !strstr(r.err, says) || !cli_is_clean(r.err))
        fail_msg("exit %d instead of 2 with \"%s\":\n%s", r.status, says, r.err);
    cli_result_free(&r);
    assert_int_equal(jobs_in("none"), 0);
}
#define REFUSED(says, ...) refused(says, (const char *const[]){__VA_ARGS__, NULL})

/* Wider than 352 or higher than 288, where FFV1 refuses a single slice. */
static void test_cli_outputs_sizes_beyond_one_slice(void **state)
{
    static const char *const sizes[][2] = {
        {"416", "240"}, {"480", "272"}, {"384", "384"}, {"16", "400"}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CLI_EXPECT(0, "compare", TINY, in_dir("sizes"), "--width", sizes[i][0], "--height",
                   sizes[i][1], "--output", in_dir("size.mp4"));
}

static void test_cli_outputs_a_clip_that_cannot_be_written_is_told_before(void **state)
{
    (void)state;
    cli_preload("FAULT_ENCODERS", "libx264,libopenh264,mpeg4");
    REFUSED("416", "generate", TINY, in_dir("none"), "--width", "416", "--height", "240");
    cli_preload("FAULT_ENCODERS", NULL);
}

/* Encoders that are gone between two runs: what one wrote, the next makes of the frames with another one. */
static void test_cli_outputs_frames_outlive_their_encoders(void **state)
{
    (void)state;
    cli_preload("FAULT_ENCODERS", "ffv1");
    CLI_EXPECT(0, "generate", TINY, in_dir("kept"), "--output", in_dir("kept.mp4"));
    cli_preload("FAULT_ENCODERS", NULL);
    CLI_EXPECT(0, "generate", TINY, in_dir("whole"), "--output", in_dir("whole.mp4"));
    assert_true(cli_same_file(in_dir("kept.mp4"), in_dir("whole.mp4")));
    assert_int_equal(unlink(in_dir("kept.mp4")), 0);
    cli_preload("FAULT_ENCODERS", "ffv1,libx264,libopenh264,mpeg4");
    cli_result r = CLI("resume", "last", "--jobs-dir", in_dir("kept"), "-q");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "refuses"));
    cli_result_free(&r);
    cli_preload("FAULT_ENCODERS", "ffv1,libx264,libopenh264");
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", in_dir("kept"), "-q");
    assert_true(vg_file_exists(in_dir("kept.mp4")));
    cli_preload("FAULT_ENCODERS", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_outputs_sizes_beyond_one_slice),
        cmocka_unit_test(test_cli_outputs_a_clip_that_cannot_be_written_is_told_before),
        cmocka_unit_test(test_cli_outputs_frames_outlive_their_encoders),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
