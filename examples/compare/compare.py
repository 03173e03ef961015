#!/usr/bin/env python3
"""Sprat beside llama.cpp on the same file: pairs in ABBA order in one run, the median ratio and its spread.

usage: compare.py --sprat target/release/sprat [options] MODEL.gguf ...

Every pair runs both programs afresh on the same machine within seconds of each other; what is quoted is the ratio inside
a pair, because the absolute figures of a shared machine drift. llama.cpp runs twice, with its weights repacked (its
default) and without; the better of the two is the peer, figure by figure. Needs `pip install llama-cpp-python==0.3.36`.

options: --threads 1,2  --pairs 7  --prompt 256  --generate 32  --depth 0  --repeat 1
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "llama_cpp_bench.py")


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def spread(values):
    """Median and the middle half."""
    values = sorted(values)
    quarter = len(values) // 4
    return statistics.median(values), values[quarter], values[-1 - quarter]


def rates(result, key):
    return statistics.median(result[key]) if result[key] else 0.0


def compare(o, model, threads):
    common = ["--model", model, "--threads", str(threads), "--prompt", str(o.prompt), "--generate", str(o.generate),
              "--depth", str(o.depth), "--repeat", str(o.repeat)]
    legs = {
        "sprat": [o.sprat, "bench", "--json", *common],
        "repack": [sys.executable, PEER, *common],
        "no repack": [sys.executable, PEER, "--no-repack", *common],
    }
    results = []
    for pair in range(o.pairs):
        order = list(legs) if pair % 2 == 0 else list(reversed(legs))
        results.append({name: run(legs[name]) for name in order})
        print(f"\r{os.path.basename(model)} {threads} threads: pair {pair + 1} of {o.pairs}", end="", file=sys.stderr)
    print(file=sys.stderr)

    name = os.path.basename(model).removesuffix(".gguf")
    cells = [name, str(threads)]
    for key in ("prompt_tokens_per_s", "generate_tokens_per_s"):
        if not results[0]["sprat"][key]:
            cells.append("-")
            continue
        # The peer is the better setting by its median over the whole run, not pair by pair: luck is no setting.
        best = max(("repack", "no repack"), key=lambda leg: statistics.median(rates(r[leg], key) for r in results))
        mid, low, high = spread([rates(r["sprat"], key) / rates(r[best], key) for r in results])
        ours = statistics.median(rates(r["sprat"], key) for r in results)
        cells.append(f"{mid:.2f} ({low:.2f}-{high:.2f}) vs {best}, {ours:.1f} tokens/s")
    for leg in ("repack", "no repack"):
        mid, low, high = spread([r["sprat"]["first_token_ms"] / r[leg]["first_token_ms"] for r in results])
        cells.append(f"{mid:.2f} ({low:.2f}-{high:.2f})")
    ours = statistics.median(r["sprat"]["anonymous_bytes"] - r["sprat"]["kv_bytes"] for r in results) / 1e6
    theirs = [statistics.median(r[leg]["anonymous_bytes"] for r in results) / 1e6 for leg in ("repack", "no repack")]
    cells.append(f"{ours:.0f} / {theirs[0]:.0f} / {theirs[1]:.0f}")
    used = [rates(r["sprat"], "generate_tokens_per_s") for r in results]
    read = statistics.median(r["sprat"]["read_gb_per_s"] for r in results)
    cells.append(f"{statistics.median(used):.1f} at {read:.1f} GB/s")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--sprat", required=True)
    ap.add_argument("--threads", default="1,2")
    for name, default in (("pairs", 7), ("prompt", 256), ("generate", 32), ("depth", 0), ("repeat", 1)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("models", nargs="+")
    o = ap.parse_args()
    print("| model | threads | prompt, ratio | generation, ratio | first token vs repack | first token vs no repack "
          "| anonymous MB without KV: ours / repack / no repack | generation tokens/s and read bandwidth |")
    print("|---|---|---|---|---|---|---|---|")
    for model in o.models:
        for threads in o.threads.split(","):
            compare(o, model, int(threads))


if __name__ == "__main__":
    main()
