// Keys and values of a prompt into the cache. A simdgroup takes one head of one token: a key with bias, norm and rotation, a value
// with its bias. It is a dispatch of its own because the keys of all tokens must be there before any query reads them; a few
// tokens' are made wherever they are needed (attention.metal).

#define CACHE(name, Rows) \
    kernel void name(device const float *qkv [[buffer(0)]], HEAD_TENSORS, device uchar *pages [[buffer(7)]], \
                     device const uint *table [[buffer(8)]], constant HeadArgs &args [[buffer(9)]], \
                     threadgroup float *spare [[threadgroup(0)]], uint3 group [[threadgroup_position_in_grid]], \
                     uint lane [[thread_index_in_simdgroup]]) { \
        HeadTensors tensors = {q_bias, k_bias, v_bias, q_norm, k_norm, angles}; \
        if (group.x < args.n_kv_heads) { \
            make_key(qkv, group.y, group.x, tensors, args, spare, lane); \
            store_key<Rows>(spare, group.y, group.x, pages, table, args, lane); \
        } else { \
            make_value(qkv, group.y, group.x - args.n_kv_heads, tensors, args, spare, lane); \
            store_value<Rows>(spare, group.y, group.x - args.n_kv_heads, pages, table, args, lane); \
        } \
    }

CACHE(cache_f16, HalfRows)
CACHE(cache_q8_0, ByteRows)
