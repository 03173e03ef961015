"""The shapes of real small models, one per family, and files of random Q4_0 blocks in those shapes.

Speed does not depend on the weights' values, so the blocks are random bits with small scales. Files have as many layers as
the table says, fewer than the model: what is left of its time is shared out as in the whole. Needs `pip install gguf numpy`.
"""
import gguf
import numpy as np

BLOCK, BLOCK_BYTES = 32, 18


def row(arch, d, f, h, k, hd, v, L, **more):
    base = dict(arch=arch, d=d, f=f, h=h, k=k, hd=hd, v=v, L=L, kind="a", fused=False, ffn="glu", norm="rms", bias="", qkn=None,
                norms=("attn_norm", "ffn_norm"), rot=hd, experts=None, keys={}, tied=False)
    return base | more


AROUND = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
LATE = ("attn_norm", "post_attention_norm")


def experts(n, used, f, **more):
    return dict(n=n, used=used, f=f, shared=0) | more


# Dimensions as the models' config.json have them.
SHAPES = {
    "llama": row("llama", 2048, 8192, 32, 8, 64, 128256, 8, tied=True),                         # Llama 3.2 1B
    "llama-small": row("llama", 960, 2560, 15, 5, 64, 49152, 16, tied=True),                    # SmolLM2 360M
    "qwen2": row("qwen2", 1536, 8960, 12, 2, 128, 151936, 8, bias="qkv", tied=True),            # Qwen2.5 1.5B
    "qwen3": row("qwen3", 2048, 6144, 16, 8, 128, 151936, 8, qkn="head", tied=True),            # Qwen3 1.7B
    "qwen35": row("qwen35", 1024, 3584, 8, 2, 256, 248320, 12, qkn="head", kind="ddda", norms=LATE, rot=64, tied=True, keys={
        "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 16, "ssm.time_step_rank": 16,
        "ssm.inner_size": 2048, "full_attention_interval": 4, "rope.dimension_sections": [11, 11, 10, 0]}),  # Qwen3.5 0.8B
    "chatglm": row("chatglm", 4096, 13696, 32, 2, 128, 65024, 3, fused=True, bias="f", ffn="fused", rot=64),  # ChatGLM3 6B
    "glm4": row("glm4", 4096, 13696, 32, 2, 128, 151552, 3, bias="qkv", ffn="fused", rot=64, norms=AROUND),   # GLM-4 9B
    "gemma2": row("gemma2", 2304, 9216, 8, 4, 256, 256000, 6, norms=AROUND, tied=True, keys={
        "attention.sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),  # Gemma 2 2B
    "gemma3": row("gemma3", 1152, 6912, 4, 1, 256, 262144, 12, norms=AROUND, qkn="head", tied=True, keys={
        "attention.sliding_window": 512, "rope.freq_base_swa": 10000.0}),                       # Gemma 3 1B
    "gemma3n": row("gemma3n", 2048, 8192, 8, 2, 256, 262144, 22, norms=AROUND, qkn="head", tied=True, keys={
        "attention.sliding_window": 512, "rope.freq_base_swa": 10000.0, "embedding_length_per_layer_input": 256,
        "altup.num_inputs": 4, "altup.active_idx": 0}),                                         # Gemma 3n E2B
    "gemma4": row("gemma4", 1536, 6144, 8, 1, 512, 262144, 10, norms=AROUND, qkn="head", tied=True, keys={
        "attention.sliding_window": 512, "attention.shared_kv_layers": 5, "attention.key_length_swa": 256,
        "attention.value_length_swa": 256, "rope.dimension_count_swa": 256, "rope.freq_base_swa": 10000.0,
        "attention.sliding_window_pattern": [i % 5 != 4 for i in range(10)],
        "embedding_length_per_layer_input": 256, "final_logit_softcapping": 30.0}),             # Gemma 4 E2B
    "phi3": row("phi3", 3072, 8192, 32, 32, 96, 32064, 6, fused=True, ffn="fused"),             # Phi-3.5 mini
    "smollm3": row("smollm3", 2048, 11008, 16, 4, 128, 128256, 8, tied=True),                   # SmolLM3 3B
    "granite": row("granite", 2048, 8192, 32, 8, 64, 49155, 8, tied=True, keys={
        "embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.015625, "logit_scale": 8.0}),  # Granite 3.3 2B
    "granitehybrid": row("granitehybrid", 1536, 4096, 12, 4, 128, 100352, 10, kind="mmmmmammmm", tied=True, keys={
        "embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.0078125, "logit_scale": 6.0,
        "rope.scaling.finetuned": False, "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 1,
        "ssm.time_step_rank": 48, "ssm.inner_size": 3072}),                                     # Granite 4.0 H 1B
    "olmo2": row("olmo2", 2048, 8192, 16, 16, 128, 100352, 8, norms=AROUND[1::2], qkn="full"),  # OLMo 2 1B
    "stablelm": row("stablelm", 2048, 5632, 32, 32, 64, 100352, 8, norm="ln", bias="qkv", rot=16),  # StableLM 2 1.6B
    "internlm2": row("internlm2", 2048, 8192, 16, 8, 128, 92544, 8),                            # InternLM 2.5 1.8B
    "minicpm": row("minicpm", 2304, 5760, 36, 36, 64, 122753, 8, tied=True, keys={
        "embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 9.0}),                  # MiniCPM 2B
    "exaone4": row("exaone4", 2048, 4096, 32, 8, 64, 102400, 10, norms=AROUND[1::2], qkn="head", tied=True),  # EXAONE 4.0 1.2B
    "starcoder2": row("starcoder2", 3072, 12288, 24, 2, 128, 49152, 6, norm="ln", bias="qkvoud", ffn="mlp", tied=True),  # 3B
    "lfm2": row("lfm2", 2048, 8192, 32, 8, 64, 65536, 8, kind="ccac", qkn="head", tied=True,
                keys={"shortconv.l_cache": 3}),                                                 # LFM2 1.2B
    "qwen3moe": row("qwen3moe", 2048, 768, 32, 4, 128, 151936, 3, qkn="head", experts=experts(128, 8, 768)),  # 30B-A3B
    "olmoe": row("olmoe", 2048, 1024, 16, 16, 128, 50304, 4, qkn="full", experts=experts(64, 8, 1024)),       # OLMoE 1B-7B
    "granitemoe": row("granitemoe", 1024, 512, 16, 8, 64, 49155, 12, tied=True, experts=experts(32, 8, 512), keys={
        "embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.015625, "logit_scale": 6.0}),   # 1B-A400M
    "gpt-oss": row("gpt-oss", 2880, 2880, 64, 8, 64, 201088, 2, bias="qkvo", norms=LATE,
                   experts=experts(32, 4, 2880, bias=True), sinks=True, keys={"attention.sliding_window": 128}),  # 20B
}


class File:
    """Writes a shape, and counts the multiplications of one token in its layers, of them in experts, and in the head."""

    def __init__(self, shape, path):
        self.s = shape
        self.random = np.random.default_rng(7)
        self.w = gguf.GGUFWriter(path, shape["arch"])
        self.layers = self.experts = self.head = 0

    def matrix(self, name, rows, cols, share=1.0, stack=None):
        """`stack` matrices behind each other, of which a token goes through `share`."""
        shape = ([stack] if stack else []) + [rows, cols]
        count = int(np.prod(shape) * share)
        if name in ("token_embd", "output"):
            self.head += count
        elif "exps" in name:
            self.experts += count
        else:
            self.layers += count
        blocks = np.prod(shape) // BLOCK
        x = self.random.integers(0, 256, (blocks, BLOCK_BYTES), dtype=np.uint8)
        x[:, :2] = np.frombuffer(np.float16(0.22 * cols ** -0.5).tobytes(), np.uint8)
        row_bytes = cols // BLOCK * BLOCK_BYTES
        self.w.add_tensor(name + ".weight", x.reshape(shape[:-1] + [row_bytes]), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def floats(self, name, *shape, mean=0.0, std=0.1):
        self.w.add_tensor(name, (mean + std * self.random.standard_normal(shape)).astype(np.float32))

    def norm(self, name):
        self.floats(name + ".weight", self.s["d"], mean=1.0)
        if self.s["norm"] == "ln":
            self.floats(name + ".bias", self.s["d"])

    def swa(self, i):
        return self.s["keys"].get("attention.sliding_window_pattern", [False] * (i + 1))[i]

    def attention(self, b, i):
        s = self.s
        hd = s["keys"]["attention.key_length_swa"] if self.swa(i) else s["hd"]
        q, k = s["h"] * hd, s["k"] * hd
        own = i < s["L"] - s["keys"].get("attention.shared_kv_layers", 0) and not (s["arch"] == "gemma3n" and i >= 20)
        parts = [("q", q * (2 if s["arch"] == "qwen35" else 1))] + [(n, k) for n in "kv" if own]
        if s["fused"]:
            self.matrix(b + "attn_qkv", q + 2 * k, s["d"])
            parts = [("qkv", q + 2 * k)]
            biased = "f" in s["bias"]
        else:
            for n, rows in parts:
                self.matrix(b + "attn_" + n, rows, s["d"])
            biased = "q" in s["bias"]
        for n, rows in parts if biased else []:
            self.floats(b + f"attn_{n}.bias", rows)
        self.matrix(b + "attn_output", s["d"], q)
        if "o" in s["bias"]:
            self.floats(b + "attn_output.bias", s["d"])
        if s["qkn"]:
            for n, heads in (("q", s["h"]), ("k", s["k"])):
                if n == "q" or own:
                    self.floats(b + f"attn_{n}_norm.weight", hd * (heads if s["qkn"] == "full" else 1), mean=1.0)
        if s.get("sinks"):
            self.floats(b + "attn_sinks.weight", s["h"])

    def convolution(self, b):
        d = self.s["d"]
        self.matrix(b + "shortconv.in_proj", 3 * d, d)
        self.floats(b + "shortconv.conv.weight", d, self.s["keys"]["shortconv.l_cache"])
        self.matrix(b + "shortconv.out_proj", d, d)

    def scan(self, b, delta):
        d = self.s["d"]
        size, groups, heads, inner, taps = (self.s["keys"]["ssm." + n] for n in (
            "state_size", "group_count", "time_step_rank", "inner_size", "conv_kernel"))
        channels = inner + 2 * groups * size
        if delta:
            for name, rows in (("attn_qkv", channels), ("attn_gate", inner), ("ssm_beta", heads), ("ssm_alpha", heads)):
                self.matrix(b + name, rows, d)
        else:
            self.matrix(b + "ssm_in", inner + channels + heads, d)
            self.floats(b + "ssm_conv1d.bias", channels)
            self.floats(b + "ssm_d", heads, 1)
        self.floats(b + "ssm_conv1d.weight", channels, taps)
        self.floats(b + "ssm_a", *([heads] if delta else [heads, 1]), mean=-0.5)
        self.floats(b + "ssm_dt.bias", heads)
        self.floats(b + "ssm_norm.weight", *([inner // heads] if delta else [groups, inner // groups]), mean=1.0)
        self.matrix(b + "ssm_out", d, inner)

    def feed_forward(self, b):
        s, e = self.s, self.s["experts"]
        d, f = s["d"], s["f"]
        if e:
            self.floats(b + "ffn_gate_inp.weight", e["n"], d)
            for name, rows, cols in (("gate", e["f"], d), ("up", e["f"], d), ("down", d, e["f"])):
                self.matrix(b + f"ffn_{name}_exps", rows, cols, e["used"] / e["n"], e["n"])
                if e.get("bias"):
                    self.floats(b + f"ffn_{name}_exps.bias", e["n"], rows)
            if e.get("bias"):
                self.floats(b + "ffn_gate_inp.bias", e["n"])
            return
        if s["ffn"] == "glu":
            self.matrix(b + "ffn_gate", f, d)
        self.matrix(b + "ffn_up", 2 * f if s["ffn"] == "fused" else f, d)
        self.matrix(b + "ffn_down", d, f)
        for n, size in (("up", f), ("down", d)):
            if n[0] in s["bias"]:
                self.floats(b + f"ffn_{n}.bias", size)

    def per_layer(self):
        s, p = self.s, self.s["keys"]["embedding_length_per_layer_input"]
        # Of the vocabulary's own part a token reads one row.
        self.matrix("per_layer_token_embd", s["v"], p * s["L"], 0)
        self.matrix("per_layer_model_proj", p * s["L"], s["d"])
        self.floats("per_layer_proj_norm.weight", p, mean=1.0)
        for i in range(s["L"]):
            b = f"blk.{i}."
            self.matrix(b + "inp_gate", p, s["d"])
            self.matrix(b + "proj", s["d"], p)
            self.norm(b + "post_norm")

    def streams(self):
        d = self.s["d"]
        for name in ("altup_proj", "altup_unembd_proj"):
            self.matrix(name, d, d, stack=3)
        for i in range(self.s["L"]):
            b = f"blk.{i}."
            for name, shape in (("altup_router", (4, d)), ("altup_predict_coef", (16, 4)), ("altup_correct_coef", (4, 4)),
                                ("altup_router_norm", (d,)), ("altup_correct_scale", (d,)), ("laurel_post_norm", (d,))):
                self.floats(b + name + ".weight", *shape)
            self.matrix(b + "laurel_l", 64, d)
            self.matrix(b + "laurel_r", d, 64)

    def metadata(self):
        s, a = self.s, self.s["arch"] + "."
        kinds = (s["kind"] * s["L"])[:s["L"]]
        listed = kinds.strip("a") and "d" not in kinds
        keys = {"context_length": 8192, "embedding_length": s["d"], "block_count": s["L"], "vocab_size": s["v"],
                "feed_forward_length": s["f"], "attention.head_count": s["h"], "rope.freq_base": 10000.0,
                "attention.head_count_kv": [s["k"] if kind == "a" else 0 for kind in kinds] if listed else s["k"],
                "attention.key_length": s["hd"], "attention.value_length": s["hd"], "rope.dimension_count": s["rot"],
                "attention.layer_norm_" + ("rms_" if s["norm"] == "rms" else "") + "epsilon": 1e-5}
        if e := s["experts"]:
            keys |= {"expert_count": e["n"], "expert_used_count": e["used"], "expert_feed_forward_length": e["f"]}
        for name, value in (keys | s["keys"]).items():
            kind = {bool: self.w.add_bool, int: self.w.add_uint32, float: self.w.add_float32, list: self.w.add_array}[type(value)]
            kind(a + name, value)
        self.w.add_tokenizer_model("gpt2")
        self.w.add_tokenizer_pre("llama-bpe")
        self.w.add_token_list(["a", "b", "ab"] + [f"<{i}>" for i in range(3, s["v"])])
        self.w.add_token_types([1] * s["v"])
        self.w.add_token_merges(["a b"])
        self.w.add_bos_token_id(0)
        self.w.add_eos_token_id(1)
        return kinds

    def write(self):
        s = self.s
        kinds = self.metadata()
        # The head is read whole; the embedding, where it is another tensor, one row of.
        self.matrix("token_embd", s["v"], s["d"], 1.0 if s["tied"] else 0.0)
        if not s["tied"]:
            self.matrix("output", s["v"], s["d"])
        self.norm("token_embd_norm" if "c" in kinds else "output_norm")
        for i, kind in enumerate(kinds):
            b = f"blk.{i}."
            for name in s["norms"]:
                self.norm(b + name)
            if kind == "a":
                self.attention(b, i)
            elif kind == "c":
                self.convolution(b)
            else:
                self.scan(b, kind == "d")
            self.feed_forward(b)
        if s["keys"].get("embedding_length_per_layer_input"):
            self.per_layer()
        if "altup.num_inputs" in s["keys"]:
            self.streams()
        self.w.write_header_to_file()
        self.w.write_kv_data_to_file()
        self.w.write_tensors_to_file()
        self.w.close()


def make(name, path, **other):
    """Writes the file; multiplications of a token in the layers, in experts, and in the head. `other` changes the shape."""
    file = File(SHAPES[name] | other, path)
    file.write()
    return file.layers, file.experts, file.head


def state_values(name):
    """Values of the states of all layers that scan, and the multiply-adds of one token for each."""
    shape = SHAPES[name]
    scans = [shape["kind"][i % len(shape["kind"])] for i in range(shape["L"])]
    keys = shape["keys"]
    values = keys.get("ssm.inner_size", 0) * keys.get("ssm.state_size", 0)
    # Delta rule: decay and read, then decay, write and read. State space: decay, write and read.
    each = 5 if "d" in scans else 3
    return values * sum(kind in "dm" for kind in scans), each
