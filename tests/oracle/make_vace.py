#!/usr/bin/env python3
"""VACE: tests/golden/tiny-vace, a random WanVACEPipeline as Wan2.2-VACE-Fun with two experts, and what diffusers makes of it.

Its text encoder, tokenizer and VAE are links to tiny-i2v's; both transformers are BF16 with the FP32-kept tensors.
  component/transformer[_2].{in,out,bf16.out}.safetensors   as make_components.py's; also control_hidden_states [1,96,T,h,w], for
      transformer_2 with fewer tokens than hidden_states (the rest is zero), and control_hidden_states_scale [2]
  media/*.safetensors   what the runs are given; `frames` U8 [F,H,W,3]: pictures, of other sizes than the clip's, and a video and a mask of
      its size, since the pipeline takes its size from the video
  vace.safetensors, vace.json   whole runs of STEPS steps in FP32, for each CASE of RUNS:
      CASE.latents F32 [1,16,R+T,h,w]   final, output_type="latent": with the R reference frames in front
      CASE.control F32 [1,96,R+T,h,w]   what the control branch sees (of some)
  and the same in BF16 (VAE in FP32) of the cases in BF16_RUNS: CASE.bf16.latents
The frames and masks of picture modes are made as diffusers' documents and vllm-omni do: unknown pixels are 128 grey, pictures brought
to the clip's size by Lanczos before.
"""

import json
import os
import shutil

import common
import make_components
import numpy as np
import torch
from common import GOLDEN, randn
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanVACEPipeline, WanVACETransformer3DModel
from make_pictures import scene
from make_tiny_models import UNIPC, rewrite_json, through_bf16
from PIL import Image

OUT = GOLDEN / "tiny-vace"
LINKED = ("tokenizer", "text_encoder", "vae")
EXPERTS = [dict(num_layers=3, vace_layers=[0, 2]), dict(num_layers=2, vace_layers=[0, 1])]
SHAPE = dict(num_attention_heads=2, attention_head_dim=8, ffn_dim=28, freq_dim=16, text_dim=36, vace_in_channels=96)
COMPONENTS = [dict(size=(2, 4, 6), control=(2, 4, 6), L=13, t=torch.tensor([931]), scale=[0.7, 1.3]),
              dict(size=(2, 6, 4), control=(1, 6, 4), L=21, t=torch.tensor([402]), scale=None)]

STEPS, FRAMES, HEIGHT, WIDTH = 10, 5, 32, 48
GREY = (128, 128, 128)
# Wider than the clip, taller, smaller than it, and a side that is no multiple of 8.
PICTURES = {"first": (41, 75), "last": (70, 33), "reference-a": (61, 29), "reference-b": (24, 90)}
RUNS = {
    "t2v": dict(seed=1),
    "i2v": dict(seed=2, image="first"),
    "v2lf": dict(seed=3, last_image="last"),
    "flf2v": dict(seed=4, image="first", last_image="last"),
    "inpaint": dict(seed=5, image="first", mask=True),
    "r2v": dict(seed=6, references=["reference-a"], conditioning_scale=0.6),
    "r2v-2": dict(seed=7, references=["reference-a", "reference-b"]),
    "v2v": dict(seed=8, video=True),
    "v2v-mask": dict(seed=9, video=True, mask=True, references=["reference-b"]),
}
CONTROLS = ["inpaint", "r2v-2", "v2v-mask"]
BF16_RUNS = ["i2v", "r2v", "v2v-mask"]
PROMPT, NEGATIVE = "A golden retriever runs through a wheat field at sunset.", "static, blurred details"


# ---- the model ------------------------------------------------------------------------------------------------------


def make_model():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for part in LINKED:
        os.symlink(f"../tiny-i2v/{part}", OUT / part)
    for i, expert in enumerate(EXPERTS):
        model = WanVACETransformer3DModel(in_channels=16, out_channels=16, **SHAPE, **expert)
        common.liven_transformer(model, "vace", i)
        name = "transformer" + ("_2" if i else "")
        through_bf16(model.eval()).save_pretrained(OUT / name)
        (OUT / name / "diffusion_pytorch_model.safetensors").chmod(0o644)
        rewrite_json(OUT / name / "config.json", lambda v: v.pop("_name_or_path", None))
    UniPCMultistepScheduler(flow_shift=5.0, **UNIPC).save_pretrained(OUT / "scheduler")
    index = json.loads((GOLDEN / "tiny-i2v" / "model_index.json").read_text())
    for key in ("image_encoder", "image_processor", "expand_timesteps"):
        index.pop(key, None)
    index |= {"_class_name": "WanVACEPipeline", "boundary_ratio": 0.875}
    index |= {name: ["diffusers", "WanVACETransformer3DModel"] for name in ("transformer", "transformer_2")}
    common.save_json(OUT / "model_index.json", index)


def run_transformer(model, inp):
    dtype = model.dtype
    scale = inp.get("control_hidden_states_scale")
    return {"sample": model(hidden_states=inp["hidden_states"].to(dtype), timestep=inp["timestep"],
                            encoder_hidden_states=inp["encoder_hidden_states"].to(dtype),
                            control_hidden_states=inp["control_hidden_states"].to(dtype),
                            control_hidden_states_scale=None if scale is None else scale.to(dtype)).sample}


def make_components_of_model():
    for name, case in zip(("transformer", "transformer_2"), COMPONENTS):
        models = make_components.both(WanVACETransformer3DModel, OUT / name)
        inp = make_components.transformer_inputs(models[""].config, case["size"], case["L"], case["t"], ("vace", name))
        inp["control_hidden_states"] = randn((1, 96, *case["control"]), "vace", name, "control")
        if case["scale"]:
            inp["control_hidden_states_scale"] = torch.tensor(case["scale"])
        make_components.write(OUT / "component", name, inp, run_transformer, models)


# ---- media ----------------------------------------------------------------------------------------------------------


def make_media():
    for name, (height, width) in PICTURES.items():
        pixels = torch.from_numpy(np.array(scene(height, width, "vace", name)))
        common.save(OUT / "media" / f"{name}.safetensors", {"frames": pixels[None]})
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    video = np.stack([np.stack([128 + 100 * np.sin(x / (5 + k) + y / 7 + f / 2 + k) for k in range(3)], -1) for f in range(FRAMES)])
    masks = np.stack([((x - 8 - 3 * f) ** 2 + (y - 16) ** 2 < 120) for f in range(FRAMES)])
    soft = np.where(masks, 255, 0) + np.where((x + y) % 5 == 0, 40, 0)  # greys below and beside white
    for name, values in (("video", video), ("mask", np.repeat(soft[..., None], 3, -1))):
        frames = torch.from_numpy(np.clip(values, 0, 255).astype(np.uint8))
        common.save(OUT / "media" / f"{name}.safetensors", {"frames": frames})


def frames_of(name):
    return [Image.fromarray(f.numpy()) for f in common.load_file(OUT / "media" / f"{name}.safetensors")["frames"]]


def picture(name):
    return frames_of(name)[0]


def plain(grey):
    return Image.new("RGB", (WIDTH, HEIGHT), (grey, grey, grey))


def arguments(spec):
    """What the pipeline is called with, from what a person gives."""
    known = {key: picture(spec[key]).resize((WIDTH, HEIGHT), Image.LANCZOS) for key in ("image", "last_image") if key in spec}
    video = mask = None
    if spec.get("mask"):
        mask = frames_of("mask")
    if spec.get("video"):
        video = frames_of("video")
    elif mask:
        # The picture in every frame, grey where the mask says.
        known_pixels = np.array(known["image"])
        video = [Image.fromarray(np.where(np.array(m) / 255 > 0.5, np.array(GREY), known_pixels).astype(np.uint8)) for m in mask]
    elif known:
        video, mask = [Image.new("RGB", (WIDTH, HEIGHT), GREY) for _ in range(FRAMES)], [plain(255) for _ in range(FRAMES)]
        for key, at in (("image", 0), ("last_image", FRAMES - 1)):
            if key in known:
                video[at], mask[at] = known[key], plain(0)
    references = [picture(name) for name in spec.get("references", [])] or None
    return dict(video=video, mask=mask, reference_images=references, conditioning_scale=spec.get("conditioning_scale", 1.0))


# ---- runs -----------------------------------------------------------------------------------------------------------


def run(spec, dtype, noise_scale=None):
    vae = AutoencoderKLWan.from_pretrained(OUT / "vae", torch_dtype=torch.float32)
    pipe = WanVACEPipeline.from_pretrained(OUT, vae=vae, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if dtype == torch.float32:
        for part in (pipe.transformer, pipe.transformer_2, pipe.text_encoder):
            part.float()
    seen = {}
    noise = pipe.prepare_latents

    def remember_noise(*args, **kwargs):
        latents = noise(*args, **kwargs)
        return latents * (1 + noise_scale * randn(latents.shape, "perturb")) if noise_scale else latents

    forward = pipe.transformer.forward

    def remember_control(*args, **kwargs):
        seen["control"] = kwargs["control_hidden_states"].float().clone()
        return forward(*args, **kwargs)

    pipe.prepare_latents, pipe.transformer.forward = remember_noise, remember_control
    latents = pipe(prompt=PROMPT, negative_prompt=NEGATIVE, height=HEIGHT, width=WIDTH, num_frames=FRAMES, num_inference_steps=STEPS,
                   guidance_scale=4.0, guidance_scale_2=3.0, generator=torch.Generator().manual_seed(spec["seed"]),
                   output_type="latent", **arguments(spec)).frames
    return latents.float(), seen["control"]


def main():
    make_model()
    make_components_of_model()
    make_media()
    tensors, cases = {}, {}
    for name, spec in RUNS.items():
        latents, control = run(spec, torch.float32)
        assert torch.isfinite(latents).all()
        nudged, _ = run(spec, torch.float32, noise_scale=1e-6)
        cases[name] = spec | {"amplification": round(common.rel_l2(nudged, latents) / 1e-6, 2)}
        tensors[f"{name}.latents"] = latents
        if name in CONTROLS:
            tensors[f"{name}.control"] = control
        if name in BF16_RUNS:
            rough, _ = run(spec, torch.bfloat16)
            tensors[f"{name}.bf16.latents"] = rough
            cases[name]["rel_l2_to_float32"] = common.rel_l2(rough, latents)
        print(f"{name:9s} latents {tuple(latents.shape)} std {latents.std():.2f}; control {tuple(control.shape)}; {cases[name]}")
    common.save(OUT / "vace.safetensors", tensors)
    common.save_json(OUT / "vace.json", {
        "prompt": PROMPT, "negative": NEGATIVE, "height": HEIGHT, "width": WIDTH, "num_frames": FRAMES, "num_inference_steps": STEPS,
        "guidance_scale": 4.0, "guidance_scale_2": 3.0, "cases": cases, "versions": common.versions()})


if __name__ == "__main__":
    main()
