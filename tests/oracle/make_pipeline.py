#!/usr/bin/env python3
"""Whole pipeline runs of the tiny models -> tests/golden/tiny-X/NAME.safetensors with NAME.json beside it.

  make_pipeline.py [NAME ...]     all models, or only these

NAME = pipeline            FP32 everywhere, the model's own scheduler
       pipeline_bf16       transformers and text encoder BF16 (from_pretrained(torch_dtype=bfloat16)), VAE FP32
       pipeline_euler/_unipc  FP32 with the other scheduler (Euler for tiny-a and tiny-b, UniPC for tiny-c)
       pipeline_flf2v, pipeline_flf2v_bf16  tiny-i2v with a first and a last picture, another size and length
Tensors: init_latents F32 [1,16,T,h,w] (torch CPU generator), steps F32 [n,1,16,T,h,w] latents after each step (`pipeline` only),
latents F32 final (output_type="latent"), frames U8 [F,H,W,3] = trunc(x*255) of the float frames, as export_to_video writes
(not for the other scheduler, nor for image to video in BF16),
prompt_embeds / negative_prompt_embeds F32 [1,real tokens,d] (`pipeline` only; the rows up to 512 are zero).
Image to video (tiny-i2v) goes from the PNGs named in the .json, beside it, whose sizes are not the clip's. `pipeline` and
`pipeline_flf2v` there also have, stage by stage: image[.last] U8 [h0,w0,3] as load_image gives it, resized[.last] U8 [H,W,3] after
VideoProcessor's Lanczos, condition F32 [1,20,T,h,w] (mask, latents of the picture) as it goes beside the noise.
The .json has the arguments, and `amplification`: relative change of the final latents per relative change of the initial
noise (1e-6 tried), by which an engine's own rounding errors grow over the run.
"""

import json
import sys

import common
import make_pictures
import numpy as np
import torch
from common import GOLDEN
from diffusers import (AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanImageToVideoPipeline,
                       WanPipeline)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from diffusers.utils import load_image
from make_tiny_models import UNIPC
from make_tokens import WAN_NEGATIVE
from tokenizers import Tokenizer

# (model, name of the golden): arguments. `other`: also with another scheduler.
RUNS = {
    ("tiny-a", "pipeline"): dict(prompt="A cat and a dog baking a cake together in a kitchen.", negative=WAN_NEGATIVE,
                   height=48, width=64, num_frames=9, guidance_scale=4.0, seed=42, other=("euler", 3.0)),
    ("tiny-b", "pipeline"): dict(prompt="An astronaut riding a horse on Mars, cinematic lighting.", negative="",
                   height=64, width=48, num_frames=9, guidance_scale=4.0, guidance_scale_2=3.0, seed=2**32 + 5,
                   other=("euler", 5.0)),
    ("tiny-c", "pipeline"): dict(prompt="A coral reef full of colourful fish, underwater camera.", negative="static, low quality",
                   height=32, width=80, num_frames=13, guidance_scale=4.0, guidance_scale_2=3.0, seed=0, other=("unipc", 5.0)),
    ("tiny-i2v", "pipeline"): dict(
        prompt="A golden retriever runs through a wheat field at sunset.", negative="static, blurred details", image="first.png",
        height=32, width=64, num_frames=9, guidance_scale=3.5, guidance_scale_2=3.0, seed=7),
    ("tiny-i2v", "pipeline_flf2v"): dict(
        prompt="The camera slowly pans to the left, then zooms in.", negative="", image="first.png", last_image="last.png",
        height=48, width=32, num_frames=13, guidance_scale=4.0, guidance_scale_2=3.0, seed=123456789),
}
STEPS = 10
# Wider than both clips and lower than one; the other way round.
PICTURES = {"tiny-i2v": {"first.png": (37, 101), "last.png": (77, 27)}}


def run(folder, spec, dtype, scheduler=None, noise_scale=None):
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    pictures = {k: load_image(str(folder / spec[k])) for k in ("image", "last_image") if k in spec}
    pipe = (WanImageToVideoPipeline if pictures else WanPipeline).from_pretrained(folder, vae=vae, torch_dtype=dtype)
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
        prepared = prepare(*args, **kwargs)
        latents, *condition = prepared if pictures else (prepared,)
        if noise_scale:
            latents = latents * (1 + noise_scale * common.randn(latents.shape, "perturb"))
        seen["init"] = latents.clone()
        if not pictures:
            return latents
        seen["condition"] = condition[0].clone()
        return latents, *condition

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
                       generator=torch.Generator().manual_seed(spec["seed"]), **pictures)
    latents = pipe(**common_args, output_type="latent", callback_on_step_end=on_step).frames
    boundary = pipe.config.boundary_ratio
    experts = [0 if boundary is None or t >= boundary * 1000 else 1 for t in times]

    for key, picture in pictures.items():
        suffix = "" if key == "image" else ".last"
        seen[f"image{suffix}"] = torch.from_numpy(np.array(picture))
        x = pipe.video_processor.preprocess(picture, height=spec["height"], width=spec["width"])[0]
        seen[f"resized{suffix}"] = ((x + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)

    # The decoding half of the pipeline, from the final latents.
    z = latents.to(torch.float32)
    mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = 1.0 / torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
    video = vae.decode(z / std + mean, return_dict=False)[0]
    frames = torch.from_numpy(pipe.video_processor.postprocess_video(video, output_type="np")[0])
    return dict(seen=seen, steps=torch.stack(steps), latents=latents.float(), frames=frames, times=times,
                experts=experts, positive=positive[:, :lengths[0]].float(), negative=negative[:, :lengths[1]].float(),
                scheduler=[type(pipe.scheduler).__name__, pipe.scheduler.config.get("flow_shift", pipe.scheduler.config.get("shift"))])


def golden(folder, name, spec, dtype, scheduler=None, amplification=None, reference=None):
    r = run(folder, spec, dtype, scheduler)
    seen = dict(r["seen"])
    tensors = {"init_latents": seen.pop("init"), "latents": r["latents"]}
    if scheduler is None and (dtype == torch.float32 or "image" not in spec):
        tensors["frames"] = (r["frames"] * 255).to(torch.uint8)
    if dtype == torch.float32 and scheduler is None:
        tensors["steps"] = r["steps"]
        tensors |= {"prompt_embeds": r["positive"], "negative_prompt_embeds": r["negative"], **seen}
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
    print(f"{folder.name} {name:19s} latents std {r['latents'].std():.2f} max {r['latents'].abs().max():.1f}; frames mean "
          f"{f.mean():.2f} std {f.std():.2f} clipped {((f <= 0) | (f >= 1)).float().mean():.3f}; experts {r['experts']} "
          + json.dumps({k: info[k] for k in ('amplification', 'rel_l2_to_float32') if k in info}))
    return r


def main():
    for (model, name), spec in RUNS.items():
        if sys.argv[1:] and model not in sys.argv[1:]:
            continue
        folder = GOLDEN / model
        for file, (height, width) in PICTURES.get(model, {}).items():
            make_pictures.scene(height, width, model, file).save(folder / file)
        reference = golden(folder, name, spec, torch.float32)
        golden(folder, f"{name}_bf16", spec, torch.bfloat16, reference=reference)
        if "other" in spec:
            golden(folder, f"{name}_{spec['other'][0]}", spec, torch.float32, scheduler=spec["other"])


if __name__ == "__main__":
    main()
