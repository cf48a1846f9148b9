#!/usr/bin/env python3
"""Compare `vgen component` with the reference on fresh random models, and on the committed ones.

  check_fresh.py --vgen PATH --seeds 1 2 3          models made on the spot by fresh.py
  check_fresh.py --vgen PATH --seeds 1 2 3 --i2v    the same, all for image to video
  check_fresh.py --vgen PATH --golden               tests/golden/tiny-{a,b,c,i2v}

Runs `vgen component PART --model DIR --in F.safetensors --out G.safetensors --compute f32|bf16` for each part and prints the
relative L2 difference from the reference. Limits: 1e-4 for f32, 2e-2 for bf16. Exit status 1 if anything fails. Text encoder
rows under the mask are not compared. With --run also `vgen generate` makes a whole clip of each fresh model in FP32, 10 steps,
from a picture or two where it is for image to video; the latents are compared (limit 1e-3).
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import torch
from common import GOLDEN, TINY, TINY_I2V

LIMIT = {"f32": 1e-4, "bf16": 2e-2}


def compare(name, got, want, inp):
    """Relative L2, or a sentence saying what is wrong."""
    (key, want), = want.items()
    if key not in got:
        return f"no tensor '{key}' in the output (there is {sorted(got)})"
    got = got[key].float()
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)}, not {tuple(want.shape)}"
    if name == "text-encoder":
        real = inp["attention_mask"].bool()
        got, want = got[real], want[real]
    if not torch.isfinite(got).all():
        return "not finite"
    return common.rel_l2(got, want)


def check(args, label, model, tmp):
    failures = 0
    for source in sorted((model / "component").glob("*.in.safetensors")):
        name = source.name.removesuffix(".in.safetensors")
        part, extra = name, []
        if name.endswith("-tiled"):
            if args.tiled is None:
                continue
            part, extra = name.removesuffix("-tiled"), shlex.split(args.tiled)
        for compute in args.compute:
            golden = source.with_name(f"{name}{'.bf16' if compute == 'bf16' else ''}.out.safetensors")
            if not golden.exists() or (args.parts and part not in args.parts):
                continue
            limit = LIMIT[compute]
            out = tmp / "out.safetensors"
            out.unlink(missing_ok=True)
            command = [args.vgen, "component", part, "--model", str(model), "--in", str(source), "--out", str(out),
                       "--compute", compute, *extra]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode or not out.exists():
                result = f"exit status {run.returncode}: {run.stderr.strip()[-300:]}"
            else:
                result = compare(name, common.load(out), common.load(golden), common.load(source))
            good = isinstance(result, float) and result <= limit
            failures += not good
            shown = f"{result:.2e} (limit {limit:.0e})" if isinstance(result, float) else result
            print(f"{'ok  ' if good else 'FAIL'} {label:10s} {name:18s} {compute:5s} {shown}", flush=True)
            if not good and args.verbose:
                print("     " + shlex.join(command))
    return failures


FLAGS = {"prompt": "--prompt", "negative": "--negative-prompt", "height": "--height", "width": "--width", "num_frames": "--num-frames",
         "num_inference_steps": "--num-inference-steps", "guidance_scale": "--guidance-scale", "guidance_scale_2": "--guidance-scale-2",
         "seed": "--seed", "image": "--image", "last_image": "--last-image"}


def run_command(args, model, latents, jobs):
    settings = json.loads((model / "run.json").read_text())
    command = [args.vgen, "generate", "--model", str(model), "--quantization", "bf16", "--compute", "f32", "--vae-compute", "f32",
               "--device", "cpu", "--quiet", "--jobs-dir", str(jobs), "--save-latents", str(latents)]
    for key, flag in FLAGS.items():
        if key in settings:
            value = model / settings[key] if "image" in key else settings[key]
            command.append(f"{flag}={value}")
    return command


def check_run(args, label, model, tmp):
    """The number of failures, 0 or 1."""
    latents = tmp / "latents.safetensors"
    latents.unlink(missing_ok=True)
    command = run_command(args, model, latents, tmp / "jobs")
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode or not latents.exists():
        result = f"exit status {run.returncode}: {run.stderr.strip()[-300:]}"
    else:
        got, want = common.load(latents)["latents"].float(), common.load(model / "run.safetensors")["latents"]
        result = common.rel_l2(got.reshape(want.shape), want) if got.numel() == want.numel() else f"shape {tuple(got.shape)}"
    good = isinstance(result, float) and result <= 1e-3
    shown = f"{result:.2e} (limit 1e-03)" if isinstance(result, float) else result
    print(f"{'ok  ' if good else 'FAIL'} {label:10s} {'whole run':18s} f32   {shown}", flush=True)
    if not good and args.verbose:
        print("     " + shlex.join(command))
    return not good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vgen", required=True, help="the vgen program")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--i2v", action="store_true", help="fresh models for image to video only")
    parser.add_argument("--run", action="store_true", help="also a whole run of each fresh model")
    parser.add_argument("--golden", action="store_true", help="also the committed tiny models")
    parser.add_argument("--compute", nargs="+", choices=list(LIMIT), default=["f32", "bf16"])
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only these parts")
    parser.add_argument("--tiled", metavar="FLAGS", help="flags that make vgen tile its VAE, as --tiled=--vae-use-tiling; "
                        "without this, tiled goldens are skipped")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the fresh models in DIR/seed-N")
    parser.add_argument("--verbose", action="store_true", help="print the command of each failure")
    args = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for name in TINY + TINY_I2V if args.golden else []:
            failures += check(args, name, GOLDEN / name, tmp)
        for seed in args.seeds:
            model = (args.keep or tmp) / f"seed-{seed}{'-i2v' * args.i2v}{'-run' * args.run}"
            if not (model / "fresh.json").exists():
                # In a process of its own: the reference is chatty.
                subprocess.run([sys.executable, Path(__file__).with_name("fresh.py"), model, "--seed", str(seed)]
                               + ["--i2v"] * args.i2v + ["--run"] * args.run, check=True, stdout=subprocess.DEVNULL)
            failures += check(args, f"seed-{seed}", model, tmp)
            if args.run:
                failures += check_run(args, f"seed-{seed}", model, tmp)
    print(f"{failures} failed" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
