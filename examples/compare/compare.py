#!/usr/bin/env python3
"""Sprat beside llama.cpp on the same files: pairs in ABBA order in one run, the median ratio and its spread.

usage: compare.py --sprat target/release/sprat [--minutes 25] [--out TABLES.md] MODEL.gguf ...

Every pair runs both programs afresh on the same machine within seconds of each other; what is quoted is the ratio inside
a pair, because the absolute figures of a shared machine drift. llama.cpp runs twice, with its weights repacked (its
default) and without; the better of the two is the peer, figure by figure. Needs `pip install llama-cpp-python==0.3.36`.

Cells are taken in rounds, one pair of each, the most important ones first, until the minutes are over: all models at the
start of a context, all at depth 4096, then what a busy machine costs and how the time of a prompt grows with its length.
The tables are written anew after every round.

options: --threads 1,2  --prompt 256  --generate 32  --depth 4096  --only base,deep,busy,curve

`--only ik --ik PATH` compares with ik_llama.cpp by its own llama-bench, built from the sources in the package
ik-llama-cpp-python.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "llama_cpp_bench.py")
LENGTHS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512]


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}: {result.stderr.strip()[-500:]}")
    return json.loads(result.stdout)


def spread(values, digits=2):
    """Median and the middle half."""
    values = sorted(values)
    quarter = len(values) // 4
    return f"{statistics.median(values):.{digits}f} ({values[quarter]:.{digits}f}-{values[-1 - quarter]:.{digits}f})"


def rate(result, key):
    return statistics.median(result[key]) if result[key] else 0.0


def table(head, rows):
    rows = [row for row in rows if row]
    if not rows:
        return ""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n\n"


class Cell:
    """One line of a table: the same work of all legs, pair after pair."""

    def __init__(self, o, model, threads):
        self.o, self.model, self.threads = o, model, threads
        self.name = os.path.basename(model).removesuffix(".gguf")
        self.results, self.seconds = [], None

    def step(self):
        start = time.monotonic()
        legs = self.legs()
        order = list(legs) if len(self.results) % 2 == 0 else list(reversed(legs))
        self.results.append({name: legs[name]() for name in order})
        self.seconds = time.monotonic() - start

    def sprat(self, threads, *args):
        return lambda: run([self.o.sprat, "bench", "--json", "--model", self.model, "--threads", str(threads), *map(str, args)])

    def peer(self, *args):
        return lambda: run([sys.executable, PEER, "--model", self.model, "--threads", str(self.threads), *map(str, args)])

    def best(self, key):
        """The peer's better setting by its median over the whole run, not pair by pair: luck is no setting."""
        return max(("repack", "no repack"), key=lambda leg: statistics.median(rate(r[leg], key) for r in self.results))

    def ratio(self, key):
        best = self.best(key)
        ours = statistics.median(rate(r["sprat"], key) for r in self.results)
        return f"{spread([rate(r['sprat'], key) / rate(r[best], key) for r in self.results])} vs {best}, {ours:.1f} tokens/s"


class Base(Cell):
    """Prompt, generation, first token and memory at the start of a context."""

    HEAD = ["model", "threads", "pairs", "prompt, ratio", "generation, ratio", "share of a plain read's bandwidth",
            "first token vs repack", "first token vs no repack", "anonymous MB without KV: Sprat / repack / no repack"]

    def legs(self):
        work = ["--prompt", self.o.prompt, "--generate", self.o.generate, "--repeat", 1]
        return {"sprat": self.sprat(self.threads, *work), "repack": self.peer(*work),
                "no repack": self.peer("--no-repack", *work)}

    def row(self):
        used = [rate(r["sprat"], "generate_tokens_per_s") * r["sprat"]["bytes_per_token"] / 1e9 / r["sprat"]["read_gb_per_s"]
                for r in self.results]
        first = [spread([r["sprat"]["first_token_ms"] / r[leg]["first_token_ms"] for r in self.results])
                 for leg in ("repack", "no repack")]
        anonymous = [statistics.median(r[leg]["anonymous_bytes"] - r[leg].get("kv_bytes", 0) for r in self.results) / 1e6
                     for leg in ("sprat", "repack", "no repack")]
        return [self.name, str(self.threads), str(len(self.results)), self.ratio("prompt_tokens_per_s"),
                self.ratio("generate_tokens_per_s"), spread(used), *first, " / ".join(f"{a:.0f}" for a in anonymous)]


class Deep(Cell):
    """Generation far into a context."""

    HEAD = ["model", "threads", "pairs", "generation at depth, ratio"]

    def legs(self):
        work = ["--depth", self.o.depth, "--prompt", 0, "--generate", self.o.generate // 2, "--repeat", 1]
        # What lies before is not timed: llama.cpp computes it once and loads it from then on.
        state = ["--state", os.path.join(self.o.folder, f"{self.name}.state")]
        return {"sprat": self.sprat(self.threads, *work), "repack": self.peer(*work, *state),
                "no repack": self.peer("--no-repack", *work, *state)}

    def row(self):
        return [self.name, str(self.threads), str(len(self.results)), self.ratio("generate_tokens_per_s")]


class Ik(Cell):
    """Prompt and generation beside ik_llama.cpp, its weights as they are in the file and repacked at load."""

    HEAD = ["model", "threads", "pairs", "prompt vs ik as is", "vs ik repacked", "generation vs ik as is", "vs ik repacked"]

    def legs(self):
        work = ["--prompt", self.o.prompt, "--generate", self.o.generate, "--repeat", 1]
        return {"sprat": self.sprat(self.threads, *work), "as is": self.ik(0), "repacked": self.ik(1)}

    def ik(self, repack):
        def work():
            command = [self.o.ik, "-m", self.model, "-p", self.o.prompt, "-n", self.o.generate, "-t", self.threads,
                       "-r", 1, "-rtr", repack, "-o", "json"]
            prompt, generation = ([test["avg_ts"]] for test in run(list(map(str, command))))
            return {"prompt_tokens_per_s": prompt, "generate_tokens_per_s": generation}
        return work

    def row(self):
        ratios = [spread([rate(r["sprat"], key) / rate(r[leg], key) for r in self.results])
                  for key in ("prompt_tokens_per_s", "generate_tokens_per_s") for leg in ("as is", "repacked")]
        return [self.name, str(self.threads), str(len(self.results)), *ratios]


class Busy(Cell):
    """More threads than cores, and a neighbour that takes one core."""

    HEAD = ["model", "pairs", "work", "time with twice the threads there are cores", "time with a busy neighbour, vs free cores alone"]

    def legs(self):
        cores = len(os.sched_getaffinity(0))
        work = ["--prompt", self.o.prompt, "--generate", self.o.generate, "--repeat", 1]
        return {"all": self.sprat(cores, *work), "twice": self.sprat(2 * cores, *work),
                "beside": self.beside(self.sprat(cores, *work)), "free": self.beside(self.sprat(max(cores - 1, 1), *work))}

    def beside(self, leg):
        def work():
            core = min(os.sched_getaffinity(0))
            spin = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
            neighbour = subprocess.Popen([sys.executable, "-c", spin])
            try:
                return leg()
            finally:
                neighbour.kill()
                neighbour.wait()
        return work

    def row(self):
        def times(key, slow, fast):
            return spread([rate(r[fast], key) / rate(r[slow], key) for r in self.results])
        keys = {"prompt": "prompt_tokens_per_s", "generation": "generate_tokens_per_s"}
        cells = [[times(key, "twice", "all"), times(key, "beside", "free")] for key in keys.values()]
        return [self.name, str(len(self.results)), " / ".join(keys), *(" / ".join(both) for both in zip(*cells))]


class Curve(Cell):
    """Milliseconds of prompts of growing length after 256 tokens."""

    HEAD = ["model", "threads", *map(str, LENGTHS)]

    def legs(self):
        return {n: self.sprat(self.threads, "--depth", 256, "--prompt", n, "--generate", 0, "--repeat", 5) for n in LENGTHS}

    def row(self):
        ms = [statistics.median(1e3 * n / rate(r[n], "prompt_tokens_per_s") for r in self.results) for n in LENGTHS]
        return [self.name, str(self.threads), *(f"{m:.0f}" for m in ms)]


def tables(cells):
    text = ""
    for kind in (Base, Deep, Ik, Busy, Curve):
        text += table(kind.HEAD, [c.row() for c in cells if isinstance(c, kind) and c.results])
    return text


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--sprat", required=True)
    ap.add_argument("--minutes", type=float, default=25)
    ap.add_argument("--out")
    ap.add_argument("--threads", default="1,2")
    ap.add_argument("--only", default="base,deep,busy,curve")
    ap.add_argument("--ik", help="ik_llama.cpp's llama-bench, for --only ik")
    for name, default in (("prompt", 256), ("generate", 32), ("depth", 4096)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("models", nargs="+")
    o = ap.parse_args()
    threads = [int(t) for t in o.threads.split(",")]
    kinds = [{"base": Base, "deep": Deep, "ik": Ik, "busy": Busy, "curve": Curve}[name] for name in o.only.split(",")]
    cells = []
    for kind in kinds:
        if kind is Busy:
            cells += [Busy(o, o.models[0], None)]
        elif kind is Curve:
            cells += [Curve(o, model, threads[0]) for model in o.models[:2]]
        else:
            # With more threads first: it is what phones do.
            cells += [kind(o, model, t) for model in o.models for t in reversed(threads)]
    end = time.monotonic() + 60 * o.minutes
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(o.models[0]))) as o.folder:
        took = True
        while took:
            took = False
            for cell in cells:
                # A first pair takes what it takes; a further one must fit.
                left = end - time.monotonic()
                if left < (cell.seconds or 0) or left < 0:
                    continue
                cell.step()
                took = True
                print(f"{cell.name} {type(cell).__name__} {cell.threads}: pair {len(cell.results)}, {cell.seconds:.0f} s, "
                      f"{left / 60:.0f} min left", file=sys.stderr, flush=True)
                if o.out:
                    open(o.out, "w").write(tables(cells))
    print(tables(cells))


if __name__ == "__main__":
    main()
