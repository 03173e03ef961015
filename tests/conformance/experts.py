#!/usr/bin/env python3
"""How often 8-bit activations tip the choice of an expert: in `sprat`, and in llama.cpp, on the same files.

usage: experts.py SPRAT SMALL [SEEDS]      SMALL: the program `small` of the package sprat-tests

Where two experts score nearly alike, rounding decides which a token goes through, and that costs most of the position, in any
engine: one file says nothing. So: many files with other random weights, both engines against llama.cpp on the same weights in
f32. In the median position, which nothing tipped, Sprat loses at most 1.3 times what llama.cpp loses; and the numbers of
tipped positions (a divergence above 0.05) differ by at most 3 standard deviations of what chance alone would make of them.
"""
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

import files

FAMILIES = ["llama-moe", "qwen2moe"]
TIPPED = 0.05


def in_f32(path, out):
    """Writes the same weights in f32."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kinds = field.types
            writer.add_key_value(field.name, field.contents(), kinds[0], kinds[1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, np.ascontiguousarray(values).reshape([int(n) for n in reversed(tensor.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def divergences(a, b):
    """KL(a || b) of each position."""
    return np.array([files.compare(a[i:i + 1], b[i:i + 1])[1] for i in range(len(a))])


sprat, small = sys.argv[1:3]
seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 24
failed = 0
for family in FAMILIES:
    ours, theirs = [], []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            path, exact, out = (os.path.join(folder, name) for name in ("small.gguf", "f32.gguf", "logits"))
            subprocess.run([small, family, "Q8_0", path, str(seed)], check=True)
            in_f32(path, exact)
            exact = files.llama_cpp(exact)
            subprocess.run([sprat, "logits", "--model", path, "--tokens", ",".join(map(str, files.TOKENS)), "--out", out],
                           check=True)
            ours.extend(divergences(np.fromfile(out, "<f4").reshape(exact.shape), exact))
            theirs.extend(divergences(files.llama_cpp(path), exact))
    ours, theirs = np.array(ours), np.array(theirs)
    medians = np.median(ours), np.median(theirs)
    tipped = int((ours > TIPPED).sum()), int((theirs > TIPPED).sum())
    good = medians[0] <= 1.3 * medians[1] and tipped[0] - tipped[1] <= 3 * max(1, sum(tipped)) ** 0.5
    failed += not good
    print(f"{'pass' if good else 'FAIL'} {family:10} Q8_0, {seeds} files: median {medians[0]:.2e} (llama.cpp {medians[1]:.2e}), "
          f"tipped {tipped[0]} ({tipped[1]}) of {len(ours)} positions")
sys.exit(failed > 0)
