#!/usr/bin/env python3
"""Component goldens: inputs and reference outputs of each part of the tiny models.

  make_components.py [NAME ...]     all models, or only these

tests/golden/tiny-X/component/NAME.in.safetensors, NAME.out.safetensors (FP32 compute: model.float()) and
NAME.bf16.out.safetensors (the model as from_pretrained(torch_dtype=bfloat16) gives it; values stored as F32; its metadata
`rel_l2_to_float32` says how far BF16 is from FP32 there, which is the scale on which to judge another BF16 engine).

  text-encoder      input_ids, attention_mask I64 [B,L] -> last_hidden_state [B,L,d]. Rows with attention_mask 0 hold what
                    the reference computes there; the pipeline zeroes them, so compare only rows with mask 1.
  transformer[_2]   hidden_states [1,C,T,h,w], timestep [1], encoder_hidden_states [1,L,text_dim] -> sample [1,16,T,h,w];
                    C = 16, for image to video 36: noise (16), mask (4: ones and zeros), latents of the picture (16)
  vae-decode        latents [1,16,T,h,w] (already de-normalised: what vae.decode receives) -> sample [1,3,F,H,W], clamped
  vae-encode        sample [1,3,F,H,W] in [-1,1] -> latents [1,16,T,h,w] = latent_dist.mode() (not normalised)
  vae-*-tiled       the same after vae.enable_tiling() (tile 256, stride 192 pixels); FP32 only

tests/golden/demo/component/ has vae-encode and vae-decode of the bundled demo model: a trained VAE, and a clip of its world.
"""

import sys

import common
import demo_world
import torch
from common import DEMO, GOLDEN, TINY, TINY_I2V, randn, save
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5EncoderModel

# Sizes per model: deliberately odd in every dimension.
CASES = {
    "tiny-a": dict(
        text=dict(L=140, lengths=[140, 23]),
        transformer=[dict(size=(3, 6, 10), L=19, t=torch.tensor([999]))],
        decode=(3, 4, 6), encode=(9, 40, 24)),
    "tiny-b": dict(
        text=dict(L=33, lengths=[32]),
        transformer=[dict(size=(1, 4, 14), L=512, t=torch.tensor([625.372])), dict(size=(5, 6, 2), L=7, t=torch.tensor([833]))],
        decode=(4, 2, 6), encode=(5, 16, 56), decode_tiled=(2, 2, 34), encode_tiled=(1, 16, 272)),
    "tiny-c": dict(
        text=dict(L=17, lengths=[17, 1, 9]),
        transformer=[dict(size=(2, 10, 6), L=26, t=torch.tensor([962.25])), dict(size=(3, 2, 10), L=11, t=torch.tensor([3]))],
        decode=(1, 5, 3), encode=(1, 56, 8), decode_tiled=(1, 35, 2), encode_tiled=(5, 264, 8)),
    "tiny-i2v": dict(
        text=dict(L=45, lengths=[45, 12]),
        transformer=[dict(size=(2, 6, 14), L=33, t=torch.tensor([987])), dict(size=(4, 10, 2), L=13, t=torch.tensor([450]))],
        decode=(2, 3, 4), encode=(9, 24, 16)),
}


def floats(tensors):
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def text_encoder_inputs(vocab, L, lengths, key):
    ids = torch.randint(3, vocab, (len(lengths), L), generator=common.generator(key, "ids"))
    mask = (torch.arange(L)[None] < torch.tensor(lengths)[:, None]).long()
    ids = ids * mask
    for row, n in enumerate(lengths):
        ids[row, n - 1] = 1  # </s>
    return {"input_ids": ids, "attention_mask": mask}


def transformer_inputs(config, size, L, t, key):
    text = randn((1, L, config.text_dim), key, "text")
    text[:, max(1, L * 2 // 3):] = 0  # the zero rows of a padded prompt take part
    x = randn((1, config.in_channels, *size), key, "x")
    mask = config.in_channels - 2 * config.out_channels
    if mask > 0:  # image to video
        x[:, config.out_channels:config.out_channels + mask] = (x[:, config.out_channels:config.out_channels + mask] > 0.5).float()
    return {"hidden_states": x, "timestep": t, "encoder_hidden_states": text}


def smooth(shape, key):
    """A video-like signal in [-1, 1]: some structure and some noise."""
    _, c, f, h, w = shape
    z, y, x = torch.meshgrid(torch.arange(f) / 5, torch.arange(h) / 9, torch.arange(w) / 7, indexing="ij")
    base = torch.stack([torch.sin(x * (k + 1) + y - z * 2 + k) for k in range(c)])[None]
    return (0.7 * base + 0.3 * randn(shape, key)).clamp(-1, 1)


def run_text_encoder(model, inp):
    return {"last_hidden_state": model(inp["input_ids"], attention_mask=inp["attention_mask"]).last_hidden_state}


def run_transformer(model, inp):
    dtype = model.dtype
    return {"sample": model(hidden_states=inp["hidden_states"].to(dtype), timestep=inp["timestep"],
                            encoder_hidden_states=inp["encoder_hidden_states"].to(dtype)).sample}


def run_decode(model, inp):
    return {"sample": model.decode(inp["latents"].to(model.dtype)).sample}


def run_encode(model, inp):
    return {"latents": model.encode(inp["sample"].to(model.dtype)).latent_dist.mode()}


def write(folder, name, inp, run, models):
    save(folder / f"{name}.in.safetensors", inp)
    outs = {}
    for suffix, model in models.items():
        outs[suffix] = floats(run(model, inp))
    key = next(iter(outs[""]))
    ref = outs[""][key]
    assert torch.isfinite(ref).all()
    save(folder / f"{name}.out.safetensors", outs[""], compute="float32")
    if ".bf16" in outs:
        error = f"{common.rel_l2(outs['.bf16'][key], ref):.2e}"
        save(folder / f"{name}.bf16.out.safetensors", outs[".bf16"], compute="bfloat16", rel_l2_to_float32=error)
    print(f"{folder.parent.name} {name:18s} {str(tuple(ref.shape)):24s} std {ref.std():.3f} max {ref.abs().max():.2f}"
          + (f" bf16 rel_l2 {error}" if ".bf16" in outs else ""))


def both(cls, folder):
    """The model computing in FP32 and in BF16 (with the FP32-kept tensors)."""
    return {"": cls.from_pretrained(folder, torch_dtype=torch.float32).float().eval(),
            ".bf16": cls.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()}


def components(model_dir, out, case, key):
    """All component files of one pipeline folder. `case` has the shape of an entry of CASES."""
    models = both(UMT5EncoderModel, model_dir / "text_encoder")
    inp = text_encoder_inputs(models[""].config.vocab_size, key=key, **case["text"])
    write(out, "text-encoder", inp, run_text_encoder, models)
    for name, c in zip(("transformer", "transformer_2"), case["transformer"]):
        models = both(WanTransformer3DModel, model_dir / name)
        write(out, name, transformer_inputs(models[""].config, key=(key, name), **c), run_transformer, models)
    models = both(AutoencoderKLWan, model_dir / "vae")
    for tiled in ("", "_tiled"):
        if tiled:
            models = {"": models[""]}
            models[""].enable_tiling()
        suffix = tiled.replace("_", "-")
        if f"decode{tiled}" in case:
            latents = 1.2 * randn((1, 16, *case[f"decode{tiled}"]), key, "decode", tiled)
            write(out, f"vae-decode{suffix}", {"latents": latents}, run_decode, models)
        if f"encode{tiled}" in case:
            video = smooth((1, 3, *case[f"encode{tiled}"]), (key, "encode", tiled))
            write(out, f"vae-encode{suffix}", {"sample": video}, run_encode, models)


def demo_vae(out):
    models = both(AutoencoderKLWan, DEMO / "vae")
    video = demo_world.make_clips(1, seed=2, height=40, width=56, frames=5)[0]
    write(out, "vae-encode", {"sample": video}, run_encode, models)
    write(out, "vae-decode", run_encode(models[""], {"sample": video}), run_decode, models)


def main():
    wanted = sys.argv[1:] or [*TINY, *TINY_I2V, "demo"]
    for name in TINY + TINY_I2V:
        if name in wanted:
            components(GOLDEN / name, GOLDEN / name / "component", CASES[name], name)
    if "demo" in wanted:
        demo_vae(GOLDEN / "demo" / "component")


if __name__ == "__main__":
    main()
