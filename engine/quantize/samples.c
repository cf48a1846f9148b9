/* samples.c: see samples.h. */
#include "engine/quantize/samples.h"

typedef enum pool_id { GENERAL, REFERENCE } pool_id;

static const struct {
    pool_id pool;
    const char *text;
} pool[] = {
#define VG_CALIBRATION_PROMPT(id, words) {id, words},
#include "engine/quantize/prompts.def"
#undef VG_CALIBRATION_PROMPT
};

#define POOL_COUNT ((int)(sizeof pool / sizeof pool[0]))

/* Number i of one pool, going round. */
static const char *of_pool(pool_id id, int i)
{
    int count = 0, at = 0;
    for (int k = 0; k < POOL_COUNT; k++)
        count += pool[k].pool == id;
    i %= count;
    for (int k = 0; k < POOL_COUNT; k++)
        if (pool[k].pool == id && at++ == i)
            return pool[k].text;
    return "";
}

vg_calibration_sample vg_calibration_sample_of(int i, int size, const char *const *prompts,
                                               int prompts_count, int pictures, bool references)
{
    vg_calibration_sample s = {.prompt = of_pool(GENERAL, i),
                               .picture = pictures ? i % pictures : -1};
    if (prompts_count) {
        s.prompt = prompts[i % prompts_count];
    } else if (pictures && references) {
        int with = size / 2 < pictures ? size / 2 : pictures, at = i - (size - with);
        s.prompt = at < 0 ? of_pool(GENERAL, i) : of_pool(REFERENCE, at);
        s.picture = at < 0 ? -1 : at % pictures;
    }
    return s;
}
