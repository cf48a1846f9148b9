"""Checkpoints that vgen's streaming writer makes, read by safetensors and split by huggingface_hub.

    python check_writer.py PATH_TO_test_safetensors_writer

The test program writes its sample at several shard sizes; every tensor is compared bit for bit, file names, index and split with what
huggingface_hub gives for the same tensors. Prints one line a size; the exit status says whether all agree."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open

# As `sample` in the program: name, dtype, shape, in order.
SAMPLE = [
    ("blocks.0.weight", torch.float8_e4m3fn, (3, 5)),
    ("blocks.0.weight_scale", torch.float32, ()),
    ("blocks.0.input_scale", torch.float32, ()),
    ("blocks.0.bias", torch.bfloat16, (3,)),
    ("large", torch.float32, (7, 11)),
    ("empty", torch.float32, (0, 4)),
    ("blocks.1.weight", torch.float8_e4m3fn, (8, 8)),
    ("blocks.1.weight_scale", torch.float32, (1, 1, 1, 1)),
    ('a "quoted" é', torch.float16, (9,)),
    ("half", torch.bfloat16, (40,)),
    ("whole", torch.int64, (2,)),
]


def tensors():
    state = {}
    for i, (name, dtype, shape) in enumerate(SAMPLE):
        size = torch.empty(shape, dtype=dtype).numel() * torch.empty((), dtype=dtype).element_size()
        data = torch.tensor([(37 * i + 11 * j) % 256 for j in range(size)], dtype=torch.uint8)
        state[name] = data.view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype)
    return state


def same(a, b):
    bits = lambda t: t.contiguous().reshape(-1).view(torch.uint8) if t.numel() else t.reshape(-1)
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def check(program, limit, state):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([program, str(folder), str(limit)], check=True)
        wanted = split_torch_state_dict_into_shards(
            state, max_shard_size=limit or 2**60, filename_pattern="diffusion_pytorch_model{suffix}.safetensors"
        )
        files = sorted(p.name for p in folder.glob("*.safetensors"))
        ok = files == sorted(wanted.filename_to_tensors)
        index = folder / "diffusion_pytorch_model.safetensors.index.json"
        if wanted.is_sharded:
            read = json.loads(index.read_text())
            ok = ok and read["weight_map"] == wanted.tensor_to_filename and read["metadata"] == wanted.metadata
        else:
            ok = ok and not index.exists()
        for name in files:
            with safe_open(folder / name, "pt") as f:
                ok = ok and set(f.keys()) == set(wanted.filename_to_tensors[name])
                ok = ok and f.metadata() == {"format": "pt"}
                ok = ok and all(same(f.get_tensor(key), state[key]) for key in f.keys())
        print(f"{limit:>8} bytes a shard: {len(files)} files, {'as' if ok else 'NOT as'} the reference")
        return ok


if __name__ == "__main__":
    state = tensors()
    sys.exit(not all([check(sys.argv[1], limit, state) for limit in (0, 1, 20, 77, 100, 110, 308, 1000, 10**6)]))
