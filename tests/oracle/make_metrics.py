#!/usr/bin/env python3
"""PSNR and SSIM of image pairs by scikit-image: tests/golden/metrics.{safetensors,json}, for tests/app/test_report.c.

metrics.safetensors: <case>.a and <case>.b, U8 [H,W,3]. metrics.json: {"cases": {case: {"psnr": dB or "inf", "ssim": x}}}.
SSIM is on unrounded BT.601 luma, 11x11 Gaussian window (sigma 1.5), population covariance, windows inside the image only.
Needs scikit-image besides requirements.txt.
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

OUT = pathlib.Path(__file__).resolve().parents[1] / "golden"


def scene(rng, height, width):
    """A smooth picture with an edge: gradients, a disc, a stripe of texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.stack([40 + 150 * x / width, 60 + 120 * y / height, 128 + 80 * np.sin(x / 7) * np.cos(y / 5)], -1)
    disc = (x - width * 0.4) ** 2 + (y - height * 0.5) ** 2 < (min(height, width) * 0.3) ** 2
    image[disc] = (220, 40, 60)
    image[: height // 5] += rng.normal(0, 25, (height // 5, width, 3))
    return image


def u8(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def luma(image):
    return image[..., 0] * 0.299 + image[..., 1] * 0.587 + image[..., 2] * 0.114


def measure(a, b):
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(a, b, data_range=255)
    ssim = structural_similarity(luma(a.astype(np.float64)), luma(b.astype(np.float64)), gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False, data_range=255)
    return {"psnr": "inf" if np.isinf(psnr) else float(psnr), "ssim": float(ssim)}


def main():
    rng = np.random.default_rng(20240611)
    cases = {}
    a = scene(rng, 48, 80)
    cases["noise"] = (u8(a), u8(a + rng.normal(0, 6, a.shape)))
    cases["slight"] = (u8(a), u8(a + rng.normal(0, 0.6, a.shape)))
    cases["shift"] = (u8(a), np.roll(u8(a), 2, axis=1))
    cases["contrast"] = (u8(a), u8((a - 128) * 0.7 + 140))
    odd = scene(rng, 37, 53)
    cases["odd"] = (u8(odd), u8(odd * 0.9 + rng.normal(0, 12, odd.shape)))
    cases["random"] = tuple(rng.integers(0, 256, (23, 31, 3), dtype=np.uint8) for _ in range(2))
    cases["smallest"] = tuple(rng.integers(0, 256, (11, 11, 3), dtype=np.uint8) for _ in range(2))
    cases["identical"] = (u8(odd), u8(odd))
    cases["flat"] = (np.full((16, 20, 3), 90, np.uint8), np.full((16, 20, 3), 93, np.uint8))
    one = u8(odd).copy()
    one[20, 30, 1] ^= 64
    cases["one-sample"] = (u8(odd), one)
    tensors = {}
    for name, (x, y) in cases.items():
        tensors[name + ".a"], tensors[name + ".b"] = np.ascontiguousarray(x), np.ascontiguousarray(y)
    save_file(tensors, OUT / "metrics.safetensors")
    values = {"cases": {name: measure(*pair) for name, pair in cases.items()}}
    (OUT / "metrics.json").write_text(json.dumps(values, indent=1) + "\n")
    print(json.dumps(values, indent=1))


main()
