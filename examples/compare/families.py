#!/usr/bin/env python3
"""Speed of each family beside what its bytes and operations predict from llama's: no family falls off the fast path.

usage: families.py --sprat target/release/sprat [--threads 1] [--pairs 3] [--folder DIR] [--count] [FAMILY ...]

For each family a file in the shape of a real model is made (shapes.py), measured in turn with one of llama's shapes, and
deleted. What is predicted is llama's time of the same pair, times the family's share of bytes (generation) or of operations
(prompt). An expert gets a few of a prompt's tokens, so for experts llama's time for as many tokens counts. A layer with a state
reads it and writes it for each token (a write reads the line first), in f32: a register holds a fourth of what it holds of bytes.
Prints 1.0 for as fast as predicted, below that slower; in brackets the lowest and the highest pair.

With --count instructions are counted instead (valgrind, so AVX2), exact on a busy machine: for each multiplication of the
matrices, in a batch of 64 tokens and token by token, in files of a few layers with a small vocabulary.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

import shapes

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--sprat", required=True)
ap.add_argument("--threads", type=int, default=1)
ap.add_argument("--pairs", type=int, default=3)
ap.add_argument("--prompt", type=int, default=256)
ap.add_argument("--generate", type=int, default=24)
ap.add_argument("--folder", default=tempfile.gettempdir())
ap.add_argument("--count", action="store_true")
ap.add_argument("families", nargs="*")
o = ap.parse_args()


def run(path, prompt, generate):
    command = [o.sprat, "bench", "--json", "--model", path, "--threads", str(o.threads), "--prompt", str(prompt),
               "--generate", str(generate), "--repeat", "2"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return max(report["prompt_tokens_per_s"]), max(report["generate_tokens_per_s"] or [0]), report["bytes_per_token"]


def make(name):
    path = os.path.join(o.folder, f"sprat-shape-{os.getpid()}-{name}.gguf")
    return path, shapes.make(name, path)


def operations(counts, prompt):
    """Of one token of a prompt, which needs the head once; experts apart."""
    layers, experts, head = counts
    return layers + head / prompt, experts


def show(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def instructions(path, tokens, batch):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", o.sprat, "logits", "--model", path, "--tokens",
               ",".join(str(5 + 7 * i) for i in range(tokens)), "--out", os.devnull, "--batch", str(batch), "--threads", "1"]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return next(int(line.split(":")[1]) for line in log.splitlines() if "Collected" in line)


def count(name):
    """Instructions for each multiplication: what further tokens cost, so that opening the file does not count."""
    shape = shapes.SHAPES[name]
    path = os.path.join(o.folder, f"sprat-shape-{os.getpid()}-{name}.gguf")
    # The layers that these lists and Gemma 3n's sharing need, else one turn of the pattern.
    listed = "attention.sliding_window_pattern" in shape["keys"] or name == "gemma3n"
    operations = sum(shapes.make(name, path, v=4096, L=shape["L"] if listed else max(2, len(shape["kind"]))))
    batch = (instructions(path, 68, 256) - instructions(path, 4, 256)) / 64
    single = (instructions(path, 8, 1) - instructions(path, 2, 1)) / 6
    os.remove(path)
    return batch / operations, single / operations


if o.count:
    batch_of_llama, single_of_llama = count("llama")
    print("| family | one batch | beside llama | token by token | beside llama |\n|---|---|---|---|---|")
    print(f"| llama | {batch_of_llama:.3f} | 1.00 | {single_of_llama:.3f} | 1.00 |", flush=True)
    for name in o.families or [name for name in shapes.SHAPES if not name.startswith("llama")]:
        batch, single = count(name)
        print(f"| {name} | {batch:.3f} | {batch / batch_of_llama:.2f} | {single:.3f} | {single / single_of_llama:.2f} |", flush=True)
    raise SystemExit

llama = {name: make(name) for name in ("llama", "llama-small")}
print("| family | width, layers | MB per token | prompt tokens/s | of predicted | generation tokens/s | of predicted |", flush=True)
print("|---|---|---|---|---|---|---|", flush=True)
for name in o.families or [name for name in shapes.SHAPES if name not in llama]:
    shape = shapes.SHAPES[name]
    path, counts = make(name)
    own, of_experts = operations(counts, o.prompt)
    states, multiplications = shapes.state_values(name)
    own += 4 * multiplications * states
    few = round(o.prompt * shape["experts"]["used"] / shape["experts"]["n"]) if shape["experts"] else 0
    # A narrow model has more fixed work for its bytes: beside the llama whose width is nearer.
    near = min(llama, key=lambda llama: abs(shapes.SHAPES[llama]["d"] - shape["d"]))
    reference, of_llama = llama[near]
    prompts, generations, rates = [], [], []
    for pair in range(o.pairs):
        order = (path, reference) if pair % 2 == 0 else (reference, path)
        results = {which: run(which, o.prompt, o.generate) for which in order}
        (prompt, generation, size), (p, g, s) = results[path], results[reference]
        size += 3 * 4 * states
        # Seconds for an operation, of a whole prompt and of an expert's part.
        seconds = own / (p * operations(of_llama, o.prompt)[0])
        if few:
            seconds += of_experts / (run(reference, few, 0)[0] * operations(of_llama, few)[0])
        prompts.append(prompt * seconds)
        generations.append(generation * size / (g * s))
        rates.append((prompt, generation))
    prompt, generation = (statistics.median(rate[i] for rate in rates) for i in (0, 1))
    print(f"| {name} | {shape['d']}, {shape['L']} | {size / 1e6:.0f} | {prompt:.0f} | {show(prompts)} | {generation:.1f} | "
          f"{show(generations)} |", flush=True)
    os.remove(path)
for path, _ in llama.values():
    os.remove(path)
