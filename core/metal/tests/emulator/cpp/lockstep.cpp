// Fibers over ucontext, announced to AddressSanitizer, and the scheduler that lets them meet.
#include "lockstep.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

namespace lockstep {
namespace {

constexpr size_t STACK = 256 * 1024;
constexpr size_t GUARD = 4096;

enum class State { RUNS, WAITS, ENDED };

struct Fiber {
    Thread thread;
    ucontext_t context;
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
ucontext_t scheduler;
void *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_size;
void (*the_body)(void *);
void *the_argument;

// Back to the scheduler until it resumes this fiber.
void yield_to_scheduler() {
    Fiber *me = current;
    __sanitizer_start_switch_fiber(&me->fake_stack, scheduler_stack, scheduler_stack_size);
    swapcontext(&me->context, &scheduler);
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
    swapcontext(&scheduler, &fiber->context);
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
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, entry, 0);
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

// A permutation of 0..n: its own each time it is asked for.
std::vector<unsigned> permutation(unsigned n, Order order) {
    static uint32_t state = 1;
    std::vector<unsigned> places(n);
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
    return places;
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
    do {
        // One simdgroup after the other, each as far as it gets: nothing hides a barrier that is missing.
        for (unsigned simd : permutation(threads / LANES, order)) {
            std::vector<unsigned> members(LANES);
            for (unsigned lane = 0; lane < LANES; lane++) {
                members[lane] = simd * LANES + lane;
            }
            do {
                for (unsigned lane : permutation(LANES, order)) {
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
