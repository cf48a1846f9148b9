/* dummy.c: see dummy.h. */
#include "engine/checkpoint/dummy.h"

#include "kernels/base/hash.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* What a tensor is, by its name; the first match counts. Anything else is a matrix or a convolution with std 1 / sqrt(fan-in). */
static const struct {
    const char *part;
    bool suffix; /* `part` must end the name */
    float mean, std;
} rules[] = {
    {"norm2.bias", true, 0.0f, 0.05f},   {".bias", true, 0.0f, 0.02f},
    {"norm", false, 1.0f, 0.1f}, /* norm_q, norm2, layer_norm, final_layer_norm */
    {".gamma", true, 1.0f, 0.1f},        {"relative_attention_bias.weight", true, 0.0f, 0.5f},
    {"shared.weight", true, 0.0f, 1.0f},
};

static uint64_t mix(uint64_t z) /* splitmix64's finaliser */
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* With an end, so that "ab", "c" differs from "a", "bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return vg_fnv1a(vg_fnv1a(hash, text, strlen(text)), "\xff", 1);
}

static bool matches(const char *name, const char *part, bool suffix)
{
    size_t n = strlen(name), m = strlen(part);
    if (!suffix)
        return strstr(name, part) != NULL;
    return n >= m && strcmp(name + n - m, part) == 0;
}

void vg_dummy_describe(const char *component, const char *name, int ndim, const int64_t *shape,
                       vg_dummy_tensor *d)
{
    double fan_in = 1;
    d->seed = hash_text(hash_text(VG_FNV1A_BEGIN, component), name);
    bool matrix = matches(name, ".linear.weight",
                          true); /* "norm1.linear" is no norm, but makes one's modulation */
    for (size_t i = 0; !matrix && i < sizeof rules / sizeof rules[0]; i++)
        if (matches(name, rules[i].part, rules[i].suffix)) {
            d->mean = rules[i].mean;
            d->std = rules[i].std;
            return;
        }
    for (int i = 1; i < ndim; i++)
        fan_in *= (double)shape[i];
    /* Modulation tables are [1, n, dim]: diffusers draws them with std 1 / sqrt(dim). */
    if (ndim == 3 && shape[0] == 1)
        fan_in = (double)shape[2];
    d->mean = 0;
    d->std = (float)(1.0 / sqrt(fan_in));
    /* UMT5 does not divide scores by sqrt(d_kv) = 8; its queries are small instead. */
    if (strstr(name, "SelfAttention.q.weight"))
        d->std /= 8;
}

void vg_dummy_fill(const vg_dummy_tensor *d, int64_t begin, int64_t count, uint16_t *out)
{
    /* Four 16-bit numbers: mean 131070, standard deviation 65536 / sqrt(3). */
    float scale = d->std * (float)(1.7320508075688772 / 65536.0);
    for (int64_t i = 0; i < count; i++) {
        uint64_t r = mix(d->seed + (uint64_t)(begin + i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        int32_t sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) +
                      (int32_t)(r >> 32 & 0xffff) + (int32_t)(r >> 48);
        out[i] = vg_f32_to_bf16(d->mean + scale * (float)(sum - 131070));
    }
}

int vg_dummy_tokens(const char *text, int64_t vocab, int max, int32_t *ids)
{
    int count = 0;
    while (count + 1 < max && vocab > 3) {
        size_t length;
        text += strspn(text, " ");
        length = strcspn(text, " ");
        if (length == 0)
            break;
        ids[count++] =
            (int32_t)(3 + mix(vg_fnv1a(VG_FNV1A_BEGIN, text, length)) % (uint64_t)(vocab - 3));
        text += length;
    }
    if (count < max)
        ids[count++] = 1;
    return count;
}
