"""Trains the tiny model: Muon on the matrices, AdamW on the rest, checkpoints, exact match on held-out requests.

    python train.py --corpus DIR --run DIR --hand FILE (--steps N | --minutes M)

A run continues from its last checkpoint. The learning rate is flat for the first 40 % of the steps, then falls
linearly to zero. With --minutes, the number of steps is what the machine does in that time.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import data
import model
import vocabulary

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
ADAM_RATE, MUON_RATE, WARMUP, DECAY, FLAT = 2e-3, 2.5e-3, 100, 0.1, 0.4


def orthogonal(g):
    """Newton-Schulz: nearest orthogonal matrix of each [layers, m, n]. Source: Jordan et al. 2024, "Muon"."""
    flip = g.shape[1] > g.shape[2]
    x = jnp.swapaxes(g, 1, 2) if flip else g
    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-7)
    for a, b, c in [(3.4445, -4.7750, 2.0315)] * 5:
        s = x @ jnp.swapaxes(x, 1, 2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return jnp.swapaxes(x, 1, 2) if flip else x


def step(state, tokens, segments, masks, rate, capacity, kind):
    """One update on rows [b, t]; `capacity` is the most reply tokens that count. Returns (state, loss)."""
    p, m, v, n = state
    scored = masks.reshape(-1) > 0
    at = jnp.nonzero(scored, size=capacity, fill_value=1)[0]
    weight = jnp.arange(capacity) < scored.sum()
    value, grads = jax.value_and_grad(model.loss)(p, tokens.astype(jnp.int32), segments, at - 1, weight, kind)
    norm = jnp.sqrt(sum((g * g).sum() for g in grads.values()))
    clip = jnp.minimum(1.0, 1.0 / (norm + 1e-6))
    n = n + 1
    new_p, new_m, new_v = {}, {}, {}
    for key, g in grads.items():
        g = g * clip
        if key in MATRICES:
            new_m[key] = 0.95 * m[key] + g
            new_v[key] = v[key]
            # Scaled so that an update has the root mean square of an Adam update (Liu et al. 2025).
            update = orthogonal(g + 0.95 * new_m[key]) * 0.2 * max(g.shape[1:]) ** 0.5
            new_p[key] = p[key] * (1 - rate * MUON_RATE * DECAY) - rate * MUON_RATE * update
        else:
            new_m[key] = 0.9 * m[key] + 0.1 * g
            new_v[key] = 0.98 * v[key] + 0.02 * g * g
            update = (new_m[key] / (1 - 0.9**n)) / (jnp.sqrt(new_v[key] / (1 - 0.98**n)) + 1e-8)
            new_p[key] = p[key] - rate * ADAM_RATE * update
    return (new_p, new_m, new_v, n), value


def right_replies(predict, p, packed, batch):
    """Per conversation (intent, whether its greedy last reply is the reference token for token)."""
    tokens, segments, masks, index = packed
    right = np.ones(tokens.shape, bool)
    for i in range(0, len(tokens), batch):
        t, s = tokens[i : i + batch], segments[i : i + batch]
        short = batch - len(t)
        t, s = np.pad(t, ((0, short), (0, 0))), np.pad(s, ((0, short), (0, 0)))
        guess = np.asarray(predict(p, t.astype(np.int32), s))[: batch - short]
        # Position j is judged by what position j - 1 predicted.
        right[i : i + batch, 1:] = (guess[:, :-1] == tokens[i : i + batch, 1:]) | (masks[i : i + batch, 1:] == 0)
    return [(intent, bool(right[row][segments[row] == segment].all())) for row, segment, intent in index]


def share(results):
    return round(float(np.mean([ok for _, ok in results])), 4)


def save(path, state, done):
    arrays = {f"{name}.{key}": np.asarray(a) for name, group in zip("pmv", state) for key, a in group.items()}
    np.savez(path + ".tmp.npz", done=done, n=np.asarray(state[3]), **arrays)
    os.replace(path + ".tmp.npz", path)


def load(path):
    """(parameters, momenta, squares, updates) and the number of steps done."""
    f = np.load(path)
    groups = [{k[2:]: f[k] for k in f.files if k.startswith(f"{name}.")} for name in "pmv"]
    return (*groups, f["n"]), int(f["done"])


def arguments():
    a = argparse.ArgumentParser()
    a.add_argument("--corpus", required=True, help="folder of train-*.jsonl and held.jsonl")
    a.add_argument("--run", required=True, help="folder of the vocabulary, the checkpoint and the log")
    a.add_argument("--hand", required=True, help="the hand-written requests in the corpus format, only ever measured")
    a.add_argument("--steps", type=int)
    a.add_argument("--minutes", type=float)
    a.add_argument("--length", type=int, default=1024)
    a.add_argument("--batch", type=int, default=64)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--every", type=int, default=1000, help="steps between checkpoints")
    a.add_argument("--bf16", action="store_true", help="multiply matrices in bfloat16")
    a = a.parse_args()
    if (a.steps is None) == (a.minutes is None):
        raise SystemExit("one of --steps and --minutes")
    return a


def main():
    a = arguments()
    os.makedirs(a.run, exist_ok=True)
    words = os.path.join(a.run, "vocabulary.json")
    if not os.path.exists(words):
        vocabulary.save(words, *vocabulary.learn(a.corpus))
    began = time.time()
    tokens, segments, masks = data.read_training(a.corpus, words, a.length)
    held = data.read(os.path.join(a.corpus, "held.jsonl"), words, a.length, last_only=True)
    hand = data.read(a.hand, words, a.length, last_only=True)
    print(f"{len(tokens)} rows of {a.length}, {(segments > 0).mean():.2f} full, {masks.mean():.2f} scored, {time.time() - began:.0f} s to read", flush=True)

    checkpoint = os.path.join(a.run, "last.npz")
    if os.path.exists(checkpoint):
        state, done = load(checkpoint)
    else:
        p = model.init(a.seed)
        zero = {k: np.zeros_like(w) for k, w in p.items()}
        state, done = (p, zero, {k: np.zeros(1 if k in MATRICES else w.shape, np.float32) for k, w in p.items()}, np.float32(0)), 0
        print("parameters", sum(w.size for w in p.values()), flush=True)
    capacity = int(a.batch * a.length * min(1.0, masks.mean() * 1.3))
    advance = jax.jit(partial(step, capacity=capacity, kind=jnp.bfloat16 if a.bf16 else jnp.float32), donate_argnums=0)
    predict = jax.jit(model.predictions)
    log = open(os.path.join(a.run, "log.jsonl"), "a")

    def note(**line):
        print(line, flush=True)
        log.write(json.dumps(line) + "\n")
        log.flush()

    per_epoch = len(tokens) // a.batch
    first, steps = done, a.steps or 10**9
    began = mark = time.time()
    losses = []
    while done < steps:
        epoch, place = divmod(done, per_epoch)
        if not losses and done == first or place == 0:
            order = np.random.default_rng((a.seed, epoch)).permutation(len(tokens))
        rows = order[place * a.batch : (place + 1) * a.batch]
        rate = min(1.0, (done + 1) / WARMUP, (1 - done / steps) / (1 - FLAT))
        state, value = advance(state, tokens[rows], segments[rows], masks[rows], np.float32(rate))
        losses.append(value)
        done += 1
        if len(losses) == 50:
            mean = float(jnp.stack(losses).mean())
            seconds, mark, losses = time.time() - mark, time.time(), []
            note(step=done, loss=round(mean, 4), rate=round(rate, 3), tokens_per_s=round(50 * a.batch * a.length / seconds))
            if a.minutes and done == first + 150:
                # The first fifty steps compiled; these ran as the rest will.
                steps = done + int((a.minutes * 60 - (time.time() - began)) / seconds * 50)
                print(f"{steps} steps in {a.minutes} minutes", flush=True)
        if done % a.every == 0 or done == steps:
            save(checkpoint, state, done)
            results = right_replies(predict, state[0], held, a.batch)
            per = defaultdict(list)
            for intent, ok in results:
                per[intent].append(ok)
            intents = {k: round(float(np.mean(v)), 3) for k, v in sorted(per.items(), key=lambda kv: np.mean(kv[1]))}
            note(step=done, held=share(results), requests=len(results), hand=share(right_replies(predict, state[0], hand, a.batch)), intents=intents)
            mark = time.time()


if __name__ == "__main__":
    main()
