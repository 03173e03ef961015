// Block formats of weight rows. Every other shader is compiled behind this text.
//
// A block is read in parts of 16 values. A mat-vec lane holds one part of the input in registers and multiplies it with the
// same part of several rows. Where two values share a byte, a part is two runs of 8: `at(part)` and `APART` further on, so
// that a lane loads 8 bytes, each once, and lanes beside each other load bytes beside each other. Tiles and embeddings
// take 16 neighbours instead (`values`).
//
// Rows begin at any even address (Q6_K: 210 bytes; Q4_0: 18), so whole numbers wider than 16 bits are put together.
// Products are f32. Biases and minimums are factored out of the sum: `sum(d * (q - 8) * x) = d * (sum(q * x) - 8 * sum(x))`.

#include <metal_stdlib>
using namespace metal;

// What a lane keeps in arrays is in registers only if the loops over them are laid out.
#ifndef UNROLLED
#define UNROLLED _Pragma("clang loop unroll(full)")
#endif

inline ushort word(device const uchar *bytes, uint i) {
    return ((device const ushort *)bytes)[i];
}

inline float half_at(device const uchar *bytes) {
    return float(*(device const half *)bytes);
}

// 8 bytes: their low halves times x[0..8] in `low`, their high halves times x[8..16] in `high`. The halves are used in place,
// so those of a word's second byte come out 256 times, and high halves 16 times too large.
inline void nibbles(device const uchar *bytes, thread const float *x, thread float &low, thread float &high) {
    float4 sum = float4(0.0f);
    for (uint i = 0; i < 4; i++) {
        ushort w = word(bytes, i);
        sum.x += float(w & 0x000fu) * x[2 * i];
        sum.y += float(w & 0x0f00u) * x[2 * i + 1];
        sum.z += float(w & 0x00f0u) * x[2 * i + 8];
        sum.w += float(w & 0xf000u) * x[2 * i + 9];
    }
    low = sum.x + sum.y * (1.0f / 256.0f);
    high = sum.z * (1.0f / 16.0f) + sum.w * (1.0f / 4096.0f);
}

// The halves of 16 bytes, low or high.
inline void halves(device const uchar *bytes, uint shift, thread float *y) {
    for (uint i = 0; i < 16; i++) {
        y[i] = float((bytes[i] >> shift) & 15);
    }
}

// A 5th bit: 16 where bit i of `bits` is set.
inline float fifth(uint bits, uint i) {
    return float(((bits >> i) & 1) << 4);
}

// The sum of the x[i], i below 8, whose bit is set, times 16.
inline float fifths(uint bits, thread const float *x) {
    float sum = 0.0f;
    for (uint i = 0; i < 8; i++) {
        sum += fifth(bits, i) * x[i];
    }
    return sum;
}

// Formats whose values stand beside each other: 16 values are one part and the block. Weights are widened exactly.
template <typename T, uint SIZE>
struct Plain {
    enum { LEN = 16, BYTES = 16 * SIZE, APART = 8 };
    static uint at(uint) { return 0; }
    static void values(device const uchar *block, uint, thread float *y) {
        for (uint i = 0; i < 16; i++) {
            y[i] = T::widen(block + i * SIZE);
        }
    }
    static float dot(device const uchar *block, uint, thread const float *x, float, float) {
        float sum = 0.0f;
        for (uint i = 0; i < 16; i++) {
            sum += T::widen(block + i * SIZE) * x[i];
        }
        return sum;
    }
};

struct Single {
    static float widen(device const uchar *bytes) { return *(device const float *)bytes; }
};
struct Half {
    static float widen(device const uchar *bytes) { return half_at(bytes); }
};
struct Brain {
    static float widen(device const uchar *bytes) { return as_type<float>(uint(word(bytes, 0)) << 16); }
};
typedef Plain<Single, 4> F32;
typedef Plain<Half, 2> F16;
typedef Plain<Brain, 2> BF16;

struct Q8_0 {
    enum { LEN = 32, BYTES = 34, APART = 8 };
    static uint at(uint part) { return 16 * part; }
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block);
        device const char *q = (device const char *)(block + 2 + 16 * part);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * float(q[i]);
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float, float) {
        device const char *q = (device const char *)(block + 2 + 16 * part);
        float sum = 0.0f;
        for (uint i = 0; i < 16; i++) {
            sum += float(q[i]) * x[i];
        }
        return half_at(block) * sum;
    }
};

// The 4-bit formats of 32 values: byte i holds values i and i + 16.
struct Nibbles32 {
    enum { LEN = 32, APART = 16 };
    static uint at(uint part) { return 8 * part; }
};

struct Q4_0 : Nibbles32 {
    enum { BYTES = 18 };
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block);
        halves(block + 2, 4 * part, y);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * (y[i] - 8.0f);
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        nibbles(block + 2 + 8 * part, x, low, high);
        return half_at(block) * (low + high - 8.0f * (first + second));
    }
};

struct Q4_1 : Nibbles32 {
    enum { BYTES = 20 };
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block), m = half_at(block + 2);
        halves(block + 4, 4 * part, y);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * y[i] + m;
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        nibbles(block + 4 + 8 * part, x, low, high);
        return half_at(block) * (low + high) + half_at(block + 2) * (first + second);
    }
};

// 32 fifth bits stand before the halves: bit i is value i's.
inline uint bits32(device const uchar *bytes) {
    return uint(word(bytes, 0)) | uint(word(bytes, 1)) << 16;
}

struct Q5_0 : Nibbles32 {
    enum { BYTES = 22 };
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block);
        uint bits = bits32(block + 2) >> (16 * part);
        halves(block + 6, 4 * part, y);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * (y[i] + fifth(bits, i) - 16.0f);
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        uint bits = bits32(block + 2) >> (8 * part);
        nibbles(block + 6 + 8 * part, x, low, high);
        float top = fifths(bits, x) + fifths(bits >> 16, x + 8);
        return half_at(block) * (low + high + top - 16.0f * (first + second));
    }
};

struct Q5_1 : Nibbles32 {
    enum { BYTES = 24 };
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block), m = half_at(block + 2);
        uint bits = bits32(block + 4) >> (16 * part);
        halves(block + 8, 4 * part, y);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * (y[i] + fifth(bits, i)) + m;
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        uint bits = bits32(block + 4) >> (8 * part);
        nibbles(block + 8 + 8 * part, x, low, high);
        float top = fifths(bits, x) + fifths(bits >> 16, x + 8);
        return half_at(block) * (low + high + top) + half_at(block + 2) * (first + second);
    }
};

// What the 4 bits of IQ4_NL stand for.
constant float IQ4_VALUES[16] = {-127.0f, -104.0f, -83.0f, -65.0f, -49.0f, -35.0f, -22.0f, -10.0f,
                                 1.0f,    13.0f,   25.0f,  38.0f,  53.0f,  69.0f,  89.0f,  113.0f};

struct IQ4_NL : Nibbles32 {
    enum { BYTES = 18 };
    static void values(device const uchar *block, uint part, thread float *y) {
        float d = half_at(block);
        for (uint i = 0; i < 16; i++) {
            y[i] = d * IQ4_VALUES[(block[2 + i] >> (4 * part)) & 15];
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float, float) {
        device const uchar *q = block + 2 + 8 * part;
        float sum = 0.0f;
        for (uint i = 0; i < 8; i++) {
            sum += IQ4_VALUES[q[i] & 15] * x[i] + IQ4_VALUES[q[i] >> 4] * x[i + 8];
        }
        return half_at(block) * sum;
    }
};

// Q4_K and Q5_K: 32 bytes hold the low halves of one sub-block of 32 and the high halves of the next. Part 4 * c + s is bytes
// 8 * s.. of the 32 bytes c. Scale and minimum of a sub-block have 6 bits each, packed into 12 bytes from the 5th on.
struct Nibbles256 {
    enum { LEN = 256, APART = 32 };
    static uint at(uint part) { return 64 * (part / 4) + 8 * (part % 4); }
    static float2 scale_min(device const uchar *block, uint sub) {
        device const uchar *packed = block + 4;
        uchar scale, min;
        if (sub < 4) {
            scale = packed[sub] & 63;
            min = packed[sub + 4] & 63;
        } else {
            scale = (packed[sub + 4] & 15) | ((packed[sub - 4] >> 6) << 4);
            min = (packed[sub + 4] >> 4) | ((packed[sub] >> 6) << 4);
        }
        return float2(half_at(block) * float(scale), half_at(block + 2) * float(min));
    }
};

struct Q4_K : Nibbles256 {
    enum { BYTES = 144 };
    static void values(device const uchar *block, uint part, thread float *y) {
        uint sub = part / 2;
        float2 scale = scale_min(block, sub);
        halves(block + 16 + 32 * (sub / 2) + 16 * (part % 2), 4 * (sub % 2), y);
        for (uint i = 0; i < 16; i++) {
            y[i] = scale.x * y[i] - scale.y;
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        nibbles(block + 16 + 8 * part, x, low, high);
        float2 a = scale_min(block, part / 4 * 2), b = scale_min(block, part / 4 * 2 + 1);
        return a.x * low + b.x * high - a.y * first - b.y * second;
    }
};

struct Q5_K : Nibbles256 {
    enum { BYTES = 176 };
    // Bit `sub` of 32 bytes is the 5th bit of the sub-block's 32 values.
    static void values(device const uchar *block, uint part, thread float *y) {
        uint sub = part / 2, half_of = 16 * (part % 2);
        float2 scale = scale_min(block, sub);
        device const uchar *top = block + 16 + half_of;
        halves(block + 48 + 32 * (sub / 2) + half_of, 4 * (sub % 2), y);
        for (uint i = 0; i < 16; i++) {
            y[i] = scale.x * (y[i] + fifth(top[i], sub)) - scale.y;
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        uint sub = part / 4 * 2;
        nibbles(block + 48 + 8 * part, x, low, high);
        device const uchar *top = block + 16 + 8 * (part % 4);
        for (uint i = 0; i < 8; i++) {
            low += fifth(top[i], sub) * x[i];
            high += fifth(top[i], sub + 1) * x[i + 8];
        }
        float2 a = scale_min(block, sub), b = scale_min(block, sub + 1);
        return a.x * low + b.x * high - a.y * first - b.y * second;
    }
};

// Two halves of 128: 64 bytes whose low halves are values 0..64 and high halves 64..128, and 32 bytes of 2-bit tops, value i's
// in bits 2 * (i / 32) of byte i % 32. Then 16 signed scales, one per 16 values, and d.
struct Q6_K {
    enum { LEN = 256, BYTES = 210, APART = 64 };
    static uint at(uint part) { return 128 * (part / 8) + 8 * (part % 8); }
    static float scale(device const uchar *block, uint group) { return float(((device const char *)block)[192 + group]); }
    static void values(device const uchar *block, uint part, thread float *y) {
        uint i = part % 8 * 16; // within the half
        float d = half_at(block + 208) * scale(block, part);
        device const uchar *top = block + 128 + 32 * (part / 8) + i % 32;
        halves(block + 64 * (part / 8) + i % 64, 4 * (i / 64), y);
        for (uint j = 0; j < 16; j++) {
            y[j] = d * (y[j] + float(((top[j] >> (2 * (i / 32))) & 3) << 4) - 32.0f);
        }
    }
    static float dot(device const uchar *block, uint part, thread const float *x, float first, float second) {
        float low, high;
        uint i = part % 8 * 8, shift = 2 * (i / 32);
        device const uchar *top = block + 128 + 32 * (part / 8) + i % 32;
        nibbles(block + 8 * part, x, low, high);
        for (uint j = 0; j < 8; j++) {
            low += float(((top[j] >> shift) & 3) << 4) * x[j];
            high += float(((top[j] >> (shift + 4)) & 3) << 4) * x[j + 8];
        }
        uint group = at(part) / 16;
        float a = scale(block, group) * (low - 32.0f * first);
        float b = scale(block, group + 4) * (high - 32.0f * second);
        return half_at(block + 208) * (a + b);
    }
};

// Stamps a line for every format.
#define EACH_FORMAT(line) \
    line(f32, F32) line(f16, F16) line(bf16, BF16) line(q4_0, Q4_0) line(q4_1, Q4_1) line(q5_0, Q5_0) line(q5_1, Q5_1) \
    line(q8_0, Q8_0) line(q4_k, Q4_K) line(q5_k, Q5_K) line(q6_k, Q6_K) line(iq4_nl, IQ4_NL)

// And for the pairs that mixed files give q and k, and v: quantizers store v more finely, and formats of 32 where rows are no
// multiple of 256.
#define EACH_PAIR(line) \
    line(q4_k_q6_k, Q4_K, Q6_K) line(q4_k_q5_k, Q4_K, Q5_K) line(q5_k_q6_k, Q5_K, Q6_K) line(q5_0_q8_0, Q5_0, Q8_0) \
    line(q5_1_q8_0, Q5_1, Q8_0)

template <typename F, typename G>
struct same {
    enum { YES = 0 };
};
template <typename F>
struct same<F, F> {
    enum { YES = 1 };
};
