// Fibers, announced to AddressSanitizer, and the scheduler that lets them meet.
#include "lockstep.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

// Puts the registers that a callee keeps on the stack, leaves in `*from` where they lie, and goes on with those that lie at `to`.
// swapcontext would ask the system twice each time, for signals that nobody blocks: half of the emulator's time.
extern "C" void lockstep_switch(void **from, void *to);
#if defined(__x86_64__)
constexpr unsigned KEPT = 7, RETURN = 6; // words that a new fiber's stack begins with; the one that it goes to
asm(".text\n.globl lockstep_switch\nlockstep_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
constexpr unsigned KEPT = 20, RETURN = 11;
asm(".text\n.globl lockstep_switch\nlockstep_switch:\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n");
#else
#error "fibers are written for x86_64 and arm64"
#endif

namespace lockstep {
namespace {

constexpr size_t STACK = 256 * 1024;
constexpr size_t GUARD = 4096;

enum class State { RUNS, WAITS, ENDED };

struct Fiber {
    Thread thread;
    void *registers;
    void *stack;
    void *fake_stack = nullptr;
    State state = State::ENDED;
    Meeting meeting;
    const void *site;
    // Two, in turn: a lane can be one exchange ahead of the slowest reader, never two.
    alignas(16) unsigned char slots[2][16];
    unsigned exchanges;
};

std::vector<Fiber *> fibers;
Fiber *current;
void *scheduler_registers;
void *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_size;
void (*the_body)(void *);
void *the_argument;

// Back to the scheduler until it resumes this fiber.
void yield_to_scheduler() {
    Fiber *me = current;
    __sanitizer_start_switch_fiber(&me->fake_stack, scheduler_stack, scheduler_stack_size);
    lockstep_switch(&me->registers, scheduler_registers);
    __sanitizer_finish_switch_fiber(me->fake_stack, &scheduler_stack, &scheduler_stack_size);
}

// Fibers never return: one serves a thread of every threadgroup to come.
void entry() {
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
    for (;;) {
        the_body(the_argument);
        current->state = State::ENDED;
        yield_to_scheduler();
    }
}

void resume(Fiber *fiber) {
    current = fiber;
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber->stack, STACK);
    lockstep_switch(&scheduler_registers, fiber->registers);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
    current = nullptr;
}

Fiber *new_fiber(unsigned index) {
    void *memory = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0) {
        finding("no memory for a stack");
    }
    Fiber *fiber = new Fiber();
    fiber->thread = {index, index / LANES, index % LANES};
    fiber->stack = static_cast<char *>(memory) + GUARD;
    // On x86_64 a function begins with the stack a word below a multiple of 16: where its caller's return address lies.
    uintptr_t *top = reinterpret_cast<uintptr_t *>(static_cast<char *>(fiber->stack) + STACK);
    uintptr_t *registers = top - KEPT - KEPT % 2;
    registers[RETURN] = reinterpret_cast<uintptr_t>(entry);
    fiber->registers = registers;
    return fiber;
}

const char *name(Meeting meeting) {
    const char *names[] = {"threadgroup_barrier", "simdgroup_barrier", "a simd operation"};
    return names[meeting];
}

// Lets the fibers of `places` go on if all wait at one place; false if they do not wait for each other.
// `group`: whether they are the whole threadgroup.
bool release(const std::vector<unsigned> &places, bool group) {
    const Fiber *first = fibers[places[0]];
    if (first->state == State::ENDED || (first->meeting == GROUP_BARRIER) != group) {
        return false;
    }
    for (unsigned place : places) {
        Fiber *fiber = fibers[place];
        if (fiber->state == State::ENDED) {
            finding("thread %u ended while thread %u waits at %s", place, first->thread.index, name(first->meeting));
        }
        if (fiber->meeting != first->meeting || fiber->site != first->site) {
            finding("thread %u waits at %s (%p) while thread %u waits at %s (%p)", place, name(fiber->meeting), fiber->site,
                    first->thread.index, name(first->meeting), first->site);
        }
    }
    for (unsigned place : places) {
        fibers[place]->state = State::RUNS;
    }
    return true;
}

// Makes of `places` a permutation of 0..places.size(): another one each time where they are shuffled.
void permute(std::vector<unsigned> &places, Order order) {
    static uint32_t state = 1;
    unsigned n = places.size();
    for (unsigned i = 0; i < n; i++) {
        places[i] = order == BACKWARD ? n - 1 - i : i;
    }
    for (unsigned i = n; order == SHUFFLED && i > 1; i--) {
        state = state * 1664525 + 1013904223; // Numerical Recipes, 2nd edition
        unsigned j = (state >> 8) % i;
        unsigned swapped = places[i - 1];
        places[i - 1] = places[j];
        places[j] = swapped;
    }
}

} // namespace

const Thread &self() { return current->thread; }

void meet(Meeting meeting, const void *site) {
    current->meeting = meeting;
    current->site = site;
    current->state = State::WAITS;
    yield_to_scheduler();
}

void exchange(const void *bytes, size_t len, const void *site) {
    current->exchanges++;
    memcpy(current->slots[current->exchanges % 2], bytes, len);
    meet(SIMD_EXCHANGE, site);
}

const void *published(unsigned lane) {
    Fiber *of = fibers[current->thread.simd * LANES + lane];
    return of->slots[current->exchanges % 2];
}

void run(unsigned threads, Order order, void (*body)(void *), void *argument) {
    if (threads == 0 || threads % LANES != 0 || threads > 1024) {
        finding("%u threads are no whole number of simdgroups up to 1024", threads);
    }
    while (fibers.size() < threads) {
        fibers.push_back(new_fiber(fibers.size()));
    }
    the_body = body;
    the_argument = argument;
    std::vector<unsigned> all(threads);
    for (unsigned i = 0; i < threads; i++) {
        all[i] = i;
        fibers[i]->state = State::RUNS;
        fibers[i]->exchanges = 0;
    }
    std::vector<unsigned> simds(threads / LANES), lanes(LANES), members(LANES);
    do {
        // One simdgroup after the other, each as far as it gets: nothing hides a barrier that is missing.
        permute(simds, order);
        for (unsigned simd : simds) {
            for (unsigned lane = 0; lane < LANES; lane++) {
                members[lane] = simd * LANES + lane;
            }
            do {
                permute(lanes, order);
                for (unsigned lane : lanes) {
                    if (fibers[simd * LANES + lane]->state == State::RUNS) {
                        resume(fibers[simd * LANES + lane]);
                    }
                }
            } while (release(members, false));
        }
    } while (release(all, true));
    for (unsigned i = 0; i < threads; i++) {
        if (fibers[i]->state != State::ENDED) {
            finding("thread %u waits at %s that others never reach", i, name(fibers[i]->meeting));
        }
    }
}

void finding(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("finding: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

} // namespace lockstep
