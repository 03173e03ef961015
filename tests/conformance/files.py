"""The small files that are compared with llama.cpp, and llama.cpp's logits for one of them."""
import ctypes

import numpy as np

LLAMA = ["F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
QWEN = [(family, kind) for family in ("qwen2", "qwen3") for kind in ("F16", "Q8_0", "Q4_K")]
OTHERS = ["mistral3", "gemma2", "gemma3", "phi2", "phi3", "smollm3", "granite", "olmo2", "stablelm", "cohere2",
          "hunyuan-dense", "falcon", "gptneox", "gpt2", "llama-moe", "qwen2moe", "gpt-oss", "lfm2moe", "qwen35",
          "granitehybrid", "gemma4", "gemma3n", "gemma4-moe"]
FILES = [("llama", kind) for kind in LLAMA] + QWEN + [(family, "F16") for family in OTHERS]
VOCABULARY = 320
# Any ids do; these are the same on every machine.
TOKENS = [(i * 7919 + 13) % VOCABULARY for i in range(24)]


def compare(a, b):
    """Cosine of all logits, and mean KL(a || b) over positions."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    log_softmax = lambda x: x - x.max(1, keepdims=True) - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
    p, q = log_softmax(a), log_softmax(b)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), (np.exp(p) * (p - q)).sum(1).mean()


def llama_cpp(path):
    """llama.cpp's logits [tokens, vocabulary]: CPU, one thread, f32 cache, no flash attention, one batch."""
    import llama_cpp as c
    quiet = c.llama_log_callback(lambda level, text, data: None)
    c.llama_log_set(quiet, ctypes.c_void_p(0))
    c.llama_backend_init()
    p = c.llama_model_default_params()
    p.n_gpu_layers = 0
    model = c.llama_model_load_from_file(path.encode(), p)
    assert model, f"llama.cpp cannot load {path}"
    p = c.llama_context_default_params()
    p.n_ctx = p.n_batch = p.n_ubatch = 256
    p.n_threads = p.n_threads_batch = p.n_seq_max = 1
    p.flash_attn_type, p.type_k, p.type_v = 0, 0, 0
    p.offload_kqv = p.op_offload = False
    context = c.llama_init_from_model(model, p)
    b = c.llama_batch_init(len(TOKENS), 0, 1)
    b.n_tokens = len(TOKENS)
    for i, t in enumerate(TOKENS):
        b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, i, 1, 1
        b.seq_id[i][0] = 0
    assert c.llama_decode(context, b) == 0, "llama.cpp: decode failed"
    rows = [np.ctypeslib.as_array(c.llama_get_logits_ith(context, i), (VOCABULARY,)).copy() for i in range(b.n_tokens)]
    c.llama_free(context)
    c.llama_model_free(model)
    return np.stack(rows)
