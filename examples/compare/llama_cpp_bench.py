#!/usr/bin/env python3
"""llama.cpp's side of the comparison: the same work and the same JSON keys as `sprat bench --json`.

usage: llama_cpp_bench.py --model F --threads N --prompt 256 --generate 32 --depth 0 --repeat R [--no-repack] [--state F]

With --state the tokens before `depth` are computed once, on all cores, and loaded from that file by later runs.
"""
import argparse
import ctypes
import json
import os
import time

import llama_cpp as c


def anonymous_bytes():
    rows = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Anonymous:"))


def tokens(vocabulary, salt, n):
    return [(i + salt) * 7919 % vocabulary for i in range(n)]


class Context:
    def __init__(self, model, threads, positions):
        self.threads = threads
        p = c.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = positions, 512, 512, 1
        p.n_threads = p.n_threads_batch = threads
        p.offload_kqv = p.op_offload = False
        self.ctx = c.llama_init_from_model(model, p)
        assert self.ctx, "llama.cpp cannot make a context"
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(model))
        self.batch = c.llama_batch_init(512, 0, 1)
        self.used = 0

    def feed(self, ids):
        for start in range(0, len(ids), 512):
            part, b = ids[start:start + 512], self.batch
            b.n_tokens = len(part)
            for i, t in enumerate(part):
                b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, self.used + i, 1, start + i == len(ids) - 1
                b.seq_id[i][0] = 0
            assert c.llama_decode(self.ctx, b) == 0, "decode failed"
            self.used += len(part)
        # Reading a logit waits for the computation.
        return c.llama_get_logits_ith(self.ctx, -1)

    def fill(self, ids, state):
        """What lies before the timed part."""
        path = state and state.encode()
        room = (ctypes.c_int32 * len(ids))()
        count = ctypes.c_size_t()
        if state and os.path.exists(state):
            assert c.llama_state_seq_load_file(self.ctx, path, 0, room, len(ids), ctypes.byref(count)), "cannot load the state"
            self.used = len(ids)
            return
        c.llama_set_n_threads(self.ctx, self.threads, len(os.sched_getaffinity(0)))
        self.feed(ids)[0]
        c.llama_set_n_threads(self.ctx, self.threads, self.threads)
        if state:
            assert c.llama_state_seq_save_file(self.ctx, path, 0, room, len(ids)), "cannot save the state"

    def truncate(self, n):
        c.llama_memory_seq_rm(c.llama_get_memory(self.ctx), 0, n, -1)
        self.used = min(self.used, n)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", required=True)
    for name, default in (("threads", 1), ("prompt", 256), ("generate", 32), ("depth", 0), ("repeat", 1)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--no-repack", action="store_true")
    ap.add_argument("--state")
    o = ap.parse_args()
    quiet = c.llama_log_callback(lambda level, text, data: None)
    c.llama_log_set(quiet, ctypes.c_void_p(0))
    c.llama_backend_init()
    before = anonymous_bytes()

    start = time.perf_counter()
    p = c.llama_model_default_params()
    p.n_gpu_layers, p.use_extra_bufts = 0, not o.no_repack
    model = c.llama_model_load_from_file(o.model.encode(), p)
    assert model, "llama.cpp cannot load the model"
    open_ms = 1e3 * (time.perf_counter() - start)
    context = Context(model, o.threads, o.depth + max(o.prompt, 8) + o.generate + 8)
    context.feed(tokens(context.vocabulary, 0, 8))[0]
    first_token_ms = 1e3 * (time.perf_counter() - start)

    # llama.cpp's own greedy sampler picks the tokens, so that no Python loop over the logits is timed.
    greedy = c.llama_sampler_init_greedy()
    prompt, generate = [], []
    for _ in range(o.repeat):
        context.truncate(o.depth)
        if context.used < o.depth:
            context.truncate(0)
            context.fill(tokens(context.vocabulary, 3, o.depth), o.state)
        if o.prompt:
            start = time.perf_counter()
            context.feed(tokens(context.vocabulary, 7, o.prompt))[0]
            prompt.append(o.prompt / (time.perf_counter() - start))
        context.truncate(o.depth)
        if o.generate:
            next_id = tokens(context.vocabulary, o.depth, 1)[0]
            start = time.perf_counter()
            for _ in range(o.generate):
                context.feed([next_id])
                next_id = c.llama_sampler_sample(greedy, context.ctx, -1)
            generate.append(o.generate / (time.perf_counter() - start))
    print(json.dumps({
        "prompt_tokens_per_s": prompt, "generate_tokens_per_s": generate, "open_ms": open_ms,
        "first_token_ms": first_token_ms, "anonymous_bytes": anonymous_bytes() - before,
    }))


main()
