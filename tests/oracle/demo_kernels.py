"""One fused GPU kernel for training the demo VAE: RMS norm over channels, SiLU, and the two zero
frames (or the stacking of three frames) that a causal convolution wants in front of it.

`norm_silu_causal(x, gamma, stack)` takes x [B, T, H, W, C] and returns [B, T+2, H, W, C] with two
zero frames first, or, stacked, [B, T, H, W, 3C] holding frames t-2, t-1 and t.  It reads x once and
writes the result once, forward and backward; eager PyTorch makes about ten passes.
"""

import torch
import triton
import triton.language as tl

ROWS = 64


@triton.jit
def _forward(x, gamma, out, frames, pixels, rows, C: tl.constexpr, STACK: tl.constexpr, R: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)          # rows of the input
    c = tl.arange(0, C)
    ok = (row < rows)[:, None]
    v = tl.load(x + row[:, None].to(tl.int64) * C + c[None], mask=ok, other=0.0).to(tl.float32)
    g = tl.load(gamma + c).to(tl.float32)[None] * tl.sqrt(C * 1.0)
    u = v / tl.sqrt(tl.maximum(tl.sum(v * v, 1), 1e-24))[:, None] * g
    y = (u * tl.sigmoid(u)).to(out.dtype.element_ty)
    t = (row // pixels) % frames
    batch = row // (pixels * frames)
    p = row % pixels
    if STACK:
        zero = tl.zeros_like(y)
        for k in tl.static_range(3):                      # this frame is tap 2-k of frame t+k
            at = ((batch * frames + t + k) * pixels + p).to(tl.int64)[:, None] * (3 * C) + (2 - k) * C + c[None]
            tl.store(out + at, y, mask=ok & (t + k < frames)[:, None])
        for k in tl.static_range(2):                      # frames 0 and 1 have nothing before the start
            at = row.to(tl.int64)[:, None] * (3 * C) + k * C + c[None]
            tl.store(out + at, zero, mask=ok & (t < 2 - k)[:, None])
    else:
        at = ((batch * (frames + 2) + t + 2) * pixels + p).to(tl.int64)[:, None] * C + c[None]
        tl.store(out + at, y, mask=ok)
        lead = ((batch * (frames + 2) + t) * pixels + p).to(tl.int64)[:, None] * C + c[None]
        tl.store(out + lead, tl.zeros_like(y), mask=ok & (t < 2)[:, None])


@triton.jit
def _backward(x, gamma, grad, dx, dgamma, frames, pixels, rows, C: tl.constexpr, STACK: tl.constexpr, R: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.arange(0, C)
    ok = (row < rows)[:, None]
    at_x = row[:, None].to(tl.int64) * C + c[None]
    v = tl.load(x + at_x, mask=ok, other=0.0).to(tl.float32)
    t = (row // pixels) % frames
    batch = row // (pixels * frames)
    p = row % pixels
    if STACK:
        d = tl.zeros([R, C], tl.float32)
        for k in tl.static_range(3):
            at = ((batch * frames + t + k) * pixels + p).to(tl.int64)[:, None] * (3 * C) + (2 - k) * C + c[None]
            d += tl.load(grad + at, mask=ok & (t + k < frames)[:, None], other=0.0).to(tl.float32)
    else:
        at = ((batch * (frames + 2) + t + 2) * pixels + p).to(tl.int64)[:, None] * C + c[None]
        d = tl.load(grad + at, mask=ok, other=0.0).to(tl.float32)
    root = tl.sqrt(C * 1.0)
    g = tl.load(gamma + c).to(tl.float32)[None]
    inverse = 1.0 / tl.sqrt(tl.maximum(tl.sum(v * v, 1), 1e-24))[:, None]
    n = v * inverse
    u = n * g * root
    s = tl.sigmoid(u)
    du = d * s * (1.0 + u * (1.0 - s)) * root
    tl.atomic_add(dgamma + (tl.program_id(0) % 64) * C + c, tl.sum(du * n, 0))
    dn = du * g
    out = (dn - n * tl.sum(dn * n, 1)[:, None]) * inverse
    tl.store(dx + at_x, out.to(dx.dtype.element_ty), mask=ok)


class NormSiluCausal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, stack):
        x = x.contiguous()
        b, t, h, w, c = x.shape
        assert t >= 2
        rows = b * t * h * w
        out = torch.empty((b, t, h, w, 3 * c) if stack else (b, t + 2, h, w, c), dtype=x.dtype, device=x.device)
        _forward[(triton.cdiv(rows, ROWS),)](x, gamma, out, t, h * w, rows, C=c, STACK=stack, R=ROWS)
        ctx.save_for_backward(x, gamma)
        ctx.stack = stack
        return out

    @staticmethod
    def backward(ctx, grad):
        x, gamma = ctx.saved_tensors
        b, t, h, w, c = x.shape
        rows = b * t * h * w
        dx = torch.empty_like(x)
        dgamma = torch.zeros(64, c, dtype=torch.float32, device=x.device)
        _backward[(triton.cdiv(rows, ROWS),)](x, gamma, grad.contiguous(), dx, dgamma, t, h * w, rows, C=c,
                                              STACK=ctx.stack, R=ROWS)
        return dx, dgamma.sum(0).view_as(gamma).to(gamma.dtype), None


def norm_silu_causal(x, gamma, stack):
    return NormSiluCausal.apply(x, gamma, stack)
