"""Runs the finished demo checkpoint through diffusers' own WanPipeline on the CPU and draws a contact sheet.

    python3 demo_sample.py MODEL OUT.png [--prompt TEXT ...] [--random N] [--steps 20] [--dtype float32]

With --random N it adds N captions drawn with --seed; these are the sheets by which captions are judged.
"""

import argparse
import random
import time

import torch
from diffusers import WanPipeline

import demo_world as world


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of transformers and text encoder")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    prompts = args.prompt + [world.caption(s, rng) for s in world.sample_scenes(args.random, rng)]
    prompts = prompts or [world.THE_PROMPT]
    pipe = WanPipeline.from_pretrained(args.model, torch_dtype=getattr(torch, args.dtype))
    pipe.vae.to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    rows = []
    for i, prompt in enumerate(prompts):
        start = time.time()
        video = pipe(prompt, height=world.HEIGHT, width=world.WIDTH, num_frames=world.FRAMES,
                     num_inference_steps=args.steps, guidance_scale=4.0, guidance_scale_2=3.0,
                     generator=torch.Generator().manual_seed(args.seed + i)).frames[0]
        frames = [(f * 255).round().astype("uint8") for f in video]
        rows.append([frames[k] for k in (0, 4, 8, 12, 16)])
        print(f"{time.time() - start:.1f} s  {prompt}", flush=True)
    world.contact_sheet(args.out, rows, prompts, columns=2 if len(rows) > 8 else 1)


if __name__ == "__main__":
    main()
