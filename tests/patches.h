/* patches.h: what the tests of patchify and unpatchify share: shapes, and which element of the frames is which of the rows. */
#ifndef VG_TESTS_PATCHES_H
#define VG_TESTS_PATCHES_H

#include "tests/check.h"

typedef struct patches {
    vg_tensor *frames; /* [C, T, H, W] */
    vg_tensor *rows;   /* [T*H*W / volume, C * volume], volume = pt*ph*pw */
    int patch[3];      /* pt, ph, pw */
} patches;

/* Call `test` with the shapes, edges of 1 and odd ones among them, in both dtypes on either side. */
static inline void patches_each(void (*test)(patches *p, check_rng *rng))
{
    static const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    static const int64_t cases[][7] = {{1, 1, 1, 1, 1, 1, 1},
                                       {3, 2, 4, 6, 1, 2, 2},
                                       {16, 5, 10, 14, 1, 2, 2},
                                       {5, 4, 9, 10, 2, 3, 5},
                                       {33, 1, 7, 1, 1, 7, 1}};
    check_rng rng = {15};

    for (size_t s = 0; s < sizeof cases / sizeof *cases; s++)
        for (int f = 0; f < 4; f++) {
            const int64_t *c = cases[s];
            int64_t volume = c[4] * c[5] * c[6];
            patches p = {
                .frames = check_tensor(dtypes[f % 2], 4, c[0], c[1], c[2], c[3]),
                .rows = check_tensor(dtypes[f / 2], 2, c[1] * c[2] * c[3] / volume, c[0] * volume),
                .patch = {(int)c[4], (int)c[5], (int)c[6]}};
            test(&p, &rng);
            check_done();
        }
}

/* Every element of `to` is its element of `from` (one of them the frames, the other the rows), rounded to to's dtype. Inside a patch's row
 * the channels come first (patchify) or last (unpatchify). */
static inline void patches_expect_moved(const patches *p, const vg_tensor *from,
                                        const vg_tensor *to, bool channels_last)
{
    const int64_t C = p->frames->shape[0], T = p->frames->shape[1], H = p->frames->shape[2],
                  W = p->frames->shape[3];
    const int64_t pt = p->patch[0], ph = p->patch[1], pw = p->patch[2], volume = pt * ph * pw;

    for (int64_t c = 0; c < C; c++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t y = 0; y < H; y++)
                for (int64_t x = 0; x < W; x++) {
                    int64_t row = (t / pt * (H / ph) + y / ph) * (W / pw) + x / pw;
                    int64_t at = (t % pt * ph + y % ph) * pw + x % pw;
                    int64_t in_frames = ((c * T + t) * H + y) * W + x;
                    int64_t in_rows =
                        row * C * volume + (channels_last ? at * C + c : c * volume + at);
                    float source = (float)check_get(from, from == p->frames ? in_frames : in_rows);
                    float moved = (float)check_get(to, to == p->frames ? in_frames : in_rows);
                    assert_true(moved == (to->dtype == VG_BF16 ? vg_round_bf16(source) : source));
                }
}

#endif
