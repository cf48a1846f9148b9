/* fuzz_tensors.c: the tensor files of a job of arbitrary bytes: what is read has its shape, and all of its values can be looked at. The first byte
 * chooses: 0 state, 1 conditions, 2 latents. */
#include "tests/fuzz/fuzz.h"

#include "app/worker/worker_run.h"

static volatile double sum;

static void look(const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
}

static int64_t count_of(const int64_t shape[4])
{
    return shape[0] * shape[1] * shape[2] * shape[3];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_path("t.safetensors");
    vg_denoise_state state;
    vg_conditions conditions;
    vg_latents latents = {0};
    vg_safetensors *st;
    if (!size)
        return 0;
    fuzz_write("t.safetensors", "wb", data + 1, size - 1);
    if (vg_safetensors_open(path, &st, NULL) == VG_OK) {
        (void)vg_safetensors_check(st, NULL);
        vg_safetensors_close(st);
    }
    if (data[0] % 3 == 0 && vg_denoise_state_read(path, &state, NULL) == VG_OK) {
        look(state.latents, count_of(state.shape));
        for (int i = 0; i < state.scheduler.count; i++)
            look(state.scheduler.tensors[i].values, count_of(state.shape));
        if (!(state.seconds_done >= 0) || state.scheduler.at < 0)
            abort();
        vg_denoise_state_deinit(&state);
    } else if (data[0] % 3 == 1 && vg_conditions_read(path, &conditions, NULL) == VG_OK) {
        for (int i = 0; i < conditions.count; i++)
            look(conditions.list[i].values, vg_condition_numel(&conditions.list[i]));
        vg_conditions_deinit(&conditions);
    } else if (data[0] % 3 == 2 && vg_worker_read_latents(path, &latents, NULL) == VG_OK) {
        look(latents.values, count_of(latents.shape));
        vg_latents_deinit(&latents);
    }
    return 0;
}
