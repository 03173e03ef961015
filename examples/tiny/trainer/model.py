"""The tiny Llama in JAX: shapes, forward pass, loss. RoPE turns adjacent pairs, as GGUF's llama layout has them."""

import jax
import jax.numpy as jnp
import numpy as np

CONFIG = dict(vocab=1280, dim=256, layers=4, heads=4, kv_heads=2, ffn=512, context=1024, rope_base=10000.0, eps=1e-5)


def init(seed, c=CONFIG):
    """Weights as numpy f32: matrices are [in, out], stacked over layers."""
    rng = np.random.default_rng(seed)
    d, f, layers = c["dim"], c["ffn"], c["layers"]
    kv = c["kv_heads"] * d // c["heads"]

    def matrix(rows, cols, scale):
        return (rng.standard_normal((layers, rows, cols)) * scale).astype(np.float32)

    std = d**-0.5
    out = std / (2 * layers) ** 0.5
    return {
        "embed": (rng.standard_normal((c["vocab"], d)) * 0.02).astype(np.float32),
        "norm": np.ones(d, np.float32),
        "attn_norm": np.ones((layers, d), np.float32),
        "ffn_norm": np.ones((layers, d), np.float32),
        "q": matrix(d, d, std), "k": matrix(d, kv, std), "v": matrix(d, kv, std), "o": matrix(d, d, out),
        "gate": matrix(d, f, std), "up": matrix(d, f, std), "down": matrix(f, d, out * (d / f) ** 0.5),
    }


def rms(x, weight, eps):
    """Root-mean-square norm, in f32 whatever x is; returns x's type."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + eps) * weight).astype(x.dtype)


def rope(x, cos, sin):
    """x [b, t, heads, head_dim]; pairs (0,1), (2,3), …"""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


def hidden(p, tokens, segments, kind=jnp.float32, c=CONFIG):
    """Last hidden states [b * t, dim]; a token sees the earlier ones of its own segment. Matrices are multiplied as `kind`.

    Activations stay flat: XLA's CPU matmul of [b * t, dim] takes two thirds of the time of [b, t, dim].
    """
    b, t = tokens.shape
    heads, kv_heads = c["heads"], c["kv_heads"]
    hd = c["dim"] // heads
    w = {k: p[k].astype(kind) for k in ("q", "k", "v", "o", "gate", "up", "down")}
    inv = c["rope_base"] ** (-np.arange(0, hd, 2) / hd)
    angle = np.arange(t)[:, None] * inv[None]
    cos, sin = (jnp.asarray(f(angle)[None, :, None, :], kind) for f in (np.cos, np.sin))
    see = (segments[:, :, None] == segments[:, None, :]) & jnp.tril(jnp.ones((t, t), bool))
    see = see[:, None, None]
    group = heads // kv_heads
    x = p["embed"][tokens.reshape(-1)]
    for i in range(c["layers"]):
        h = rms(x, p["attn_norm"][i], c["eps"]).astype(kind)
        q = rope((h @ w["q"][i]).reshape(b, t, heads, hd), cos, sin) * hd**-0.5
        k = rope((h @ w["k"][i]).reshape(b, t, kv_heads, hd), cos, sin)
        v = (h @ w["v"][i]).reshape(b, t, kv_heads, hd)
        q = q.reshape(b, t, kv_heads, group, hd).transpose(0, 2, 3, 1, 4).reshape(b * kv_heads, group * t, hd)
        k = k.transpose(0, 2, 3, 1).reshape(b * kv_heads, hd, t)
        v = v.transpose(0, 2, 1, 3).reshape(b * kv_heads, t, hd)
        s = (q @ k).reshape(b, kv_heads, group, t, t).astype(jnp.float32)
        s = jax.nn.softmax(jnp.where(see, s, -1e9), -1).astype(kind).reshape(b * kv_heads, group * t, t)
        a = (s @ v).reshape(b, kv_heads, group, t, hd).transpose(0, 3, 1, 2, 4).reshape(b * t, -1)
        x = x + (a @ w["o"][i]).astype(jnp.float32)
        h = rms(x, p["ffn_norm"][i], c["eps"]).astype(kind)
        x = x + ((jax.nn.silu(h @ w["gate"][i]) * (h @ w["up"][i])) @ w["down"][i]).astype(jnp.float32)
    return rms(x, p["norm"], c["eps"])


def loss(p, tokens, segments, at, weight, kind=jnp.float32):
    """Mean cross entropy at the flat positions `at` (each predicts the token after it); `weight` 0 marks filler."""
    h = hidden(p, tokens, segments, kind)[at]
    logits = (h.astype(kind) @ p["embed"].T.astype(kind)).astype(jnp.float32)
    target = tokens.reshape(-1)[at + 1]
    ce = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, target[:, None], -1)[:, 0]
    return (ce * weight).sum() / weight.sum()


def predictions(p, tokens, segments):
    """The greedy next token at every position."""
    return jnp.argmax(hidden(p, tokens, segments) @ p["embed"].T, -1).reshape(tokens.shape)
