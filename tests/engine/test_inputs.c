/* test_inputs.c: which mode the given pictures and videos mean, and what a mode refuses, in one line that says what to give or leave out. */
#include "engine/run/inputs.h"
#include "engine/run/family.h"
#include "tests/check.h"

static const vg_mode t2v = {.name = "t2v"}, i2v = {.name = "i2v", .needs = VG_ROLE_BIT(IMAGE)},
                     flf2v = {.name = "flf2v",
                              .needs = VG_ROLE_BIT(IMAGE) | VG_ROLE_BIT(LAST_IMAGE)},
                     r2v = {.name = "r2v",
                            .needs = VG_ROLE_BIT(REFERENCE),
                            .may = VG_ROLE_BIT(IMAGE)},
                     paint = {.name = "inpaint",
                              .needs = VG_ROLE_BIT(MASK),
                              .one_of = VG_ROLE_BIT(IMAGE) | VG_ROLE_BIT(VIDEO)},
                     edit = {.name = "mv2v",
                             .needs = VG_ROLE_BIT(VIDEO) | VG_ROLE_BIT(MASK),
                             .may = VG_ROLE_BIT(REFERENCE)};
static const vg_mode *const text_only[] = {&t2v}, *const images[] = {&i2v, &flf2v},
                            *const all[] = {&t2v, &i2v, &flf2v, &r2v, &edit},
                            *const painting[] = {&t2v, &paint};

enum { I = VG_ROLE_IMAGE, L = VG_ROLE_LAST_IMAGE, R = VG_ROLE_REFERENCE };
enum { V = VG_ROLE_VIDEO, M = VG_ROLE_MASK };

typedef struct mode_case {
    const vg_mode *const *modes;
    int modes_count;
    const char *asked;
    int roles[4], count;
    const char *chosen; /* NULL: refused */
    const char *says;   /* in the refusal of choosing, or of checking; NULL: all is well */
} mode_case;

static const mode_case cases[] = {
    {text_only, 1, NULL, {0}, 0, "t2v", NULL},
    {text_only, 1, "t2v", {0}, 0, "t2v", NULL},
    {text_only,
     1,
     NULL,
     {I},
     1,
     NULL,
     "this model takes no picture to begin with (--image); its modes: t2v"},
    {text_only, 1, "i2v", {I}, 1, NULL, "no mode i2v; it has: t2v"},
    {images, 2, NULL, {0}, 0, "i2v", "mode i2v needs a picture to begin with: give --image"},
    {images, 2, NULL, {I}, 1, "i2v", NULL},
    {images, 2, NULL, {L}, 1, "flf2v", "give --image"},
    {images, 2, NULL, {L, I}, 2, "flf2v", NULL},
    {images, 2, "i2v", {I, L}, 2, NULL, "mode i2v takes no picture to end with (--last-image)"},
    {images,
     2,
     "flf2v",
     {I},
     1,
     "flf2v",
     "mode flf2v needs a picture to end with: give --last-image"},
    {images, 2, "t2v", {0}, 0, NULL, "no mode t2v; it has: i2v, flf2v"},
    {images, 2, NULL, {I, I}, 2, NULL, "more than one picture to begin with"},
    {images, 2, NULL, {I, V}, 2, NULL, "takes no video (--video)"},
    {all, 5, NULL, {0}, 0, "t2v", NULL},
    {all, 5, NULL, {R, R, R}, 3, "r2v", NULL},
    {all, 5, NULL, {R, I}, 2, "r2v", NULL},
    {all, 5, NULL, {V}, 1, "mv2v", "mode mv2v needs a mask: give --mask"},
    {all, 5, NULL, {V, M, R, R}, 4, "mv2v", NULL},
    {all, 5, NULL, {V, I}, 2, NULL, "takes all that is given together; it has: t2v, i2v"},
    {all, 5, "t2v", {M}, 1, NULL, "mode t2v takes no mask"},
    {painting, 2, NULL, {0}, 0, "t2v", NULL},
    {painting, 2, NULL, {M, I}, 2, "inpaint", NULL},
    {painting, 2, NULL, {V, M}, 2, "inpaint", NULL},
    {painting, 2, NULL, {V, M, I}, 3, "inpaint", NULL},
    {painting, 2, NULL, {I}, 1, "inpaint", "mode inpaint needs a mask: give --mask"},
    {painting,
     2,
     NULL,
     {M},
     1,
     "inpaint",
     "mode inpaint needs a picture to begin with, or a video: give --image or --video"},
    {painting, 2, NULL, {M, R}, 2, NULL, "takes no reference picture (--reference-image)"},
};

static void check_case(const mode_case *c, int number)
{
    uint8_t pixels[3] = {0};
    vg_media media[4];
    vg_err err = {0};
    const vg_mode *mode = NULL;
    for (int i = 0; i < c->count; i++)
        media[i] =
            (vg_media){(vg_role)c->roles[i], {.count = 1, .height = 1, .width = 1, .rgb = pixels}};
    const vg_inputs inputs = {.media = media, .media_count = c->count};
    vg_status status = vg_mode_choose(c->modes, c->modes_count, c->asked, &inputs, &mode, &err);
    if ((status == VG_OK) != (c->chosen != NULL) || (mode && strcmp(mode->name, c->chosen) != 0))
        fail_msg("case %d: %s %s", number, mode ? mode->name : "-", err.message);
    if (status == VG_OK)
        status = vg_mode_check(mode, &inputs, &err);
    if ((status == VG_OK) != (c->says == NULL) || (c->says && !strstr(err.message, c->says)))
        fail_msg("case %d says: %s", number, status == VG_OK ? "nothing" : err.message);
    if (status != VG_OK)
        assert_int_equal(status, VG_E_ARG);
}

static void test_inputs_mean_a_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i], (int)i);
}

/* Sizes alone serve for plans, not for runs. */
static void test_inputs_want_pixels(void **state)
{
    vg_media media = {VG_ROLE_IMAGE, {.count = 1, .height = 4, .width = 4}};
    const vg_inputs inputs = {.media = &media, .media_count = 1};
    const vg_mode *mode;
    vg_err err;
    (void)state;
    CHECK_OK(vg_mode_choose(images, 2, NULL, &inputs, &mode, &err), err);
    CHECK_FAILS(vg_mode_check(mode, &inputs, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "--image"));
}

static void test_inputs_are_found_by_role(void **state)
{
    const vg_media media[] = {{VG_ROLE_REFERENCE, {.width = 1}},
                              {VG_ROLE_IMAGE, {.width = 2}},
                              {VG_ROLE_REFERENCE, {.width = 3}}};
    const vg_inputs inputs = {.media = media, .media_count = 3};
    (void)state;
    assert_int_equal(vg_inputs_count(&inputs, VG_ROLE_REFERENCE), 2);
    assert_int_equal(vg_inputs_count(&inputs, VG_ROLE_MASK), 0);
    assert_ptr_equal(vg_inputs_find(&inputs, VG_ROLE_REFERENCE, 1), &media[2]);
    assert_ptr_equal(vg_inputs_find(&inputs, VG_ROLE_IMAGE, 0), &media[1]);
    assert_null(vg_inputs_find(&inputs, VG_ROLE_IMAGE, 1));
}

/* The options of the programs offer the names of modes.def. */
static void test_inputs_modes_are_listed(void **state)
{
    static const char *const names[] = {
#define VG_MODE(name) name,
#include "engine/family/modes.def"
#undef VG_MODE
    };
    (void)state;
    for (int f = 0; f < vg_families_count; f++)
        for (int m = 0; m < vg_families[f]->modes_count; m++) {
            bool listed = false;
            for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                listed = listed || strcmp(names[i], vg_families[f]->modes[m].name) == 0;
            if (!listed)
                fail_msg("%s: mode %s is not in modes.def", vg_families[f]->name,
                         vg_families[f]->modes[m].name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs_mean_a_mode),
        cmocka_unit_test(test_inputs_want_pixels),
        cmocka_unit_test(test_inputs_are_found_by_role),
        cmocka_unit_test(test_inputs_modes_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
