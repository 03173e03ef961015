// The k largest of many values, largest first; of equals the one with the lower index. Played until one threadgroup is left: each
// sorts 1024 pairs in threadgroup memory (bitonic, 55 steps) and passes k of them on, so a vocabulary of 128 k takes three rounds
// for k = 40. What is not a number, and minus infinity, is never among them.

struct TopKArgs {
    uint n;           // values
    uint k;           // at most 256
    uint has_indices; // else a value's index is its place
};

constexpr constant uint CHUNK = 1024;
constexpr constant uint SORTERS = 256;
constexpr constant uint NOBODY = 0xffffffffu;      // the index of places past the last value
constexpr constant uint MINUS_INFINITY = 0xff800000u; // their value's bits

// Values as integers in their order, so that no compiler takes for granted that all are numbers; 0 for what is never chosen.
inline uint key_of(uint bits) {
    if (bits << 1 > 0xff000000u || bits == MINUS_INFINITY) {
        return 0;
    }
    bool negative = bits >> 31 != 0 && bits << 1 != 0; // minus zero is zero
    return negative ? ~bits : bits | 0x80000000u;
}

inline uint bits_of(uint key) {
    return key == 0 ? MINUS_INFINITY : key >> 31 != 0 ? key & 0x7fffffffu : ~key;
}

inline bool before(uint a, uint i, uint b, uint j) {
    return a > b || (a == b && i < j);
}

// Bits of f32 `values` [n] to `out` and `out_indices` [groups, k].
kernel void top_k(device const uint *values [[buffer(0)]], device const uint *indices [[buffer(1)]],
                  device uint *out [[buffer(2)]], device uint *out_indices [[buffer(3)]], constant TopKArgs &args [[buffer(4)]],
                  threadgroup uint *shared [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]],
                  uint thread_index [[thread_index_in_threadgroup]]) {
    threadgroup uint *key = shared, *index = shared + CHUNK;
    for (uint i = thread_index; i < CHUNK; i += SORTERS) {
        uint at = group.x * CHUNK + i;
        key[i] = at < args.n ? key_of(values[at]) : 0;
        index[i] = key[i] == 0 ? NOBODY : args.has_indices ? indices[at] : at;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint size = 2; size <= CHUNK; size *= 2) {
        for (uint step = size / 2; step > 0; step /= 2) {
            for (uint pair = thread_index; pair < CHUNK / 2; pair += SORTERS) {
                uint a = pair / step * 2 * step + pair % step, b = a + step;
                bool falling = (a & size) == 0;
                if (before(key[b], index[b], key[a], index[a]) == falling) {
                    uint k = key[a], i = index[a];
                    key[a] = key[b];
                    index[a] = index[b];
                    key[b] = k;
                    index[b] = i;
                }
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
    for (uint i = thread_index; i < args.k; i += SORTERS) {
        out[group.x * args.k + i] = bits_of(key[i]);
        out_indices[group.x * args.k + i] = index[i];
    }
}
