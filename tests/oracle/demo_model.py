"""Compact training versions of the three networks, with diffusers' and transformers' tensor names.

`Vae`, `Transformer` and `TextEncoder` compute what AutoencoderKLWan, WanTransformer3DModel and
UMT5EncoderModel compute (demo_check.py compares them), but in the forms that train fast:

* the VAE runs over the whole sequence at once instead of in cached chunks, channels last, with each
  causal 3x3x3 convolution either as conv3d or as one conv2d over three stacked frames;
* the transformer's cross-attention sees the prompt's rows and stands all identical zero-padding rows
  in for by a logarithmic weight, which is the same function as 512 rows;
* the text encoder sees rows of one fixed length with a mask.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from demo_layout import TEXT_ENCODER, TEXT_ROWS, TRANSFORMER, VAE

CONV = "3d"          # how causal convolutions run: "3d" or "2d" (three frames stacked as channels)


# ---- VAE ----------------------------------------------------------------------------------------
# Activations are [B, T, H, W, C], contiguous; convolutions see them through permuted views, which
# are exactly PyTorch's channels-last layouts.

def norm_silu(x, gamma):
    """RMS norm over channels and SiLU; `gamma` is stored [C, 1, 1, 1]."""
    y = x.float()
    y = y * torch.rsqrt(y.square().sum(-1, keepdim=True).clamp(min=1e-24))
    y = y * (math.sqrt(x.shape[-1]) * gamma.flatten())
    return F.silu(y).to(x.dtype)


def causal_input(x, gamma, stack):
    """What a causal convolution reads: norm and SiLU if `gamma` is given, then two zero frames in
    front, or (stack) frames t-2, t-1, t beside each other as channels."""
    if x.is_cuda and gamma is not None:
        from demo_kernels import norm_silu_causal
        return norm_silu_causal(x, gamma, stack)
    y = F.pad(x if gamma is None else norm_silu(x, gamma), (0, 0, 0, 0, 0, 0, 2, 0))
    return torch.cat([y[:, :-2], y[:, 1:-1], y[:, 2:]], -1) if stack else y


def conv2d(x, weight, bias, **kw):
    """2-D convolution of every frame of [B, T, H, W, C]."""
    b, t, h, w, c = x.shape
    y = F.conv2d(x.reshape(b * t, h, w, c).permute(0, 3, 1, 2), weight, bias, **kw).permute(0, 2, 3, 1)
    return y.reshape(b, t, *y.shape[1:])


class CausalConv(nn.Module):
    """3x3x3 (two zero frames in front) or 1x1x1 convolution, optionally after norm and SiLU."""

    def __init__(self, c_in, c_out, k=3):
        super().__init__()
        reference = nn.Conv3d(c_in, c_out, k)
        self.weight, self.bias, self.k = reference.weight, reference.bias, k

    def forward(self, x, gamma=None):
        w = self.weight
        if self.k == 1:
            return F.linear(x, w.flatten(1), self.bias)
        if CONV == "2d":
            w = w.permute(0, 2, 1, 3, 4).flatten(1, 2)
            return conv2d(causal_input(x, gamma, True), w, self.bias, padding=1)
        y = causal_input(x, gamma, False).permute(0, 4, 1, 2, 3)
        return F.conv3d(y, w, self.bias, padding=(0, 1, 1)).permute(0, 2, 3, 4, 1)


class Gamma(nn.Module):
    def __init__(self, c, dims=3):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(c, *[1] * dims))


class Res(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.norm1, self.conv1 = Gamma(c_in), CausalConv(c_in, c_out)
        self.norm2, self.conv2 = Gamma(c_out), CausalConv(c_out, c_out)
        self.conv_shortcut = CausalConv(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x):
        y = self.conv2(self.conv1(x, self.norm1.gamma), self.norm2.gamma)
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    """Single-head attention among the pixels of each frame."""

    def __init__(self, c):
        super().__init__()
        self.norm, self.to_qkv, self.proj = Gamma(c, 2), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        b, t, h, w, c = x.shape
        y = F.normalize(x.float(), dim=-1) * (math.sqrt(c) * self.norm.gamma.flatten())
        y = F.linear(y.to(x.dtype), self.to_qkv.weight.flatten(1), self.to_qkv.bias)
        q, k, v = (a.contiguous() for a in y.reshape(b * t, 1, h * w, 3 * c).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v).reshape(b, t, h, w, c)
        return x + F.linear(y, self.proj.weight.flatten(1), self.proj.bias)


class Mid(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.resnets, self.attentions = nn.ModuleList([Res(c, c), Res(c, c)]), nn.ModuleList([Attention(c)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class TimeConv(nn.Module):
    """Holds a (3, 1, 1) convolution; applied as a 1x1 over three stacked frames."""

    def __init__(self, c_in, c_out):
        super().__init__()
        reference = nn.Conv3d(c_in, c_out, (3, 1, 1))
        self.weight, self.bias = reference.weight, reference.bias

    def forward(self, frames):
        w = self.weight[..., 0, 0].permute(0, 2, 1).flatten(1)
        return F.linear(torch.cat(frames, -1), w, self.bias)


class Down(nn.Module):
    def __init__(self, c, temporal):
        super().__init__()
        self.resample = nn.Sequential(nn.Identity(), nn.Conv2d(c, c, 3))
        self.time_conv = TimeConv(c, c) if temporal else None

    def forward(self, x):
        conv = self.resample[1]
        x = conv2d(F.pad(x, (0, 0, 0, 1, 0, 1)), conv.weight, conv.bias, stride=2)
        if self.time_conv is None or x.shape[1] == 1:
            return x
        return torch.cat([x[:, :1], self.time_conv([x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2]])], 1)


class Up(nn.Module):
    def __init__(self, c, temporal):
        super().__init__()
        self.resample = nn.Sequential(nn.Identity(), nn.Conv2d(c, c // 2, 3))
        self.time_conv = TimeConv(c, 2 * c) if temporal else None

    def forward(self, x):
        if self.time_conv is not None and x.shape[1] > 1:
            b, t, h, w, c = x.shape
            y = F.pad(x[:, 1:], (0, 0, 0, 0, 0, 0, 2, 0))
            y = self.time_conv([y[:, :-2], y[:, 1:-1], y[:, 2:]])
            y = y.reshape(b, t - 1, h, w, 2, c).permute(0, 1, 4, 2, 3, 5).reshape(b, 2 * t - 2, h, w, c)
            x = torch.cat([x[:, :1], y], 1)
        b, t, h, w, c = x.shape
        x = x[:, :, :, None, :, None].expand(b, t, h, 2, w, 2, c).reshape(b, t, 2 * h, 2 * w, c)
        conv = self.resample[1]
        return conv2d(x, conv.weight, conv.bias, padding=1)


class Encoder(nn.Module):
    def __init__(self, dims, down, z):
        super().__init__()
        self.conv_in, blocks, c = CausalConv(3, dims[0]), [], dims[0]
        for i, d in enumerate(dims):
            blocks += [Res(c, d), Res(d, d)]
            c = d
            if i < len(dims) - 1:
                blocks.append(Down(c, down[i]))
        self.down_blocks, self.mid_block = nn.ModuleList(blocks), Mid(c)
        self.norm_out, self.conv_out = Gamma(c), CausalConv(c, z)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(self.mid_block(x), self.norm_out.gamma)


class UpBlock(nn.Module):
    def __init__(self, c_in, c, up):
        super().__init__()
        self.resnets = nn.ModuleList([Res(c_in, c), Res(c, c), Res(c, c)])
        self.upsamplers = nn.ModuleList([Up(c, up)]) if up is not None else None

    def forward(self, x):
        for block in self.resnets:
            x = block(x)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class Decoder(nn.Module):
    def __init__(self, dims, down, z):
        super().__init__()
        c, blocks = dims[-1], []
        self.conv_in, self.mid_block = CausalConv(z, c), Mid(c)
        for i, d in enumerate(reversed(dims)):
            last = i == len(dims) - 1
            blocks.append(UpBlock(c, d, None if last else down[::-1][i]))
            c = d // 2
        self.up_blocks = nn.ModuleList(blocks)
        self.norm_out, self.conv_out = Gamma(dims[0]), CausalConv(dims[0], 3)

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(x, self.norm_out.gamma)


class Vae(nn.Module):
    def __init__(self, config=VAE):
        super().__init__()
        dims, z = [config["base_dim"] * m for m in config["dim_mult"]], config["z_dim"]
        down = config["temperal_downsample"]
        self.encoder, self.quant_conv = Encoder(dims, down, 2 * z), CausalConv(2 * z, 2 * z, 1)
        self.decoder, self.post_quant_conv = Decoder(dims, down, z), CausalConv(z, z, 1)

    def encode(self, video):
        """[B, 3, F, H, W] -> mean and log-variance, [B, 16, T, h, w] each."""
        moments = self.quant_conv(self.encoder(video.permute(0, 2, 3, 4, 1).contiguous()))
        return moments.float().permute(0, 4, 1, 2, 3).chunk(2, 1)

    def decode(self, z):
        """[B, 16, T, h, w] -> [B, 3, F, H, W], not clamped."""
        x = self.decoder(self.post_quant_conv(z.permute(0, 2, 3, 4, 1).contiguous()))
        return x.float().permute(0, 4, 1, 2, 3)


# ---- transformer ----------------------------------------------------------------------------------

def layer_norm(x):
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-6)


def rms_norm(x, weight):
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6) * weight).to(x.dtype)


class Weight(nn.Module):
    def __init__(self, d, bias=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        if bias:
            self.bias = nn.Parameter(torch.zeros(d))


class WanAttention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.to_q, self.to_k, self.to_v = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.to_out = nn.ModuleList([nn.Linear(d, d)])
        self.norm_q, self.norm_k, self.heads = Weight(d), Weight(d), heads

    def forward(self, x, context=None, rope=None, bias=None):
        source = x if context is None else context
        q = rms_norm(self.to_q(x), self.norm_q.weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k = rms_norm(self.to_k(source), self.norm_k.weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        v = self.to_v(source).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        if bias is None:
            o = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1]) + bias[:, None, None]
            o = scores.softmax(-1).to(v.dtype) @ v
        return self.to_out[0](o.transpose(1, 2).flatten(2))


def rotate(x, cos, sin):
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


class FeedForward(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(d, f)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(f, d)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, d, heads, f):
        super().__init__()
        self.attn1, self.attn2, self.norm2 = WanAttention(d, heads), WanAttention(d, heads), Weight(d, bias=True)
        self.ffn = FeedForward(d, f)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, d) / d ** 0.5)

    def forward(self, h, temb, context, bias, cos, sin):
        m = (self.scale_shift_table + temb.float()).unsqueeze(2)       # [B, 6, 1, d]
        a = (layer_norm(h) * (1 + m[:, 1]) + m[:, 0]).to(h.dtype)
        h = (h.float() + self.attn1(a, rope=(cos, sin)).float() * m[:, 2]).to(h.dtype)
        n = (layer_norm(h) * self.norm2.weight + self.norm2.bias).to(h.dtype)
        h = h + self.attn2(n, context, bias=bias)
        b = (layer_norm(h) * (1 + m[:, 4]) + m[:, 3]).to(h.dtype)
        return (h.float() + self.ffn(b).float() * m[:, 5]).to(h.dtype)


class TwoLinears(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(a, b), nn.Linear(b, b)


class Transformer(nn.Module):
    def __init__(self, config=TRANSFORMER):
        super().__init__()
        self.heads, self.head_dim = config["num_attention_heads"], config["attention_head_dim"]
        d, c = self.heads * self.head_dim, config["in_channels"]
        self.patch_embedding = nn.Conv3d(c, d, (1, 2, 2), (1, 2, 2))
        self.condition_embedder = nn.Module()
        self.condition_embedder.time_embedder = TwoLinears(config["freq_dim"], d)
        self.condition_embedder.time_proj = nn.Linear(d, 6 * d)
        self.condition_embedder.text_embedder = TwoLinears(config["text_dim"], d)
        self.blocks = nn.ModuleList([Block(d, self.heads, config["ffn_dim"]) for _ in range(config["num_layers"])])
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, d) / d ** 0.5)
        self.proj_out = nn.Linear(d, 4 * c)
        self.freq_dim = config["freq_dim"]

    def rope(self, t, h, w, device):
        """cos and sin [N, head_dim / 2] for the token grid, in the order time | row | column."""
        side = 2 * (self.head_dim // 6)
        grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (t, h, w)), indexing="ij")
        angles = [g.reshape(-1, 1) * 10000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
                  for g, size in zip(grid, (self.head_dim - 2 * side, side, side))]
        angle = torch.cat(angles, 1).to(device)
        return angle.cos().float(), angle.sin().float()

    def forward(self, x, timestep, text, bias, rope):
        """x [B, 16, T, h, w]; text [B, L, 128] with zero rows from the prompt's end on; bias [B, L]."""
        b, c, t, h, w = x.shape
        ce = self.condition_embedder
        freq = torch.exp(-math.log(10000) * torch.arange(self.freq_dim // 2, device=x.device) / (self.freq_dim // 2))
        s = timestep.float()[:, None] * freq
        s = torch.cat([s.cos(), s.sin()], 1)
        temb = ce.time_embedder.linear_2(F.silu(ce.time_embedder.linear_1(s)))
        modulation = ce.time_proj(F.silu(temb)).unflatten(1, (6, -1))
        context = ce.text_embedder.linear_2(F.gelu(ce.text_embedder.linear_1(text), approximate="tanh"))
        patches = x.reshape(b, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(b, -1, 4 * c)
        y = F.linear(patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias).float()
        for block in self.blocks:
            y = block(y, modulation, context, bias, *rope)
        shift, scale = (self.scale_shift_table + temb.float()[:, None]).chunk(2, 1)
        y = self.proj_out((layer_norm(y) * (1 + scale) + shift).to(y.dtype))
        y = y.reshape(b, t, h // 2, w // 2, 2, 2, c).permute(0, 6, 1, 2, 4, 3, 5)
        return y.reshape(b, c, t, h, w).float()


# ---- text encoder -----------------------------------------------------------------------------------

class TextLayer(nn.Module):
    def __init__(self, d, inner, heads, f, buckets):
        super().__init__()
        def holder(**parts):
            m = nn.Module()
            for name, part in parts.items():
                setattr(m, name, part)
            return m
        linear = lambda a, b, std: _scaled(nn.Linear(a, b, bias=False), std)
        attention = holder(q=linear(d, inner, (d * inner / heads) ** -0.5), k=linear(d, inner, d ** -0.5),
                           v=linear(d, inner, d ** -0.5), o=linear(inner, d, inner ** -0.5),
                           relative_attention_bias=_scaled(nn.Embedding(buckets, heads), d ** -0.5))
        dense = holder(wi_0=linear(d, f, d ** -0.5), wi_1=linear(d, f, d ** -0.5), wo=linear(f, d, f ** -0.5))
        self.layer = nn.ModuleList([holder(SelfAttention=attention, layer_norm=Weight(d)),
                                    holder(DenseReluDense=dense, layer_norm=Weight(d))])
        self.heads = heads

    def forward(self, x, buckets, mask):
        a, n = self.layer[0].SelfAttention, rms_norm(x, self.layer[0].layer_norm.weight)
        q, k, v = (p(n).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (a.q, a.k, a.v))
        scores = (q @ k.transpose(-1, -2)).float() + a.relative_attention_bias.weight[buckets].permute(2, 0, 1)
        o = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(-1).to(v.dtype) @ v
        x = x + a.o(o.transpose(1, 2).flatten(2))
        f, n = self.layer[1].DenseReluDense, rms_norm(x, self.layer[1].layer_norm.weight)
        return x + f.wo(F.gelu(f.wi_0(n), approximate="tanh") * f.wi_1(n))


def _scaled(module, std):
    nn.init.normal_(module.weight, std=std)
    return module


class TextEncoder(nn.Module):
    def __init__(self, config=TEXT_ENCODER):
        super().__init__()
        d, heads = config["d_model"], config["num_heads"]
        self.shared = nn.Embedding(config["vocab_size"], d)
        self.encoder = nn.Module()
        self.encoder.block = nn.ModuleList([
            TextLayer(d, heads * config["d_kv"], heads, config["d_ff"], config["relative_attention_num_buckets"])
            for _ in range(config["num_layers"])])
        self.encoder.final_layer_norm = Weight(d)

    @staticmethod
    def buckets(length, device):
        """Relative-position buckets [L, L], 32 of them, distances up to 128."""
        r = torch.arange(length)[None] - torch.arange(length)[:, None]
        n = r.abs()
        far = 8 + (8 * torch.log(n.clamp(min=1).double() / 8) / math.log(16)).trunc().long()
        return (torch.where(r > 0, 16, 0) + torch.where(n < 8, n, far.clamp(max=15))).to(device)

    def forward(self, ids, lengths):
        """ids [B, L] padded with 0 -> rows [B, L, 128], zero from each prompt's end on."""
        mask = torch.arange(ids.shape[1], device=ids.device)[None] < lengths[:, None]
        x, buckets = self.shared(ids), self._buckets
        for block in self.encoder.block:
            x = block(x, buckets, mask)
        return rms_norm(x, self.encoder.final_layer_norm.weight) * mask[..., None]

    def prepare(self, length, device):
        self._buckets = self.buckets(length, device)
        return self


def text_bias(lengths, rows):
    """Log-weights [B, rows] that make `rows` text rows stand for TEXT_ROWS: padding rows count more."""
    n = lengths[:, None].float()
    pad = torch.log((TEXT_ROWS - n) / (rows - n))
    return torch.where(torch.arange(rows, device=lengths.device)[None] < n, torch.zeros_like(pad), pad)
