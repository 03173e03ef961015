"""Conversations as rows of tokens: several to a row, each seeing only itself, with a mask over the replies."""

import glob
import json
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import vocabulary
from vocabulary import ASSISTANT, END, PAD, SYSTEM, USER


def encode(lines, tokenizer, length, last_only=False):
    """Yields (tokens, reply mask, intent) per conversation, cut at a turn so that `length` tokens suffice."""
    for start in range(0, len(lines), 10_000):
        chunk = [json.loads(line) for line in lines[start : start + 10_000]]
        flat = [t for c in chunk for t in [c["system"], *c["turns"]]]
        coded = iter(tokenizer.encode_batch_fast(flat, add_special_tokens=False))
        for c in chunk:
            prompt = next(coded).ids
            turns = [next(coded).ids for _ in c["turns"]]
            ids, mask = ([SYSTEM, *prompt, END], [0] * (len(prompt) + 2)) if c["system"] else ([], [])
            for i in range(0, len(turns), 2):
                more = [USER, *turns[i], END, ASSISTANT]
                reply = [*turns[i + 1], END]
                if len(ids) + len(more) + len(reply) > length:
                    break
                scored = not last_only or i == len(turns) - 2
                ids = ids + more + reply
                mask = mask + [0] * len(more) + [int(scored)] * len(reply)
            if any(mask):
                yield ids, mask, c["intent"]


def pack(examples, length, open_rows=24):
    """First-fit rows of `length`: arrays tokens, segment (0 = padding), mask, and (row, segment, intent) per example."""
    rows, done, index = [], [], []
    for ids, mask, intent in examples:
        row = next((r for r in rows if len(r[0]) + len(ids) <= length), None)
        if row is None:
            if len(rows) == open_rows:
                rows.sort(key=lambda r: len(r[0]))
                rows.pop()
            row = ([], [], [], len(done))
            rows.append(row)
            done.append(row)
        segment = row[1][-1] + 1 if row[1] else 1
        row[0].extend(ids)
        row[1].extend([segment] * len(ids))
        row[2].extend(mask)
        index.append((row[3], segment, intent))
    tokens = np.full((len(done), length), PAD, np.int16)
    segments = np.zeros((len(done), length), np.uint8)
    masks = np.zeros((len(done), length), np.uint8)
    for i, (t, s, m, _) in enumerate(done):
        tokens[i, : len(t)] = t
        segments[i, : len(s)] = s
        masks[i, : len(m)] = m
    return tokens, segments, masks, index


def read(path, words, length, last_only=False):
    """The packed rows of one corpus file."""
    _, _, tokenizer = vocabulary.load(words)
    with open(path) as f:
        return pack(encode(f.read().splitlines(), tokenizer, length, last_only), length)


def read_training(folder, words, length):
    """Tokens, segments and masks of every `train-*.jsonl` of a folder, a process per file."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    paths = sorted(glob.glob(os.path.join(folder, "train-*.jsonl")))
    with ProcessPoolExecutor(min(len(paths), os.cpu_count())) as pool:
        parts = list(pool.map(read, paths, [words] * len(paths), [length] * len(paths)))
    return tuple(np.concatenate([part[i] for part in parts]) for i in range(3))
