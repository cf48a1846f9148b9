#!/usr/bin/env python3
"""What nvidia-modelopt makes of the tiny models, by the method of the public calibration scripts -> tests/golden/quantize.json.

Needs nvidia-modelopt 0.43 beside the other packages (see README.md). For each case a pipeline is calibrated in FP32 (so that amax can be compared
to the last digits), then its transformers are loaded in BF16, as the scripts load them, given these amax, and exported by ModelOpt's own
`_export_quantized_weight`, with its quantizers hidden from the state dict, saved by diffusers.

On a GPU, where the scripts run, torch divides a BF16 weight by a 0-d FP32 scale in BF16: scale and quotient are rounded. On this CPU it
keeps the scale in FP32; so the scale is rounded here before ModelOpt divides (case "gpu"), which is the same arithmetic.

Per case `moved`: by how much (relative) the second expert's amax differ when the first is not quantised while they are measured.
Per case and folder: tensors {name: [dtype, shape, FNV-1a 64 of the bytes]}, `quantization_config`, and amax {layer: value} of the inputs.
"""

import copy
import json
import re
import tempfile
from pathlib import Path

import common
import modelopt
import modelopt.torch.quantization as mtq
import torch
from common import GOLDEN
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from diffusers.utils import load_image
from modelopt.torch.export import quant_utils
from modelopt.torch.export.diffusers_utils import hide_quantizers_from_state_dict
from modelopt.torch.export.unified_export_hf import _export_quantized_weight

torch.set_num_threads(1)
KEPT = re.compile(r"(proj_out.*|.*(condition_embedder|patch_embedding|norm_out|scale_shift_table).*)")
PROMPTS = ["A cat and a dog baking a cake together in a kitchen.", "An astronaut riding a horse on Mars, cinematic lighting."]
SEED = 42
# name: model, sizes, steps, weights in tiles?, boundary while the first expert is calibrated, pictures
CASES = {
    "tensor": dict(model="tiny-b", height=64, width=48, num_frames=9, steps=4, guidance=4.0, block=False, boundary=0.5),
    "block": dict(model="tiny-a", height=48, width=64, num_frames=5, steps=3, guidance=5.0, block=True, boundary=None),
    "i2v": dict(model="tiny-i2v", height=32, width=64, num_frames=5, steps=4, guidance=3.5, block=False, boundary=None,
                images=["first.png"]),
}


def config(block):
    cfg = copy.deepcopy(mtq.FP8_DEFAULT_CFG)
    if block:
        cfg["quant_cfg"]["*weight_quantizer"] = {"num_bits": (4, 3), "block_sizes": {-1: 128, -2: 128}}
    return cfg


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def open_pipeline(case):
    folder = GOLDEN / case["model"]
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    kind = WanImageToVideoPipeline if case.get("images") else WanPipeline
    pipe = kind.from_pretrained(folder, vae=vae, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.transformer, getattr(pipe, "transformer_2", None), pipe.text_encoder):
        part is None or part.float()
    return pipe


def forward_loop(pipe, case):
    images = [load_image(str(GOLDEN / case["model"] / name)) for name in case.get("images", [])]

    def loop(*_):
        for i, prompt in enumerate(PROMPTS):
            more = {"image": images[i % len(images)]} if images else {}
            pipe(prompt=prompt, height=case["height"], width=case["width"], num_frames=case["num_frames"],
                 num_inference_steps=case["steps"], guidance_scale=case["guidance"], output_type="latent",
                 generator=torch.Generator().manual_seed(SEED + i), **more)
    return loop


def keep_some(model):
    mtq.disable_quantizer(model, lambda name: KEPT.match(name) is not None)


def calibrate(case):
    """amax of the inputs of every layer, by folder."""
    pipe, amax = open_pipeline(case), {}
    folders = ["transformer"] + (["transformer_2"] if getattr(pipe, "transformer_2", None) is not None else [])
    production = pipe.config.boundary_ratio
    for folder in folders:
        if len(folders) == 2:
            pipe.register_to_config(boundary_ratio=case["boundary"] if folder == "transformer" and case["boundary"] else production)
        model = getattr(pipe, folder)
        mtq.quantize(model, config(case["block"]), forward_loop(pipe, case))
        keep_some(model)
        amax[folder] = ranges_of(model)
    return amax


def measured_plain(case):
    """The second expert's amax behind a first one that is not quantised."""
    pipe = open_pipeline(case)
    mtq.quantize(pipe.transformer_2, config(case["block"]), forward_loop(pipe, case))
    keep_some(pipe.transformer_2)
    return ranges_of(pipe.transformer_2)


def ranges_of(model):
    return {name: float(module.input_quantizer._amax) for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and hasattr(module, "input_quantizer") and module.input_quantizer.is_enabled}


def export(case, folder, amax):
    model = WanTransformer3DModel.from_pretrained(GOLDEN / case["model"] / folder, torch_dtype=torch.bfloat16)
    mtq.quantize(model, config(case["block"]), None)  # without a loop the weights alone are looked at
    keep_some(model)
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or not getattr(module, "weight_quantizer", None):
            continue
        if not module.weight_quantizer.is_enabled:
            continue
        module.input_quantizer.amax = torch.tensor(amax[name])
        _export_quantized_weight(module, torch.bfloat16, "weight")
    with tempfile.TemporaryDirectory() as out, hide_quantizers_from_state_dict(model):
        model.save_pretrained(out, safe_serialization=True, max_shard_size="5GB")
        return {n: t for n, t in common.load(Path(out) / "diffusion_pytorch_model.safetensors").items() if "_quantizer." not in n}


def label(block):
    weights = {"dynamic": False, "num_bits": 8, "type": "float"}
    if block:
        weights |= {"strategy": "block", "block_structure": "128x128"}
    return {"config_groups": {"group_0": {"input_activations": {"dynamic": False, "num_bits": 8, "type": "float"}, "weights": weights,
                                          "targets": ["Linear"]}},
            "ignore": ["condition_embedder*", "norm_out*", "output_scale_shift_prepare*", "patch_embedding*", "proj_out*",
                       "scale_shift_table*", "timestep_proj_prepare*"],
            "producer": {"name": "modelopt"}, "quant_algo": "FP8_PB_WO" if block else "FP8", "quant_method": "modelopt"}


def as_on_a_gpu():
    import modelopt.torch.export.unified_export_hf as export_hf
    inner = quant_utils.to_quantized_weight

    def to_quantized_weight(weight, scale, quantization, *args, **kwargs):
        if quantization == quant_utils.QUANTIZATION_FP8:  # with tiles the scale is not 0-d any more when it divides
            scale = scale.to(weight.dtype)
        return inner(weight, scale, quantization, *args, **kwargs)

    export_hf.to_quantized_weight = to_quantized_weight


def dtype_name(t):
    return {torch.float32: "F32", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3"}[t.dtype]


def main():
    as_on_a_gpu()
    golden = {"modelopt": modelopt.__version__, "prompts": PROMPTS, "seed": SEED, "cases": {}}
    for name, case in CASES.items():
        amax = calibrate(case)
        folders = {}
        for folder in amax:
            tensors = export(case, folder, amax[folder])
            folders[folder] = {
                "amax": amax[folder],
                "tensors": {n: [dtype_name(t), list(t.shape), fnv(t.contiguous().view(-1).view(torch.uint8).numpy().tobytes())]
                            for n, t in sorted(tensors.items())}}
        golden["cases"][name] = {k: v for k, v in case.items()} | {"label": label(case["block"]), "folders": folders}
        if len(amax) == 2:
            plain = measured_plain(case)
            golden["cases"][name]["moved"] = max(abs(plain[k] - v) / v for k, v in amax["transformer_2"].items())
        print(name, {f: len(v["tensors"]) for f, v in folders.items()})
    text = json.dumps(golden, indent=1)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    text = re.sub(r"\[\s*(\"[A-Z0-9_]+\"), \[([^\]]*)\], (\"[0-9a-f]{16}\")\s*\]", r"[\1, [\2], \3]",
                  re.sub(r"\[\s+(\"[A-Z0-9_]+\"),\s+\[([^\]]*)\],\s+(\"[0-9a-f]{16}\")\s+\]", r"[\1, [\2], \3]", text))
    (GOLDEN / "quantize.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
