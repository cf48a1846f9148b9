/* painted.h: a clip without a model. */
#ifndef VG_TESTS_PAINTED_H
#define VG_TESTS_PAINTED_H

#include <math.h>
#include <stdint.h>

/* A ball that moves right over a teal gradient; `error` shifts and discolours it a little, as quantisation would. */
static inline void painted_frame(uint8_t *out, int w, int h, double t, double error, double noise)
{
    double cx = w * (0.15 + 0.7 * t) + error * w * 0.01, cy = h * 0.55,
           radius = h * 0.27 * (1 + error * 0.01);
    uint32_t seed = 12345;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double d = hypot(x - cx, y - cy) / radius, shade = 0.75 + 0.25 * (double)(h - y) / h;
            double light =
                fmax(0, 1 - hypot(x - cx + radius * 0.35, y - cy + radius * 0.4) / (radius * 1.3));
            double shadow = exp(-pow((y - cy - radius * 1.05) / (radius * 0.18), 2) -
                                pow((x - cx) / (radius * 0.9), 2)) *
                            0.5;
            double r = 24 * shade, g = 128 * shade, b = 128 * shade;
            r *= 1 - shadow, g *= 1 - shadow, b *= 1 - shadow;
            double edge = d < 0.97 ? 1 : d > 1.03 ? 0 : (1.03 - d) / 0.06;
            r += (205 + 50 * light - r) * edge;
            g += (30 + 140 * light * light - g) * edge;
            b += (38 + 130 * light * light - b) * edge;
            seed = seed * 1664525u + 1013904223u;
            double n = ((seed >> 8 & 0xffff) / 65535.0 - 0.5) * 2;
            double e = error * 3 * sin(x * 0.21 + y * 0.13) + noise * n;
            r += e, g += e * 0.6, b -= e * 0.4;
            uint8_t *p = out + ((size_t)y * (size_t)w + (size_t)x) * 3;
            p[0] = (uint8_t)fmin(255, fmax(0, r));
            p[1] = (uint8_t)fmin(255, fmax(0, g));
            p[2] = (uint8_t)fmin(255, fmax(0, b));
        }
}
#endif
