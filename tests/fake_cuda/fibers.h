// Blocks of threads on one thread of the processor: each thread of a block is a fiber, which runs until it waits for others.
// A warp goes on as far as it can before the next one may, in an order that can be chosen, so that a missing barrier shows.
#pragma once
#include "between.h"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <sys/mman.h>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace fake {
enum class Order { Forward, Reverse, Shuffled };
constexpr size_t STACK = 128 << 10;

struct Barrier { unsigned arrived = 0, generation = 0, members = 0; };
struct Warp { Barrier barrier; unsigned words[32]; };

#if defined(__x86_64__)
// Saves what a call must keep and goes on where `to` was left.
extern "C" void fake_switch(void **from, void *to);
asm(".text\n.globl fake_switch\n.type fake_switch,@function\nfake_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\nmovq %rsp, (%rdi)\n"
    "movq %rsi, %rsp\npopq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
using Place = void *;
inline void go(Place &from, Place &to) { fake_switch(&from, to); }
inline void begin(Place &at, char *stack, void (*enter)()) {
    void **top = reinterpret_cast<void **>(stack + STACK) - 1;
    *--top = reinterpret_cast<void *>(enter);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    at = top;
}
#else
using Place = ucontext_t;
inline void go(Place &from, Place &to) { swapcontext(&from, &to); }
inline void begin(Place &at, char *stack, void (*enter)()) {
    getcontext(&at);
    at.uc_stack.ss_sp = stack;
    at.uc_stack.ss_size = STACK;
    at.uc_link = nullptr;
    makecontext(&at, enter, 0);
}
#endif

struct Fiber {
    Here here;
    Warp *warp;
    char *stack;
    Place at;
    bool done;
    const Barrier *waits;
    unsigned generation;
};

// One kernel, as its library gives it.
struct Kernel {
    void (*place)(const Here *);
    void (*call)(void **);
    char *shared;
    unsigned long shared_bytes;
};

// The block that runs: one at a time in the whole process.
struct Block {
    const Kernel *kernel;
    void **given;
    Barrier barrier;
    std::vector<Warp> warps;
    std::vector<Fiber> fibers;
    std::vector<char *> stacks;
    Fiber *now = nullptr;
    Place scheduler;
    uint32_t dice = 88172645u;

    unsigned roll(unsigned below) {
        dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5;
        return dice % below;
    }
    char *stack() {
        if (stacks.empty()) {
            void *p = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED) { perror("fake CUDA: no stack"); abort(); }
            return static_cast<char *>(p);
        }
        char *last = stacks.back();
        stacks.pop_back();
        return last;
    }
    void order(std::vector<unsigned> &of, Order how) {
        std::iota(of.begin(), of.end(), 0u);
        if (how == Order::Reverse) std::reverse(of.begin(), of.end());
        for (size_t i = of.size(); how == Order::Shuffled && i > 1; i--) std::swap(of[i - 1], of[roll(unsigned(i))]);
    }
    bool run(Three index, Three grid, Three dim, Order how);
};
inline Block block;

inline void arrive(Barrier &barrier) {
    if (barrier.members > 0 && barrier.arrived == barrier.members) {
        barrier.arrived = 0;
        barrier.generation++;
    }
}
inline void wait(int warp) {
    Fiber *me = block.now;
    Barrier &barrier = warp ? me->warp->barrier : block.barrier;
    unsigned before = barrier.generation;
    barrier.arrived++;
    arrive(barrier);
    if (barrier.generation != before) return;
    me->waits = &barrier;
    me->generation = before;
    go(me->at, block.scheduler);
    me->waits = nullptr;
}
inline unsigned *words() { return block.now->warp->words; }
inline void enter() {
    Fiber *me = block.now;
    block.kernel->call(block.given);
    me->done = true;
    for (Barrier *barrier : {&me->warp->barrier, &block.barrier}) {
        barrier->members--;
        arrive(*barrier);
    }
    go(me->at, block.scheduler);
    abort();
}

// `false` if threads wait for others that never come.
inline bool Block::run(Three index, Three grid, Three dim, Order how) {
    unsigned threads = dim.x * dim.y * dim.z;
    barrier = {0, 0, threads};
    warps.assign((threads + 31) / 32, Warp());
    fibers.resize(threads);
    for (unsigned t = 0; t < threads; t++) {
        Fiber &fiber = fibers[t];
        fiber.here = {{t % dim.x, t / dim.x % dim.y, t / (dim.x * dim.y)}, index, grid, t % 32};
        fiber.warp = &warps[t / 32];
        fiber.warp->barrier.members++;
        fiber.stack = nullptr;
        fiber.done = false;
        fiber.waits = nullptr;
    }
    // What an earlier block left must not help.
    memset(kernel->shared, 0xff, kernel->shared_bytes);
    std::vector<unsigned> turns(warps.size());
    order(turns, how);
    unsigned left = threads;
    while (left > 0) {
        bool moved = false;
        for (unsigned w : turns)
            for (bool again = true; again;) {
                again = false;
                std::vector<unsigned> lanes(std::min(32u, threads - 32 * w));
                order(lanes, how);
                for (unsigned lane : lanes) {
                    Fiber &fiber = fibers[32 * w + lane];
                    if (fiber.done || (fiber.waits && fiber.waits->generation == fiber.generation)) continue;
                    if (!fiber.stack) begin(fiber.at, fiber.stack = stack(), enter);
                    now = &fiber;
                    kernel->place(&fiber.here);
                    go(scheduler, fiber.at);
                    moved = again = true;
                    if (fiber.done) {
                        left--;
                        stacks.push_back(fiber.stack);
                    }
                }
            }
        if (moved) continue;
        fprintf(stderr, "fake CUDA: block %u: threads wait for a barrier that others never reach:", index.x);
        for (unsigned t = 0; t < threads; t++)
            if (!fibers[t].done) {
                fprintf(stderr, " %u", t);
                stacks.push_back(fibers[t].stack);
            }
        fprintf(stderr, "\n");
        return false;
    }
    return true;
}
}
