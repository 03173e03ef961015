#!/usr/bin/env python3
"""Hot loops for arm64 without a phone: instructions per block as qemu counts them, cycles per block as llvm-mca 19 estimates
them, of Sprat's kernels and of llama.cpp's loops for the same format, compiled by clang 19.

usage: loops.py --count PROGRAM --llama LLAMA_CPP --work FOLDER [--out TABLE.md]

  --count   the example `count` of sprat-kernels for aarch64-unknown-linux-gnu (cargo build --release --example count)
  --llama   llama.cpp's sources, as in vendor/llama.cpp of the source package llama-cpp-python 0.3.36
  --work    where the built programs go

Needs Debian's clang-19, llvm-19, gcc-aarch64-linux-gnu, libstdc++-12-dev-arm64-cross and qemu-user (the dynamic one: the
static one takes no plugins).

Instructions are exact: the difference between two runs of the same work done once and three times. Cycles are a static
estimate: straight-line pieces that run equally often are one loop for llvm-mca, whose cycles are weighed with how often it
runs. All loads hit the cache there, branches cost nothing, and what could overlap between pieces is not seen to.
"""
import argparse
import collections
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, K, TOKENS = 64, 4096, 64
FEW = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64]
CPUS = ["neoverse-v2", "neoverse-n2", "neoverse-n1", "cortex-a55", "cortex-a510"]
BLOCK = {"Q4_0": 32, "Q8_0": 32, "Q4_K": 256, "Q6_K": 256}
REPACKED = {"Q4_0": ("4x4", "4x8"), "Q8_0": ("4x4", "4x8"), "Q4_K": ("8x4", "8x8"), "Q6_K": ("8x4", "8x8")}
MARCH = {"dotprod": "armv8.2-a+dotprod+fp16", "i8mm": "armv8.6-a+fp16+i8mm"}
# Multiply-adds of one instruction, for the peak that a tile is measured against.
MACS = {"sdot": 16, "smmla": 32}


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, **more).stdout


def build(llama, work):
    """The plugin, and llama.cpp's loops for CPUs with dotprod and with i8mm."""
    os.makedirs(work, exist_ok=True)
    run("cc", "-O2", "-shared", "-fPIC", "-o", f"{work}/count.so", f"{HERE}/count.c")
    source = f"{llama}/ggml/src"
    files = ["ggml-cpu/arch/arm/quants.c", "ggml-cpu/arch/arm/repack.cpp", "ggml-cpu/quants.c", "ggml-cpu/repack.cpp"]
    for name, march in MARCH.items():
        objects = []
        for file in [*(f"{source}/{f}" for f in files), f"{HERE}/peer.c"]:
            out = f"{work}/{name}-{len(objects)}.o"
            compiler = ["clang++-19", "-std=c++17"] if file.endswith("cpp") else ["clang-19"]
            run(*compiler, "--target=aarch64-linux-gnu", "-O3", "-DNDEBUG", f"-march={march}", "-DGGML_USE_CPU_REPACK",
                f"-I{llama}/ggml/include", f"-I{source}", f"-I{source}/ggml-cpu", "-ffunction-sections", "-c", file,
                "-o", out)
            objects.append(out)
        # The loops alone are run: what else the files refer to may stay open.
        run("aarch64-linux-gnu-gcc", "-static", "-o", f"{work}/peer-{name}", *objects, "-Wl,--gc-sections",
            "-Wl,--unresolved-symbols=ignore-all", "-lm")


def executed(work, program, args, environment):
    """How often each instruction runs for one pass of the work."""
    def times(repeats):
        log = f"{work}/qemu.log"
        subprocess.run(["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu", "-d", "plugin", "-D", log, "-plugin",
                        f"file={work}/count.so", program, *args, str(repeats)], check=True, capture_output=True,
                       env={**os.environ, **environment})
        counts = collections.Counter()
        for line in open(log):
            address, instructions, n = line.split()
            for i in range(int(instructions)):
                counts[int(address, 16) + 4 * i] += int(n)
        base = loaded_at(program, counts)
        return {address - base: n for address, n in counts.items()}
    once, thrice = times(1), times(3)
    return {address: (n - once.get(address, 0)) // 2 for address, n in thrice.items() if n > once.get(address, 0) + 1}


def loaded_at(program, addresses):
    """Where qemu put a program that may lie anywhere: below its dynamic linker, at the start of a page."""
    header = run("llvm-readelf-19", "-h", program)
    if "EXEC" in re.search(r"Type:.*", header)[0]:
        return 0
    entry = int(re.search(r"Entry point address:\s+0x([0-9a-fA-F]+)", header)[1], 16)
    return min(a - entry for a in addresses if (a - entry) % 4096 == 0)


def functions(program, name):
    """Where the functions with `name` in their names lie."""
    symbols = (line.split() for line in run("llvm-nm-19", "-S", program).splitlines())
    return [(int(s[0], 16), int(s[0], 16) + int(s[1], 16)) for s in symbols if len(s) == 4 and name in s[3]]


def listing(program, addresses):
    """The text of the instructions at `addresses`, without what llvm-mca cannot use."""
    text = {}
    low, high = min(addresses), max(addresses) + 4
    dump = run("llvm-objdump-19", "-d", "--no-show-raw-insn", "--mattr=+dotprod,+i8mm,+fullfp16",
               f"--start-address={low}", f"--stop-address={high}", program)
    for line in dump.splitlines():
        found = re.match(r"\s*([0-9a-f]+):\s+(\S.*)", line)
        if found:
            text[int(found[1], 16)] = re.sub(r"\s*(<.*>|//.*)$", "", found[2])
    return text


class Loop:
    """One kernel's work: exact counts, and the pieces that make up nearly all of it."""

    def __init__(self, work, program, args, environment=None, inside=None):
        counts = executed(work, program, args, environment or {})
        if inside:
            parts = functions(program, inside)
            counts = {a: n for a, n in counts.items() if any(low <= a < high for low, high in parts)}
        self.instructions = sum(counts.values())
        by_times = collections.defaultdict(list)
        for address, n in counts.items():
            by_times[n].append(address)
        self.pieces = []
        for n, addresses in by_times.items():
            if n * len(addresses) * 200 > self.instructions:
                text = listing(program, addresses)
                lines = [text[a] for a in sorted(addresses) if a in text]
                self.pieces.append((n, [l for l in lines if not re.match(r"(b|bl|br|blr|ret|cbn?z|tbn?z|b\.\w+|adrp?)\s", l + " ")]))

    def cycles(self, cpu):
        """Cycles of one pass of the work."""
        return sum(n * estimate(cpu, "\n".join(lines)) for n, lines in self.pieces if lines)


def estimate(cpu, lines):
    """Cycles of one iteration of a loop."""
    out = run("llvm-mca-19", "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm,+fullfp16", "-iterations=100",
              input=lines + "\n")
    return int(re.search(r"Total Cycles:\s+(\d+)", out)[1]) / 100


def peak(cpu, instruction):
    """Multiply-adds a cycle of a loop of nothing else."""
    lines = [f"{instruction} v{i}.4s, v30.16b, v31.16b" for i in range(24)]
    return 24 * MACS[instruction] / estimate(cpu, "\n".join(lines))


def row(cells):
    return "| " + " | ".join(cells) + " |\n"


def decode_table(o):
    text = "One token: instructions, then cycles, for one block of the file (64 rows of 4096).\n\n"
    text += row(["format", "loop", "instructions", *CPUS]) + row(["---"] * (3 + len(CPUS)))
    shape = [str(ROWS), str(K), "1"]
    for name, values in BLOCK.items():
        blocks = ROWS * K / values
        loops = [("Sprat", Loop(o.work, o.count, [name, *shape], {"SPRAT_ISA": "neon-dotprod"}))]
        for loop in ("raw", *REPACKED[name]):
            loops += [(f"llama.cpp {loop}, {m}", Loop(o.work, f"{o.work}/peer-{m}", [loop, name, *shape])) for m in MARCH]
        for title, loop in best(loops):
            cycles = [loop.cycles(cpu) / blocks for cpu in CPUS]
            text += row([name, title, f"{loop.instructions / blocks:.1f}", *(f"{c:.1f}" for c in cycles)])
        print(name, file=sys.stderr)
    return text


def best(loops):
    """Ours, then of llama.cpp's builds for either CPU the one with fewer instructions, for each layout."""
    layouts = collections.defaultdict(list)
    for title, loop in loops:
        layouts[title.split(",")[0]].append((title, loop))
    return [min(same, key=lambda l: l[1].instructions) for same in layouts.values()]


def prompt_table(o):
    text = f"{TOKENS} tokens, unpacking and packing included: multiply-adds a cycle and their share of the peak of a loop of that instruction.\n\n"
    text += row(["format", "loop", "instructions per 1000", *CPUS]) + row(["---"] * (3 + len(CPUS)))
    shape = [str(ROWS), str(K), str(TOKENS)]
    macs = ROWS * K * TOKENS
    for name in BLOCK:
        loops = [(f"Sprat {s}{title}", s, Loop(o.work, o.count, [name, *shape], {"SPRAT_ISA": f"neon-{m}"}, inside))
                 for s, m in (("sdot", "dotprod"), ("smmla", "i8mm"))
                 for title, inside in (("", None), (", its tile alone", "sweep"))]
        a, b = REPACKED[name]
        loops += [(f"llama.cpp {a}", "sdot", Loop(o.work, f"{o.work}/peer-dotprod", [a, name, *shape])),
                  (f"llama.cpp {b}", "smmla", Loop(o.work, f"{o.work}/peer-i8mm", [b, name, *shape]))]
        for title, instruction, loop in loops:
            cells = []
            for cpu in CPUS:
                if instruction == "smmla" and cpu in ("neoverse-n1", "cortex-a55"):
                    cells.append("-")
                    continue
                rate = macs / loop.cycles(cpu)
                cells.append(f"{rate:.0f} ({100 * rate / peak(cpu, instruction):.0f} %)")
            text += row([name, title, f"{1000 * loop.instructions / macs:.1f}", *cells])
        print(name, file=sys.stderr)
    return text


def few_table(o):
    text = "Instructions for so many tokens, in units of one token's.\n\n"
    text += row(["format", "set", *map(str, FEW)]) + row(["---"] * (2 + len(FEW)))
    for name in BLOCK:
        for isa in ("neon-dotprod", "neon-i8mm"):
            cost = [sum(executed(o.work, o.count, [name, str(ROWS), str(K), str(t)], {"SPRAT_ISA": isa}).values()) for t in FEW]
            text += row([name, isa, *(f"{c / cost[0]:.1f}" for c in cost)])
        print(name, file=sys.stderr)
    return text


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("count", "llama", "work"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--out")
    o = ap.parse_args()
    build(o.llama, o.work)
    text = "\n".join(table(o) for table in (decode_table, few_table, prompt_table))
    if o.out:
        open(o.out, "w").write(text)
    print(text)


if __name__ == "__main__":
    main()
