/* llama.cpp's loops as loops.py runs them: `peer LOOP FORMAT ROWS K TOKENS REPEATS` multiplies ROWS rows of K zeros with
 * TOKENS vectors, REPEATS times. LOOP is `raw` (a dot product for each row and token) or a repacked layout, 4x4 to 8x8.
 *
 * Signatures and block sizes: ggml-cpu/quants.h, ggml-cpu/repack.h and ggml-common.h of llama.cpp. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void dot_fn(int, float *, size_t, const void *, size_t, const void *, size_t, int);
typedef void rows_fn(int, float *, size_t, const void *, const void *, int, int);

dot_fn ggml_vec_dot_q4_0_q8_0, ggml_vec_dot_q8_0_q8_0, ggml_vec_dot_q4_K_q8_K, ggml_vec_dot_q6_K_q8_K;
rows_fn ggml_gemv_q4_0_4x4_q8_0, ggml_gemv_q4_0_4x8_q8_0, ggml_gemv_q8_0_4x4_q8_0, ggml_gemv_q8_0_4x8_q8_0;
rows_fn ggml_gemv_q4_K_8x4_q8_K, ggml_gemv_q4_K_8x8_q8_K, ggml_gemv_q6_K_8x4_q8_K, ggml_gemv_q6_K_8x8_q8_K;
rows_fn ggml_gemm_q4_0_4x4_q8_0, ggml_gemm_q4_0_4x8_q8_0, ggml_gemm_q8_0_4x4_q8_0, ggml_gemm_q8_0_4x8_q8_0;
rows_fn ggml_gemm_q4_K_8x4_q8_K, ggml_gemm_q4_K_8x8_q8_K, ggml_gemm_q6_K_8x4_q8_K, ggml_gemm_q6_K_8x8_q8_K;

static const struct {
    const char *format;
    int values, bytes, token_bytes; /* of a block, and of the activations for it */
    dot_fn *raw;
    const char *layouts[2];
    rows_fn *one[2], *many[2];
} LOOPS[] = {
    {"Q4_0", 32, 18, 34, ggml_vec_dot_q4_0_q8_0, {"4x4", "4x8"},
     {ggml_gemv_q4_0_4x4_q8_0, ggml_gemv_q4_0_4x8_q8_0}, {ggml_gemm_q4_0_4x4_q8_0, ggml_gemm_q4_0_4x8_q8_0}},
    {"Q8_0", 32, 34, 34, ggml_vec_dot_q8_0_q8_0, {"4x4", "4x8"},
     {ggml_gemv_q8_0_4x4_q8_0, ggml_gemv_q8_0_4x8_q8_0}, {ggml_gemm_q8_0_4x4_q8_0, ggml_gemm_q8_0_4x8_q8_0}},
    {"Q4_K", 256, 144, 292, ggml_vec_dot_q4_K_q8_K, {"8x4", "8x8"},
     {ggml_gemv_q4_K_8x4_q8_K, ggml_gemv_q4_K_8x8_q8_K}, {ggml_gemm_q4_K_8x4_q8_K, ggml_gemm_q4_K_8x8_q8_K}},
    {"Q6_K", 256, 210, 292, ggml_vec_dot_q6_K_q8_K, {"8x4", "8x8"},
     {ggml_gemv_q6_K_8x4_q8_K, ggml_gemv_q6_K_8x8_q8_K}, {ggml_gemm_q6_K_8x4_q8_K, ggml_gemm_q6_K_8x8_q8_K}},
};

int main(int argc, char **argv) {
    if (argc != 7) return fprintf(stderr, "usage: peer LOOP FORMAT ROWS K TOKENS REPEATS\n"), 2;
    int rows = atoi(argv[3]), k = atoi(argv[4]), tokens = atoi(argv[5]), repeats = atoi(argv[6]);
    for (size_t i = 0; i < sizeof LOOPS / sizeof *LOOPS; i++) {
        if (strcmp(LOOPS[i].format, argv[2])) continue;
        size_t row = (size_t)k / LOOPS[i].values * LOOPS[i].bytes;
        /* Activations of four tokens may lie interleaved, with sums beside them: room enough for either. */
        size_t token = (size_t)k / LOOPS[i].values * LOOPS[i].token_bytes;
        char *w = calloc(rows, row), *x = calloc(tokens, token);
        float *out = calloc((size_t)rows * tokens, sizeof *out);
        if (!w || !x || !out) return 1;
        for (int j = 0; j < 2; j++) {
            if (strcmp(LOOPS[i].layouts[j], argv[1])) continue;
            rows_fn *run = tokens == 1 ? LOOPS[i].one[j] : LOOPS[i].many[j];
            for (int r = 0; r < repeats; r++) run(k, out, rows, w, x, tokens, rows);
            return 0;
        }
        if (strcmp(argv[1], "raw")) break;
        for (int r = 0; r < repeats; r++)
            for (int t = 0; t < tokens; t++)
                for (int n = 0; n < rows; n++)
                    LOOPS[i].raw(k, out + t * rows + n, 0, w + n * row, 0, x + t * token, 0, 1);
        return 0;
    }
    return fprintf(stderr, "peer: no such loop\n"), 2;
}
