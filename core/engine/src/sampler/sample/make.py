#!/usr/bin/env python3
"""Makes llama_chain.json beside it: what llama.cpp's samplers leave of small vocabularies.

    pip install llama-cpp-python && python make.py

Every entry has logits, options and the tokens accepted before; `kept` are the ids left and `p` their probabilities.
"""

import ctypes
import json
import pathlib
import random

import llama_cpp as ll

N = 48
NEUTRAL = {"top_k": 0, "typical_p": 1.0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0}
OPTIONS = [
    {"top_k": 5},
    {"top_p": 0.7},
    {"top_p": 0.3},
    {"min_p": 0.2},
    {"typical_p": 0.6},
    {"typical_p": 0.2},
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"top_k": 20, "top_p": 0.9, "min_p": 0.05, "temperature": 0.8},
    {"top_k": 30, "typical_p": 0.8, "top_p": 0.9, "min_p": 0.1, "temperature": 1.3},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "frequency_penalty": 0.4, "presence_penalty": -0.3},
    {"repetition_penalty": 1.1, "frequency_penalty": 0.2, "presence_penalty": 0.5, "top_k": 10, "temperature": 0.7},
]


def kept(logits, options, recent):
    o = {**NEUTRAL, **options}
    chain = ll.llama_sampler_chain_init(ll.llama_sampler_chain_default_params())
    penalties = [options.get(key, default) for key, default in
                 [("repetition_penalty", 1.0), ("frequency_penalty", 0.0), ("presence_penalty", 0.0)]]
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_penalties(N, 8, *penalties))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_top_k(o["top_k"]))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_typical(o["typical_p"], 1))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_top_p(o["top_p"], 1))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_min_p(o["min_p"], 1))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_temp(o["temperature"]))
    ll.llama_sampler_chain_add(chain, ll.llama_sampler_init_dist(1))
    for token in recent:
        ll.llama_sampler_accept(chain, token)
    data = (ll.llama_token_data * len(logits))(*[ll.llama_token_data(i, x, 0.0) for i, x in enumerate(logits)])
    array = ll.llama_token_data_array(data=data, size=len(logits), selected=-1, sorted=False)
    ll.llama_sampler_apply(chain, ctypes.byref(array))
    left = sorted((array.data[i].id, array.data[i].p) for i in range(array.size))
    ll.llama_sampler_free(chain)
    return {"kept": [i for i, _ in left], "p": [round(p, 7) for _, p in left]}


if __name__ == "__main__":
    source = random.Random(4)
    entries = []
    for options in OPTIONS:
        for spread in (1.0, 4.0):
            logits = [round(source.gauss(0.0, spread), 3) for _ in range(N)]
            recent = [source.randrange(N) for _ in range(11)] + [3, 3, 7]
            entries.append({"options": options, "logits": logits, "recent": recent, **kept(logits, options, recent)})
    path = pathlib.Path(__file__).parent / "llama_chain.json"
    path.write_text("[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]\n")
    print(len(entries), "entries")
