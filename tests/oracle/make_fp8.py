#!/usr/bin/env python3
"""FP8 goldens. The arithmetic is written out in fp8.py.

  make_fp8.py [NAME ...]     all of them, or only the component outputs of these models

tests/golden/fp8.safetensors
  decode.codes U8 [256], decode.values F32 [256]          every E4M3FN code (0x7F and 0xFF are NaN)
  cast.in F32 [n], cast.out U8 [n]                        saturating casts: codes, ties, subnormals, beyond 448, NaN, random
  linear.MxNxK.*                                          x, w BF16 [M,K], [N,K]; bias BF16 [N]
      weight_scale F32 [], qw U8 [N,K]                    per tensor, used by both of
      static.{input_scale [], qx U8, y F32, y_bf16}       a given input_scale (small enough that some inputs saturate)
      dynamic.{input_scale [], qx, y, y_bf16}
      channel.{weight_scale F32 [N], qw, y, y_bf16}       inputs as dynamic
      block.{weight_scale F32 [ceil N/128, ceil K/128], input_scale F32 [M, ceil K/128], qw, qx, y, y_bf16}
  y = F32 with bias; y_bf16 = y rounded once.
tests/golden/tiny-X/component/transformer[_2].{fp8,fp8-block}[.bf16].out.safetensors
  the inputs of transformer[_2].in; the ten Linears of each block replaced by FP8 ones (dynamic per-tensor inputs, or
  blocks), weights quantised from the file's values; the rest in FP32, or BF16 for .bf16. `rel_l2_nudged` in the metadata is
  the change of the output when the input moves by 1e-6: quantisation turns last-bit differences into flipped codes.
tests/golden/tiny-b-modelopt-fp8, tests/golden/tiny-a-modelopt-fp8-block
  the transformer folders of a ModelOpt export (FP8 per tensor static; FP8_PB_WO), made from BF16 weights as the public
  calibrators do, with the stray `patch_embedding.*_quantizer._amax` keys; the block one has 4-D scales and two shards.
  component/transformer[_2][.bf16].out.safetensors there belong to the inputs of tiny-b and tiny-a.
"""

import json
import shutil
import sys

import common
import fp8
import torch
from common import GOLDEN, TINY, TINY_I2V, randn, save
from diffusers import WanTransformer3DModel
from fp8 import E4M3, Fp8Linear
from make_components import floats, run_transformer, transformer_inputs
from safetensors.torch import save_file

SHAPES = [(1, 1, 1), (5, 7, 13), (17, 33, 40), (9, 66, 257), (3, 130, 129), (4, 128, 256)]
U8 = torch.uint8

# ---- casts and single linears ---------------------------------------------------------------------------------------


def cast_inputs():
    codes = torch.arange(256, dtype=U8).view(E4M3).float()
    values = codes[torch.isfinite(codes)].unique()
    middle = (values[1:] + values[:-1]) / 2  # ties
    up, down = torch.tensor(float("inf")), torch.tensor(float("-inf"))
    special = torch.tensor([0.0, -0.0, 448, -448, 463.9, 464, 464.1, 480, 1e9, -1e9, 3.4e38, 1e-9, -1e-9, 2**-9, 2**-10,
                            1.5 * 2**-10, 2**-10 + 2**-30, 1e-42, -1e-42, float("inf"), float("-inf"), float("nan")])
    random = randn((4096,), "cast") * torch.exp2(torch.randint(-12, 10, (4096,), generator=common.generator("exponent")).float())
    return torch.cat([values, middle, middle.nextafter(up), middle.nextafter(down), special, random])


def linear_goldens():
    out = {}
    for m, n, k in SHAPES:
        key = f"linear.{m}x{n}x{k}"
        x = (randn((m, k), key, "x") * torch.exp(1.5 * randn((m, 1), key, "row"))).bfloat16()
        w = (randn((n, k), key, "w") * torch.exp(randn((n, 1), key, "wrow")) * 0.05).bfloat16()
        bias = randn((n,), key, "bias").bfloat16()
        if m > 3:
            x[1] = 0  # an all-zero row takes the 1e-10 floor
        qw, weight_scale = fp8.quantize_tensor(w)
        results = {}
        static = x.float().abs().amax() * 0.7 / 448
        for mode, given in (("static", static), ("dynamic", None)):
            qx, input_scale, y = fp8.linear_tensor(x, qw, weight_scale, bias, given)
            results |= {f"{mode}.input_scale": input_scale, f"{mode}.qx": qx, f"{mode}.y": y}
        cqw, channel_scale = fp8.quantize_channels(w)
        results |= {"channel.weight_scale": channel_scale, "channel.qw": cqw,
                    "channel.y": fp8.linear_tensor(x, cqw, channel_scale, bias)[2]}
        bqw, block_scale = fp8.quantize_blocks(w)
        qx, input_scale, y = fp8.linear_blocks(x, bqw, block_scale, bias)
        results |= {"block.weight_scale": block_scale, "block.input_scale": input_scale, "block.qw": bqw, "block.qx": qx, "block.y": y}
        results |= {"x": x, "w": w, "bias": bias, "qw": qw, "weight_scale": weight_scale}
        for name, t in results.items():
            out[f"{key}.{name}"] = t.view(U8) if t.dtype == E4M3 else t
            if name.endswith(".y"):
                out[f"{key}.{name}_bf16"] = t.bfloat16()
    return out


# ---- whole transformers ---------------------------------------------------------------------------------------------


def load_model(folder, dtype):
    model = WanTransformer3DModel.from_pretrained(folder, torch_dtype=dtype).eval()
    return model.float() if dtype == torch.float32 else model


def write_output(path, model, inp, **metadata):
    out = floats(run_transformer(model, inp))
    nudged = dict(inp, hidden_states=inp["hidden_states"] * (1 + 1e-6 * randn(inp["hidden_states"].shape, "nudge")))
    assert torch.isfinite(out["sample"]).all()
    moved = common.rel_l2(run_transformer(model, nudged)["sample"].float(), out["sample"])
    save(path, out, rel_l2_nudged=f"{moved:.1e}", **metadata)
    return out["sample"], moved


def emulated(model_dir, folder):
    """FP8 outputs for the transformer inputs found in `folder`."""
    for part in ("transformer", "transformer_2"):
        inputs = folder / f"{part}.in.safetensors"
        if not inputs.exists():
            continue
        inp = common.load(inputs)
        for suffix, dtype in (("", torch.float32), (".bf16", torch.bfloat16)):
            plain = common.load(inputs.with_name(f"{part}{suffix}.out.safetensors"))["sample"]
            for label, mode in (("fp8", "tensor"), ("fp8-block", "block")):
                model = load_model(model_dir / part, dtype)
                fp8.replace_linears(model, lambda _, linear: Fp8Linear.quantize(linear, mode))
                y, moved = write_output(inputs.with_name(f"{part}.{label}{suffix}.out.safetensors"), model, inp,
                                        compute=str(dtype)[6:], mode=label)
                print(f"{model_dir.name} {part}.{label}{suffix}: rel_l2 to unquantised {common.rel_l2(y, plain):.3f}, nudged {moved:.1e}")


# ---- ModelOpt checkpoints -------------------------------------------------------------------------------------------


def quantization_config(block):
    weights = {"dynamic": False, "num_bits": 8, "type": "float"}
    if block:
        weights |= {"strategy": "block", "block_structure": "128x128"}
    return {"config_groups": {"group_0": {"input_activations": {"dynamic": False, "num_bits": 8, "type": "float"},
                                          "weights": weights, "targets": ["Linear"]}},
            "ignore": ["condition_embedder*", "norm_out*", "output_scale_shift_prepare*", "patch_embedding*", "proj_out*",
                       "scale_shift_table*", "timestep_proj_prepare*"],
            "producer": {"name": "modelopt"}, "quant_algo": "FP8_PB_WO" if block else "FP8", "quant_method": "modelopt"}


def calibrate(model, key):
    """Largest |input| of each block Linear over a few forwards (ModelOpt's "max" calibration)."""
    amax, hooks = {}, []
    for name, parent, attribute in fp8.block_linears(model):
        def watch(module, args, name=name):
            amax[name] = torch.maximum(amax.get(name, torch.tensor(0.0)), args[0].float().abs().amax())
        hooks.append(getattr(parent, attribute).register_forward_pre_hook(watch))
    for t in (999, 700, 350, 40):
        run_transformer(model, transformer_inputs(model.config, (2, 6, 8), 24, torch.tensor([t]), (key, t)))
    for hook in hooks:
        hook.remove()
    return amax


def modelopt_folder(source, out, block, shards, key):
    """Write one backbone folder as the ModelOpt exporters leave it."""
    model = load_model(source, torch.bfloat16)
    amax = calibrate(model, key)
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    for name, parent, attribute in fp8.block_linears(model):
        linear = getattr(parent, attribute)
        qw, scale = (fp8.quantize_blocks if block else fp8.quantize_tensor)(linear.weight)
        tensors[f"{name}.weight"] = qw
        tensors[f"{name}.weight_scale"] = scale[:, None, :, None].contiguous() if block else scale
        tensors[f"{name}.input_scale"] = amax[name] / 448
    patch = model.patch_embedding.weight
    tensors["patch_embedding.weight_quantizer._amax"] = patch.abs().amax().float()
    tensors["patch_embedding.input_quantizer._amax"] = torch.tensor(4.25)
    out.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text()) | {"quantization_config": quantization_config(block)}
    common.save_json(out / "config.json", config)
    stem = "diffusion_pytorch_model"
    if shards == 1:
        save_file(tensors, out / f"{stem}.safetensors", metadata={"format": "pt"})
    else:
        names, where = sorted(tensors), {}
        for i in range(shards):
            file = f"{stem}-{i + 1:05d}-of-{shards:05d}.safetensors"
            part = {k: tensors[k] for k in names[i::shards]}  # interleaved: a layer's weight and scales are in different files
            save_file(part, out / file, metadata={"format": "pt"})
            where |= {k: file for k in part}
        total = sum(t.numel() * t.element_size() for t in tensors.values())
        common.save_json(out / f"{stem}.safetensors.index.json",
                         {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)
    return tensors


def modelopt_checkpoint(name, out, block, shards):
    shutil.rmtree(out, ignore_errors=True)
    for part in ("transformer", "transformer_2"):
        source = GOLDEN / name / part
        if not source.exists():
            continue
        tensors = modelopt_folder(source, out / part, block, shards, (name, part))
        inp = common.load(GOLDEN / name / "component" / f"{part}.in.safetensors")
        for suffix, dtype in (("", torch.float32), (".bf16", torch.bfloat16)):
            model = load_model(source, torch.bfloat16)
            if dtype == torch.float32:
                model = model.float()  # the file's BF16 values, computed in FP32

            def load_fp8(layer, linear):
                scale = tensors[f"{layer}.weight_scale"]
                return Fp8Linear(tensors[f"{layer}.weight"], scale[:, 0, :, 0] if block else scale, linear.bias,
                                 None if block else tensors[f"{layer}.input_scale"])

            fp8.replace_linears(model, load_fp8)
            _, moved = write_output(out / "component" / f"{part}{suffix}.out.safetensors", model, inp, compute=str(dtype)[6:],
                                    inputs=f"{name}/component/{part}.in.safetensors", mode="block" if block else "static per tensor")
            print(f"{out.name} {part}{suffix}: nudged {moved:.1e}")
    shutil.copy(GOLDEN / name / "model_index.json", out)
    shutil.copytree(GOLDEN / name / "scheduler", out / "scheduler")


def main():
    for name in sys.argv[1:] or TINY + TINY_I2V:
        emulated(GOLDEN / name, GOLDEN / name / "component")
    if sys.argv[1:]:
        return
    codes = torch.arange(256, dtype=U8)
    cast = cast_inputs()
    tensors = {"decode.codes": codes, "decode.values": codes.view(E4M3).float(), "cast.in": cast, "cast.out": fp8.sat_e4m3(cast).view(U8)}
    save(GOLDEN / "fp8.safetensors", tensors | linear_goldens(), **common.versions())
    modelopt_checkpoint("tiny-b", GOLDEN / "tiny-b-modelopt-fp8", block=False, shards=1)
    modelopt_checkpoint("tiny-a", GOLDEN / "tiny-a-modelopt-fp8-block", block=True, shards=2)


if __name__ == "__main__":
    main()
