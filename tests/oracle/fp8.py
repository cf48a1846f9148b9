"""Emulated FP8 linear layers: E4M3 with saturation, per tensor (static or dynamic) and per block (1x128 with 128x128).

Everything is computed in F32 from exact E4M3 values; only the order of an F32 sum is left open.
  sat_e4m3(x)       clamp to +-448, round to nearest even; NaN stays NaN
  per tensor        weight_scale = amax(w)/448; qw = sat(w / weight_scale)            (a true division)
                    qx = sat(x * (1 / input_scale))                                   (multiplied by the F32 reciprocal)
                    y = (qx qw^T) * (input_scale * weight_scale) + bias
                    input_scale is given (static), or amax(x)/448 over the whole input tensor (dynamic)
  per channel       weight_scale[n] = amax of row n / 448; the rest as per tensor
  per block         weight_scale[i,j] = amax of the 128x128 tile / 448; qw = sat(w / weight_scale)   (partial tiles allowed)
                    input_scale[m,j] = max(amax of 128 channels of row m, 1e-10) / 448; qx = sat(x / input_scale)
                    y = sum_j input_scale[m,j] * weight_scale[n/128,j] * (qx qw^T over block j) + bias
An amax of 0 gives a weight (or dynamic per-tensor input) scale of 1.
"""

import torch
import torch.nn.functional as F

E4M3 = torch.float8_e4m3fn
LINEARS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q", "attn2.to_k", "attn2.to_v",
           "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2")


def sat_e4m3(x):
    return x.float().clamp(-448, 448).to(E4M3)


def scale_of(amax):
    return torch.where(amax > 0, amax / 448, torch.ones_like(amax))


def quantize_tensor(w):
    scale = scale_of(w.float().abs().amax())
    return sat_e4m3(w.float() / scale), scale


def quantize_channels(w):
    scale = scale_of(w.float().abs().amax(1))
    return sat_e4m3(w.float() / scale[:, None]), scale


def tiles(w, rows, columns):
    """[N,K] zero-padded and viewed as [ceil(N/rows), rows, ceil(K/columns), columns]."""
    n, k = w.shape
    w = F.pad(w, (0, -k % columns, 0, -n % rows))
    return w.view(w.shape[0] // rows, rows, w.shape[1] // columns, columns)


def spread(scale, rows, columns, shape):
    """One scale per tile -> one per element."""
    return scale.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[:shape[0], :shape[1]]


def quantize_blocks(w):
    scale = scale_of(tiles(w.float(), 128, 128).abs().amax((1, 3)))
    return sat_e4m3(w.float() / spread(scale, 128, 128, w.shape)), scale


def quantize_input(x, scale):
    return sat_e4m3(x.float() * (1 / scale))


def quantize_input_blocks(x):
    scale = tiles(x.float(), 1, 128).abs().amax((1, 3)).clamp_min(1e-10) / 448
    return sat_e4m3(x.float() / spread(scale, 1, 128, x.shape)), scale


def linear_tensor(x, qw, weight_scale, bias, input_scale=None):
    """x [M,K] -> (qx, input_scale, y F32 [M,N]). weight_scale: [] or, per channel, [N]."""
    if input_scale is None:
        input_scale = scale_of(x.float().abs().amax())
    qx = quantize_input(x, input_scale)
    y = (qx.float() @ qw.float().T) * (input_scale * weight_scale)
    return qx, input_scale, y if bias is None else y + bias.float()


def linear_blocks(x, qw, weight_scale, bias):
    qx, input_scale = quantize_input_blocks(x)
    n = qw.shape[0]
    y = torch.zeros(x.shape[0], n)
    for j in range(weight_scale.shape[1]):
        k = slice(128 * j, 128 * (j + 1))
        column = weight_scale[:, j].repeat_interleave(128)[:n]
        y += (input_scale[:, j, None] * column) * (qx[:, k].float() @ qw[:, k].float().T)
    return qx, input_scale, y if bias is None else y + bias.float()


class Fp8Linear(torch.nn.Module):
    """A drop-in for nn.Linear. mode: "tensor" (input_scale None = dynamic) or "block"."""

    def __init__(self, qw, weight_scale, bias, input_scale=None):
        super().__init__()
        self.qw, self.weight_scale, self.bias, self.input_scale = qw, weight_scale, bias, input_scale

    @classmethod
    def quantize(cls, linear, mode):
        return cls(*(quantize_blocks if mode == "block" else quantize_tensor)(linear.weight), linear.bias)

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        if self.weight_scale.dim():
            y = linear_blocks(rows, self.qw, self.weight_scale, self.bias)[2]
        else:
            y = linear_tensor(rows, self.qw, self.weight_scale, self.bias, self.input_scale)[2]
        return y.to(x.dtype).reshape(*x.shape[:-1], -1)


def block_linears(model):
    """(name, parent, attribute) of the ten Linears of every block."""
    for i, block in enumerate(model.blocks):
        for name in LINEARS:
            path, _, attribute = name.rpartition(".")
            yield f"blocks.{i}.{name}", block.get_submodule(path), attribute


def replace_linears(model, make):
    """Put make(name, linear) in the place of each of the block Linears."""
    for name, parent, attribute in list(block_linears(model)):
        setattr(parent, attribute, make(name, getattr(parent, attribute)))
    return model
