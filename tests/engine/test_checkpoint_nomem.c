/* test_checkpoint_nomem.c: the Nth allocation of every loader fails, for each N until it succeeds: an error, no crash, no leak (the leak
 * checker of sanitizer builds sees to that), and afterwards the same call works. The program's own malloc family stands in front
 * of the library's. */
#include <errno.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/text/hunyuan_prompt.h"
#include "engine/text/prompt.h"
#include "engine/sampling/scheduler.h"
#include "engine/text/tokenizer.h"
#include "engine/vision/resize.h"
#include "tests/check.h"
#include "tests/scratch.h"
#include "engine/run/hub.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#endif

#ifdef WITH_SANITIZER
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

extern void *REAL(malloc)(size_t size);
extern void *REAL(calloc)(size_t count, size_t size);
extern void *REAL(realloc)(void *memory, size_t size);

static long allocations_left = -1; /* negative: never fail */
static long failures;

static bool refuse(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    allocations_left = -1; /* one failure; what follows finds memory again */
    failures++;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return refuse() ? NULL : REAL(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
    return refuse() ? NULL : REAL(calloc)(count, size);
}

void *realloc(void *memory, size_t size)
{
    return refuse() ? NULL : REAL(realloc)(memory, size);
}

/* C++ operator new, by its mangled names: never fails here. libprotobuf, inside libsentencepiece, does not survive a bad_alloc half-way
 * through a model; with the sanitizer operator new does not pass by malloc at all. */
#ifndef WITH_SANITIZER
void *_Znwm(size_t size);
void *_Znam(size_t size);

void *_Znwm(size_t size)
{
    return REAL(malloc)(size);
}

void *_Znam(size_t size)
{
    return REAL(malloc)(size);
}
#endif

/* Each of these opens something, uses it, and closes it. */
static vg_status load_weights(void **state, vg_err *err)
{
    vg_weights *w;

    (void)state;
    VG_TRY(vg_weights_open(VG_TEST_DIR "/golden/tiny-c/text_encoder", &w, err));
    vg_weights_close(w);
    return VG_OK;
}

static vg_status load_checkpoint(void **state, vg_err *err)
{
    vg_checkpoint *c;
    cJSON *config = NULL;
    char *missing = NULL;

    (void)state;
    VG_TRY(vg_checkpoint_open(VG_TEST_DIR "/golden/tiny-c", &c, err));
    vg_status status = vg_checkpoint_config(c, "vae", &config, err);
    if (status == VG_OK)
        status = vg_checkpoint_missing(c, &missing, err);
    free(missing);
    cJSON_Delete(config);
    vg_checkpoint_close(c);
    return status;
}

static vg_status find_model(void **state, vg_err *err)
{
    const char *presets[] = {VG_SOURCE_DIR "/presets"};
    char *dir;

    setenv("HF_HUB_CACHE", *state, 1);
    VG_TRY(vg_model_find("demo", presets, 1, &dir, err));
    free(dir);
    return VG_OK;
}

static vg_status use_tokenizer(void **state, vg_err *err)
{
    vg_tokenizer *t;
    int32_t ids[256];
    int count;

    (void)state;
    VG_TRY(vg_tokenizer_open(VG_TEST_DIR "/golden/tiny-a/tokenizer", &t, err));
    vg_status status = vg_tokenizer_encode(
        t,
        "a cat </s> and a \xe2\x88\x80 dogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdogdog",
        256, ids, &count, err);
    vg_tokenizer_close(t);
    return status;
}

static vg_status use_byte_tokenizers(void **state, vg_err *err)
{
    const char *prompt =
        "a cat \"cafe\xcc\x81\" <|im_end|> \xe2\x80\x9c\xe7\x8c\xab\xe2\x80\x9d \xff";
    vg_byt5 *byt5 = NULL;
    vg_bpe *bpe = NULL;
    int32_t ids[VG_HUNYUAN_CROP + 40], glyphs[VG_HUNYUAN_GLYPHS];
    int count;
    vg_status status;

    (void)state;
    VG_TRY_GOTO(status, vg_bpe_open(VG_TEST_DIR "/golden/hunyuan-text/tokenizer", &bpe, err), done);
    VG_TRY_GOTO(status, vg_byt5_open(VG_TEST_DIR "/golden/hunyuan-text/tokenizer_2", &byt5, err),
                done);
    VG_TRY_GOTO(status, vg_hunyuan_prompt_ids(bpe, prompt, 40, ids, &count, NULL, err), done);
    status = vg_hunyuan_glyph_ids(byt5, prompt, glyphs, &count, NULL, err);
done:
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
    return status;
}

static vg_status clean_prompt(void **state, vg_err *err)
{
    char *clean;

    (void)state;
    VG_TRY(vg_prompt_clean(
        "Le caf\xc3\x83\xc2\xa9 &amp; \xe2\x80\x9cx\xe2\x80\x9d e\xcc\x81 \xc3\x83 la \xc2\x93",
        &clean, err));
    free(clean);
    return VG_OK;
}

static vg_status write_tensors(void **state, vg_err *err)
{
    float value = 1.0f;
    const vg_safetensors_entry entries[] = {{"a", vg_tensor_make(&value, VG_F32, 1, 1)},
                                            {"b", vg_tensor_make(&value, VG_F32, 0)}};
    char path[400];
    vg_safetensors *st;

    snprintf(path, sizeof path, "%s/f.safetensors", (const char *)*state);
    VG_TRY(vg_safetensors_write(path, entries, 2, (const char *[]){"k", "v", NULL}, err));
    VG_TRY(vg_safetensors_open(path, &st, err));
    vg_safetensors_close(st);
    return VG_OK;
}

/* Both orders of the two passes, and floats. */
static vg_status resize_pictures(void **state, vg_err *err)
{
    static const uint8_t picture[9 * 4 * 3];
    static const float plane[9 * 4];
    uint8_t out[5 * 6 * 3];
    float floats[5 * 6];

    (void)state;
    VG_TRY(vg_resize_lanczos(picture, 9, 4, out, 2, 6, err));
    VG_TRY(vg_resize_lanczos(picture, 4, 9, out, 5, 6, err));
    return vg_resize_torch_bilinear(plane, 1, 9, 4, true, floats, 5, 6, err);
}

static void test_checkpoint_every_allocation_may_fail(void **state)
{
    static const struct {
        const char *name;
        vg_status (*run)(void **state, vg_err *err);
    } cases[] = {{"weights", load_weights},   {"checkpoint", load_checkpoint},
                 {"find", find_model},        {"tokenizer", use_tokenizer},
                 {"prompt", clean_prompt},    {"write", write_tensors},
                 {"resize", resize_pictures}, {"byte tokenizers", use_byte_tokenizers}};

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        long nth = 0, before;
        vg_err err = {0};
        CHECK_OK(cases[c].run(state, &err), err);
        do {
            before = failures;
            err = (vg_err){0};
            allocations_left = nth;
            vg_status status = cases[c].run(state, &err);
            allocations_left = -1;
            /* Some failures are survived (a list left empty); those that are not must say so. */
            if (status != VG_OK && (err.code != status || !err.message[0]))
                fail_msg("%s, allocation %ld: no message", cases[c].name, nth);
            /* Tokenizers and sharded weights allocate thousands of times alike: not each of them. */
            nth += nth < 300 ? 1 : nth < 3000 ? 37 : 411;
        } while (failures > before);
        CHECK_OK(cases[c].run(state, &err), err);
        print_message("%s: up to allocation %ld\n", cases[c].name, nth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checkpoint_every_allocation_may_fail, scratch_open,
                                        scratch_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
