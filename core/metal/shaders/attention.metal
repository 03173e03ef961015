// Attention of one token or a few over the pages of the cache: all queries that share a key and value head share its loads.
//
// A threadgroup takes up to 8 rows (query heads of one group, and tokens where the group is small) and one slice of the
// pages; its 4 simdgroups take pages in turn. Scores: a lane takes a key and reads it once for all rows, so maximum and sum
// over lanes are needed once per 32 keys and not per key. Values: a lane takes every 32nd dimension, and the lanes read a
// value side by side. Sums are f32. Each slice keeps a running maximum, sum and product; they meet in a fixed order.
//
// Keys and values of a few tokens need no dispatch of their own: each threadgroup that sees some of them makes them in threadgroup
// memory, rounded as the cache rounds, and reads none of them back; one of them writes them to the page.

constexpr constant uint ROWS = 8;
constexpr constant uint SIMDS = 4;
constexpr constant float LOWEST = -3.0e38f; // below any score, and its differences are finite

// What one slice leaves of a row: maximum and sum, then its product [value_dim].
inline uint partial_len(uint value_dim) {
    return value_dim + 2;
}

// `scores` of 8 rows and neighbours 8 * i to 8 * i + 7 of a key.
inline void add_scores(float4 a, float4 b, threadgroup const float *queries, uint i, constant HeadArgs &args, thread float *scores) {
    UNROLLED
    for (uint r = 0; r < ROWS; r++) {
        threadgroup const float4 *q = (threadgroup const float4 *)(queries + r * args.head_dim + 8 * i);
        scores[r] += dot(a, q[0]) + dot(b, q[1]);
    }
}

// Threadgroup memory: queries [8][head_dim], later products [8][value_dim]; weights of keys [4 simdgroups][8][32]; maximum and sum
// [8][2]; where tokens' own are made here, keys [t][head_dim] and values [t][value_dim].
template <uint PER_LANE, typename Rows>
void attention(device const float *qkv, HeadTensors tensors, device uchar *pages, device const uint *table, device float *out,
               constant HeadArgs &args, threadgroup float *shared, uint3 group, uint thread_index, uint simd, uint lane) {
    uint group_heads = args.n_heads / args.n_kv_heads, chunks = (group_heads + args.heads - 1) / args.heads;
    uint kv = group.x / chunks;
    uint first_head = group.x % chunks * args.heads, first_token = group.y * args.tokens_together;
    uint wide = max(args.head_dim, args.value_dim);
    threadgroup float *weights = shared + ROWS * wide + simd * ROWS * 32;
    threadgroup float *states = shared + ROWS * wide + SIMDS * ROWS * 32;

    // Rows that do not exist repeat the last token and head; their results are not written.
    for (uint r = simd; r < ROWS; r += SIMDS) {
        uint head = min(first_head + r % args.heads, group_heads - 1), token = min(first_token + r / args.heads, args.tokens - 1);
        prepare(qkv, token, kv * group_heads + head, tensors, args, shared + r * args.head_dim, 8, lane);
    }
    uint slice = (args.first_slice + group.z) * args.pages_per_slice;
    uint own = args.stores ? args.first : 0xffffffffu; // from this position on keys and values are made here
    threadgroup float *own_keys = states + 2 * ROWS, *own_values = own_keys + args.tokens * args.head_dim;
    if ((slice + args.pages_per_slice) * PAGE > own) {
        bool writes = group.x % chunks == 0 && group.y == 0 && group.z + 1 == args.slices;
        for (uint i = simd; i < 2 * args.tokens; i += SIMDS) {
            uint token = i / 2;
            if (i % 2 == 0) {
                threadgroup float *key = own_keys + token * args.head_dim;
                make_key(qkv, token, kv, tensors, args, key, lane);
                if (writes) {
                    store_key<Rows>(key, token, kv, pages, table, args, lane);
                }
                Rows::round(key, args.head_dim, lane);
            } else {
                threadgroup float *value = own_values + token * args.value_dim;
                make_value(qkv, token, kv, tensors, args, value, lane);
                if (writes) {
                    store_value<Rows>(value, token, kv, pages, table, args, lane);
                }
                Rows::round(value, args.value_dim, lane);
            }
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup); // own keys and queries are there

    float most[ROWS], sum[ROWS], product[ROWS][PER_LANE];
    uint last[ROWS]; // position of the row's token: the last key it sees
    UNROLLED
    for (uint r = 0; r < ROWS; r++) {
        most[r] = LOWEST;
        sum[r] = 0.0f;
        last[r] = args.first + min(first_token + r / args.heads, args.tokens - 1);
        UNROLLED
        for (uint i = 0; i < PER_LANE; i++) {
            product[r][i] = 0.0f;
        }
    }
    uint keys = last[ROWS - 1] + 1; // what any row sees
    uint lowest = first_seen(last[0], args); // the first that any row sees
    uint end = min(slice + args.pages_per_slice, (keys + PAGE - 1) / PAGE);
    for (uint p = max(slice, lowest / PAGE) + simd; p < end; p += SIMDS) {
        device const uchar *k = key_rows<Rows>(pages, table[p], kv, 0, args);
        device const uchar *v = value_rows<Rows>(pages, table[p], kv, 0, args);
        for (uint start = 0; start < PAGE && p * PAGE + start < keys; start += 32) {
            if (p * PAGE + start + 32 <= lowest) {
                continue;
            }
            uint position = p * PAGE + start + lane;
            float scores[ROWS];
            UNROLLED
            for (uint r = 0; r < ROWS; r++) {
                scores[r] = 0.0f;
            }
            if (position < min(keys, own)) { // what lies behind was never written
                device const uchar *key = k + (start + lane) * Rows::bytes(args.head_dim);
                for (uint i = 0; i < args.head_dim / 8; i++) {
                    float y[8];
                    Rows::load(key, i, y);
                    add_scores(float4(y[0], y[1], y[2], y[3]), float4(y[4], y[5], y[6], y[7]), shared, i, args, scores);
                }
            } else if (position < keys) {
                threadgroup const float4 *key = (threadgroup const float4 *)(own_keys + (position - own) * args.head_dim);
                for (uint i = 0; i < args.head_dim / 8; i++) {
                    add_scores(key[2 * i], key[2 * i + 1], shared, i, args, scores);
                }
            }
            UNROLLED
            for (uint r = 0; r < ROWS; r++) {
                bool seen = sees(last[r], position, args);
                float mine = score(scores[r], args);
                float now = max(most[r], simd_max(seen ? mine : LOWEST));
                float weight = seen ? exp(mine - now) : 0.0f, keep = exp(most[r] - now);
                sum[r] = sum[r] * keep + simd_sum(weight);
                most[r] = now;
                UNROLLED
                for (uint i = 0; i < PER_LANE; i++) {
                    product[r][i] *= keep;
                }
                weights[r * 32 + lane] = weight;
            }
            simdgroup_barrier(mem_flags::mem_threadgroup);
            for (uint j = 0; j < min(32u, keys - p * PAGE - start); j++) {
                uint key = p * PAGE + start + j;
                UNROLLED
                for (uint i = 0; i < PER_LANE; i++) {
                    uint at = 32 * i + lane;
                    if (at < args.value_dim) {
                        float value = key >= own ? own_values[(key - own) * args.value_dim + at]
                                                 : Rows::at(v + (start + j) * Rows::bytes(args.value_dim), at);
                        UNROLLED
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
        threadgroup_barrier(mem_flags::mem_threadgroup); // one at a time
        if (simd != turn) {
            continue;
        }
        UNROLLED
        for (uint r = 0; r < ROWS; r++) {
            float old = turn == 0 ? LOWEST : states[2 * r], old_sum = turn == 0 ? 0.0f : states[2 * r + 1];
            float now = max(old, most[r]), a = exp(old - now), b = exp(most[r] - now);
            simdgroup_barrier(mem_flags::mem_threadgroup); // all lanes have read the state
            if (lane == 0) {
                states[2 * r] = now;
                states[2 * r + 1] = old_sum * a + sum[r] * b;
            }
            UNROLLED
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

#define ATTENTION(name, PER_LANE, Rows) \
    kernel void name(device const float *qkv [[buffer(0)]], HEAD_TENSORS, device uchar *pages [[buffer(7)]], \
                     device const uint *table [[buffer(8)]], constant HeadArgs &args [[buffer(9)]], \
                     device float *out [[buffer(10)]], threadgroup float *shared [[threadgroup(0)]], \
                     uint3 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]], \
                     uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) { \
        HeadTensors tensors = {q_bias, k_bias, v_bias, q_norm, k_norm, angles}; \
        attention<PER_LANE, Rows>(qkv, tensors, pages, table, out, args, shared, group, thread_index, simd, lane); \
    }

// By the largest value head they serve.
ATTENTION(attention_64_f16, 2, HalfRows)
ATTENTION(attention_128_f16, 4, HalfRows)
ATTENTION(attention_256_f16, 8, HalfRows)
ATTENTION(attention_64_q8_0, 2, ByteRows)
ATTENTION(attention_128_q8_0, 4, ByteRows)
ATTENTION(attention_256_q8_0, 8, ByteRows)

// Joins the slices of one row, in ascending order. `partials` [slices, t * n_heads, 2 + value_dim], `out` [t * n_heads, value_dim].
kernel void attention_merge(device const float *partials [[buffer(0)]], device float *out [[buffer(1)]],
                            constant HeadArgs &args [[buffer(2)]], uint3 group [[threadgroup_position_in_grid]],
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
