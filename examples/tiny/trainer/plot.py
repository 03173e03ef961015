"""Draws a run's log: loss of the replies, and exact match on held-out requests. python plot.py --run DIR --out FILE.png"""

import argparse
import json
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--run", required=True)
    a.add_argument("--out", required=True)
    a = a.parse_args()
    lines = [json.loads(line) for line in open(os.path.join(a.run, "log.jsonl"))]
    # A run that was started again repeats steps; the last word on a step counts.
    loss = {x["step"]: x["loss"] for x in lines if "loss" in x}
    held = {x["step"]: x["held"] for x in lines if "held" in x}
    hand = {x["step"]: x["hand"] for x in lines if "hand" in x}
    figure, left = plt.subplots(figsize=(7, 3.5), dpi=110)
    left.plot(*zip(*sorted(loss.items())), color="#1f5f8b", label="loss (left)")
    left.set(yscale="log", xlabel="step", ylabel="cross entropy per reply token")
    right = left.twinx()
    right.plot(*zip(*sorted(held.items())), color="#c1552b", marker=".", label="held out, exact match (right)")
    right.plot(*zip(*sorted(hand.items())), color="#5b8c3a", marker=".", label="written by hand, exact match (right)")
    right.set_ylim(0.9, 1)
    figure.legend(loc="upper center", ncol=3, fontsize=8)
    left.grid(alpha=0.3)
    figure.savefig(a.out, bbox_inches="tight")


if __name__ == "__main__":
    main()
