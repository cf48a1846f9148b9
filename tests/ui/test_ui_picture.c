/* test_ui_picture.c: pictures keep their shape, sides and colours at every colour depth, and cost nothing the second time. */
#include "ui/term/picture.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 160, H = 96 };

/* Left half red, right half blue. */
static uint8_t *halves(void)
{
    uint8_t *rgb = calloc(W * H, 3);
    assert_non_null(rgb);
    for (int i = 0; i < W * H; i++)
        rgb[i * 3 + (i % W < W / 2 ? 0 : 2)] = 255;
    return rgb;
}

static void test_picture_fit_keeps_the_shape(void **state)
{
    (void)state;
    for (int cols = 10; cols < 200; cols += 7)
        for (int rows = 4; rows < 60; rows += 5)
            for (int k = 0; k < 3; k++) {
                double aspect = 1.6 + 0.4 * k;
                vg_rect room = {2, 3, rows, cols}, r = vg_picture_fit(room, W, H, aspect);
                assert_true(r.row >= 2 && r.col >= 3 && r.row + r.rows <= 2 + rows &&
                            r.col + r.cols <= 3 + cols);
                double exact = (double)W / H * aspect; /* columns a row */
                assert_true(fabs(r.cols - r.rows * exact) <= exact / 2 + 1);
                assert_true(r.rows == rows || r.cols == cols); /* as large as it can be */
            }
    assert_int_equal(vg_picture_fit((vg_rect){0, 0, 0, 5}, W, H, 2).rows, 0);
    assert_int_equal(vg_picture_fit((vg_rect){0, 0, 5, 5}, 0, H, 2).cols, 0);
}

static void check(vg_depth depth, vg_glyphs glyphs)
{
    vg_style theme[VG_R_COUNT];
    vg_grid g = {.theme = theme, .glyphs = glyphs};
    uint8_t *rgb = halves();
    vg_theme_fill(theme, depth, false);
    vg_grid_resize(&g, 12, 40);
    vg_pictures *p = vg_pictures_new(depth, glyphs, 2, true);
    assert_non_null(p);
    vg_rect r = {0, 0, 12, 40};
    assert_false(vg_picture_cached(p, r, 1, 1));
    assert_true(vg_picture_draw(p, &g, r, 1, 1, rgb, W, H));
    assert_true(vg_picture_cached(p, r, 1, 1));
    assert_false(vg_picture_draw(p, &g, r, 1, 2, NULL, W, H));
    const vg_cell *left = &g.cells[6 * 40 + 5], *right = &g.cells[6 * 40 + 34];
    if (depth !=
        VG_DEPTH_MONO) /* whichever of ink and ground shows it, the sides differ in colour */
        assert_true(left->bg != right->bg || left->fg != right->fg);
    else /* red is brighter than blue */
        assert_int_not_equal(left->cp[0], right->cp[0]);
    if (depth == VG_DEPTH_TRUE) {
        uint32_t a = left->cp[0] == ' ' ? left->bg : left->fg;
        assert_true((a >> 16 & 255) > 240 && (a & 255) < 16);
    }
    if (glyphs == VG_GLYPHS_ASCII)
        for (int i = 0; i < 12 * 40; i++)
            assert_in_range(g.cells[i].cp[0], 0x20, 0x7e);
    /* From the cache, without pixels, the same cells. */
    vg_grid h = {.theme = theme, .glyphs = glyphs};
    vg_grid_resize(&h, 12, 40);
    assert_true(vg_picture_draw(p, &h, r, 1, 1, NULL, 0, 0));
    for (int i = 0; i < 12 * 40; i++)
        assert_true(vg_cell_same(&g.cells[i], &h.cells[i]));
    vg_grid_free(&g);
    vg_grid_free(&h);
    vg_pictures_free(p);
    free(rgb);
}

static void test_picture_shows_its_sides_at_every_depth(void **state)
{
    (void)state;
    for (int depth = VG_DEPTH_MONO; depth <= VG_DEPTH_TRUE; depth++)
        for (int glyphs = VG_GLYPHS_ASCII; glyphs <= VG_GLYPHS_FULL; glyphs++)
            check((vg_depth)depth, (vg_glyphs)glyphs);
}

static void test_picture_cache_is_bounded(void **state)
{
    (void)state;
    vg_style theme[VG_R_COUNT];
    vg_grid g = {.theme = theme, .glyphs = VG_GLYPHS_FULL};
    uint8_t *rgb = halves();
    vg_theme_fill(theme, VG_DEPTH_TRUE, false);
    vg_grid_resize(&g, 6, 10);
    vg_pictures *p = vg_pictures_new(VG_DEPTH_TRUE, VG_GLYPHS_FULL, 2, true);
    vg_rect r = {0, 0, 6, 10};
    for (uint64_t i = 0; i < 700; i++)
        assert_true(vg_picture_draw(p, &g, r, 1, i, rgb, W, H));
    assert_true(vg_picture_cached(p, r, 1, 699));
    assert_false(vg_picture_cached(p, r, 1, 0));
    vg_grid_free(&g);
    vg_pictures_free(p);
    free(rgb);
}

static void test_picture_difference_is_amplified_and_saturates(void **state)
{
    (void)state;
    static const uint8_t a[4] = {10, 20, 0, 255}, b[4] = {12, 10, 0, 0};
    uint8_t d[4];
    vg_picture_difference(d, a, b, 4, 8);
    assert_int_equal(d[0], 16);
    assert_int_equal(d[1], 80);
    assert_int_equal(d[2], 0);
    assert_int_equal(d[3], 255);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture_fit_keeps_the_shape),
        cmocka_unit_test(test_picture_shows_its_sides_at_every_depth),
        cmocka_unit_test(test_picture_cache_is_bounded),
        cmocka_unit_test(test_picture_difference_is_amplified_and_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
