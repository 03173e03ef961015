// The rows of the tokens out of the embedding: each thread widens 16 neighbours. Tokens are read from a buffer, so that a token
// which the GPU itself will have chosen can be encoded ahead.

struct EmbedArgs {
    uint k;
    uint row_bytes;
    uint rows; // of the embedding
    float scale;
};

// `out` [t, k].
template <typename F>
void embed(device const uchar *weights, device const uint *tokens, device float *out, constant EmbedArgs &args, uint3 group,
           uint thread_index) {
    device const uchar *row = weights + ulong(min(tokens[group.y], args.rows - 1)) * args.row_bytes;
    uint part = group.x * 64 + thread_index;
    if (part < args.k / 16) {
        float y[16];
        F::values(row + part / (F::LEN / 16) * F::BYTES, part % (F::LEN / 16), y);
        for (uint i = 0; i < 16; i++) {
            out[ulong(group.y) * args.k + 16 * part + i] = args.scale * y[i];
        }
    }
}

#define EMBED(format, F) \
    kernel void embed_##format(device const uchar *weights [[buffer(0)]], device const uint *tokens [[buffer(1)]], \
                               device float *out [[buffer(2)]], constant EmbedArgs &args [[buffer(3)]], \
                               uint3 group [[threadgroup_position_in_grid]], \
                               uint thread_index [[thread_index_in_threadgroup]]) { \
        embed<F>(weights, tokens, out, args, group, thread_index); \
    }

EACH_FORMAT(EMBED)
