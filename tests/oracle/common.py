"""Shared helpers of the golden makers: where goldens live, lively random weights, saving.

Everything here is deterministic: the same script with the same library versions writes the same bytes. Weights are drawn
per tensor from a generator seeded by the tensor's name, so adding a tensor changes no other one.
"""

import json
import logging
import os
import re
import warnings
import zlib
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
DEMO = GOLDEN.parent.parent / "presets" / "demo" / "wan-t2v"
TINY = ["tiny-a", "tiny-b", "tiny-c"]  # text to video
TINY_I2V = ["tiny-i2v"]  # image to video

torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)


def generator(*key):
    """A CPU generator seeded by any printable key."""
    return torch.Generator().manual_seed(zlib.crc32(repr(key).encode()))


def randn(shape, *key, dtype=torch.float32):
    return torch.randn(shape, generator=generator(*key)).to(dtype)


def save(path, tensors, **metadata):
    """Write a safetensors golden; every tensor contiguous, metadata values as strings."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path,
              metadata={k: str(v) for k, v in metadata.items()})
    sort_metadata(path)
    path.chmod(0o644)


def sort_metadata(path):
    """safetensors writes metadata in random order; make the file the same each time."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    if len(header.get("__metadata__", {})) > 1:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:])


def save_json(path, value, ascii=False):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=ascii)
    text = re.sub(r"\[\s+([-+\d.eE,\s]*?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)  # numbers: one line
    Path(path).write_text(text + "\n", encoding="utf-8")


def load(path):
    return load_file(path)


def versions():
    import diffusers
    import ftfy
    import sentencepiece
    import tokenizers
    import transformers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__, "ftfy": ftfy.__version__}


def rel_l2(a, b):
    a, b = a.double(), b.double()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


# ---- lively weights -------------------------------------------------------------------------------------------------
# A golden is only worth something if each operation changes it visibly: no weight vector is constant, no bias zero, gates
# and modulations are of order one, attention scores spread over several units, and the signal neither dies nor explodes.


def fan_in_normal(p, gain, *key):
    fan_in = p[0].numel() if p.dim() > 1 else p.numel()
    p.copy_(randn(p.shape, *key) * (gain / fan_in**0.5))


def liven_transformer(model, *seed):
    for name, p in model.named_parameters():
        key = (*seed, name)
        if name.endswith("scale_shift_table"):
            p.copy_(0.35 * randn(p.shape, *key) + 0.15)
        elif "norm" in name:  # q/k norms set how peaked attention is
            base = 1.4 if "norm_q" in name or "norm_k" in name else 1.0
            p.copy_(0.2 * randn(p.shape, *key) + (0.0 if name.endswith("bias") else base))
        elif name.endswith("bias"):
            p.copy_(0.15 * randn(p.shape, *key))
        else:
            gain = 1.0
            if "time_proj" in name:
                gain = 0.5
            elif "time_embedder.linear_1" in name:
                gain = 2.0
            elif "ffn.net.0" in name or "text_embedder.linear_1" in name:
                gain = 1.5
            fan_in_normal(p, gain, *key)


def liven_text_encoder(model, *seed):
    for name, p in model.named_parameters():
        key = (*seed, name)
        if "relative_attention_bias" in name:
            p.copy_(1.2 * randn(p.shape, *key))
        elif "layer_norm" in name:
            p.copy_(0.25 * randn(p.shape, *key) + 1.0)
        elif "shared" in name or "embed_tokens" in name:
            p.copy_(1.5 * randn(p.shape, *key))
        elif name.endswith((".q.weight", ".k.weight")):  # UMT5 has no 1/sqrt(d): keep scores of a few units
            fan_in_normal(p, 1.0 / model.config.d_kv**0.25, *key)
        else:
            fan_in_normal(p, 1.2, *key)


def liven_vae(model, *seed):
    """Biases and short residual branches keep each pixel's vector away from zero, where the norm over its few channels would
    magnify any rounding: BF16 costs these nets what it costs a trained one, up to 1 %."""
    for name, p in model.named_parameters():
        key = (*seed, name)
        if name.endswith("gamma"):
            p.copy_(0.25 * randn(p.shape, *key) + 1.0)
        elif name.endswith("bias"):
            p.copy_((0.15 if "decoder.conv_out" in name else 0.5) * randn(p.shape, *key))
        else:
            gain = 1.3
            if "decoder.conv_out" in name:
                gain = 0.7  # decoded video mostly inside [-1, 1], a little of it clamped
            elif "post_quant_conv" in name:
                gain = 0.6
            elif "conv2" in name or "proj" in name:
                gain = 0.5
            fan_in_normal(p, gain, *key)
