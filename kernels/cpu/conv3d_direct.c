/* conv3d_direct.c: convolution with few channels, without unfolding (AVX2 and FMA).
 *
 * With C = 16 the unfolded matrix costs as much memory traffic as the product. Instead a band of input rows is converted to
 * FP32 with its zero border, so that for one (dt,dy) the kw*C inputs of an output pixel are contiguous and the next pixel's begin
 * stride*C further on. A register tile of P pixels x 8V outputs then runs over all K = kt*kh*kw*C: P broadcasts, V weight
 * vectors, P*V multiply-adds per k. Weights are re-ordered once per call to [outputs/8V][K][8V].
 *
 * Each output is one chain of fused multiply-adds in the order of k, whatever tile it falls in, so results do not depend on
 * threads or on how a sequence is cut into chunks (zero frames in front are skipped, which adds nothing to a sum).
 *
 * Measured on one core of an AMD EPYC (Zen 3, OpenBLAS 0.3.21; its sgemm ceiling 93 GFLOP/s a core, 178 on two), 3x3x3:
 * 96x160 C=O=16 79-83 GFLOP/s (unfolding took 1.6 times as long), 48x80 C=O=32 85, 24x40 C=O=64 71, 60x104 C=O=96 81; to 3
 * channels 24, as 5 of 8 lanes idle. Unfolded with 384 channels: 73. 2026-11. */
#include "kernels/cpu/conv3d.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define BAND_BYTES                                                                                 \
    (192 * 1024) /* of converted input rows per thread: stays in a core's second cache */
#define PANEL_MAX                                                                                  \
    (288 *                                                                                         \
     1024) /* bytes of one weight panel; beyond, unfolding with sgemm's blocking of K is faster */

typedef struct job {
    vg_conv_plan *p;
    int64_t width; /* outputs per panel: 8 or 16 */
    int64_t panels;
    int64_t rows;      /* output rows per band */
    int64_t bands;     /* per output frame */
    int64_t line;      /* floats of one converted row, border included */
    int64_t band_rows; /* converted rows per frame of a band */
} job;

/* One tile. lines[i] is the converted row of tap i at the tile's first pixel; n floats of it per pixel, step between pixels. */
#define DEFINE_TILE(P, V)                                                                          \
    TARGET static void tile_##P##x##V(const float *const *lines, int64_t count, int64_t n,         \
                                      int64_t step, const float *w, float *out, int64_t ld)        \
    {                                                                                              \
        __m256 sum[P][V];                                                                          \
        _Pragma("GCC unroll 16") for (int i = 0; i < P; i++)                                       \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) sum[i][v] = _mm256_setzero_ps();   \
        for (int64_t l = 0; l < count; l++) {                                                      \
            const float *x = lines[l];                                                             \
            for (int64_t k = 0; k < n; k++, w += 8 * V) {                                          \
                __m256 weights[V];                                                                 \
                _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) weights[v] =                   \
                    _mm256_load_ps(w + 8 * v);                                                     \
                _Pragma("GCC unroll 16") for (int i = 0; i < P; i++)                               \
                {                                                                                  \
                    __m256 value = _mm256_broadcast_ss(x + i * step + k);                          \
                    _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) sum[i][v] =                \
                        _mm256_fmadd_ps(value, weights[v], sum[i][v]);                             \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 16") for (int i = 0; i < P; i++)                                       \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++)                                    \
                _mm256_store_ps(out + i * ld + 8 * v, sum[i][v]);                                  \
    }

DEFINE_TILE(6, 2)
DEFINE_TILE(1, 2)
DEFINE_TILE(12, 1)
DEFINE_TILE(1, 1)

static void tile_row(const job *j, const float *const *lines, int64_t count, const float *w,
                     float *out, int64_t ld)
{
    const vg_conv_plan *p = j->p;
    int64_t n = p->kw * p->c, step = p->a->stride[2] * p->c, x = 0, wide = j->width == 16 ? 6 : 12;
    const float *moved[64];

    while (x < p->out_w) {
        int64_t pixels = p->out_w - x >= wide ? wide : 1;
        for (int64_t l = 0; l < count; l++)
            moved[l] = lines[l] + x * step;
        if (j->width == 16 && pixels == 6)
            tile_6x2(moved, count, n, step, w, out + x * ld, ld);
        else if (j->width == 16)
            tile_1x2(moved, count, n, step, w, out + x * ld, ld);
        else if (pixels == 12)
            tile_12x1(moved, count, n, step, w, out + x * ld, ld);
        else
            tile_1x1(moved, count, n, step, w, out + x * ld, ld);
        x += pixels;
    }
}

/* One padded row of the virtual (upsampled) input; y may lie outside. */
static void load_line(const job *j, int64_t frame, int64_t y, float *to)
{
    const vg_conv_plan *p = j->p;
    int64_t up = p->a->upsample, left = p->a->pad[2] * p->c, inner = p->in_w * up * p->c;

    if (y < 0 || y >= p->in_h * up) {
        memset(to, 0, (size_t)j->line * sizeof *to);
        return;
    }
    memset(to, 0, (size_t)left * sizeof *to);
    memset(to + left + inner, 0, (size_t)(j->line - left - inner) * sizeof *to);
    to += left;
    if (up == 1) {
        vg_conv_load(p, frame, y, 0, p->in_w, to);
        return;
    }
    /* Load the row into the upper half, then spread it from the left: writing never overtakes reading. */
    vg_conv_load(p, frame, y / up, 0, p->in_w, to + inner - p->in_w * p->c);
    for (int64_t x = 0; x < p->in_w; x++) {
        const float *from = to + inner - (p->in_w - x) * p->c;
        float *pair = to + 2 * x * p->c;
        memmove(pair, from, (size_t)p->c * sizeof *to);
        memcpy(pair + p->c, pair, (size_t)p->c * sizeof *to);
    }
}

/* Scratch: the band of converted rows [kt][band_rows][line], one output row [out_w][panels*width], bias, the row without filling, residual. */
static void bands(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const vg_conv_plan *p = j->p;
    const vg_conv3d_args *a = p->a;
    int64_t filled = j->panels * j->width;
    float *band = vg_cpu_scratch(p->be, worker);
    float *out = band + vg_cpu_round((size_t)(p->kt * j->band_rows * j->line));
    float *bias = out + vg_cpu_round((size_t)(p->out_w * filled));
    float *packed = bias + vg_cpu_round((size_t)filled);
    float *residual = packed + vg_cpu_round((size_t)(p->out_w * p->o));

    memset(bias, 0, (size_t)filled * sizeof *bias);
    if (a->bias)
        vg_cpu_load(a->bias, 0, p->o, bias);
    for (int64_t item = begin; item < end; item++) {
        int64_t t = item / j->bands, first = item % j->bands * j->rows,
                tap = vg_conv_first_tap(p, t);
        int64_t rows = p->out_h - first < j->rows ? p->out_h - first : j->rows;
        int64_t needed = (rows - 1) * a->stride[1] + p->kh;
        for (int64_t dt = tap; dt < p->kt; dt++)
            for (int64_t r = 0; r < needed; r++)
                load_line(j, t * a->stride[0] + dt, first * a->stride[1] + r - a->pad[0],
                          band + (dt * j->band_rows + r) * j->line);
        for (int64_t r = 0; r < rows; r++) {
            const float *lines[64];
            int64_t count = 0;
            for (int64_t dt = tap; dt < p->kt; dt++)
                for (int64_t dy = 0; dy < p->kh; dy++)
                    lines[count++] = band + (dt * j->band_rows + r * a->stride[1] + dy) * j->line;
            for (int64_t panel = 0; panel < j->panels; panel++)
                tile_row(j, lines, count,
                         p->w + (panel * p->k + tap * p->kh * p->kw * p->c) * j->width,
                         out + panel * j->width, filled);
            for (int64_t x = 0; x < p->out_w; x++)
                for (int64_t o = 0; o < p->o; o++)
                    packed[x * p->o + o] = out[x * filled + o] + bias[o];
            vg_conv_store(p, t, (first + r) * p->out_w, p->out_w, packed, NULL, residual);
        }
    }
}

/* w [O,K] to [panel][K][width], zeros behind the last output. */
static void reorder(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const vg_conv_plan *p = j->p;
    float *to = vg_cpu(p->be)->shared, *row = vg_cpu_scratch(p->be, worker);

    for (int64_t o = begin; o < end; o++) {
        float *column = to + o / j->width * p->k * j->width + o % j->width;
        const float *from = row;
        if (o < p->o)
            from = vg_cpu_view(p->a->w, o * p->k, p->k, row);
        else
            memset(row, 0, (size_t)p->k * sizeof *row);
        for (int64_t k = 0; k < p->k; k++)
            column[k * j->width] = from[k];
    }
}

bool vg_conv_direct_fits(const vg_conv_plan *p)
{
    return vg_cpu_has_avx2() && p->kt * p->kh <= 64 &&
           p->k * 16 * (int64_t)sizeof(float) <= PANEL_MAX;
}

vg_status vg_conv_direct(vg_conv_plan *p, vg_err *err)
{
    job j = {.p = p, .width = p->o <= 8 ? 8 : 16};
    const vg_conv3d_args *a = p->a;
    size_t scratch;

    j.panels = (p->o + j.width - 1) / j.width;
    j.line = (p->in_w * a->upsample + a->pad[2] + a->pad[3]) * p->c;
    j.rows = 1;
    while (j.rows < p->out_h && j.rows < 16 && p->out_t * (p->out_h / (j.rows + 1)) >= 16 &&
           p->kt * (j.rows * a->stride[1] + p->kh) * j.line * (int64_t)sizeof(float) <= BAND_BYTES)
        j.rows++;
    j.band_rows = (j.rows - 1) * a->stride[1] + p->kh;
    j.bands = (p->out_h + j.rows - 1) / j.rows;
    scratch = vg_cpu_round((size_t)(p->kt * j.band_rows * j.line)) +
              vg_cpu_round((size_t)(p->out_w * j.panels * j.width)) +
              vg_cpu_round((size_t)(j.panels * j.width)) +
              2 * vg_cpu_round((size_t)(p->out_w * p->o));
    if (scratch < (size_t)p->k)
        scratch = (size_t)p->k;
    VG_TRY(vg_cpu_scratch_reserve(p->be, scratch, err));
    VG_TRY(vg_cpu_shared_reserve(p->be, (size_t)(j.panels * p->k * j.width), err));
    vg_cpu_for(p->be, j.panels * j.width, 8, reorder, &j);
    p->w = vg_cpu(p->be)->shared;
    vg_cpu_for(p->be, p->out_t * j.bands, 1, bands, &j);
    return VG_OK;
}

#else

bool vg_conv_direct_fits(const vg_conv_plan *p)
{
    (void)p;
    return false;
}

vg_status vg_conv_direct(vg_conv_plan *p, vg_err *err)
{
    (void)p;
    return VG_FAIL(err, VG_E_UNSUPPORTED, "conv3d: no direct kernel for this machine");
}

#endif
