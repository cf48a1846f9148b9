#!/usr/bin/env python3
"""What image to video puts beside the noise: tests/golden/tiny-i2v/condition.safetensors, from WanImageToVideoPipeline.prepare_latents.

For CASE = first-F (only a first picture) and first-last-F (also a last one), F = the clip's frames:
  CASE.image, CASE.last_image   U8 [H,W,3], already of the clip's size
  CASE.condition                F32 [1,20,T,h,w], T = (F-1)/4+1: 4 mask channels, then the normalised latents of the video
                                [image, zeros ..., last_image]; VAE in FP32
  CASE.condition_bf16           the same with the VAE in BF16 (the mask and the normalising stay FP32)
The metadata `CASE.rel_l2_to_float32` says what BF16 costs the 16 latent channels.
"""

import common
import numpy as np
import torch
from common import GOLDEN, TINY_I2V
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline
from make_pictures import scene

# frames, height, width; both pictures?
CASES = {
    "first-1": (1, 32, 16, False),
    "first-5": (5, 16, 48, False),
    "first-13": (13, 32, 32, False),
    "first-last-5": (5, 16, 48, True),
    "first-last-9": (9, 48, 16, True),
    "first-last-17": (17, 16, 32, True),
}


def condition(pipe, frames, height, width, pictures):
    """prepare_latents' second result, from PIL pictures."""
    ready = [pipe.video_processor.preprocess(p, height=height, width=width).to(torch.float32) for p in pictures]
    return pipe.prepare_latents(ready[0], 1, 16, height, width, frames, torch.float32, torch.device("cpu"),
                                torch.Generator().manual_seed(0), None, ready[1] if len(ready) > 1 else None)[1]


def main():
    for model in TINY_I2V:
        folder, tensors, costs = GOLDEN / model, {}, {}
        for suffix, dtype in (("", torch.float32), ("_bf16", torch.bfloat16)):
            vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=dtype).eval()
            pipe = WanImageToVideoPipeline.from_pretrained(folder, vae=vae, torch_dtype=dtype)
            for name, (frames, height, width, both) in CASES.items():
                pictures = {key: scene(height, width, name, key) for key in ("image", "last_image")[: 1 + both]}
                tensors |= {f"{name}.{key}": torch.from_numpy(np.array(p)) for key, p in pictures.items()}
                c = condition(pipe, frames, height, width, list(pictures.values()))
                assert c.dtype == torch.float32 and torch.isfinite(c).all()
                tensors[f"{name}.condition{suffix}"] = c
                if suffix:
                    plain = tensors[f"{name}.condition"]
                    assert torch.equal(c[:, :4], plain[:, :4])
                    costs[f"{name}.rel_l2_to_float32"] = f"{common.rel_l2(c[:, 4:], plain[:, 4:]):.2e}"
        common.save(folder / "condition.safetensors", tensors, **costs)
        for name in CASES:
            c = tensors[f"{name}.condition"]
            print(f"{model} {name:14s} {str(tuple(c.shape)):20s} latents std {c[:, 4:].std():.2f}; known {c[0, :4, :, 0, 0].T.tolist()}; "
                  f"BF16 {costs[f'{name}.rel_l2_to_float32']}")


if __name__ == "__main__":
    main()
