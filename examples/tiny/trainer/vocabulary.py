"""The tiny model's vocabulary: byte-level BPE whose pieces are the same with and without a leading space.

Copying a name out of a request into JSON must not change how it is cut: " Maria" and "Maria" share their
pieces. So merges are learned on words without their space, and the space joins only frequent first pieces, last.
"""

import glob
import json
import os
from collections import Counter, defaultdict
from itertools import chain, islice

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>"]
END, SYSTEM, USER, ASSISTANT, PAD = range(5)
SIZE = 1280
SPACED = 380  # pieces that also exist with a leading space
SPACE = "\u0120"  # how byte-level BPE writes a space


def pre_tokenizer():
    """What GGUF calls "smollm": single digits, then GPT-2's pattern, then bytes."""
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])


def texts(folder, prompts=0.1, lines=1300):
    """What the beginning of each part of the corpus says, with one in ten of its system prompts."""
    firsts = (islice(open(path), lines) for path in sorted(glob.glob(os.path.join(folder, "train-*.jsonl"))))
    for i, line in enumerate(chain.from_iterable(firsts)):
        c = json.loads(line)
        yield from c["turns"]
        if c["system"] and i % int(1 / prompts) == 0:
            yield c["system"]


def learn(folder):
    """Learns vocabulary and merges from a corpus folder; returns (tokens, merges)."""
    words, first = Counter(), Counter()
    cut = pre_tokenizer()
    for text in texts(folder):
        for word, _ in cut.pre_tokenize_str(text):
            bare = word.lstrip(SPACE)
            if bare:
                words[bare] += 1
                if word != bare:
                    first[bare] += 1
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    split = [(list(w), n) for w, n in words.items()]
    pairs, where = Counter(), defaultdict(set)
    for i, (parts, n) in enumerate(split):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges, tokens = [], list(alphabet)
    while len(SPECIALS) + len(tokens) + SPACED < SIZE:
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        tokens.append(best[0] + best[1])
        for i in where.pop(best):
            parts, n = split[i]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= n
            joined, at = [], 0
            while at < len(parts):
                if at + 1 < len(parts) and (parts[at], parts[at + 1]) == best:
                    joined.append(parts[at] + parts[at + 1])
                    at += 2
                else:
                    joined.append(parts[at])
                    at += 1
            split[i] = (joined, n)
            for pair in zip(joined, joined[1:]):
                pairs[pair] += n
                where[pair].add(i)
        pairs.pop(best, None)
    starts = Counter()
    for (parts, _), word in zip(split, words):
        starts[parts[0]] += first[word]
    for piece, _ in starts.most_common(SPACED):
        merges.append((SPACE, piece))
        tokens.append(SPACE + piece)
    return SPECIALS + tokens, merges


def save(path, tokens, merges):
    json.dump({"tokens": tokens, "merges": [" ".join(m) for m in merges]}, open(path, "w"), ensure_ascii=False)


def load(path):
    """The vocabulary file as (tokens, merges, tokenizer)."""
    data = json.load(open(path))
    merges = [tuple(m.split(" ")) for m in data["merges"]]
    vocab = {t: i for i, t in enumerate(data["tokens"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    return data["tokens"], data["merges"], tokenizer
