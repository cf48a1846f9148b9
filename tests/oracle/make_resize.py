#!/usr/bin/env python3
"""Resized pictures: tests/golden/resize.{safetensors,json}, for tests/engine/test_resize.c.

resize.safetensors: for each CASE src U8 [h,w,3], and of Pillow's Image.resize bilinear, bicubic, lanczos U8 [H,W,3]; for some also torch,
torch_antialias F32 [3,H,W]: interpolate(src/255, mode="bilinear", align_corners=False), without and with antialias.
resize.json: {"pillow": version, "large": [{"src": [h, w], "dst": [H, W], "resample": name, "fnv1a": hex}]}: pictures too large to store;
src is byte i of the picture = the highest byte of (i+1) * 0x9e3779b97f4a7c15 modulo 2^64, fnv1a the 64-bit FNV-1a of the resized bytes.
The sizes are random but for the corners: one pixel, a direction that keeps its size, both orders of Pillow's two passes, 0 and 255 only
(overshoot is clamped), and pictures far larger than their result.
"""

import random

import common
import numpy as np
import PIL
import torch
from common import GOLDEN
from make_pictures import scene
from PIL import Image

RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}

# (h, w) -> (H, W)
CORNERS = [((1, 1), (1, 1)), ((1, 1), (5, 3)), ((7, 1), (1, 4)), ((1, 9), (6, 2)), ((2, 5), (2, 4)), ((33, 12), (7, 12)),
           ((10, 10), (10, 10)), ((5, 4), (4, 5)), ((97, 61), (2, 3)), ((40, 20), (11, 18)), ((40, 20), (11, 6)), ((3, 41), (50, 2))]
LARGE = [((1080, 1920), (480, 832), "lanczos"), ((333, 251), (720, 1280), "lanczos"), ((2400, 600), (480, 480), "lanczos"),
         ((701, 999), (224, 224), "bicubic"), ((480, 832), (384, 384), "bicubic"), ((1, 60000), (3, 7), "lanczos"),
         ((1200, 1600), (90, 1601), "bilinear")]


def resize(picture, height, width, name):
    return picture.resize((width, height), RESAMPLE[name])


def fnv1a(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 % 2**64
    return f"{h:016x}"


def patterned(height, width):
    i = np.arange(1, height * width * 3 + 1, dtype=np.uint64)
    return Image.fromarray(((i * np.uint64(0x9e3779b97f4a7c15)) >> np.uint64(56)).astype(np.uint8).reshape(height, width, 3))


def cases():
    r = random.Random(20260)
    for i, (src, dst) in enumerate(CORNERS):
        yield f"corner-{i}", src, dst
    for i in range(8):
        yield f"random-{i}", (r.randint(2, 48), r.randint(2, 48)), (r.randint(2, 40), r.randint(2, 40))


def main():
    r, tensors = random.Random(4), {}
    for name, src, dst in cases():
        kind = r.choice(["scene", "noise", "black and white"])
        noise = torch.randint(0, 256, (*src, 3), generator=common.generator("resize", name))
        picture = scene(*src, "resize", name) if kind == "scene" else Image.fromarray(
            (noise if kind == "noise" else noise // 128 * 255).to(torch.uint8).numpy())
        tensors[f"{name}.src"] = torch.from_numpy(np.array(picture))
        for filter in RESAMPLE:
            tensors[f"{name}.{filter}"] = torch.from_numpy(np.array(resize(picture, *dst, filter)))
        if dst[0] * dst[1] < 700 and dst[1] > 1:  # torch 2.15 repeats rows where the antialiased result is 1 wide
            x = (tensors[f"{name}.src"].float() / 255).permute(2, 0, 1)[None]
            for suffix, antialias in (("", False), ("_antialias", True)):
                tensors[f"{name}.torch{suffix}"] = torch.nn.functional.interpolate(
                    x, dst, mode="bilinear", align_corners=False, antialias=antialias)[0]
        print(name, kind, src, "->", dst)
    common.save(GOLDEN / "resize.safetensors", tensors)
    large = [{"src": list(src), "dst": list(dst), "resample": name,
              "fnv1a": fnv1a(np.array(resize(patterned(*src), *dst, name)).tobytes())} for src, dst, name in LARGE]
    common.save_json(GOLDEN / "resize.json", {"pillow": PIL.__version__, "torch": torch.__version__, "large": large})


if __name__ == "__main__":
    main()
