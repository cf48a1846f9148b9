// emulated.cpp: the threads of a block as contexts of one thread, see emulated.h.
#include "tests/emulated/emulated.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

#define STACK_BYTES  65536
#define SHARED_BYTES (227 * 1024) // of a block on sm_90

emulated_thread *emulated_now;
alignas(128) unsigned char emulated_shared[SHARED_BYTES];

namespace
{

struct warp {
    char value[32][16];
    int here, round, lanes;
};

struct context {
    emulated_thread thread;
    ucontext_t start;
    jmp_buf at;
    bool begun, ended;
};

std::vector<context> contexts;
std::vector<warp> warps;
std::vector<char> stacks;
const std::function<void()> *body;
ucontext_t home;
jmp_buf home_at;
int running, here, round_now;

[[noreturn]] void fail(const char *what)
{
    fprintf(stderr, "emulated: %s\n", what);
    abort();
}

// Sanitizers follow swapcontext, which asks the system for signal masks each time; jumps are ten times as fast.
void give_way()
{
    context *self = &contexts[(size_t)emulated_now->index];
#ifdef __SANITIZE_ADDRESS__
    swapcontext(&self->start, &home);
#else
    if (!_setjmp(self->at))
        _longjmp(home_at, 1);
#endif
}

void take_turn(context *c)
{
    emulated_now = &c->thread;
#ifdef __SANITIZE_ADDRESS__
    swapcontext(&home, &c->start);
#else
    if (_setjmp(home_at))
        return;
    if (c->begun)
        _longjmp(c->at, 1);
    c->begun = true;
    setcontext(&c->start);
#endif
}

void whole_thread()
{
    (*body)();
    contexts[(size_t)emulated_now->index].ended = true;
    warps[(size_t)emulated_now->index / 32].lanes--;
    // Those who wait at a barrier do not wait for a thread that has ended.
    if (--running && here == running) {
        here = 0;
        round_now++;
    }
    for (;;)
        give_way();
}

void warp_barrier(warp *w)
{
    int round = w->round;
    if (++w->here == w->lanes) {
        w->here = 0;
        w->round++;
        return;
    }
    while (w->round == round)
        give_way();
}

void run_block(uint3 at, dim3 grid, dim3 block)
{
    size_t count = (size_t)block.x * block.y * block.z;
    memset(emulated_shared, 0xff, sizeof emulated_shared);
    contexts.assign(count, context());
    warps.assign((count + 31) / 32, warp());
    stacks.resize(count * STACK_BYTES);
    running = (int)count;
    here = 0;
    for (size_t i = 0; i < count; i++) {
        context *c = &contexts[i];
        unsigned n = (unsigned)i;
        c->thread = {
            {n % block.x, n / block.x % block.y, n / block.x / block.y}, at, block, grid, (int)i};
        getcontext(&c->start);
        c->start.uc_stack.ss_sp = &stacks[i * STACK_BYTES];
        c->start.uc_stack.ss_size = STACK_BYTES;
        c->start.uc_link = nullptr;
        makecontext(&c->start, whole_thread, 0);
        warps[i / 32].lanes++;
    }
    while (running)
        for (context &c : contexts)
            if (!c.ended)
                take_turn(&c);
}

} // namespace

void emulated_barrier()
{
    int round = round_now;
    if (++here == running) {
        here = 0;
        round_now++;
        return;
    }
    while (round_now == round)
        give_way();
}

void emulated_shuffle(const void *value, void *result, int from, size_t size)
{
    warp *w = &warps[(size_t)emulated_now->index / 32];
    if (w->lanes != 32)
        fail("a shuffle without all lanes of the warp");
    memcpy(w->value[emulated_now->index % 32], value, size);
    warp_barrier(w);
    memcpy(result, w->value[from], size);
    warp_barrier(w);
}

void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread)
{
    if (shared > SHARED_BYTES || block.x * block.y * block.z > 1024 || grid.y > 65535 ||
        grid.z > 65535)
        fail("a launch that no GPU would take");
    body = &thread;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++)
                run_block({x, y, z}, grid, block);
}
