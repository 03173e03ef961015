// Attention of a prompt over the pages of the cache, by 8x8 matrices.
//
// A threadgroup takes as many rows (pairs of a token and a query head of one group, tokens in order) as it takes keys at a
// time: 8 for each simdgroup. Queries and products stay in a simdgroup's registers for the whole walk; keys, then values, of a step
// are widened once into threadgroup memory, as 8x8 matrices that lie one behind the other, where all rows use them. Only what some
// row sees is walked over. The running maximum and sum of a row are in the 4 lanes that share its weights; where a maximum
// rises, products are scaled by a diagonal matrix, because a simdgroup does not know which lane holds what. All is f32, at the
// multiply rate of f16 on A- and M-series up to now.
//
// 2 simdgroups for heads above 128: 64 matrices in registers and 16 KB of keys are enough.

// Threadgroup memory: queries, keys, values and at last products, 8x8 matrices [simdgroups][PARTS]; weights [simdgroups][simdgroups] matrices;
// a diagonal [simdgroups].
template <uint PARTS, uint GROUPS, typename Rows>
void attention_mat(device const float *qkv, HeadTensors tensors, device uchar *pages, device const uint *table,
                   device float *out, constant HeadArgs &args, threadgroup float *shared, uint3 group, uint thread_index,
                   uint simd, uint lane) {
    const uint STEP = 8 * GROUPS;
    uint kv = group.x, group_heads = args.n_heads / args.n_kv_heads, n_rows = args.tokens * group_heads;
    threadgroup float *tile = shared, *own = tile + simd * PARTS * 64;
    threadgroup float *weights = shared + GROUPS * PARTS * 64 + simd * GROUPS * 64;
    threadgroup float *diagonal = shared + GROUPS * PARTS * 64 + GROUPS * GROUPS * 64 + simd * 64;

    // Rows behind the last repeat it; their results are not written.
    uint first_row = group.y * STEP + 8 * simd;
    for (uint r = 0; r < 8; r++) {
        uint row = min(first_row + r, n_rows - 1);
        prepare(qkv, row / group_heads, kv * group_heads + row % group_heads, tensors, args, own + 8 * r, 64, lane);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_float8x8 queries[PARTS], products[PARTS];
    UNROLLED
    for (uint i = 0; i < PARTS; i++) {
        if (8 * i < args.head_dim) {
            simdgroup_load(queries[i], own + 64 * i, 8);
        }
        products[i] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    // A lane has columns 2 * (lane % 4) and the next of row lane / 4 of each matrix of weights.
    uint place = lane / 4 * 8 + lane % 4 * 2;
    uint last = args.first + min(first_row + lane / 4, n_rows - 1) / group_heads;
    float most = LOWEST, sum = 0.0f;
    uint keys = args.first + min(group.y * STEP + STEP - 1, n_rows - 1) / group_heads + 1; // what any row sees
    uint lowest = first_seen(args.first + group.y * STEP / group_heads, args);
    for (uint start = lowest / STEP * STEP; start < keys; start += STEP) {
        device const uchar *k = key_rows<Rows>(pages, table[start / PAGE], kv, start % PAGE, args);
        device const uchar *v = value_rows<Rows>(pages, table[start / PAGE], kv, start % PAGE, args);
        uint there = min(STEP, keys - start); // what lies behind was never written
        // Keys with their values downwards. Lanes beside each other take keys beside each other, which lie in different banks.
        for (uint i = thread_index; i < STEP * args.head_dim / 8; i += 32 * GROUPS) {
            uint key = i % STEP, part = i / STEP;
            float y[8];
            for (uint j = 0; j < 8; j++) {
                y[j] = 0.0f;
            }
            if (key < there) {
                Rows::load(k + key * Rows::bytes(args.head_dim), part, y);
            }
            for (uint j = 0; j < 8; j++) {
                tile[(key / 8 * PARTS + part) * 64 + 8 * j + key % 8] = y[j];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint b = 0; b < GROUPS; b++) {
            simdgroup_float8x8 scores = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
            UNROLLED
            for (uint i = 0; i < PARTS; i++) {
                if (8 * i < args.head_dim) {
                    simdgroup_float8x8 part;
                    simdgroup_load(part, tile + (b * PARTS + i) * 64, 8);
                    simdgroup_multiply_accumulate(scores, queries[i], part, scores);
                }
            }
            simdgroup_store(scores, weights + 64 * b, 8);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        float mine[2 * GROUPS], now = most;
        UNROLLED
        for (uint i = 0; i < 2 * GROUPS; i++) {
            uint position = start + i / 2 * 8 + lane % 4 * 2 + i % 2;
            mine[i] = sees(last, position, args) ? score(weights[i / 2 * 64 + place + i % 2], args) : LOWEST;
            now = max(now, mine[i]);
        }
        now = max(now, simd_shuffle_xor(now, 1));
        now = max(now, simd_shuffle_xor(now, 2));
        float keep = exp(most - now), added = 0.0f;
        UNROLLED
        for (uint i = 0; i < 2 * GROUPS; i++) {
            float weight = mine[i] > LOWEST ? exp(mine[i] - now) : 0.0f;
            weights[i / 2 * 64 + place + i % 2] = weight;
            added += weight;
        }
        added += simd_shuffle_xor(added, 1);
        sum = sum * keep + added + simd_shuffle_xor(added, 2);
        if (simd_max(now - most) > 0.0f) {
            diagonal[place] = place % 9 == 0 ? keep : 0.0f;
            diagonal[place + 1] = (place + 1) % 9 == 0 ? keep : 0.0f;
            simdgroup_barrier(mem_flags::mem_threadgroup);
            simdgroup_float8x8 scale;
            simdgroup_load(scale, diagonal, 8);
            UNROLLED
            for (uint i = 0; i < PARTS; i++) {
                simdgroup_multiply(products[i], scale, products[i]);
            }
        }
        most = now;
        threadgroup_barrier(mem_flags::mem_threadgroup); // nobody reads keys any more
        for (uint i = thread_index; i < STEP * args.value_dim / 8; i += 32 * GROUPS) {
            uint key = i / (args.value_dim / 8), part = i % (args.value_dim / 8);
            float y[8];
            for (uint j = 0; j < 8; j++) {
                y[j] = 0.0f;
            }
            if (key < there) {
                Rows::load(v + key * Rows::bytes(args.value_dim), part, y);
            }
            for (uint j = 0; j < 8; j++) {
                tile[(key / 8 * PARTS + part) * 64 + key % 8 * 8 + j] = y[j];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint b = 0; b < GROUPS; b++) {
            simdgroup_float8x8 weight;
            simdgroup_load(weight, weights + 64 * b, 8);
            UNROLLED
            for (uint i = 0; i < PARTS; i++) {
                if (8 * i < args.value_dim) {
                    simdgroup_float8x8 part;
                    simdgroup_load(part, tile + (b * PARTS + i) * 64, 8);
                    simdgroup_multiply_accumulate(products[i], weight, part, products[i]);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup); // nobody reads values any more
    }

    UNROLLED
    for (uint i = 0; i < PARTS; i++) {
        if (8 * i < args.value_dim) {
            simdgroup_store(products[i], own + 64 * i, 8);
        }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    for (uint r = 0; r < 8; r++) {
        uint row = first_row + r, head = kv * group_heads + row % group_heads;
        float whole = simd_shuffle(sum, ushort(4 * r));
        if (row >= n_rows) {
            break;
        }
        for (uint i = lane; i < args.value_dim; i += 32) {
            float product = own[i / 8 * 64 + 8 * r + i % 8];
            out[(ulong(row / group_heads) * args.n_heads + head) * args.value_dim + i] = product / whole;
        }
    }
}

#define ATTENTION_MAT(name, PARTS, GROUPS, Rows) \
    kernel void name(device const float *qkv [[buffer(0)]], HEAD_TENSORS, device uchar *pages [[buffer(7)]], \
                     device const uint *table [[buffer(8)]], constant HeadArgs &args [[buffer(9)]], \
                     device float *out [[buffer(10)]], threadgroup float *shared [[threadgroup(0)]], \
                     uint3 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]], \
                     uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) { \
        HeadTensors tensors = {q_bias, k_bias, v_bias, q_norm, k_norm, angles}; \
        attention_mat<PARTS, GROUPS, Rows>(qkv, tensors, pages, table, out, args, shared, group, thread_index, simd, lane); \
    }

// By the largest head they serve.
ATTENTION_MAT(attention_mat_64_f16, 8, 4, HalfRows)
ATTENTION_MAT(attention_mat_128_f16, 16, 4, HalfRows)
ATTENTION_MAT(attention_mat_256_f16, 32, 2, HalfRows)
ATTENTION_MAT(attention_mat_64_q8_0, 8, 4, ByteRows)
ATTENTION_MAT(attention_mat_128_q8_0, 16, 4, ByteRows)
ATTENTION_MAT(attention_mat_256_q8_0, 32, 2, ByteRows)
