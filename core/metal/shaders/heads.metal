// Heads on their way from the q, k, v rows to attention: bias, norm and rotation, and how the cache stores keys and values.
//
// A simdgroup prepares one head in threadgroup memory. What it does is little; attention repeats it for a query wherever it
// reads one, so that queries are never written back.

struct HeadArgs {
    uint n_heads;
    uint n_kv_heads;
    uint head_dim;
    uint value_dim;
    uint rotated;         // how many values of a head rotate; 0 where the layer does not
    uint adjacent;        // pairs are neighbours; else half of `rotated` apart
    uint stride;          // values from one token's q, k, v to the next
    uint has_bias;        // one per value of q, k and v
    uint norm;            // of queries and keys
    uint norm_late;       // it follows the rotation
    float eps;
    uint first;           // position of the first token
    uint tokens;
    uint window;          // how many positions a query sees at most, its own included
    float scale;          // of the scores
    float cap;            // soft cap of the scores; 0 for none
    float temperature;    // queries at position p are multiplied by 1 + temperature * log(p / period + 1); 0 for not at all
    uint period;
    uint heads;           // query heads a threadgroup takes, of one group
    uint tokens_together; // tokens it takes; heads * tokens_together is at most 8
    uint first_slice;     // number of the first slice that any query sees
    uint slices;
    uint pages_per_slice;
    uint stores;          // attention makes the keys and values of its tokens itself, and writes them
};

// Kinds of norms: none, the same weights for each head, weights for each head, one norm over all heads.
constexpr constant uint NORM_SHARED = 1;
constexpr constant uint NORM_EACH = 2;
constexpr constant uint NORM_WHOLE = 3;

constexpr constant uint PAGE = 64;         // positions of a page
constexpr constant uint PAGE_UNIT = 16384; // bytes that the page table counts in

// Biases [heads * head_dim], norms [head_dim] or [heads * head_dim], cos and sin [t, rotated / 2, 2].
struct HeadTensors {
    device const float *q_bias;
    device const float *k_bias;
    device const float *v_bias;
    device const float *q_norm;
    device const float *k_norm;
    device const float *angles;
};

#define HEAD_TENSORS \
    device const float *q_bias [[buffer(1)]], device const float *k_bias [[buffer(2)]], \
    device const float *v_bias [[buffer(3)]], device const float *q_norm [[buffer(4)]], \
    device const float *k_norm [[buffer(5)]], device const float *angles [[buffer(6)]]

// The values of a head that a lane has: whole pairs, so that nobody else reads what it writes.
struct Pair {
    uint a, b;
    bool rotates;
};

inline Pair pair_at(uint i, constant HeadArgs &args) {
    uint pairs = args.rotated / 2;
    if (i >= pairs) {
        return {args.rotated + i - pairs, 0, false};
    }
    uint a = args.adjacent ? 2 * i : i;
    return {a, args.adjacent ? a + 1 : a + pairs, true};
}

// Bias, norm and rotation of a token's head, counted over queries and keys; `qkv` and `token` say whose. Value i goes to
// `to[i / 8 * step + i % 8]`: one after the other with 8, into 8x8 matrices with 64.
inline void prepare(device const float *qkv, uint token, uint head, HeadTensors tensors, constant HeadArgs &args,
                    threadgroup float *to, uint step, uint lane) {
    bool is_key = head >= args.n_heads, early = args.norm != 0 && !args.norm_late;
    uint dim = args.head_dim, of_kind = (is_key ? head - args.n_heads : head) * dim;
    device const float *kind = qkv + ulong(token) * args.stride + (is_key ? args.n_heads * dim : 0);
    device const float *bias = is_key ? tensors.k_bias : tensors.q_bias;
    device const float *norm = (is_key ? tensors.k_norm : tensors.q_norm) + (args.norm == NORM_SHARED ? 0 : of_kind);
    float factor = 1.0f;
    if (!is_key && args.temperature != 0.0f) {
        factor += args.temperature * log(float((args.first + token) / args.period + 1));
    }
    bool late = args.norm != 0 && args.norm_late;
    float scale = late ? 1.0f : factor;
    if (early) {
        bool whole = args.norm == NORM_WHOLE;
        uint from = whole ? 0 : of_kind, n = whole ? (is_key ? args.n_kv_heads : args.n_heads) * dim : dim;
        float squares = 0.0f;
        for (uint i = from + lane; i < from + n; i += 32) {
            float x = kind[i] + (args.has_bias ? bias[i] : 0.0f);
            squares += x * x;
        }
        scale *= rsqrt(simd_sum(squares) / float(n) + args.eps);
    }
    uint own = dim - args.rotated / 2; // pairs and values that do not rotate
    float squares = 0.0f;
    for (uint i = lane; i < own; i += 32) {
        Pair at = pair_at(i, args);
        float x = (kind[of_kind + at.a] + (args.has_bias ? bias[of_kind + at.a] : 0.0f)) * scale * (early ? norm[at.a] : 1.0f);
        if (at.rotates) {
            float y = (kind[of_kind + at.b] + (args.has_bias ? bias[of_kind + at.b] : 0.0f)) * scale * (early ? norm[at.b] : 1.0f);
            device const float *angle = tensors.angles + (ulong(token) * (args.rotated / 2) + i) * 2;
            float turned = x * angle[1] + y * angle[0];
            x = x * angle[0] - y * angle[1];
            to[at.b / 8 * step + at.b % 8] = turned;
            squares += turned * turned;
        }
        to[at.a / 8 * step + at.a % 8] = x;
        squares += x * x;
    }
    if (late) {
        scale = factor * rsqrt(simd_sum(squares) / float(dim) + args.eps);
        for (uint i = lane; i < own; i += 32) {
            Pair at = pair_at(i, args);
            to[at.a / 8 * step + at.a % 8] *= scale * norm[at.a];
            if (at.rotates) {
                to[at.b / 8 * step + at.b % 8] *= scale * norm[at.b];
            }
        }
    }
}

// Rows of the cache as half precision.
struct HalfRows {
    static uint bytes(uint dim) { return 2 * dim; }
    static void store(threadgroup const float *x, uint dim, device uchar *row, uint lane) {
        for (uint i = lane; i < dim; i += 32) {
            ((device half *)row)[i] = half(x[i]);
        }
    }
    // In place, what comes back of values that are stored: each lane's own.
    static void round(threadgroup float *x, uint dim, uint lane) {
        for (uint i = lane; i < dim; i += 32) {
            x[i] = float(half(x[i]));
        }
    }
    // 8 neighbours from value 8 * part on.
    static void load(device const uchar *row, uint part, thread float *y) {
        device const half4 *from = (device const half4 *)row + 2 * part;
        float4 a = float4(from[0]), b = float4(from[1]);
        y[0] = a.x;
        y[1] = a.y;
        y[2] = a.z;
        y[3] = a.w;
        y[4] = b.x;
        y[5] = b.y;
        y[6] = b.z;
        y[7] = b.w;
    }
    static float at(device const uchar *row, uint i) { return float(((device const half *)row)[i]); }
};

// Rows as blocks of 32: a half and 32 signed bytes. A lane makes every 32nd value, so a block is one step.
struct ByteRows {
    static uint bytes(uint dim) { return dim / 32 * 34; }
    static float quantized(float value, float d) { return rint(d == 0.0f ? 0.0f : value * (1.0f / d)); }
    static void store(threadgroup const float *x, uint dim, device uchar *row, uint lane) {
        for (uint i = 0; i < dim / 32; i++) {
            float value = x[32 * i + lane], d = simd_max(fabs(value)) / 127.0f;
            device uchar *block = row + 34 * i;
            ((device char *)(block + 2))[lane] = char(quantized(value, d));
            if (lane == 0) {
                *(device half *)block = half(d);
            }
        }
    }
    static void round(threadgroup float *x, uint dim, uint lane) {
        for (uint i = 0; i < dim / 32; i++) {
            float value = x[32 * i + lane], d = simd_max(fabs(value)) / 127.0f;
            x[32 * i + lane] = float(half(d)) * quantized(value, d);
        }
    }
    static void load(device const uchar *row, uint part, thread float *y) {
        device const uchar *block = row + part / 4 * 34;
        device const char *q = (device const char *)(block + 2 + part % 4 * 8);
        float d = half_at(block);
        for (uint i = 0; i < 8; i++) {
            y[i] = d * float(q[i]);
        }
    }
    static float at(device const uchar *row, uint i) {
        device const uchar *block = row + i / 32 * 34;
        return half_at(block) * float(((device const char *)(block + 2))[i % 32]);
    }
};

// Keys [n_kv_heads, 64, row] and values [n_kv_heads, 64, row] of a page: the rows of one head from position `at` of the page on.
template <typename Rows>
device uchar *key_rows(device uchar *pages, uint place, uint kv, uint at, constant HeadArgs &args) {
    return pages + ulong(place) * PAGE_UNIT + (kv * PAGE + at) * Rows::bytes(args.head_dim);
}

template <typename Rows>
device uchar *value_rows(device uchar *pages, uint place, uint kv, uint at, constant HeadArgs &args) {
    ulong keys = args.n_kv_heads * PAGE * Rows::bytes(args.head_dim);
    return pages + ulong(place) * PAGE_UNIT + keys + (kv * PAGE + at) * Rows::bytes(args.value_dim);
}

// The key (or value) of one head of a token, by one simdgroup, into `to` [head_dim] (or [value_dim]) of its own.
inline void make_key(device const float *qkv, uint token, uint kv, HeadTensors tensors, constant HeadArgs &args,
                     threadgroup float *to, uint lane) {
    prepare(qkv, token, args.n_heads + kv, tensors, args, to, 8, lane);
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

inline void make_value(device const float *qkv, uint token, uint kv, HeadTensors tensors, constant HeadArgs &args,
                       threadgroup float *to, uint lane) {
    uint of_kind = kv * args.value_dim;
    device const float *kind = qkv + ulong(token) * args.stride + (args.n_heads + args.n_kv_heads) * args.head_dim;
    for (uint i = lane; i < args.value_dim; i += 32) {
        to[i] = kind[of_kind + i] + (args.has_bias ? tensors.v_bias[of_kind + i] : 0.0f);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

// What was made into its page.
template <typename Rows>
void store_key(threadgroup const float *from, uint token, uint kv, device uchar *pages, device const uint *table,
               constant HeadArgs &args, uint lane) {
    uint position = args.first + token;
    device uchar *row = key_rows<Rows>(pages, table[position / PAGE], kv, position % PAGE, args);
    Rows::store(from, args.head_dim, row, lane);
}

template <typename Rows>
void store_value(threadgroup const float *from, uint token, uint kv, device uchar *pages, device const uint *table,
                 constant HeadArgs &args, uint lane) {
    uint position = args.first + token;
    device uchar *row = value_rows<Rows>(pages, table[position / PAGE], kv, position % PAGE, args);
    Rows::store(from, args.value_dim, row, lane);
}

// Whether a query at `last` sees a key.
inline bool sees(uint last, uint position, constant HeadArgs &args) {
    return position <= last && last - position < args.window;
}

// The first position that a query at `last` sees.
inline uint first_seen(uint last, constant HeadArgs &args) {
    return last < args.window ? 0 : last + 1 - args.window;
}

inline float score(float product, constant HeadArgs &args) {
    return soft_cap(product * args.scale, args.cap);
}
