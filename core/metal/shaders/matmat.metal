// Rows times many tokens: prompts.
//
// A threadgroup of 4 simdgroups makes a tile of 64 rows by 32 tokens. Per step of 32 along k it dequantizes the weights once into
// threadgroup memory, where all 32 tokens use them, and the simdgroups multiply 8x8 matrices, each owning 32 rows by 16
// tokens: 8 sums in registers, 6 loads for 8 products. Tiles are f32: at the multiply rate of f16 on A- and M-series up to
// now, and an activation of any size fits. Weights lie k by k, 64 rows side by side: threads of neighbouring rows then write to
// neighbouring banks. Arguments, and the norm in front, are as in matvec.metal.

constexpr constant uint TILE_ROWS = 64;
constexpr constant uint TILE_TOKENS = 32;
constexpr constant uint TILE_K = 32;

// Threadgroup memory: weights [32 k][64 rows] and in the end, in their place, sums [32 tokens][64 rows]; inputs [32 tokens][32 k];
// scales [32 tokens].
constexpr constant uint TILE_INPUTS = TILE_ROWS * TILE_K;
constexpr constant uint TILE_SCALES = TILE_INPUTS + TILE_TOKENS * TILE_K;

// Leaves `sums[token][row]` in `shared`, not yet scaled by the norm, whose factors it leaves behind them. `row` is the weight row
// that this thread dequantizes: threads 2 * r and 2 * r + 1 do row r, 16 of its 32 values each.
template <typename F>
void tile(device const uchar *row, device const float *x, device const float *norm, uint tokens, constant ProductArgs &args,
          threadgroup float *shared, uint thread_index, uint simd) {
    threadgroup float *weights = shared, *inputs = shared + TILE_INPUTS, *scales = shared + TILE_SCALES;
    simdgroup_float8x8 sums[4][2];
    UNROLLED
    for (uint i = 0; i < 4; i++) {
        UNROLLED
        for (uint j = 0; j < 2; j++) {
            sums[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    uint side = thread_index % 2, token = thread_index / 4, quarter = thread_index % 4;
    device const float *in = x + ulong(min(token, tokens - 1)) * args.in_stride;
    float squares = 0.0f;
    for (uint k = 0; k < args.k; k += TILE_K) {
        // k is a multiple of 16: a last step may hold one part.
        uint part = k / 16 + side;
        float y[16];
        if (part < args.k / 16) {
            F::values(row + part / (F::LEN / 16) * F::BYTES, part % (F::LEN / 16), y);
        } else {
            for (uint i = 0; i < 16; i++) {
                y[i] = 0.0f;
            }
        }
        for (uint i = 0; i < 16; i++) {
            weights[(16 * side + i) * TILE_ROWS + thread_index / 2] = y[i];
        }
        for (uint i = 0; i < 8; i++) {
            uint at = k + 8 * quarter + i;
            float v = at < args.k ? in[at] : 0.0f;
            squares += v * v;
            inputs[token * TILE_K + 8 * quarter + i] = args.has_norm && at < args.k ? v * norm[at] : v;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint first_row = 32 * (simd % 2), first_token = 16 * (simd / 2);
        for (uint step = 0; step < TILE_K; step += 8) {
            simdgroup_float8x8 a[4], b[2];
            UNROLLED
            for (uint i = 0; i < 4; i++) {
                simdgroup_load(a[i], weights + step * TILE_ROWS + first_row + 8 * i, TILE_ROWS);
            }
            UNROLLED
            for (uint j = 0; j < 2; j++) {
                simdgroup_load(b[j], inputs + (first_token + 8 * j) * TILE_K + step, TILE_K);
            }
            UNROLLED
            for (uint i = 0; i < 4; i++) {
                UNROLLED
                for (uint j = 0; j < 2; j++) {
                    simdgroup_multiply_accumulate(sums[i][j], b[j], a[i], sums[i][j]);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    UNROLLED
    for (uint i = 0; i < 4; i++) {
        UNROLLED
        for (uint j = 0; j < 2; j++) {
            uint to = (16 * (simd / 2) + 8 * j) * TILE_ROWS + 32 * (simd % 2) + 8 * i;
            simdgroup_store(sums[i][j], shared + to, TILE_ROWS);
        }
    }
    squares += simd_shuffle_xor(squares, 1);
    squares += simd_shuffle_xor(squares, 2);
    if (quarter == 0) {
        scales[token] = args.has_norm ? rsqrt(squares / float(args.k) + args.eps) : 1.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

template <typename F, typename G>
void matmat(Matrices matrices, device const float *x, device const float *norm, device const float *residual,
            device const float *bias, device float *out, constant ProductArgs &args, threadgroup float *shared, uint3 group,
            uint thread_index, uint simd) {
    uint block = group.x, start;
    uint m = matrix_of(block, start, TILE_ROWS, args), n = args.rows[m], row = block * TILE_ROWS;
    uint token = group.y * TILE_TOKENS, tokens = min(TILE_TOKENS, args.tokens - token);
    ulong mine = min(row + thread_index / 2, n - 1);
    device const uchar *w = rows_of(matrices, m);
    device const float *in = x + ulong(token) * args.in_stride;
    if (same<F, G>::YES || m < 2) {
        tile<F>(w + mine * args.row_bytes, in, norm, tokens, args, shared, thread_index, simd);
    } else {
        tile<G>(w + mine * args.last_bytes, in, norm, tokens, args, shared, thread_index, simd);
    }
    // Neighbouring threads write neighbouring rows.
    for (uint i = thread_index; i < tokens * TILE_ROWS; i += 128) {
        uint t = i / TILE_ROWS, r = i % TILE_ROWS;
        if (row + r < n) {
            uint at = start + row + r;
            ulong to = ulong(token + t) * args.out_stride + at;
            out[to] = finished(shared[i] * shared[TILE_SCALES + t], at, to, bias, residual, args);
        }
    }
}

// 32 rows of gate and the same 32 of up make one tile.
template <typename F>
void gate_up_mat(device const uchar *gate, device const uchar *up, device const float *x, device const float *norm,
                 device float *out, constant ProductArgs &args, threadgroup float *shared, uint3 group, uint thread_index,
                 uint simd) {
    const uint half_rows = TILE_ROWS / 2;
    uint row = group.x * half_rows, n = args.rows[0], mine = thread_index / 2;
    uint token = group.y * TILE_TOKENS, tokens = min(TILE_TOKENS, args.tokens - token);
    ulong at = ulong(min(row + mine % half_rows, n - 1)) * args.row_bytes;
    tile<F>((mine < half_rows ? gate : up) + at, x + ulong(token) * args.in_stride, norm, tokens, args, shared,
            thread_index, simd);
    for (uint i = thread_index; i < tokens * half_rows; i += 128) {
        uint t = i / half_rows, r = i % half_rows;
        if (row + r < n) {
            float scale = shared[TILE_SCALES + t];
            float g = shared[t * TILE_ROWS + r] * scale, u = shared[t * TILE_ROWS + half_rows + r] * scale;
            out[ulong(token + t) * args.out_stride + row + r] = activated(g, args) * u;
        }
    }
}

#define MATMAT(name, F, G) \
    kernel void name(device const uchar *w0 [[buffer(0)]], device const uchar *w1 [[buffer(1)]], \
                     device const uchar *w2 [[buffer(2)]], device const float *x [[buffer(3)]], \
                     device const float *norm [[buffer(4)]], device const float *residual [[buffer(5)]], \
                     device const float *bias [[buffer(6)]], device float *out [[buffer(7)]], \
                     constant ProductArgs &args [[buffer(8)]], threadgroup float *shared [[threadgroup(0)]], \
                     uint3 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]], \
                     uint simd [[simdgroup_index_in_threadgroup]]) { \
        matmat<F, G>({w0, w1, w2}, x, norm, residual, bias, out, args, shared, group, thread_index, simd); \
    }

#define GATE_UP_MAT(name, F) \
    kernel void name(device const uchar *gate [[buffer(0)]], device const uchar *up [[buffer(1)]], \
                     device const float *x [[buffer(2)]], device const float *norm [[buffer(3)]], \
                     device float *out [[buffer(4)]], constant ProductArgs &args [[buffer(5)]], \
                     threadgroup float *shared [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]], \
                     uint thread_index [[thread_index_in_threadgroup]], uint simd [[simdgroup_index_in_threadgroup]]) { \
        gate_up_mat<F>(gate, up, x, norm, out, args, shared, group, thread_index, simd); \
    }

#define MATMATS(format, F) MATMAT(matmat_##format, F, F) GATE_UP_MAT(gate_up_mat_##format, F)
#define MATMAT_PAIRS(formats, F, G) MATMAT(matmat_##formats, F, G)

EACH_FORMAT(MATMATS)
EACH_PAIR(MATMAT_PAIRS)
