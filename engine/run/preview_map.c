/* preview_map.c: the preview's latent-to-RGB map of a checkpoint that brings none, fitted to a chart that its own VAE encodes. */
#include "engine/run/denoise.h"

#include <math.h>
#include <stdlib.h>

#define CHART_SIDE   12 /* latent pixels */
#define CHART_SCENES 4  /* a side */
#define CHART_FRAMES 5  /* two latent frames where four frames make one */

static float chance(uint32_t *state) /* [-1, 1) */
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* A chart of small scenes, each a shaded background with a disc that moves: latents of moving pictures differ from those of still,
 * flat ones, and a map fitted to the latter is far off (36 levels on average instead of 25 on the demo model). Deterministic. */
static void fill_chart(int size, float *sample)
{
    int side = size / CHART_SCENES;
    uint32_t state = 12345;
    for (int scene = 0; scene < CHART_SCENES * CHART_SCENES; scene++) {
        int top = scene / CHART_SCENES * side, left = scene % CHART_SCENES * side;
        float back[3], disc[3], shade[2], at[2], speed[2], radius;
        for (int k = 0; k < 3; k++) {
            back[k] = 0.9f * chance(&state);
            disc[k] = 0.95f * chance(&state);
        }
        for (int k = 0; k < 2; k++) {
            shade[k] = 0.3f * chance(&state);
            at[k] = (float)side * (0.5f + 0.5f * chance(&state));
            speed[k] = chance(&state);
        }
        radius = (float)side * (0.18f + 0.07f * chance(&state));
        for (int f = 0; f < CHART_FRAMES; f++)
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++) {
                    float dy = (float)y - at[0] - speed[0] * (float)f,
                          dx = (float)x - at[1] - speed[1] * (float)f;
                    float alpha = fminf(fmaxf(radius - sqrtf(dx * dx + dy * dy) + 0.5f, 0), 1);
                    float light = shade[0] * ((float)y / (float)side - 0.5f) +
                                  shade[1] * ((float)x / (float)side - 0.5f);
                    for (int k = 0; k < 3; k++)
                        sample[((k * CHART_FRAMES + f) * size + top + y) * size + left + x] =
                            fminf(fmaxf((back[k] + light) * (1 - alpha) + disc[k] * alpha, -1), 1);
                }
    }
}

/* Mean colour of a latent pixel's frames and cell. frame: latent frame, 0 (one picture) or 1 (four). */
static float cell_mean(const float *sample, int64_t k, int frame, int64_t y, int64_t x,
                       int64_t ratio)
{
    int64_t size = CHART_SIDE * ratio;
    double sum = 0;
    int first = frame ? 1 : 0, count = frame ? CHART_FRAMES - 1 : 1;
    for (int f = first; f < first + count; f++)
        for (int64_t r = 0; r < ratio; r++)
            for (int64_t c = 0; c < ratio; c++)
                sum += (double)
                    sample[((k * CHART_FRAMES + f) * size + y * ratio + r) * size + x * ratio + c];
    return (float)(sum / (double)(count * ratio * ratio));
}

static vg_status fit_chart(vg_engine *engine, vg_model *model, const char *dir,
                           const vg_geometry *g, int frame, vg_err *err)
{
    int64_t z = g->channels, ratio = g->spatial, side = CHART_SIDE, plane = side * side,
            size = side * ratio;
    const int64_t shape[4] = {3, CHART_FRAMES, size, size};
    size_t pixels = (size_t)(3 * CHART_FRAMES * size * size);
    float *memory = malloc((pixels + (size_t)(3 * plane * z + 3 * plane)) * sizeof *memory);
    if (!memory)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the preview's colour chart");
    float *latents = memory + pixels, *rows = latents + 2 * plane * z, *rgb = rows + plane * z;
    fill_chart((int)size, memory);
    vg_status status =
        model->family->preview_encode(engine, model, dir, memory, shape, latents, err);
    for (int64_t i = 0; status == VG_OK && i < plane; i++) {
        for (int64_t k = 0; k < z; k++)
            rows[i * z + k] = latents[(2 * k + frame) * plane + i];
        for (int64_t k = 0; k < 3; k++)
            rgb[i * 3 + k] = cell_mean(memory, k, frame, i / side, i % side, ratio);
    }
    if (status == VG_OK)
        status = vg_preview_fit(&model->preview, (int)z, rows, rgb, plane, err);
    free(memory);
    return status;
}

bool vg_preview_prepare(vg_engine *engine, vg_model *model, int frame)
{
    const char *component = model->family->decoder->part.component;
    vg_geometry g;
    char *dir = NULL;
    if (model->preview_known && (model->preview_frame < 0 || model->preview_frame == frame))
        return true;
    model->family->geometry(model, &g);
    if (!model->family->preview_encode || !model->family->has(model, component) ||
        g.temporal != CHART_FRAMES - 1)
        return false;
    model->preview_known = vg_model_weights_dir(model, component, &dir, NULL) == VG_OK &&
                           fit_chart(engine, model, dir, &g, frame, NULL) == VG_OK;
    model->preview_frame = frame;
    free(dir);
    return model->preview_known;
}
