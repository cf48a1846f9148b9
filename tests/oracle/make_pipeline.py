#!/usr/bin/env python3
"""Whole WanPipeline runs of the tiny models -> tests/golden/tiny-X/NAME.safetensors with NAME.json beside it.

NAME = pipeline            FP32 everywhere, the model's own scheduler
       pipeline_bf16       transformers and text encoder BF16 (from_pretrained(torch_dtype=bfloat16)), VAE FP32
       pipeline_euler/_unipc  FP32 with the other scheduler (Euler for tiny-a and tiny-b, UniPC for tiny-c)
Tensors: init_latents F32 [1,16,T,h,w] (torch CPU generator), steps F32 [n,1,16,T,h,w] latents after each step (`pipeline` only),
latents F32 final (output_type="latent"), frames U8 [F,H,W,3] = trunc(x*255) of the float frames, as export_to_video writes
(not for the other scheduler),
prompt_embeds / negative_prompt_embeds F32 [1,real tokens,d] (`pipeline` only; the rows up to 512 are zero).
The .json has the arguments, and `amplification`: relative change of the final latents per relative change of the initial
noise (1e-6 tried), by which an engine's own rounding errors grow over the run.
"""

import json

import common
import torch
from common import GOLDEN
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from make_tiny_models import UNIPC
from make_tokens import WAN_NEGATIVE
from tokenizers import Tokenizer

RUNS = {
    "tiny-a": dict(prompt="A cat and a dog baking a cake together in a kitchen.", negative=WAN_NEGATIVE,
                   height=48, width=64, num_frames=9, guidance_scale=4.0, seed=42, other=("euler", 3.0)),
    "tiny-b": dict(prompt="An astronaut riding a horse on Mars, cinematic lighting.", negative="",
                   height=64, width=48, num_frames=9, guidance_scale=4.0, guidance_scale_2=3.0, seed=2**32 + 5,
                   other=("euler", 5.0)),
    "tiny-c": dict(prompt="A coral reef full of colourful fish, underwater camera.", negative="static, low quality",
                   height=32, width=80, num_frames=13, guidance_scale=4.0, guidance_scale_2=3.0, seed=0, other=("unipc", 5.0)),
}
STEPS = 10


def run(folder, spec, dtype, scheduler=None, noise_scale=None):
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    pipe = WanPipeline.from_pretrained(folder, vae=vae, torch_dtype=dtype)
    if scheduler:
        kind, shift = scheduler
        pipe.scheduler = (FlowMatchEulerDiscreteScheduler(shift=shift) if kind == "euler"
                          else UniPCMultistepScheduler(flow_shift=shift, **UNIPC))
    pipe.set_progress_bar_config(disable=True)
    if dtype == torch.float32:
        for part in (pipe.transformer, pipe.transformer_2, pipe.text_encoder):
            part is None or part.float()
    prepare, seen = pipe.prepare_latents, {}

    def remember(*args, **kwargs):
        latents = prepare(*args, **kwargs)
        if noise_scale:
            latents = latents * (1 + noise_scale * common.randn(latents.shape, "perturb"))
        seen["init"] = latents.clone()
        return latents

    pipe.prepare_latents = remember
    steps, times = [], []

    def on_step(_, i, t, kwargs):
        steps.append(kwargs["latents"].float().clone())
        times.append(float(t))
        return {}

    positive, negative = pipe.encode_prompt(spec["prompt"], spec["negative"], True, max_sequence_length=512)
    # transformers 5 gives `<unk>` another id than tokenizer.json does (see make_tokens.py): stay clear of it.
    file = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    lengths = []
    for text in (spec["prompt"], spec["negative"]):
        ids = file.encode(prompt_clean(text)).ids
        assert ids == pipe.tokenizer(prompt_clean(text)).input_ids, text
        lengths.append(len(ids))
    common_args = dict(prompt=spec["prompt"], negative_prompt=spec["negative"], height=spec["height"], width=spec["width"],
                       num_frames=spec["num_frames"], num_inference_steps=STEPS, guidance_scale=spec["guidance_scale"],
                       guidance_scale_2=spec.get("guidance_scale_2"),
                       generator=torch.Generator().manual_seed(spec["seed"]))
    latents = pipe(**common_args, output_type="latent", callback_on_step_end=on_step).frames
    boundary = pipe.config.boundary_ratio
    experts = [0 if boundary is None or t >= boundary * 1000 else 1 for t in times]

    # The decoding half of the pipeline, from the final latents.
    z = latents.to(torch.float32)
    mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = 1.0 / torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
    video = vae.decode(z / std + mean, return_dict=False)[0]
    frames = torch.from_numpy(pipe.video_processor.postprocess_video(video, output_type="np")[0])
    return dict(init=seen["init"], steps=torch.stack(steps), latents=latents.float(), frames=frames, times=times,
                experts=experts, positive=positive[:, :lengths[0]].float(), negative=negative[:, :lengths[1]].float(),
                scheduler=[type(pipe.scheduler).__name__, pipe.scheduler.config.get("flow_shift", pipe.scheduler.config.get("shift"))])


def golden(folder, name, spec, dtype, scheduler=None, amplification=None, reference=None):
    r = run(folder, spec, dtype, scheduler)
    tensors = {"init_latents": r["init"], "latents": r["latents"]}
    if scheduler is None:
        tensors["frames"] = (r["frames"] * 255).to(torch.uint8)
    if dtype == torch.float32 and scheduler is None:
        tensors["steps"] = r["steps"]
        tensors["prompt_embeds"], tensors["negative_prompt_embeds"] = r["positive"], r["negative"]
    assert all(torch.isfinite(t.float()).all() for t in tensors.values())
    common.save(folder / f"{name}.safetensors", tensors)
    info = {k: v for k, v in spec.items() if k != "other"}
    info |= {"num_inference_steps": STEPS, "scheduler": r["scheduler"][0], "shift": r["scheduler"][1], "compute": str(dtype)[6:],
             "timesteps": r["times"], "expert": r["experts"], "versions": common.versions()}
    if dtype == torch.float32:
        nudged = run(folder, spec, dtype, scheduler, noise_scale=1e-6)
        info["amplification"] = round(common.rel_l2(nudged["latents"], r["latents"]) / 1e-6, 2)
    if reference is not None:
        info["rel_l2_to_float32"] = common.rel_l2(r["latents"], reference["latents"])
    common.save_json(folder / f"{name}.json", info)
    f = r["frames"]
    print(f"{folder.name} {name:15s} latents std {r['latents'].std():.2f} max {r['latents'].abs().max():.1f}; frames mean "
          f"{f.mean():.2f} std {f.std():.2f} clipped {((f <= 0) | (f >= 1)).float().mean():.3f}; experts {r['experts']} "
          + json.dumps({k: info[k] for k in ('amplification', 'rel_l2_to_float32') if k in info}))
    return r


def main():
    for name, spec in RUNS.items():
        folder = GOLDEN / name
        reference = golden(folder, "pipeline", spec, torch.float32)
        golden(folder, "pipeline_bf16", spec, torch.bfloat16, reference=reference)
        golden(folder, f"pipeline_{spec['other'][0]}", spec, torch.float32, scheduler=spec["other"])


if __name__ == "__main__":
    main()
