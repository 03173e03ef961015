// Between the q, k, v rows and attention: bias and norm of each head, rotary embedding, and keys and values into the cache.
//
// A simdgroup takes one head of one token. What it does is little and all in registers; it is a dispatch of its own because a
// head's rows are made by several simdgroups.

struct CacheArgs {
    uint n_heads;
    uint n_kv_heads;
    uint head_dim;
    uint value_dim;
    uint rotated;       // how many values of a head rotate
    uint adjacent;      // pairs are neighbours; else half of `rotated` apart
    uint first;         // position of the first token
    uint stride;        // values from one token's q, k, v to the next
    uint has_bias;      // one per value of q, k and v
    uint has_norm;      // q/k norm
    float eps;
};

constexpr constant uint PAGE = 64;           // positions of a page
constexpr constant uint PAGE_UNIT = 16384;   // bytes that the page table counts in

// `qkv` [t, n_heads + n_kv_heads, head_dim] and then values [n_kv_heads, value_dim]; queries are rotated in place. `angles` is cos and sin
// [t, rotated / 2, 2]. `pages` holds K [n_kv_heads, 64, head_dim] and V [n_kv_heads, 64, value_dim] at each place of `table`.
kernel void cache(device float *qkv [[buffer(0)]], device const float *q_bias [[buffer(1)]],
                  device const float *k_bias [[buffer(2)]], device const float *v_bias [[buffer(3)]],
                  device const float *q_norm [[buffer(4)]], device const float *k_norm [[buffer(5)]],
                  device const float *angles [[buffer(6)]], device uchar *pages [[buffer(7)]],
                  device const uint *table [[buffer(8)]], constant CacheArgs &args [[buffer(9)]],
                  uint3 group [[threadgroup_position_in_grid]], uint lane [[thread_index_in_simdgroup]]) {
    uint head = group.x, token = group.y, position = args.first + token;
    device half *page = (device half *)(pages + ulong(table[position / PAGE]) * PAGE_UNIT);
    device float *row = qkv + ulong(token) * args.stride;
    uint n_rotated_heads = args.n_heads + args.n_kv_heads;
    if (head >= n_rotated_heads) {
        uint kv = head - n_rotated_heads;
        device const float *from = row + n_rotated_heads * args.head_dim + kv * args.value_dim;
        device half *to = page + args.n_kv_heads * PAGE * args.head_dim + (kv * PAGE + position % PAGE) * args.value_dim;
        for (uint i = lane; i < args.value_dim; i += 32) {
            to[i] = half(from[i] + (args.has_bias ? v_bias[kv * args.value_dim + i] : 0.0f));
        }
        return;
    }
    device float *values = row + head * args.head_dim;
    bool is_key = head >= args.n_heads;
    uint of_kind = is_key ? head - args.n_heads : head;
    device const float *bias = (is_key ? k_bias : q_bias) + of_kind * args.head_dim;
    device const float *norm = is_key ? k_norm : q_norm;
    float scale = 1.0f;
    if (args.has_norm) {
        float squares = 0.0f;
        for (uint i = lane; i < args.head_dim; i += 32) {
            float x = values[i] + (args.has_bias ? bias[i] : 0.0f);
            squares += x * x;
        }
        scale = rsqrt(simd_sum(squares) / float(args.head_dim) + args.eps);
    }
    device half *to = page + (of_kind * PAGE + position % PAGE) * args.head_dim; // a key's place; a query stays
    uint pairs = args.rotated / 2;
    // A lane owns whole pairs, and so nobody else reads what it writes.
    for (uint i = lane; i < pairs + (args.head_dim - args.rotated); i += 32) {
        bool rotates = i < pairs;
        uint a = rotates ? (args.adjacent ? 2 * i : i) : args.rotated + i - pairs;
        uint b = args.adjacent ? a + 1 : a + pairs;
        float x = (values[a] + (args.has_bias ? bias[a] : 0.0f)) * scale * (args.has_norm ? norm[a] : 1.0f);
        if (!rotates) {
            if (is_key) {
                to[a] = half(x);
            } else {
                values[a] = x;
            }
            continue;
        }
        float y = (values[b] + (args.has_bias ? bias[b] : 0.0f)) * scale * (args.has_norm ? norm[b] : 1.0f);
        device const float *angle = angles + (ulong(token) * pairs + i) * 2;
        float left = x * angle[0] - y * angle[1], right = x * angle[1] + y * angle[0];
        if (is_key) {
            to[a] = half(left);
            to[b] = half(right);
        } else {
            values[a] = left;
            values[b] = right;
        }
    }
}
