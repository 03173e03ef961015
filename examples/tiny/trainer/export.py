"""Writes a checkpoint as GGUF: Llama architecture, vocabulary and chat template in the file.

    python export.py --run DIR --out FILE [--type f16|q8_0|q4_0]
"""

import argparse
import os

import gguf
import numpy as np

import train
import vocabulary
from model import CONFIG

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
TYPES = {"f16": gguf.GGMLQuantizationType.F16, "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
FILE_TYPES = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}
NAMES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--run", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--type", choices=TYPES, default="f16")
    a = a.parse_args()
    (p, *_), done = train.load(os.path.join(a.run, "last.npz"))
    tokens, merges, _ = vocabulary.load(os.path.join(a.run, "vocabulary.json"))
    c, kind = CONFIG, TYPES[a.type]

    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name("Sprat Tiny")
    w.add_description("A phone helper that answers in a sentence or a tool call")
    w.add_license("MIT OR Apache-2.0")
    w.add_languages(["en"])
    w.add_file_type(FILE_TYPES[a.type])
    w.add_context_length(c["context"])
    w.add_embedding_length(c["dim"])
    w.add_block_count(c["layers"])
    w.add_feed_forward_length(c["ffn"])
    w.add_head_count(c["heads"])
    w.add_head_count_kv(c["kv_heads"])
    w.add_rope_dimension_count(c["dim"] // c["heads"])
    w.add_rope_freq_base(c["rope_base"])
    w.add_layer_norm_rms_eps(c["eps"])
    w.add_vocab_size(c["vocab"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    special = len(vocabulary.SPECIALS)
    w.add_token_types([gguf.TokenType.CONTROL] * special + [gguf.TokenType.NORMAL] * (len(tokens) - special))
    w.add_token_merges(merges)
    w.add_bos_token_id(vocabulary.END)
    w.add_eos_token_id(vocabulary.END)
    w.add_pad_token_id(vocabulary.PAD)
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)

    def add(name, matrix):
        matrix = np.ascontiguousarray(matrix, np.float32)
        if matrix.ndim == 1:
            w.add_tensor(name, matrix)
        else:
            w.add_tensor(name, gguf.quants.quantize(matrix, kind), raw_dtype=kind)

    add("token_embd.weight", p["embed"])
    for i in range(c["layers"]):
        add(f"blk.{i}.attn_norm.weight", p["attn_norm"][i])
        add(f"blk.{i}.ffn_norm.weight", p["ffn_norm"][i])
        for key, name in NAMES.items():
            add(f"blk.{i}.{name}.weight", p[key][i].T)
    add("output_norm.weight", p["norm"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"{a.out}: step {done}, {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
