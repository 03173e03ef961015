#!/usr/bin/env python3
"""Stores llama.cpp's logits of the small files as f16 in tests/data/llama_cpp, for the everyday tests.

usage: store.py SMALL      SMALL: the program `small` of the package sprat-tests
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

import files

HERE = os.path.dirname(os.path.abspath(__file__))

for family, kind in files.FILES:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "small.gguf")
        subprocess.run([sys.argv[1], family, kind, path], check=True)
        logits = files.llama_cpp(path)
    out = os.path.join(HERE, "..", "data", "llama_cpp", f"{family}-{kind}.f16")
    logits.astype("<f2").tofile(out)
    print(family, kind, "spread", logits.std())
