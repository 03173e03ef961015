// Plays dispatches that a host sends: what the generated table of kernels and the player share.
#pragma once

#include <cstddef>
#include <vector>

#include "lockstep.h"

namespace player {

// What one argument of a dispatch is bound to.
struct Bound {
    char *data;
    size_t len;
    bool is_constants;
};

struct Arguments {
    std::vector<Bound> buffers;
    std::vector<char *> threadgroup;
    unsigned group[3];

    void *buffer(unsigned index) const {
        if (index >= buffers.size() || buffers[index].is_constants) {
            lockstep::finding("buffer %u is not bound to memory", index);
        }
        return buffers[index].data;
    }
    void *constants(unsigned index, size_t size) const {
        if (index >= buffers.size() || !buffers[index].is_constants || buffers[index].len != size) {
            lockstep::finding("buffer %u is not bound to %zu bytes of constants", index, size);
        }
        return buffers[index].data;
    }
    void *memory(unsigned index) const {
        if (index >= threadgroup.size()) {
            lockstep::finding("threadgroup memory %u has no length", index);
        }
        return threadgroup[index];
    }
};

struct Kernel {
    const char *name;
    void (*call)(const Arguments &);
};

// The shaders' kernels, generated from their signatures; the last one has no name.
extern const Kernel KERNELS[];

} // namespace player
