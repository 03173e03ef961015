// Threadgroups run in lockstep: every GPU thread is a fiber that runs alone until it meets the others.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep {

constexpr unsigned LANES = 32;

// Where threads meet.
enum Meeting : unsigned { GROUP_BARRIER, SIMD_BARRIER, SIMD_EXCHANGE };

// What a thread knows of itself.
struct Thread {
    unsigned index, simd, lane;
};

// The thread that runs now.
const Thread &self();

// Waits until every thread of the threadgroup (or of the simdgroup) has come to the same place of the shader; a thread that
// ends, or waits elsewhere, while others wait is a finding. `site` is the place.
void meet(Meeting meeting, const void *site);

// Publishes up to 16 bytes of this lane to its simdgroup and meets it. Then `published` gives each lane's bytes until the next
// exchange.
void exchange(const void *bytes, size_t len, const void *site);
const void *published(unsigned lane);

// The order in which threads of a threadgroup get to run between meetings.
enum Order : unsigned { FORWARD, BACKWARD, SHUFFLED };

// Runs `body(argument)` as `threads` threads to their end.
void run(unsigned threads, Order order, void (*body)(void *), void *argument);

// Ends the process with a message: what a GPU leaves undefined.
[[noreturn]] void finding(const char *format, ...);

} // namespace lockstep
