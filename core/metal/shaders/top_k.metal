// The k largest of many values, largest first; of equals the one with the lower index. Played until one threadgroup is left: each
// sorts 1024 pairs in threadgroup memory (bitonic, 55 steps) and passes k of them on, so a vocabulary of 128 k takes three rounds.

struct TopKArgs {
    uint n;           // values
    uint k;           // at most 64
    uint has_indices; // else a value's index is its place
};

constexpr constant uint CHUNK = 1024;
constexpr constant uint SORTERS = 256;
constexpr constant float NOTHING = -3.4e38f;

inline bool before(float a, uint i, float b, uint j) {
    return a > b || (a == b && i < j);
}

// `out` and `out_indices` [groups, k]; places past the last value hold NOTHING and the index 2^32 - 1.
kernel void top_k(device const float *values [[buffer(0)]], device const uint *indices [[buffer(1)]],
                  device float *out [[buffer(2)]], device uint *out_indices [[buffer(3)]], constant TopKArgs &args [[buffer(4)]],
                  threadgroup float *shared [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]],
                  uint thread_index [[thread_index_in_threadgroup]]) {
    threadgroup float *value = shared;
    threadgroup uint *index = (threadgroup uint *)(shared + CHUNK);
    for (uint i = thread_index; i < CHUNK; i += SORTERS) {
        uint at = group.x * CHUNK + i;
        bool there = at < args.n;
        value[i] = there ? values[at] : NOTHING;
        index[i] = there ? (args.has_indices ? indices[at] : at) : 0xffffffffu;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint size = 2; size <= CHUNK; size *= 2) {
        for (uint step = size / 2; step > 0; step /= 2) {
            for (uint pair = thread_index; pair < CHUNK / 2; pair += SORTERS) {
                uint a = pair / step * 2 * step + pair % step, b = a + step;
                bool falling = (a & size) == 0;
                if (before(value[b], index[b], value[a], index[a]) == falling) {
                    float v = value[a];
                    uint i = index[a];
                    value[a] = value[b];
                    index[a] = index[b];
                    value[b] = v;
                    index[b] = i;
                }
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
    for (uint i = thread_index; i < args.k; i += SORTERS) {
        out[group.x * args.k + i] = value[i];
        out_indices[group.x * args.k + i] = index[i];
    }
}
