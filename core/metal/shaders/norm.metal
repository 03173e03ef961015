// The norm behind a block (Gemma, OLMo 2): what the block put out is normed, scaled and added to the residual stream. Its sum goes over
// rows that many threadgroups made, so it is a dispatch of its own: one threadgroup for each token.

struct NormArgs {
    uint k;
    float eps;
    float scale;
};

constexpr constant uint NORM_SIMDS = 4;

// `x` and `residual` [t, k], `norm` [k]; `sums` [4] in threadgroup memory.
kernel void add_normed(device const float *x [[buffer(0)]], device const float *norm [[buffer(1)]],
                       device float *residual [[buffer(2)]], constant NormArgs &args [[buffer(3)]],
                       threadgroup float *sums [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]], uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]]) {
    ulong row = ulong(group.x) * args.k;
    float squares = 0.0f;
    for (uint i = thread_index; i < args.k; i += 32 * NORM_SIMDS) {
        squares += x[row + i] * x[row + i];
    }
    squares = simd_sum(squares);
    if (lane == 0) {
        sums[simd] = squares;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float scale = args.scale * rsqrt((sums[0] + sums[1] + sums[2] + sums[3]) / float(args.k) + args.eps);
    for (uint i = thread_index; i < args.k; i += 32 * NORM_SIMDS) {
        residual[row + i] += scale * x[row + i] * norm[i];
    }
}
