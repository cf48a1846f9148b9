"""Generated weights, value for value those of engine/checkpoint/dummy.c: a golden made with them needs no weight file.

fill(model, component) sets every parameter of a torch module; the values depend on component, name and index alone, so a tensor that vgen asks
for by another name than the model has would differ.
"""

import numpy as np
import torch

FNV_BEGIN, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
RULES = [  # part of the name, it ends the name, mean, std; the first that fits counts
    ("norm2.bias", True, 0.0, 0.05), (".bias", True, 0.0, 0.02), ("norm", False, 1.0, 0.1), (".gamma", True, 1.0, 0.1),
    ("relative_attention_bias.weight", True, 0.0, 0.5), ("shared.weight", True, 0.0, 1.0)]


def seed_of(component, name):
    value = FNV_BEGIN
    for byte in component.encode() + b"\xff" + name.encode() + b"\xff":
        value = (value ^ byte) * FNV_PRIME & (1 << 64) - 1
    return value


def distribution(name, shape):
    for part, suffix, mean, std in RULES:
        if not name.endswith(".linear.weight") and (name.endswith(part) if suffix else part in name):
            return np.float32(mean), np.float32(std)
    fan_in = float(np.prod(shape[1:], dtype=np.float64))
    if len(shape) == 3 and shape[0] == 1:
        fan_in = float(shape[2])
    std = np.float32(1 / np.sqrt(fan_in))
    return np.float32(0), std / np.float32(8) if "SelfAttention.q.weight" in name else std


def values(component, name, shape):
    """The tensor in FP32, every value exact in BF16."""
    mean, std = distribution(name, shape)
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(seed_of(component, name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z = z ^ z >> np.uint64(31)
    total = sum((z >> np.uint64(16 * i) & np.uint64(0xFFFF)).astype(np.int64) for i in range(4)) - 131070
    scale = std * np.float32(1.7320508075688772 / 65536.0)
    v = torch.from_numpy(mean + scale * total.astype(np.float32)).reshape(shape)
    return v.to(torch.bfloat16).float()


def fill(model, component):
    for name, p in model.named_parameters():
        p.data.copy_(values(component, name, tuple(p.shape)))
    return model.eval()
