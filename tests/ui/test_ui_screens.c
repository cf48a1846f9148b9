/* test_ui_screens.c: every screen drawn by curses on a null terminal at four sizes, read back cell by cell and compared with a golden
 * of glyphs and attributes; layouts swept for overlap; keys, pastes and mouse reports at random.
 * VG_UPDATE_SNAPSHOTS=1 rewrites the goldens in tests/ui: review the change as a picture. */
#include "tests/ui/ui_tape_host.h"

#include "app/media/clip.h"
#include "ui/term/input.h"
#include "ui/term/text.h"
#include "ui/screens/ui.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- one session of the screens, without a loop ---- */
typedef struct session {
    tape_host *world;
    vg_ui ui;
} session;

/* Some time passes, and is drawn. */
static void pass(session *s, double seconds)
{
    s->world->now += seconds;
    s->ui.now += seconds;
    s->ui.unix_now += seconds;
    if (tape_host_refresh(s->world))
        s->ui.dirty = true;
    vg_ui_tick(&s->ui);
}

static void show(session *s)
{
    vg_ui_draw(&s->ui);
    vg_term_flush(&s->ui.term, &s->ui.grid);
}

/* Frames come from a thread, in real time. */
static void wait_for_frames(session *s)
{
    const vg_ui_job *j = vg_ui_job_now(&s->ui);
    const vg_ui_media_host *media = &s->world->host.media;
    for (int v = 0; j && v < j->variants_count; v++)
        for (int i = 0;
             i < 1000 && j->variants[v].frames_ready && !s->world->frames_slow &&
             !media->broken(media->self, j->id, v) && !media->frame(media->self, j->id, v, 0);
             i++)
            usleep(10000);
}

static void step(session *s, double seconds)
{
    for (double left = seconds; left > 0; left -= 0.05)
        pass(s, left < 0.05 ? left : 0.05);
    show(s);
    if (s->ui.screen == VG_SCREEN_compare || s->ui.screen == VG_SCREEN_run) {
        wait_for_frames(s);
        show(s);
    }
}

/* Until the job that was started last has written the line that has this text. */
static void play_to(session *s, const char *text)
{
    tape *t = s->world->jobs[s->world->jobs_count - 1].tape;
    int line = tape_line_with(t, text);
    while (t->played <= line)
        pass(s, 0.05);
    step(s, 0.01);
}

static session *open_session(int rows, int cols, vg_depth depth, vg_glyphs glyphs, bool history)
{
    session *s = calloc(1, sizeof *s);
    /* chafa's choice of symbols differs between its versions; test_ui_picture.c looks at it. Without colours the cells are our own. */
    vg_ui_options options = {
        .mouse = true, .pictures = depth == VG_DEPTH_MONO ? "auto" : "none", .colors = "auto"};
    assert_non_null(s);
    s->world = tape_host_new(NULL);
    if (history)
        tape_host_history(s->world);
    s->ui.now = 100;
    s->ui.unix_now = s->world->started_at;
    assert_true(vg_term_open_null(&s->ui.term, depth == VG_DEPTH_MONO ? "vt100" : "xterm-256color",
                                  depth, glyphs, rows, cols));
    assert_true(vg_ui_init(&s->ui, &s->world->host, &options));
    step(s, 0.01);
    return s;
}

static void close_session(session *s)
{
    vg_ui_deinit(&s->ui);
    vg_term_close(&s->ui.term);
    tape_host_free(s->world);
    free(s);
}

static void sink(void *user, const vg_key *key)
{
    session *s = user;
    vg_ui_key(&s->ui, key);
    s->ui.quit = false;
    s->ui.suspend = false;
}

/* Type bytes as the terminal would send them. */
static void type(session *s, const char *bytes)
{
    vg_input in = {0};
    vg_input_feed(&in, bytes, strlen(bytes), sink, s);
    vg_input_flush(&in, sink, s);
    vg_input_deinit(&in);
    step(s, 0.01);
}

/* ---- goldens ---- */
/* Glyphs, then a map of letters: one for each look (colours and attributes) in the order of its first use. */
static char *dump(session *s)
{
    int rows = s->ui.term.rows, cols = s->ui.term.cols;
    size_t room = (size_t)rows * (size_t)(cols * 13 + 4) + 8192, n = 0;
    char *out = malloc(room);
    struct {
        uint32_t fg, bg;
        unsigned attrs;
    } looks[4096];
    int count = 0;
    assert_non_null(out);
    int *map = calloc((size_t)rows * (size_t)cols, sizeof *map);
    assert_non_null(map);
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < cols; c++) {
            vg_cell cell;
            assert_true(vg_term_cell(&s->ui.term, r, c, &cell));
            const vg_cell *grid = &s->ui.grid.cells[r * cols + c];
            if (grid->width == 0) /* curses gives a wide glyph in both its columns */
                map[r * cols + c] = map[r * cols + c - 1];
            else {
                int k = 0;
                while (k < count && (looks[k].fg != cell.fg || looks[k].bg != cell.bg ||
                                     looks[k].attrs != cell.attrs))
                    k++;
                if (k == count && count < 4096) {
                    looks[count].fg = cell.fg, looks[count].bg = cell.bg;
                    looks[count++].attrs = cell.attrs;
                }
                map[r * cols + c] = k;
                for (int i = 0; i < 3 && cell.cp[i]; i++)
                    n += (size_t)vg_utf8_encode(cell.cp[i], out + n);
            }
        }
        while (n > 0 && out[n - 1] == ' ')
            n--;
        out[n++] = '\n';
    }
    n += (size_t)sprintf(out + n, "--\n");
    for (int r = 0; r < rows; r++) {
        size_t start = n;
        for (int c = 0; c < cols; c++) {
            int k = map[r * cols + c];
            out[n++] = k == 0   ? ' '
                       : k < 27 ? (char)('a' + k - 1)
                       : k < 53 ? (char)('A' + k - 27)
                                : '#';
        }
        while (n > start && out[n - 1] == ' ')
            n--;
        out[n++] = '\n';
    }
    n += (size_t)sprintf(out + n, "--\n");
    for (int k = 0; k < count && k < 53; k++)
        n += (size_t)sprintf(out + n, "%c %x %x %u\n",
                             k == 0   ? '.'
                             : k < 27 ? 'a' + k - 1
                                      : 'A' + k - 27,
                             looks[k].fg, looks[k].bg, looks[k].attrs);
    out[n] = 0;
    free(map);
    return out;
}

static void check_golden(session *s, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/ui/%s_%dx%d.snap", VG_TEST_DIR, name, s->ui.term.cols,
             s->ui.term.rows);
    char *now = dump(s);
    const char *update = getenv("VG_UPDATE_SNAPSHOTS");
    if (update && update[0] && update[0] != '0') {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(now, f);
        fclose(f);
    } else {
        FILE *f = fopen(path, "r");
        if (!f)
            fail_msg("%s is missing: VG_UPDATE_SNAPSHOTS=1 writes it", path);
        size_t room = strlen(now) + 65536;
        char *want = malloc(room);
        assert_non_null(want);
        want[fread(want, 1, room - 1, f)] = 0;
        fclose(f);
        if (strcmp(now, want) != 0) {
            const char *a = now, *b = want;
            int line = 1;
            while (*a && *a == *b) {
                line += *a == '\n';
                a++, b++;
            }
            while (a > now && a[-1] != '\n')
                a--, b--;
            fail_msg("%s differs from line %d\n now: %.*s\nwant: %.*s", path, line,
                     (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
        }
        free(want);
    }
    free(now);
}

typedef struct look {
    const char *suffix;
    vg_depth depth;
    vg_glyphs glyphs;
} look;

static const look looks[] = {{"", VG_DEPTH_256, VG_GLYPHS_FULL},
                             {"-mono", VG_DEPTH_MONO, VG_GLYPHS_FULL},
                             {"-ascii", VG_DEPTH_MONO, VG_GLYPHS_ASCII}};
static const int sizes[][2] = {{24, 80}, {12, 40}, {60, 200}, {5, 20}, {16, 60}};

/* Bring a new session to the moment that a golden shows. */
typedef void (*scene)(session *s);

static void scene_setup(session *s)
{
    (void)s;
}
static void scene_setup_edit(session *s)
{
    type(s, "\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B"); /* Height */
    type(s, "9"); /* out of range: the message stands under it */
}
static void scene_setup_stages(session *s)
{
    s->world->form.more_stages = s->world->form.small_memory = true;
    step(s, 0.01);
}
/* A model that takes pictures: one is given, the name of the other is being typed. */
static void scene_setup_pictures(session *s)
{
    char ignored[64];
    fake_fill_form(&s->world->form, true);
    fake_set(&s->world->form, "mode", "flf2v", ignored, sizeof ignored);
    fake_set(&s->world->form, "image",
             "/home/person/pictures of the summer/2026/a red fox in the snow at dawn.jpeg", ignored,
             sizeof ignored);
    step(s, 0.01);
    type(s, "\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B"); /* Last picture */
    type(s, "pi\t\t");
}
static void scene_setup_presets(session *s)
{
    type(s, "p");
    type(s, "720");
}
static void scene_run_start(session *s)
{
    type(s, "\r");
}
static void scene_run(session *s)
{
    type(s, "\r");
    play_to(s, "\"step\":14,");
}
static void scene_run_gpu(session *s)
{
    s->world->gpu = true;
    scene_run(s);
}
static void scene_run_gpu_three(session *s)
{
    s->world->gpu = true;
    type(s, "\r");
    play_to(s, "\"step\",\"variant\":\"fp8-block\",\"step\":7,");
}
static void scene_run_gpu_over(session *s)
{
    s->world->gpu = true;
    type(s, "\r");
    play_to(s, "\"done\"");
    type(s, "2");
}
static void scene_run_failed(session *s)
{
    tape_host_add(s->world, "failed", "demo-failed", 0, s->world->now, NULL);
    step(s, 0.01);
    vg_ui_show_job(&s->ui, "demo-failed");
    vg_ui_open(&s->ui, VG_SCREEN_run);
    play_to(s, "\"failed\"");
}
static void scene_compare(session *s)
{
    type(s, "\r");
    play_to(s, "\"done\"");
    step(s, 3.5); /* it opens by itself */
    type(s, "\x1b[C\x1b[C");
}
static void scene_compare3(session *s)
{
    fake_set(&s->world->form, "quantization", "bf16,fp8,fp8-block", (char[64]){0}, 64);
    type(s, "\r");
    play_to(s, "\"done\"");
    step(s, 3.5);
    type(s, "w\t");
}
static void scene_difference(session *s)
{
    scene_compare(s);
    type(s, "d+");
}
static void scene_loading(session *s)
{
    s->world->frames_slow = true;
    scene_compare(s);
}
static void scene_broken(session *s)
{
    s->world->broken = "frames.mkv: frame 3 of 17 is damaged: its checksum is wrong";
    scene_compare(s);
}
static void scene_run_broken(session *s)
{
    scene_broken(s);
    type(s, "2");
}
static void scene_jobs(session *s)
{
    type(s, "4\x1b[B\x1b[B");
}
static void scene_jobs_delete(session *s)
{
    type(s, "4\x1b[Bx");
}
static void scene_help(session *s)
{
    type(s, "?");
}
static void scene_empty_run(session *s)
{
    type(s, "2");
}
static void scene_empty_compare(session *s)
{
    type(s, "3");
}
static void scene_empty_jobs(session *s)
{
    type(s, "4");
}

static const struct {
    const char *name;
    scene go;
    bool history, all_looks;
} scenes[] = {
    {"setup", scene_setup, true, true},
    {"setup-edit", scene_setup_edit, true, false},
    {"setup-stages", scene_setup_stages, true, false},
    {"setup-pictures", scene_setup_pictures, true, false},
    {"setup-presets", scene_setup_presets, true, false},
    {"run", scene_run, true, true},
    {"run-start", scene_run_start, false, false},
    {"run-gpu", scene_run_gpu, false, true},
    {"run-gpu-three", scene_run_gpu_three, false, false},
    {"run-gpu-over", scene_run_gpu_over, false, false},
    {"run-failed", scene_run_failed, false, false},
    {"compare", scene_compare, false, true},
    {"compare-three", scene_compare3, false, false},
    {"compare-difference", scene_difference, false, false},
    {"compare-loading", scene_loading, false, false},
    {"compare-broken", scene_broken, false, false},
    {"run-broken", scene_run_broken, false, false},
    {"jobs", scene_jobs, true, true},
    {"jobs-delete", scene_jobs_delete, true, false},
    {"help", scene_help, true, true},
    {"run-nothing", scene_empty_run, false, false},
    {"compare-nothing", scene_empty_compare, false, false},
    {"jobs-nothing", scene_empty_jobs, false, false},
};

static void test_ui_screens_look_as_their_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            for (size_t l = 0; l < sizeof looks / sizeof looks[0]; l++) {
                bool small = sizes[k][0] < VG_MIN_ROWS || sizes[k][1] < VG_MIN_COLS;
                if ((l > 0 && (!scenes[i].all_looks || k > 0)) || (small && i > 0) ||
                    (k == 4 && l > 0))
                    continue;
                session *s = open_session(sizes[k][0], sizes[k][1], looks[l].depth, looks[l].glyphs,
                                          scenes[i].history);
                char name[96];
                scenes[i].go(s);
                snprintf(name, sizeof name, "%s%s", scenes[i].name, looks[l].suffix);
                check_golden(s, name);
                close_session(s);
            }
}

static void test_ui_ascii_screens_hold_only_ascii(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        session *s = open_session(24, 80, VG_DEPTH_MONO, VG_GLYPHS_ASCII, scenes[i].history);
        scenes[i].go(s);
        for (int c = 0; c < 24 * 80; c++)
            assert_in_range(s->ui.grid.cells[c].cp[0], 0x20, 0x7e);
        close_session(s);
    }
}

/* ---- layouts ---- */
static void test_ui_layouts_stay_inside_and_apart(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, true);
    scene_compare3(s);
    for (int rows = VG_MIN_ROWS; rows <= 100; rows += rows < 40 ? 1 : 7)
        for (int cols = VG_MIN_COLS; cols <= 300; cols += cols < 90 ? 1 : 13) {
            vg_term_set_size(&s->ui.term, rows, cols);
            vg_ui_resized(&s->ui);
            vg_rect area = vg_ui_area(&s->ui);
            for (int i = 0; i < VG_SCREEN_COUNT; i++) {
                const vg_screen *screen = vg_screen_get(i);
                vg_layout l;
                screen->layout(&s->ui, s->ui.states[i], area, &l);
                for (int a = 0; a < l.count; a++) {
                    vg_rect x = l.r[a];
                    if (x.rows <= 0 || x.cols <= 0)
                        continue;
                    if (x.row < area.row || x.col < area.col ||
                        x.row + x.rows > area.row + area.rows ||
                        x.col + x.cols > area.col + area.cols)
                        fail_msg("%s at %dx%d: rectangle %d (%d,%d %dx%d) leaves the area",
                                 vg_screen_name(i), cols, rows, a, x.row, x.col, x.rows, x.cols);
                    for (int b = a + 1; b < l.count; b++) {
                        vg_rect y = l.r[b];
                        bool apart = y.rows <= 0 || y.cols <= 0 || x.row + x.rows <= y.row ||
                                     y.row + y.rows <= x.row || x.col + x.cols <= y.col ||
                                     y.col + y.cols <= x.col;
                        if (!apart)
                            fail_msg("%s at %dx%d: rectangles %d and %d overlap", vg_screen_name(i),
                                     cols, rows, a, b);
                    }
                }
            }
        }
    close_session(s);
}

/* ---- behaviour ---- */
static bool shows(session *s, const char *text)
{
    char line[4096];
    for (int r = 0; r < s->ui.grid.rows; r++) {
        size_t n = 0;
        for (int c = 0; c < s->ui.grid.cols; c++) {
            const vg_cell *cell = &s->ui.grid.cells[r * s->ui.grid.cols + c];
            for (int i = 0; cell->width && i < 3 && cell->cp[i]; i++)
                n += (size_t)vg_utf8_encode(cell->cp[i], line + n);
        }
        line[n] = 0;
        if (strstr(line, text))
            return true;
    }
    return false;
}

static void test_ui_flow_from_one_key_to_export(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    assert_true(shows(s, "Start"));
    type(s, "\r");
    assert_int_equal(s->ui.screen, VG_SCREEN_run);
    play_to(s, "\"step\":2,");
    assert_true(shows(s, "s/it"));
    play_to(s, "\"done\""); /* watched to the end: the comparison opens by itself */
    step(s, 3.5);
    assert_int_equal(s->ui.screen, VG_SCREEN_compare);
    assert_true(shows(s, "FP8 per-tensor"));
    type(s, "w");
    char worst[32];
    const vg_report_metrics *m = &s->world->real->store.jobs[0]->snapshot.variants[1].metrics;
    snprintf(worst, sizeof worst, "frame %2d", m->metric[0].worst_frame + 1);
    assert_true(shows(s, worst));
    type(s, "e");
    for (int i = 0; i < 300 && !shows(s, "comparison.mp4"); i++) {
        usleep(20000); /* a thread writes it */
        step(s, 0.2);
    }
    assert_true(shows(s, vg_clip_available() ? "comparison.mp4" : "no .mp4"));
    type(s, " ");
    step(s, 0.5);
    assert_false(shows(s, worst));
    type(s, "4");
    assert_true(shows(s, "demo-1"));
    close_session(s);
}

static void test_ui_memory_line_says_all_of_it_in_a_common_window(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    s->world->form.more_stages = true;
    step(s, 0.01);
    vg_ui_draw(&s->ui);
    assert_true(shows(s, "412 MiB of 8.00 GiB free, peak in decode"));
    assert_true(
        shows(s, "text 6.0  calibrate 78  transformer 14  transformer_2 14  decode 412 MiB"));
    s->world->form.small_memory = true;
    vg_ui_draw(&s->ui);
    assert_true(shows(s, "will not fit: 412 MiB of 300 MiB free, peak in decode"));
    close_session(s);
}

static void test_ui_curves_are_drawn_however_wide(void **state)
{
    (void)state;
    session *s = open_session(100, 420, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    scene_compare(s);
    bool any = false;
    for (int i = 0; i < s->ui.grid.rows * s->ui.grid.cols; i++)
        any = any || (s->ui.grid.cells[i].cp[0] & ~0xffu) == 0x2800;
    assert_true(any);
    close_session(s);
}

static void test_ui_a_preset_is_replaced_after_a_question(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    type(s, "\x13new-one\r");
    assert_true(shows(s, "saved /home/person/.config/vgen/presets/new-one.json"));
    type(s, "\x13"
            "demo\r");
    assert_true(shows(s, "There is a preset demo already"));
    type(s, "\x1b");
    assert_false(shows(s, "presets/demo.json"));
    type(s, "\x13"
            "demo\r\r");
    assert_true(shows(s, "saved /home/person/.config/vgen/presets/demo.json"));
    close_session(s);
}

static void test_ui_delete_asks_in_full_and_chooses_the_neighbour(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, true);
    type(s, "4\x1b[B");
    assert_true(shows(s, "x delete"));
    type(s, "x");
    assert_true(shows(s, "20261105-101010-moving-left with its clips and"));
    assert_true(shows(s, "is deleted."));
    type(s, "\r");
    assert_true(shows(s, "20261103-231500-two-cats")); /* the one below is chosen now */
    type(s, "\x1b[F"
            "x\r");
    assert_true(shows(s, "20261103-231500-two-cats")); /* the last one is gone: the one above */
    close_session(s);
}

static void test_ui_a_waiting_job_is_cancelled_not_deleted(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    tape_host_add(s->world, "queued", "demo-queued", 0, s->world->now, NULL);
    play_to(s, "\"queued\"");
    type(s, "4");
    assert_true(shows(s, "waiting for"));
    assert_true(shows(s, "c cancel"));
    assert_false(shows(s, "x delete"));
    type(s, "x");
    assert_false(shows(s, "Delete the job?"));
    close_session(s);
}

static void test_ui_the_log_scrolls_and_has_levels(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    type(s, "\r");
    play_to(s, "\"done\"");
    type(s, "2");
    assert_true(shows(s, "comparison clip written"));
    assert_false(shows(s, "started on cpu"));
    for (int i = 0; i < 20; i++)
        type(s, "\x1b[5~"); /* further than there is */
    assert_true(shows(s, "started on cpu"));
    assert_false(shows(s, "comparison clip written"));
    type(s, "\x1b[6~");
    assert_false(shows(s, "started on cpu"));
    type(s, "\x1b[F");
    assert_true(shows(s, "comparison clip written"));
    type(s, "l"); /* without stages */
    assert_false(shows(s, "comparison clip written"));
    assert_true(shows(s, "layers: 60 FP8"));
    type(s, "l"); /* endings */
    assert_false(shows(s, "layers: 60 FP8"));
    assert_true(shows(s, " done"));
    type(s, "ll"); /* errors: there are none; then all again */
    assert_true(shows(s, "comparison clip written"));
    close_session(s);
}

static void test_ui_a_damaged_job_is_listed_and_can_be_deleted(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, true);
    char path[400];
    tape *t = tape_host_tape(s->world, "20261103-231500-two-cats");
    snprintf(path, sizeof path, "%s/%s", t->dir, VG_JOB_SUMMARY);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s", t->dir, VG_JOB_FILE);
    tape_write(path, "{\"vgen_job\": 1, \"created\": 1799820000, \"vari");
    vg_tui_store_changed(&s->world->real->store, -1);
    tape_append(t, "{}"); /* the summary is out of date as well */
    step(s, 0.01);
    type(s, "4\x1b[B\x1b[B");
    assert_true(shows(s, "damaged"));
    assert_true(shows(s, "job.json"));
    assert_false(shows(s, "r resume"));
    type(s, "x\r");
    assert_false(shows(s, "damaged"));
    close_session(s);
}

static void test_ui_broken_frames_say_so_and_are_not_asked_for_again(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    scene_broken(s);
    assert_int_equal(s->ui.screen, VG_SCREEN_compare);
    assert_true(shows(s, "Frames cannot be read"));
    assert_true(shows(s, "frame 3 of 17"));
    assert_false(shows(s, "loading"));
    step(s, 1);
    s->ui.dirty = false;
    assert_true(vg_ui_tick(&s->ui) < 0 || vg_ui_tick(&s->ui) > 0.1); /* nothing is waited for */
    assert_false(s->ui.dirty);
    type(s, "d"); /* nor can their difference be shown */
    assert_true(shows(s, "Frames cannot be read"));
    close_session(s);
}

static void test_ui_typed_values_are_checked_as_typed(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    type(s, "\x1b[B"); /* the prompt: typing appends, q does not quit */
    type(s, " quickly \xe7\xba\xa2");
    assert_string_equal(fake_value(&s->world->form, "prompt"),
                        "a big red ball moving right on a teal background quickly \xe7\xba\xa2");
    type(s, "\x7f\x7f\r");
    assert_string_equal(fake_value(&s->world->form, "prompt"),
                        "a big red ball moving right on a teal background quickly");
    type(s, "\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B\x1b[B");
    type(s, "9");
    assert_true(shows(s, "9 is outside 16 to 8192"));
    type(s, "\t"); /* a wrong value is not left behind */
    assert_true(shows(s, "9 is outside 16 to 8192"));
    type(s, "6\t");
    assert_string_equal(fake_value(&s->world->form, "height"), "96");
    type(s, "12x");
    assert_true(shows(s, "not a number"));
    type(s, "\x1b");
    assert_string_equal(fake_value(&s->world->form, "width"), "");
    close_session(s);
}

static void test_ui_pastes_are_one_text_without_controls(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    fake_set(&s->world->form, "prompt", "", (char[64]){0}, 64);
    type(s, "\x1b[B\x1b[200~two\r\nlines \x1b[31m\x07"
            "end\x1b[201~");
    assert_string_equal(fake_value(&s->world->form, "prompt"), "two\nlines [31mend");
    close_session(s);
}

static void test_ui_hostile_text_reaches_no_cell(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    static const char evil[] = "\x1b[2J\x07\x9b"
                               "31m \xe2\x80\xae rtl \xc2\x9b"
                               "5m \xff\xfe";
    fake_set(&s->world->form, "prompt", evil, (char[64]){0}, 64);
    type(s, "\r"); /* through a job's folder as well */
    step(s, 0.01);
    for (int c = 0; c < 24 * 80; c++)
        for (int i = 0; i < 3 && s->ui.grid.cells[c].cp[i]; i++)
            assert_true(vg_cp_safe(s->ui.grid.cells[c].cp[i]));
    type(s, "1");
    step(s, 0.01);
    for (int c = 0; c < 24 * 80; c++)
        for (int i = 0; i < 3 && s->ui.grid.cells[c].cp[i]; i++)
            assert_true(vg_cp_safe(s->ui.grid.cells[c].cp[i]));
    close_session(s);
}

static void test_ui_help_lists_every_binding(void **state)
{
    (void)state;
    session *s = open_session(60, 200, VG_DEPTH_256, VG_GLYPHS_FULL, false);
    type(s, "?");
    int count;
    const vg_binding *common = vg_common_bindings(&count);
    for (int i = 0; i < count; i++)
        assert_true(shows(s, common[i].help));
    for (int k = 0; k < VG_SCREEN_COUNT; k++)
        for (int i = 0; i < vg_screen_get(k)->bindings_count; i++)
            if (!shows(s, vg_screen_get(k)->bindings[i].help))
                fail_msg("help lacks \"%s\"", vg_screen_get(k)->bindings[i].help);
    close_session(s);
}

static void test_ui_mouse_opens_tabs_rows_and_frames(void **state)
{
    (void)state;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, true);
    type(s, "\x1b[<0;35;1M"); /* Jobs */
    assert_int_equal(s->ui.screen, VG_SCREEN_jobs);
    type(s, "\x1b[<0;10;4M");
    assert_true(shows(s, "resume goes on from the last finished step"));
    type(s, "\x1b[<0;10;3M\x1b[<0;10;3M"); /* a second click opens */
    assert_int_equal(s->ui.screen, VG_SCREEN_compare);
    type(s, "\x1b[<65;10;10M");
    assert_true(shows(s, "frame  2"));
    close_session(s);
}

static void test_ui_keys_at_random_keep_the_screens_whole(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\x1b[A",
                                         "\x1b[B",
                                         "\x1b[C",
                                         "\x1b[D",
                                         "\t",
                                         "\x1b[Z",
                                         "\r",
                                         "\x1b",
                                         "1",
                                         "2",
                                         "3",
                                         "4",
                                         "5",
                                         "?",
                                         "p",
                                         "a",
                                         "d",
                                         "f",
                                         "w",
                                         "e",
                                         "v",
                                         "m",
                                         "s",
                                         "x",
                                         "c",
                                         "r",
                                         "n",
                                         "/",
                                         "y",
                                         " ",
                                         ".",
                                         ",",
                                         "[",
                                         "]",
                                         "+",
                                         "-",
                                         "l",
                                         "0",
                                         "7",
                                         "\x7f",
                                         "\x1b[3~",
                                         "\x1b[5~",
                                         "\x1b[6~",
                                         "\x1b[H",
                                         "\x1b[F",
                                         "\x1b[200~\xe4\xb8\x80 paste\x1b[201~",
                                         "\xe7\xba\xa2",
                                         "e\xcc\x81",
                                         "\x1bOP",
                                         "\x0f",
                                         "\x13",
                                         "\x1b[15~",
                                         "\x01",
                                         "\x17"};
    uint32_t seed = 20261123;
    session *s = open_session(24, 80, VG_DEPTH_256, VG_GLYPHS_FULL, true);
    for (int i = 0; i < 6000; i++) {
        char bytes[64];
        seed = seed * 1664525u + 1013904223u;
        uint32_t pick = seed >> 8;
        if (pick % 37 == 0) {
            vg_term_set_size(&s->ui.term, 1 + (int)(pick >> 6) % 70, 1 + (int)(pick >> 3) % 220);
            vg_ui_resized(&s->ui);
        }
        if (pick % 11 == 0)
            snprintf(bytes, sizeof bytes, "\x1b[<%u;%u;%u%c", pick / 11 % 70, pick / 770 % 220,
                     pick / 1540 % 70, pick & 1 ? 'M' : 'm');
        else if (pick % 7 == 0)
            snprintf(bytes, sizeof bytes, "%c%c%c", (int)(1 + (pick >> 4) % 255),
                     (int)(1 + (pick >> 12) % 255), (int)(1 + (pick >> 7) % 127));
        else
            snprintf(bytes, sizeof bytes, "%s", pieces[pick % (sizeof pieces / sizeof pieces[0])]);
        type(s, bytes);
        if (pick % 5 == 0)
            step(s, 0.2);
        assert_in_range(s->ui.screen, 0, VG_SCREEN_COUNT - 1);
        assert_true(s->ui.grid.cursor_row < s->ui.grid.rows &&
                    s->ui.grid.cursor_col < s->ui.grid.cols);
    }
    close_session(s);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ui_screens_look_as_their_goldens),
        cmocka_unit_test(test_ui_ascii_screens_hold_only_ascii),
        cmocka_unit_test(test_ui_layouts_stay_inside_and_apart),
        cmocka_unit_test(test_ui_flow_from_one_key_to_export),
        cmocka_unit_test(test_ui_memory_line_says_all_of_it_in_a_common_window),
        cmocka_unit_test(test_ui_curves_are_drawn_however_wide),
        cmocka_unit_test(test_ui_a_preset_is_replaced_after_a_question),
        cmocka_unit_test(test_ui_delete_asks_in_full_and_chooses_the_neighbour),
        cmocka_unit_test(test_ui_a_waiting_job_is_cancelled_not_deleted),
        cmocka_unit_test(test_ui_the_log_scrolls_and_has_levels),
        cmocka_unit_test(test_ui_a_damaged_job_is_listed_and_can_be_deleted),
        cmocka_unit_test(test_ui_broken_frames_say_so_and_are_not_asked_for_again),
        cmocka_unit_test(test_ui_typed_values_are_checked_as_typed),
        cmocka_unit_test(test_ui_pastes_are_one_text_without_controls),
        cmocka_unit_test(test_ui_hostile_text_reaches_no_cell),
        cmocka_unit_test(test_ui_help_lists_every_binding),
        cmocka_unit_test(test_ui_mouse_opens_tabs_rows_and_frames),
        cmocka_unit_test(test_ui_keys_at_random_keep_the_screens_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
