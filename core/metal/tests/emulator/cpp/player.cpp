// Reads commands on standard input, all numbers little-endian: `B` a buffer, `D` a dispatch, `R` read a buffer back.
#include "player.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace {

// Nothing a shader may rely on: as f32 and f16 not a number, as an index out of every range.
constexpr int POISON = 0xff;

void read_all(void *to, size_t len) {
    if (len != 0 && fread(to, 1, len, stdin) != len) {
        lockstep::finding("the host stopped in the middle of a command");
    }
}

template <typename T>
T read() {
    T value;
    read_all(&value, sizeof value);
    return value;
}

// Allocated one by one, so that AddressSanitizer sees every step over an end.
struct Buffer {
    char *data;
    size_t len;
};
std::map<uint32_t, Buffer> buffers;

void define_buffer() {
    uint32_t id = read<uint32_t>();
    uint64_t len = read<uint64_t>();
    if (buffers.count(id) != 0) {
        free(buffers[id].data);
    }
    char *data = static_cast<char *>(malloc(len));
    read_all(data, len);
    buffers[id] = {data, len};
}

void read_back() {
    const Buffer &buffer = buffers.at(read<uint32_t>());
    if (fwrite(buffer.data, 1, buffer.len, stdout) != buffer.len || fflush(stdout) != 0) {
        lockstep::finding("the host does not read");
    }
}

struct Running {
    const player::Kernel *kernel;
    player::Arguments *arguments;
};

void run_thread(void *running) {
    const Running *r = static_cast<const Running *>(running);
    r->kernel->call(*r->arguments);
}

const player::Kernel *find(const std::string &name) {
    for (const player::Kernel *kernel = player::KERNELS; kernel->name != nullptr; kernel++) {
        if (name == kernel->name) {
            return kernel;
        }
    }
    lockstep::finding("no kernel is called %s", name.c_str());
}

void dispatch() {
    std::string name(read<uint32_t>(), ' ');
    read_all(&name[0], name.size());
    auto order = static_cast<lockstep::Order>(read<uint32_t>());
    uint32_t grid[3], threads;
    read_all(grid, sizeof grid);
    threads = read<uint32_t>();
    player::Arguments arguments;
    std::vector<char *> constants; // and placeholders
    for (uint32_t left = read<uint32_t>(); left > 0; left--) {
        uint32_t kind = read<uint32_t>();
        if (kind == 2) {
            // Not to be used: an address of which no byte is ours.
            constants.push_back(static_cast<char *>(malloc(0)));
            arguments.buffers.push_back({constants.back(), 0, false});
        } else if (kind == 0) {
            const Buffer &buffer = buffers.at(read<uint32_t>());
            uint64_t offset = read<uint64_t>();
            if (offset > buffer.len) {
                lockstep::finding("%s: a binding starts behind the end of its buffer", name.c_str());
            }
            arguments.buffers.push_back({buffer.data + offset, buffer.len - offset, false});
        } else {
            uint32_t len = read<uint32_t>();
            constants.push_back(static_cast<char *>(malloc(len)));
            read_all(constants.back(), len);
            arguments.buffers.push_back({constants.back(), len, true});
        }
    }
    std::vector<uint32_t> lens(read<uint32_t>());
    for (uint32_t &len : lens) {
        len = read<uint32_t>();
        arguments.threadgroup.push_back(static_cast<char *>(malloc(len)));
    }
    Running running = {find(name), &arguments};
    uint32_t groups = grid[0] * grid[1] * grid[2];
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t at = order == lockstep::FORWARD ? i : groups - 1 - i;
        arguments.group[0] = at % grid[0];
        arguments.group[1] = at / grid[0] % grid[1];
        arguments.group[2] = at / grid[0] / grid[1];
        for (size_t j = 0; j < lens.size(); j++) {
            memset(arguments.threadgroup[j], POISON, lens[j]);
        }
        lockstep::run(threads, order, run_thread, &running);
    }
    for (char *memory : arguments.threadgroup) {
        free(memory);
    }
    for (char *data : constants) {
        free(data);
    }
}

} // namespace

int main() {
    for (int command = getchar(); command != EOF; command = getchar()) {
        switch (command) {
        case 'B': define_buffer(); break;
        case 'D': dispatch(); break;
        case 'R': read_back(); break;
        default: lockstep::finding("unknown command %d", command);
        }
    }
    return 0;
}
