// Rows times one token or a few: generation.
//
// A simdgroup owns 4 rows and walks them together, so that the 16 inputs a lane holds in registers are used 4 times; its 32
// lanes read 32 neighbouring parts of each row. Nothing is staged in threadgroup memory and there is no barrier: the GPU is
// kept busy by the many simdgroups. The norm in front costs no pass of its own: the weights of the norm go onto the inputs as
// they are loaded, and its factor, being one number, onto the sums at the end.

struct ProductArgs {
    uint k;            // inner dimension
    uint tokens;       // t
    uint row_bytes;    // of a weight row
    uint last_bytes;   // of a row of the last matrix, where that has a format of its own
    uint rows[3];      // of each matrix; 0 where there are fewer
    uint out_stride;   // values from one token's output to the next
    uint in_stride;    // values from one token's input to the next
    uint has_norm;     // RMS norm of the input
    uint has_residual; // added to the output, laid out like it
    float eps;         // of the norm
    uint has_bias;     // one per row, added to the product
    float scale;       // of product and bias
    float cap;         // soft cap behind the scale; 0 for none
    uint gelu;         // gates go through GELU (tanh form), else through SiLU
};

// tanh by one exponential, which stays finite.
inline float soft_cap(float x, float cap) {
    if (cap == 0.0f) {
        return x;
    }
    float e = exp(2.0f * min(max(x / cap, -20.0f), 20.0f));
    return cap * (e - 1.0f) / (e + 1.0f);
}

// What becomes of a row's product.
inline float finished(float product, uint row, ulong to, device const float *bias, device const float *residual,
                      constant ProductArgs &args) {
    float y = soft_cap((product + (args.has_bias ? bias[row] : 0.0f)) * args.scale, args.cap);
    return args.has_residual ? y + residual[to] : y;
}

constexpr constant uint MATVEC_ROWS = 4;
constexpr constant uint MATVEC_SIMDS = 4;

// `sums[row][token]` of this simdgroup's rows, the norm applied. Loops over tokens have a constant bound: only laid out do they leave the
// sums in registers.
template <typename F, uint TOKENS>
void dots(device const uchar *const thread *rows, device const float *x, device const float *norm, uint tokens,
          constant ProductArgs &args, uint lane, thread float (*sums)[TOKENS]) {
    float squares[TOKENS];
    for (uint t = 0; t < TOKENS; t++) {
        squares[t] = 0.0f;
        UNROLLED
        for (uint r = 0; r < MATVEC_ROWS; r++) {
            sums[r][t] = 0.0f;
        }
    }
    const uint parts = F::LEN / 16;
    for (uint i = lane; i < args.k / 16; i += 32) {
        uint part = i % parts, at = i / parts * F::LEN + F::at(part), block = i / parts * F::BYTES;
        UNROLLED
        for (uint t = 0; t < TOKENS; t++) {
            if (t >= tokens) {
                continue;
            }
            device const float *in = x + t * args.in_stride + at;
            float v[16], first = 0.0f, second = 0.0f;
            for (uint j = 0; j < 8; j++) {
                v[j] = in[j];
                v[j + 8] = in[j + F::APART];
            }
            if (args.has_norm) {
                for (uint j = 0; j < 8; j++) {
                    squares[t] += v[j] * v[j] + v[j + 8] * v[j + 8];
                    v[j] *= norm[at + j];
                    v[j + 8] *= norm[at + j + F::APART];
                }
            }
            for (uint j = 0; j < 8; j++) {
                first += v[j];
                second += v[j + 8];
            }
            UNROLLED
            for (uint r = 0; r < MATVEC_ROWS; r++) {
                sums[r][t] += F::dot(rows[r] + block, part, v, first, second);
            }
        }
    }
    UNROLLED
    for (uint t = 0; t < TOKENS; t++) {
        if (t >= tokens) {
            continue;
        }
        float scale = args.has_norm ? rsqrt(simd_sum(squares[t]) / float(args.k) + args.eps) : 1.0f;
        UNROLLED
        for (uint r = 0; r < MATVEC_ROWS; r++) {
            sums[r][t] = simd_sum(sums[r][t]) * scale;
        }
    }
}

// Up to three matrices over the same input (q, k, v), their outputs one after the other.
struct Matrices {
    device const uchar *w0, *w1, *w2;
};

inline device const uchar *rows_of(Matrices matrices, uint m) {
    return m == 0 ? matrices.w0 : m == 1 ? matrices.w1 : matrices.w2;
}

// The matrix that tile `tile` of `rows` rows belongs to, each matrix having whole tiles of its own; the tile then counts within
// it, and `start` is its first output.
inline uint matrix_of(thread uint &tile, thread uint &start, uint rows, constant ProductArgs &args) {
    uint m = 0;
    for (start = 0; m < 2 && tile >= (args.rows[m] + rows - 1) / rows; m++) {
        tile -= (args.rows[m] + rows - 1) / rows;
        start += args.rows[m];
    }
    return m;
}

// Rows `row` and the following of a matrix `w` with `n` rows.
template <typename F, uint TOKENS>
void matvec_rows(device const uchar *w, uint row_bytes, uint row, uint n, uint start, device const float *x,
                 device const float *norm, device const float *residual, device const float *bias, device float *out,
                 constant ProductArgs &args, uint group, uint lane) {
    uint token = group * TOKENS, tokens = min(TOKENS, args.tokens - token);
    device const uchar *rows[MATVEC_ROWS];
    UNROLLED
    for (uint r = 0; r < MATVEC_ROWS; r++) {
        rows[r] = w + ulong(min(row + r, n - 1)) * row_bytes;
    }
    float sums[MATVEC_ROWS][TOKENS];
    dots<F, TOKENS>(rows, x + token * args.in_stride, norm, tokens, args, lane, sums);
    // Lane r writes row r: every lane holds every sum.
    UNROLLED
    for (uint r = 0; r < MATVEC_ROWS; r++) {
        if (lane == r && row + r < n) {
            uint at = start + row + r;
            UNROLLED
            for (uint t = 0; t < TOKENS; t++) {
                if (t >= tokens) {
                    continue;
                }
                ulong to = ulong(token + t) * args.out_stride + at;
                out[to] = finished(sums[r][t], at, to, bias, residual, args);
            }
        }
    }
}

// `F` is the format of all matrices but the last of three, `G` that one's.
template <typename F, typename G, uint TOKENS>
void matvec(Matrices matrices, device const float *x, device const float *norm, device const float *residual,
            device const float *bias, device float *out, constant ProductArgs &args, uint3 group, uint simd, uint lane) {
    uint tile = group.x * MATVEC_SIMDS + simd, start;
    uint m = matrix_of(tile, start, MATVEC_ROWS, args), row = tile * MATVEC_ROWS, n = args.rows[m];
    if (row >= n) {
        return; // the whole simdgroup, past the last tile
    }
    device const uchar *w = rows_of(matrices, m);
    if (same<F, G>::YES || m < 2) {
        matvec_rows<F, TOKENS>(w, args.row_bytes, row, n, start, x, norm, residual, bias, out, args, group.y, lane);
    } else {
        matvec_rows<G, TOKENS>(w, args.last_bytes, row, n, start, x, norm, residual, bias, out, args, group.y, lane);
    }
}

// GELU's tanh form is a sigmoid too: (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) * (x + 0.044715 x^3).
inline float activated(float x, constant ProductArgs &args) {
    float u = args.gelu ? 1.5957691216f * (x + 0.044715f * x * x * x) : x;
    return x / (1.0f + exp(-u));
}

// `f(gate x) * (up x)`: a simdgroup owns 2 rows of each, so that both products of an output meet in one lane.
template <typename F, uint TOKENS>
void gate_up(device const uchar *gate, device const uchar *up, device const float *x, device const float *norm,
             device float *out, constant ProductArgs &args, uint3 group, uint simd, uint lane) {
    const uint half_rows = MATVEC_ROWS / 2;
    uint row = (group.x * MATVEC_SIMDS + simd) * half_rows, n = args.rows[0];
    if (row >= n) {
        return;
    }
    uint token = group.y * TOKENS, tokens = min(TOKENS, args.tokens - token);
    device const uchar *rows[MATVEC_ROWS];
    UNROLLED
    for (uint r = 0; r < half_rows; r++) {
        ulong at = ulong(min(row + r, n - 1)) * args.row_bytes;
        rows[r] = gate + at;
        rows[half_rows + r] = up + at;
    }
    float sums[MATVEC_ROWS][TOKENS];
    dots<F, TOKENS>(rows, x + token * args.in_stride, norm, tokens, args, lane, sums);
    UNROLLED
    for (uint r = 0; r < half_rows; r++) {
        if (lane == r && row + r < n) {
            UNROLLED
            for (uint t = 0; t < TOKENS; t++) {
                if (t >= tokens) {
                    continue;
                }
                out[ulong(token + t) * args.out_stride + row + r] = activated(sums[r][t], args) * sums[half_rows + r][t];
            }
        }
    }
}

#define MATVEC(name, F, G, TOKENS) \
    kernel void name(device const uchar *w0 [[buffer(0)]], device const uchar *w1 [[buffer(1)]], \
                     device const uchar *w2 [[buffer(2)]], device const float *x [[buffer(3)]], \
                     device const float *norm [[buffer(4)]], device const float *residual [[buffer(5)]], \
                     device const float *bias [[buffer(6)]], device float *out [[buffer(7)]], \
                     constant ProductArgs &args [[buffer(8)]], uint3 group [[threadgroup_position_in_grid]], \
                     uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) { \
        matvec<F, G, TOKENS>({w0, w1, w2}, x, norm, residual, bias, out, args, group, simd, lane); \
    }

#define GATE_UP(name, F, TOKENS) \
    kernel void name(device const uchar *gate [[buffer(0)]], device const uchar *up [[buffer(1)]], \
                     device const float *x [[buffer(2)]], device const float *norm [[buffer(3)]], \
                     device float *out [[buffer(4)]], constant ProductArgs &args [[buffer(5)]], \
                     uint3 group [[threadgroup_position_in_grid]], uint simd [[simdgroup_index_in_threadgroup]], \
                     uint lane [[thread_index_in_simdgroup]]) { \
        gate_up<F, TOKENS>(gate, up, x, norm, out, args, group, simd, lane); \
    }

// One token, and up to 4: with more, what a lane keeps no longer fits its registers.
#define MATVECS(format, F) \
    MATVEC(matvec_##format, F, F, 1) MATVEC(matvec4_##format, F, F, 4) \
    GATE_UP(gate_up_##format, F, 1) GATE_UP(gate_up4_##format, F, 4)
#define MATVEC_PAIRS(formats, F, G) MATVEC(matvec_##formats, F, G, 1) MATVEC(matvec4_##formats, F, G, 4)

EACH_FORMAT(MATVECS)
EACH_PAIR(MATVEC_PAIRS)
