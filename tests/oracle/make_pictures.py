#!/usr/bin/env python3
"""Test pictures drawn by arithmetic."""

import common
import torch
from PIL import Image


def scene(height, width, *key):
    """An RGB picture that resampling cannot flatter: gradients, a hard edge, a thin grid, one bright dot, a noisy corner."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    phase = 3 * torch.rand(6, generator=common.generator(*key, "phase"))
    rgb = torch.stack([128 + 110 * torch.sin(x / (4 + 3 * k) + y / (9 - 2 * k) + phase[k]) for k in range(3)], -1)
    disc = (x - width * (0.3 + 0.1 * phase[3])) ** 2 + (y - height * 0.6) ** 2 < (0.3 * min(height, width)) ** 2
    rgb[disc] = torch.tensor([235.0, 20.0, 90.0])
    rgb[(x % 11 == 3) & (y > height / 2)] = 255
    rgb[height // 3, width // 3] = 255
    corner = (slice(0, max(1, height // 3)), slice(width - width // 3, width))
    rgb[corner] += 60 * common.randn(rgb[corner].shape, *key, "noise")
    return Image.fromarray(rgb.round().clamp(0, 255).to(torch.uint8).numpy())
