#!/usr/bin/env python3
"""The Wan models that take pictures in other ways than Wan2.2 I2V-A14B: tiny random pipelines and their goldens.

  make_wan.py [NAME ...]     all models, or only these

  tiny-ti2v   as Wan2.2 TI2V-5B: one checkpoint for text and for image to video (WanPipeline, expand_timesteps), z=6 VAE with patches of 2x2
              pixels and shortcuts around its levels (is_residual), another width in the decoder; BF16 transformer and VAE; UniPC, flow_shift 5
  tiny-clip   as Wan2.1 I2V: 36 input channels, CLIP image encoder (3 layers, 17 tokens; names as transformers 5 writes them)
  tiny-flf2v  as Wan2.1 FLF2V: the same with positions for the tokens of two pictures

Tokenizer and text encoder of all, the VAE of the last two, and of the last the image encoder and all weights of the transformer but its
positions are links to other tiny models.

component/: as make_components.py, with
  transformer.in     tiny-ti2v: timestep [1,N], 0 for the tokens of the first latent frame; others: encoder_hidden_states_image [1 or 2,17,20],
                     and encoder_hidden_states is to be filled up with zero rows to 512
  vae-encode[-tiled] what it makes of the frames that vae-decode[-tiled] makes; of tiled frames only that is kept
  image-encoder      pixel_values [1,3,28,28] -> image_embeds [1,17,20] = hidden_states[-2]
  processor          rgb-K U8 [H,W,3] -> pixels-K F32 [3,28,28]: CLIPImageProcessor with Pillow
Runs of 10 steps, NAME.safetensors with NAME.json beside it: init_latents, latents, latents_bf16 (transformer and text encoder in BF16, VAE and image
encoder in FP32), image U8 [h0,w0,3], last_image, condition (what the VAE made of the pictures), image_embeds. The .json says what BF16 costs
(rel_l2_to_float32) and by how much mistakes move the latents (mistakes).
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import common
import make_pictures
import numpy as np
import torch
from common import GOLDEN, randn, save
from diffusers import (AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline,
                       WanTransformer3DModel)
from make_components import floats, run_decode, run_encode, write
from safetensors.torch import load_file, save_file
from make_tiny_models import LATENTS_MEAN, LATENTS_STD, UNIPC, rewrite_json, through_bf16
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, T5TokenizerFast, UMT5EncoderModel

TEXT_DIM = 36  # of tiny-i2v's text encoder
CLIP = dict(hidden_size=20, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=7,
            hidden_act="gelu")
PROCESSOR = dict(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, resample=3,
                 image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])
STEPS = 10
DIT = dict(num_attention_heads=2, attention_head_dim=12, ffn_dim=40, num_layers=2, text_dim=TEXT_DIM, freq_dim=64)
IMAGE = dict(in_channels=36, out_channels=16, image_dim=20, added_kv_proj_dim=24, num_layers=1)
Z = 6

MODELS = {
    "tiny-ti2v": dict(dit=dict(in_channels=Z, out_channels=Z), shift=5.0, links=["tokenizer", "text_encoder"], of="tiny-i2v"),
    "tiny-clip": dict(dit=IMAGE, shift=3.0, links=["tokenizer", "text_encoder", "vae"], of="tiny-i2v"),
    "tiny-flf2v": dict(dit=IMAGE | dict(pos_embed_seq_len=34), shift=16.0, links=["tokenizer", "text_encoder", "vae"], of="tiny-i2v"),
}

RUNS = {
    ("tiny-ti2v", "t2v"): dict(prompt="A rose with dew drops, soft morning light.", negative="static, ugly", height=64, width=96,
                               num_frames=9, guidance_scale=5.0, seed=11),
    ("tiny-ti2v", "i2v"): dict(prompt="A rose with dew drops, soft morning light.", negative="", height=96, width=64,
                               num_frames=13, guidance_scale=5.0, seed=12, image=(37, 71)),
    ("tiny-clip", "i2v"): dict(prompt="A coral reef full of colourful fish.", negative="blurred details", height=32, width=48,
                               num_frames=9, guidance_scale=5.0, seed=13, image=(47, 30)),
    ("tiny-flf2v", "flf2v"): dict(prompt="The camera slowly pans to the left.", negative="", height=48, width=32,
                                  num_frames=9, guidance_scale=5.5, seed=14, image=(35, 42), last_image=(50, 33)),
}


def liven_clip(model, *seed):
    for name, p in model.named_parameters():
        key = (*seed, name)
        if "norm" in name or "layrnorm" in name:
            p.copy_(0.2 * randn(p.shape, *key) + (0.0 if name.endswith("bias") else 1.0))
        elif name.endswith("bias"):
            p.copy_(0.15 * randn(p.shape, *key))
        elif "embedding" in name and "patch" not in name:
            p.copy_(0.5 * randn(p.shape, *key))
        else:
            common.fan_in_normal(p, 1.2, *key)


def share_weights(folder, source):
    """Two shards: a link to the source's file, and what that lacks."""
    stem = "diffusion_pytorch_model"
    mine, theirs = load_file(folder / f"{stem}.safetensors"), load_file(source / f"{stem}.safetensors")
    assert all(torch.equal(mine[k], v) for k, v in theirs.items())
    shards = [f"{stem}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (folder / shards[0]).symlink_to(Path("../..") / source.parent.name / source.name / f"{stem}.safetensors")
    save_file({k: v for k, v in mine.items() if k not in theirs}, folder / shards[1], metadata={"format": "pt"})
    (folder / shards[1]).chmod(0o644)
    (folder / f"{stem}.safetensors").unlink()
    common.save_json(folder / f"{stem}.safetensors.index.json", {
        "metadata": {"total_size": sum(v.nbytes for v in mine.values())},
        "weight_map": {k: shards[k not in theirs] for k in sorted(mine)}})


def make_model(name, spec):
    out, source = GOLDEN / name, GOLDEN / spec["of"]
    shutil.rmtree(out, ignore_errors=True)
    transformer = WanTransformer3DModel(**DIT | spec["dit"]).eval()
    common.liven_transformer(transformer, "tiny-clip" if name == "tiny-flf2v" else name, "transformer")
    parts = dict(transformer=through_bf16(transformer), scheduler=UniPCMultistepScheduler(flow_shift=spec["shift"], **UNIPC),
                 tokenizer=T5TokenizerFast.from_pretrained(source / "tokenizer"),
                 text_encoder=UMT5EncoderModel.from_pretrained(source / "text_encoder"))
    if name == "tiny-ti2v":
        vae = AutoencoderKLWan(base_dim=3, decoder_base_dim=4, z_dim=Z, dim_mult=[1, 1, 2, 2], num_res_blocks=1, is_residual=True,
                               patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=16,
                               latents_mean=LATENTS_MEAN[:Z], latents_std=LATENTS_STD[:Z]).eval()
        common.liven_vae(vae, name, "vae")
        pipe = WanPipeline(**parts, vae=through_bf16(vae), expand_timesteps=True)
    else:
        parts["vae"] = AutoencoderKLWan.from_pretrained(source / "vae")
        clip = CLIPVisionModel(CLIPVisionConfig(**CLIP)).eval()
        liven_clip(clip, "clip")
        pipe = WanImageToVideoPipeline(**parts, image_encoder=through_bf16(clip), image_processor=CLIPImageProcessor(**PROCESSOR))
    with tempfile.TemporaryDirectory() as tmp:
        pipe.save_pretrained(tmp)
        links = {part: source for part in spec["links"]}
        if name == "tiny-flf2v":
            links |= {part: GOLDEN / "tiny-clip" for part in ("image_encoder", "image_processor")}
        for path in sorted(Path(tmp).iterdir()):
            if path.name in links:
                out.mkdir(parents=True, exist_ok=True)
                (out / path.name).symlink_to(Path("..") / links[path.name].name / path.name)
            elif path.is_dir():
                shutil.copytree(path, out / path.name)
            else:
                out.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / path.name)

    if name == "tiny-flf2v":  # all but its positions are tiny-clip's
        share_weights(out / "transformer", GOLDEN / "tiny-clip" / "transformer")

    def index(v):
        v["tokenizer"] = ["transformers", "T5TokenizerFast"]
        for key in ("_name_or_path", "boundary_ratio", "transformer_2", *(() if name == "tiny-ti2v" else ("expand_timesteps",))):
            v.pop(key, None)  # Wan2.1 files were written before these keys existed

    rewrite_json(out / "model_index.json", index)
    for path in out.rglob("*.json"):
        if not any(p.is_symlink() for p in path.parents) and path.name != "model_index.json":
            rewrite_json(path, lambda v: v.pop("_name_or_path", None))


# ---- components -----------------------------------------------------------------------------------------------------


def run_transformer(model, inp):
    dtype = model.dtype
    extra, text = {}, inp["encoder_hidden_states"]
    if "encoder_hidden_states_image" in inp:  # the reference takes all but the last 512 rows for pictures
        extra["encoder_hidden_states_image"] = inp["encoder_hidden_states_image"].to(dtype)
        text = torch.nn.functional.pad(text, (0, 0, 0, 512 - text.shape[1]))
    return {"sample": model(hidden_states=inp["hidden_states"].to(dtype), timestep=inp["timestep"],
                            encoder_hidden_states=text.to(dtype), **extra).sample}


def run_clip(model, inp):
    return {"image_embeds": model(inp["pixel_values"].to(model.dtype), output_hidden_states=True).hidden_states[-2]}


def both(cls, folder):
    return {"": cls.from_pretrained(folder, torch_dtype=torch.float32).float().eval(),
            ".bf16": cls.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()}


def components(name):
    folder = GOLDEN / name
    out = folder / "component"
    models = both(WanTransformer3DModel, folder / "transformer")
    channels = models[""].config.in_channels
    size = (3, 4, 10) if name == "tiny-ti2v" else (2, 6, 4)
    inp = {"hidden_states": randn((1, channels, *size), name, "x"), "encoder_hidden_states": randn((1, 9, TEXT_DIM), name, "text")}
    inp["encoder_hidden_states"][:, 6:] = 0
    if name == "tiny-ti2v":
        t = torch.full((1, 3, 2, 5), 731.0)
        t[:, 0] = 0
        inp["timestep"] = t.flatten(1)
    else:
        inp["timestep"] = torch.tensor([412])
        inp["encoder_hidden_states_image"] = randn((1 if name == "tiny-clip" else 2, 17, 20), name, "image")
    write(out, "transformer", inp, run_transformer, models)
    if name == "tiny-ti2v":
        models = both(AutoencoderKLWan, folder / "vae")
        for suffix, size in (("", (3, 1, 1)), ("-tiled", (1, 1, 25))):  # tiles of 16 latents; encoding, of 32
            latents = {"latents": 1.2 * randn((1, Z, *size), name, "decode", suffix)}
            save(out / f"vae-decode{suffix}.in.safetensors", latents)
            frames = run_decode(models[""], latents)
            if not suffix:
                save(out / "vae-decode.out.safetensors", frames)
            for bf16, model in models.items():
                save(out / f"vae-encode{suffix}{bf16}.out.safetensors", floats(run_encode(model, frames)))
            models = {"": models[""]}
            models[""].enable_tiling()
    if name == "tiny-clip":
        models = both(CLIPVisionModel, folder / "image_encoder")
        write(out, "image-encoder", {"pixel_values": randn((1, 3, 28, 28), name, "pixels")}, run_clip, models)
        processor, tensors = CLIPImageProcessor.from_pretrained(folder / "image_processor"), {}
        for i, (height, width) in enumerate([(37, 30), (17, 41)]):
            picture = make_pictures.scene(height, width, "clip", i)
            tensors[f"rgb-{i}"] = torch.from_numpy(np.array(picture))
            tensors[f"pixels-{i}"] = processor(images=picture, return_tensors="pt").pixel_values[0].float()
        save(out / "processor.safetensors", tensors)


# ---- runs -----------------------------------------------------------------------------------------------------------


def run(folder, spec, dtype, mistake=None):
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    extra, i2v = {}, "image" in spec
    if (folder / "image_encoder").exists():
        extra["image_encoder"] = CLIPVisionModel.from_pretrained(folder / "image_encoder", torch_dtype=torch.float32)
    cls = WanPipeline if folder.name == "tiny-ti2v" else WanImageToVideoPipeline
    pipe = cls.from_pretrained(folder, vae=vae, torch_dtype=dtype, **extra)
    if i2v and cls is WanPipeline:
        pipe = WanImageToVideoPipeline(**{k: v for k, v in pipe.components.items()}, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    if dtype == torch.float32:
        pipe.transformer.float()
        pipe.text_encoder.float()
    pictures = {k: make_pictures.scene(*spec[k], folder.name, k) for k in ("image", "last_image") if k in spec}
    seen = {k: torch.from_numpy(np.array(v)) for k, v in pictures.items()}
    if mistake == "swapped":
        pictures = {"image": pictures["last_image"], "last_image": pictures["image"]}
    prepare = pipe.prepare_latents

    def remember(*args, **kwargs):
        prepared = prepare(*args, **kwargs)
        latents, *condition = prepared if i2v else (prepared,)
        seen["init_latents"] = latents.clone()
        if i2v:
            seen["condition"] = condition[0].clone()
        return prepared

    pipe.prepare_latents = remember
    if "image_encoder" in extra:
        encode = pipe.encode_image

        def encode_image(*args, **kwargs):
            seen["image_embeds"] = encode(*args, **kwargs).float().clone()
            return seen["image_embeds"] if mistake != "no picture seen" else torch.zeros_like(seen["image_embeds"])

        pipe.encode_image = encode_image
    if mistake == "first frame at t":
        forward = pipe.transformer.forward
        pipe.transformer.forward = lambda *a, timestep, **k: forward(*a, timestep=timestep.max().expand_as(timestep), **k)
    latents = pipe(prompt=spec["prompt"], negative_prompt=spec["negative"], height=spec["height"], width=spec["width"],
                   num_frames=spec["num_frames"], num_inference_steps=STEPS, guidance_scale=spec["guidance_scale"],
                   generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent", **pictures).frames
    return latents.float(), seen


MISTAKES = {("tiny-ti2v", "i2v"): ["first frame at t"], ("tiny-clip", "i2v"): ["no picture seen"], ("tiny-flf2v", "flf2v"): ["swapped"]}


def golden(name, run_name, spec):
    folder = GOLDEN / name
    latents, seen = run(folder, spec, torch.float32)
    bf16, _ = run(folder, spec, torch.bfloat16)
    tensors = seen | {"latents": latents, "latents_bf16": bf16}
    assert all(torch.isfinite(t.float()).all() for t in tensors.values())
    save(folder / f"{run_name}.safetensors", tensors)
    info = {k: v for k, v in spec.items() if not k.endswith("image")}
    info |= {"num_inference_steps": STEPS, "rel_l2_to_float32": common.rel_l2(bf16, latents), "versions": common.versions()}
    info["mistakes"] = {m: round(common.rel_l2(run(folder, spec, torch.float32, m)[0], latents), 4)
                        for m in MISTAKES.get((name, run_name), [])}
    common.save_json(folder / f"{run_name}.json", info)
    print(f"{name} {run_name} {tuple(latents.shape)} std {latents.std():.2f} max {latents.abs().max():.1f} "
          + json.dumps({k: info[k] for k in ("rel_l2_to_float32", "mistakes")}))


def main():
    wanted = sys.argv[1:] or [*MODELS]
    for name, spec in MODELS.items():
        if name in wanted:
            make_model(name, spec)
            components(name)
            for (model, run_name), r in RUNS.items():
                if model == name:
                    golden(name, run_name, r)


if __name__ == "__main__":
    main()
