// Attention over the pages of the cache: all queries that share a key and value head share its loads.
//
// A threadgroup takes up to 8 rows (query heads of one group, and tokens where the group is small) and one slice of the
// pages; its 4 simdgroups take pages in turn. Scores: a lane takes a key and reads it once for all rows, so maximum and sum
// over lanes are needed once per 32 keys and not per key. Values: a lane takes every 32nd dimension, and the lanes read a
// value side by side. Sums are f32. Each slice keeps a running maximum, sum and product; they meet in a fixed order.

struct AttentionArgs {
    uint n_heads;
    uint n_kv_heads;
    uint head_dim;
    uint value_dim;
    uint heads;           // query heads a threadgroup takes, of one group
    uint tokens_together; // tokens it takes; heads * tokens_together is at most 8
    uint first;           // position of the first token
    uint tokens;
    uint q_stride;        // values from one token's queries to the next
    uint slices;
    uint pages_per_slice;
    float scale;          // of the scores
};

constexpr constant uint ROWS = 8;
constexpr constant uint SIMDS = 4;
constexpr constant float LOWEST = -3.0e38f; // below any score, and its differences are finite

// What one slice leaves of a row: maximum and sum, then its product [value_dim].
inline uint partial_len(uint value_dim) {
    return value_dim + 2;
}

// Threadgroup memory: queries [8][head_dim], later products [8][value_dim]; weights of keys [4 simdgroups][8][32]; maximum and
// sum [8][2].
template <uint PER_LANE>
void attention(device const float *q, device const uchar *pages, device const uint *table, device float *out,
               constant AttentionArgs &args, threadgroup float *shared, uint3 group, uint thread_index, uint simd, uint lane) {
    uint chunks = (args.n_heads / args.n_kv_heads + args.heads - 1) / args.heads;
    uint kv = group.x / chunks, group_heads = args.n_heads / args.n_kv_heads;
    uint first_head = group.x % chunks * args.heads, first_token = group.y * args.tokens_together;
    uint wide = max(args.head_dim, args.value_dim);
    threadgroup float *weights = shared + ROWS * wide + simd * ROWS * 32;
    threadgroup float *states = shared + ROWS * wide + SIMDS * ROWS * 32;

    // Rows that do not exist repeat the last token and head; their results are not written.
    for (uint i = thread_index; i < ROWS * args.head_dim; i += 32 * SIMDS) {
        uint r = i / args.head_dim;
        uint head = min(first_head + r % args.heads, group_heads - 1), token = min(first_token + r / args.heads, args.tokens - 1);
        shared[i] = q[ulong(token) * args.q_stride + (kv * group_heads + head) * args.head_dim + i % args.head_dim] * args.scale;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float most[ROWS], sum[ROWS], product[ROWS][PER_LANE];
    uint last[ROWS]; // position of the row's token: the last key it sees
    for (uint r = 0; r < ROWS; r++) {
        most[r] = LOWEST;
        sum[r] = 0.0f;
        last[r] = args.first + min(first_token + r / args.heads, args.tokens - 1);
        for (uint i = 0; i < PER_LANE; i++) {
            product[r][i] = 0.0f;
        }
    }
    uint keys = last[ROWS - 1] + 1; // what any row sees
    uint end = min((group.z + 1) * args.pages_per_slice, (keys + PAGE - 1) / PAGE);
    for (uint p = group.z * args.pages_per_slice + simd; p < end; p += SIMDS) {
        device const half *page = (device const half *)(pages + ulong(table[p]) * PAGE_UNIT);
        device const half *k = page + kv * PAGE * args.head_dim;
        device const half *v = page + args.n_kv_heads * PAGE * args.head_dim + kv * PAGE * args.value_dim;
        for (uint start = 0; start < PAGE && p * PAGE + start < keys; start += 32) {
            uint position = p * PAGE + start + lane;
            float scores[ROWS];
            for (uint r = 0; r < ROWS; r++) {
                scores[r] = 0.0f;
            }
            if (position < keys) { // what lies behind was never written
                device const half4 *key = (device const half4 *)(k + (start + lane) * args.head_dim);
                for (uint i = 0; i < args.head_dim / 4; i++) {
                    float4 part = float4(key[i]);
                    for (uint r = 0; r < ROWS; r++) {
                        scores[r] += dot(part, *(threadgroup const float4 *)(shared + r * args.head_dim + 4 * i));
                    }
                }
            }
            for (uint r = 0; r < ROWS; r++) {
                bool seen = position <= last[r];
                float now = max(most[r], simd_max(seen ? scores[r] : LOWEST));
                float weight = seen ? exp(scores[r] - now) : 0.0f, keep = exp(most[r] - now);
                sum[r] = sum[r] * keep + simd_sum(weight);
                most[r] = now;
                for (uint i = 0; i < PER_LANE; i++) {
                    product[r][i] *= keep;
                }
                weights[r * 32 + lane] = weight;
            }
            simdgroup_barrier(mem_flags::mem_threadgroup);
            for (uint j = 0; j < min(32u, keys - p * PAGE - start); j++) {
                for (uint i = 0; i < PER_LANE; i++) {
                    uint at = 32 * i + lane;
                    if (at < args.value_dim) {
                        float value = float(v[(start + j) * args.value_dim + at]);
                        for (uint r = 0; r < ROWS; r++) {
                            product[r][i] += weights[r * 32 + j] * value;
                        }
                    }
                }
            }
            simdgroup_barrier(mem_flags::mem_threadgroup);
        }
    }

    // The simdgroups add up in turn, over the queries, which nobody reads any more.
    for (uint turn = 0; turn < SIMDS; turn++) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (simd != turn) {
            continue;
        }
        for (uint r = 0; r < ROWS; r++) {
            float old = turn == 0 ? LOWEST : states[2 * r], old_sum = turn == 0 ? 0.0f : states[2 * r + 1];
            float now = max(old, most[r]), a = exp(old - now), b = exp(most[r] - now);
            simdgroup_barrier(mem_flags::mem_threadgroup); // all lanes have read the state
            if (lane == 0) {
                states[2 * r] = now;
                states[2 * r + 1] = old_sum * a + sum[r] * b;
            }
            for (uint i = 0; i < PER_LANE; i++) {
                uint at = 32 * i + lane;
                if (at < args.value_dim) {
                    float before = turn == 0 ? 0.0f : shared[r * args.value_dim + at] * a;
                    shared[r * args.value_dim + at] = before + product[r][i] * b;
                }
            }
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    for (uint i = thread_index; i < ROWS * args.value_dim; i += 32 * SIMDS) {
        uint r = i / args.value_dim, d = i % args.value_dim;
        uint in_group = first_head + r % args.heads, token = first_token + r / args.heads;
        if (r < args.heads * args.tokens_together && in_group < group_heads && token < args.tokens) {
            uint row = token * args.n_heads + kv * group_heads + in_group;
            if (args.slices == 1) {
                out[ulong(row) * args.value_dim + d] = shared[i] / states[2 * r + 1];
            } else {
                ulong at = (ulong(group.z) * args.tokens * args.n_heads + row) * partial_len(args.value_dim);
                out[at + 2 + d] = shared[i];
                if (d < 2) {
                    out[at + d] = states[2 * r + d];
                }
            }
        }
    }
}

#define ATTENTION(name, PER_LANE) \
    kernel void name(device const float *q [[buffer(0)]], device const uchar *pages [[buffer(1)]], \
                     device const uint *table [[buffer(2)]], device float *out [[buffer(3)]], \
                     constant AttentionArgs &args [[buffer(4)]], threadgroup float *shared [[threadgroup(0)]], \
                     uint3 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]], \
                     uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) { \
        attention<PER_LANE>(q, pages, table, out, args, shared, group, thread_index, simd, lane); \
    }

// By the largest value head they serve.
ATTENTION(attention_64, 2)
ATTENTION(attention_128, 4)
ATTENTION(attention_256, 8)

// Joins the slices of one row, in ascending order. `partials` [slices, t * n_heads, 2 + value_dim], `out` [t * n_heads, value_dim].
kernel void attention_merge(device const float *partials [[buffer(0)]], device float *out [[buffer(1)]],
                            constant AttentionArgs &args [[buffer(2)]], uint3 group [[threadgroup_position_in_grid]],
                            uint lane [[thread_index_in_simdgroup]]) {
    uint rows = args.tokens * args.n_heads, len = partial_len(args.value_dim);
    float most = LOWEST, sum = 0.0f;
    for (uint s = 0; s < args.slices; s++) {
        most = max(most, partials[(ulong(s) * rows + group.x) * len]);
    }
    for (uint s = 0; s < args.slices; s++) {
        device const float *part = partials + (ulong(s) * rows + group.x) * len;
        sum += part[1] * exp(part[0] - most);
    }
    for (uint d = lane; d < args.value_dim; d += 32) {
        float product = 0.0f;
        for (uint s = 0; s < args.slices; s++) {
            device const float *part = partials + (ulong(s) * rows + group.x) * len;
            product += part[2 + d] * exp(part[0] - most);
        }
        out[ulong(group.x) * args.value_dim + d] = product / sum;
    }
}
