#!/usr/bin/env python3
"""The command `sprat` against llama.cpp, run afresh: logits of the small files, prompt whole, in pieces of 7, token by token.

usage: check.py SPRAT SMALL      SMALL: the program `small` of the package sprat-tests

F16 files: cosine at least 0.9999. Quantized files: the two engines round activations differently, each about as far from
exact arithmetic as the other, so their divergence from each other stays under 4 times llama.cpp's own largest, 6e-3.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

import files

sprat, small = sys.argv[1:3]
failed = 0
for family, kind in files.FILES:
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "small.gguf"), os.path.join(folder, "logits")
        subprocess.run([small, family, kind, path], check=True)
        theirs = files.llama_cpp(path)
        for batch in (256, 7, 1):
            subprocess.run([sprat, "logits", "--model", path, "--tokens", ",".join(map(str, files.TOKENS)), "--out", out,
                            "--batch", str(batch)], check=True)
            ours = np.fromfile(out, "<f4").reshape(theirs.shape)
            cosine, divergence = files.compare(ours, theirs)
            good = cosine >= 0.9999 if kind == "F16" else divergence <= 2.4e-2
            failed += not good
            print(f"{'pass' if good else 'FAIL'} {family:13} {kind:5} batch {batch:3} cosine {cosine:.7f} KL {divergence:.2e}")
print(f"{3 * len(files.FILES) - failed} passed, {failed} failed")
sys.exit(failed > 0)
