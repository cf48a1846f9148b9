#!/usr/bin/env python3
"""Make a fresh random tiny Wan pipeline, with component goldens, in OUTDIR: another shape for every seed.

  fresh.py OUTDIR --seed N [--i2v] [--fp8] [--run]

A third of the seeds draw a pipeline for image to video (36 input channels); with --i2v all do. OUTDIR gets the pipeline folder
itself, component/ as make_components.py writes it (with --fp8 also the emulated FP8 outputs of make_fp8.py), with --run a whole
FP32 run as make_pipeline.py writes it (run.json, run.safetensors, and the PNGs it begins and ends with), and fresh.json, the
configuration that the seed drew.
"""

import argparse
import random
from pathlib import Path

import common
import make_components
import make_fp8
import make_pictures
import make_pipeline
import make_tiny_models
import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from tokenizers import Tokenizer


def draw(seed, i2v=False):
    """A random model spec (as make_tiny_models.MODELS) and sizes (as make_components.CASES)."""
    r = random.Random(seed)
    head_dim = r.choice([8, 12, 16, 18, 20, 24, 30, 32, 40, 48, 64, 96, 128])
    heads = r.randint(1, max(1, min(7, 256 // head_dim)))
    text_heads, d_kv = r.randint(1, 5), r.choice([4, 8, 12, 16, 24])
    experts = r.randint(1, 2)
    spec = dict(
        tokenizer=dict(vocab_size=r.randint(280, 400), umt5_ids=r.random() < 0.5, extra_ids=r.choice([0, 100, 300])),
        text=dict(d_model=4 * r.randint(3, 20), d_kv=d_kv, num_heads=text_heads, d_ff=r.randint(9, 99),
                  num_layers=r.randint(1, 4), vocab_pad=r.randint(0, 9)),
        transformer=dict(num_attention_heads=heads, attention_head_dim=head_dim, num_layers=r.randint(1, 4),
                         ffn_dim=8 * r.randint(2, 40) if r.random() < 0.8 else r.randint(17, 301)),
        vae=dict(base_dim=r.randint(3, 10), dim_mult=r.choice([[1, 2, 4, 4], [1, 1, 2, 2], [1, 2, 2, 3], [2, 1, 3, 2]]),
                 num_res_blocks=r.randint(1, 3)),
        experts=experts, boundary=r.choice([0.875, 0.9, 0.5]) if experts == 2 else None,
        scheduler=(r.choice(["unipc", "euler"]), r.choice([3.0, 5.0, 12.0])),
        bf16=[part for part in ("transformer", "text", "vae") if r.random() < 0.4],
        shard=("200KB", "60KB") if r.random() < 0.3 else None)
    even = lambda n: 2 * r.randint(1, n)  # noqa: E731
    lengths = [r.randint(1, 150) for _ in range(r.randint(1, 3))]
    case = dict(
        text=dict(L=max(lengths) + r.randint(0, 9), lengths=lengths),
        transformer=[dict(size=(r.randint(1, 5), even(7), even(7)), L=r.randint(1, 70),
                          t=torch.tensor([r.choice([999, r.randint(0, 999), 1000 * r.random()])])) for _ in range(experts)],
        decode=(r.randint(1, 4), r.randint(1, 8), r.randint(1, 8)),
        encode=(4 * r.randint(0, 3) + 1, 8 * r.randint(1, 7), 8 * r.randint(1, 7)))
    if r.random() < 0.15:  # slow in the reference
        wide, other = r.randint(33, 36), r.choice([2, 3, 33])
        case["decode_tiled"] = r.choice([(1, wide, other), (1, other, wide)])
        case["encode_tiled"] = r.choice([(1, 8 * wide, 8 * other), (1, 8 * other, 8 * wide)])
    spec["i2v"] = r.random() < 1 / 3 or i2v
    return spec, case


def draw_run(out, seed, spec):
    """Arguments of a whole run of the pipeline in `out`, and (height, width) of the pictures it takes."""
    r = random.Random(f"run {seed}")
    tokenizer = Tokenizer.from_file(str(out / "tokenizer" / "tokenizer.json"))
    known = [s.strip() for line in make_tiny_models.CORPUS.splitlines() for s in line.split(". ")
             if s.strip() and tokenizer.token_to_id("<unk>") not in tokenizer.encode(prompt_clean(s)).ids]
    run = dict(prompt=r.choice(known), negative=r.choice(["", r.choice(known)]), height=16 * r.randint(1, 5), width=16 * r.randint(1, 5),
               num_frames=4 * r.randint(0, 3) + 1, guidance_scale=r.choice([1.0, 3.5, 5.0]), seed=r.getrandbits(r.choice([16, 40])))
    pictures = {}
    if spec["experts"] == 2:
        run["guidance_scale_2"] = r.choice([2.0, 4.0])
    if spec["i2v"]:
        names = ["image", "last_image"] if run["num_frames"] > 1 and r.random() < 0.5 else ["image"]
        run |= {name: f"{name}.png" for name in names}
        pictures = {f"{name}.png": (r.randint(1, 150), r.randint(1, 150)) for name in names}
    return run, pictures


def make(out, seed, fp8=False, i2v=False, run=False):
    """Returns the drawn spec."""
    spec, case = draw(seed, i2v)
    make_tiny_models.make_pipeline(out, spec, ("fresh", seed))
    make_components.components(out, out / "component", case, ("fresh", seed))
    if fp8:
        make_fp8.emulated(out, out / "component")
    if run:
        arguments, pictures = draw_run(out, seed, spec)
        for name, (height, width) in pictures.items():
            make_pictures.scene(height, width, seed, name).save(out / name)
        make_pipeline.golden(out, "run", arguments, torch.float32)
    case["transformer"] = [dict(c, t=c["t"].tolist()) for c in case["transformer"]]
    common.save_json(out / "fresh.json", {"seed": seed, "spec": spec, "case": case, "versions": common.versions()})
    return spec


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--i2v", action="store_true")
    parser.add_argument("--run", action="store_true")
    args = parser.parse_args()
    make(args.outdir, args.seed, args.fp8, args.i2v, args.run)


if __name__ == "__main__":
    main()
