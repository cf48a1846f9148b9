#!/usr/bin/env python3
"""Scheduler goldens: sigma/timestep grids and whole trajectories -> tests/golden/schedulers.{safetensors,json}.

Grids, for each shift s and step count n:
  grid.unipc.s{s}.n{n}.{sigmas F32 [n+1], timesteps I64 [n]}     diffusers >= 0.37 (the installed one)
  grid.unipc36.s{s}.n{n}.{sigmas, timesteps}                     diffusers <= 0.36 (and the original Wan code), by formula;
                                                                 checked against the real package with --diffusers36
  grid.euler.s{s}.n{n}.{sigmas F32 [n+1], timesteps F32 [n]}     FlowMatchEulerDiscreteScheduler(shift=s)
Trajectories, for each name in the .json:
  NAME.x F32 [n+1, *shape]   the sample before step 0, ..., after step n-1
  NAME.v [n, *shape]         the model output of each step, F32, or BF16 for names ending in .bf16 (the pipeline's case:
                             sigma*v is rounded to BF16 by UniPC; FlowMatchEuler also turns the sample into BF16)
The "model" is f(x, t)[i] = 0.6 sin(1.7 x[i] + 0.003 t) + 0.25 x[i] + 0.2 cos(0.37 i), i the flat index; t = timesteps[k].
"""

import argparse
import json
import os
import subprocess
import sys

import common
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from make_tiny_models import UNIPC

SHIFTS = [1.0, 3.0, 5.0, 7.0, 8.0, 12.0, 16.0]
STEPS = [1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 40, 50]
SHAPE = (1, 1, 1, 5, 7)
TRAJECTORIES = [(1, 3.0), (2, 3.0), (3, 5.0), (4, 3.0), (6, 5.0), (10, 12.0), (20, 3.0), (40, 12.0)]


def old_grid(shift, n, train=1000):
    """diffusers <= 0.36: u = (1 - 1/1000) (n - k) / n, shifted; FP64, stored as FP32."""
    alphas = np.linspace(1, 1 / train, n + 1)
    u = 1.0 - alphas
    sigmas = np.flip(shift * u / (1 + (shift - 1) * u))[:-1].copy()
    return (torch.from_numpy(np.concatenate([sigmas, [0.0]]).astype(np.float32)),
            torch.from_numpy((sigmas * train).astype(np.int64)))


def check_old_grid(site_packages):
    code = ("import json,sys\nfrom diffusers import UniPCMultistepScheduler, __version__\nout=[]\n"
            "for s in json.loads(sys.argv[1]):\n for n in json.loads(sys.argv[2]):\n"
            "  x=UniPCMultistepScheduler(flow_shift=s,**json.loads(sys.argv[3])); x.set_timesteps(n)\n"
            "  out.append([s,n,x.sigmas.tolist(),x.timesteps.tolist()])\nprint(json.dumps([__version__,out]))\n")
    env = dict(os.environ, PYTHONPATH=site_packages)
    args = [json.dumps(v) for v in (SHIFTS, STEPS, UNIPC)]
    text = subprocess.run([sys.executable, "-c", code, *args], env=env, check=True, capture_output=True, text=True).stdout
    version, rows = json.loads(text.splitlines()[-1])
    for s, n, sigmas, timesteps in rows:
        ours = old_grid(s, n)
        assert ours[0].tolist() == sigmas and ours[1].tolist() == timesteps, (s, n)
    print(f"unipc36 grids equal those of diffusers {version}")


def unipc(shift, n):
    scheduler = UniPCMultistepScheduler(flow_shift=shift, **UNIPC)
    scheduler.set_timesteps(n)
    return scheduler


def unipc36(shift, n):
    scheduler = unipc(shift, n)
    scheduler.sigmas, scheduler.timesteps = old_grid(shift, n)
    return scheduler


def euler(shift, n):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(n)
    return scheduler


def model(x, t):
    i = torch.arange(x.numel()).reshape(x.shape)
    x = x.float()
    return 0.6 * torch.sin(1.7 * x + 0.003 * t) + 0.25 * x + 0.2 * torch.cos(0.37 * i)


def trajectory(scheduler, x, dtype):
    scheduler.set_begin_index(0)
    xs, vs = [x], []
    for t in scheduler.timesteps:
        v = model(x, t).to(dtype)
        x = scheduler.step(v, t, x, return_dict=False)[0]
        vs.append(v)
        xs.append(x)
    return torch.stack([x.float() for x in xs]), torch.stack(vs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diffusers36", metavar="SITE_PACKAGES", help="a folder with diffusers 0.36 (pip install --no-deps "
                        "--target), to check the old grid against")
    args = parser.parse_args()
    if args.diffusers36:
        check_old_grid(args.diffusers36)

    kinds = {"unipc": unipc, "unipc36": unipc36, "euler": euler}
    tensors, cases = {}, []
    for kind, make in kinds.items():
        for s in SHIFTS:
            for n in STEPS:
                scheduler = make(s, n)
                tensors[f"grid.{kind}.s{s:g}.n{n}.sigmas"] = scheduler.sigmas
                tensors[f"grid.{kind}.s{s:g}.n{n}.timesteps"] = scheduler.timesteps
        for n, s in TRAJECTORIES:
            if kind == "unipc36" and n not in (4, 10):
                continue
            for dtype in (torch.float32, torch.bfloat16):
                name = f"{kind}.s{s:g}.n{n}" + (".bf16" if dtype == torch.bfloat16 else "")
                x, v = trajectory(make(s, n), common.randn(SHAPE, "trajectory", kind, n), dtype)
                assert torch.isfinite(x).all()
                tensors[f"{name}.x"], tensors[f"{name}.v"] = x, v
                cases.append({"name": name, "scheduler": kind, "shift": s, "steps": n, "model_dtype": str(dtype)[6:]})
    common.save(common.GOLDEN / "schedulers.safetensors", tensors)
    common.save_json(common.GOLDEN / "schedulers.json", {
        "versions": common.versions(), "shape": SHAPE, "shifts": SHIFTS, "steps": STEPS, "unipc_config": UNIPC,
        "model": "v[i] = 0.6 sin(1.7 x[i] + 0.003 t) + 0.25 x[i] + 0.2 cos(0.37 i)", "trajectories": cases})


if __name__ == "__main__":
    main()
