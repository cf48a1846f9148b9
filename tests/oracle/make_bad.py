#!/usr/bin/env python3
"""The hostile corpus -> tests/bad/<what-is-wrong>.<ext>: one small file per way to be broken. Standard library only.
  *.safetensors                 vg_safetensors_open must answer VG_E_FORMAT
  *.weight_map.json             as model.safetensors.index.json of a component, beside a good a.safetensors: not VG_OK
  *.model_index.json            as model_index.json: vg_checkpoint_open must answer VG_E_FORMAT
  *.model                       as spiece.model: VG_E_FORMAT or VG_E_UNSUPPORTED
tests/engine/test_checkpoint_bad.c opens them all. A file of a bug that was found is added by hand and named after the bug.
"""

import json
import pathlib
import struct

OUT = pathlib.Path(__file__).resolve().parents[1] / "bad"


def st(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(**change):
    row = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    row.update(change)
    return {"a": {k: v for k, v in row.items() if v is not None}}


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    if isinstance(payload, float):
        return varint(number << 3 | 5) + struct.pack("<f", payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def piece(text, score=-1.0, kind=1):
    return field(1, field(1, text) + field(2, score) + field(3, kind))


D8 = bytes(8)
UNK = piece(b"<unk>", 0.0, 2) + piece(b"</s>", 0.0, 3)
SAFETENSORS = {
    "empty": b"",
    "seven-bytes": b"\2\0\0\0\0\0\0",
    "header-missing": struct.pack("<Q", 100),
    "header-length-all-ones": b"\xff" * 8 + b"{}",
    "header-over-100-megabytes": struct.pack("<Q", 100000001) + b"{}",
    "header-one-byte-too-long": st({}, length=3),
    "header-length-zero": struct.pack("<Q", 0),
    "header-not-json": st(b"{not json at all}"),
    "header-an-array": st(b"[]"),
    "header-a-number": st(b"17"),
    "header-starts-with-space": st(b" {}"),
    "header-text-behind-the-object": st(b"{} {}"),
    "header-cut-in-a-string": st(b'{"a'),
    "header-cut-in-a-number": st(b'{"a":1'),
    "header-nul-byte": st(b'{"a\0b":{}}'),
    "header-nul-escape": st(b'{"a\\u0000b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "header-not-utf8": st(b'{"\xff":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "header-lone-surrogate": st(b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "header-nested-9000-deep": st(b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}"),
    "header-only-brackets": st(b"{" + b"[" * 5000),
    "tensor-not-an-object": st({"a": 5}),
    "tensor-null": st({"a": None}),
    "dtype-missing": st(one(dtype=None), D8),
    "dtype-a-number": st(one(dtype=32), D8),
    "dtype-unknown": st(one(dtype="F33"), D8),
    "dtype-lower-case": st(one(dtype="f32"), D8),
    "shape-missing": st(one(shape=None), D8),
    "shape-not-a-list": st(one(shape=2), D8),
    "shape-negative": st(one(shape=[-2]), D8),
    "shape-fraction": st(one(shape=[1.5]), D8),
    "shape-of-strings": st(one(shape=["2"]), D8),
    "shape-product-overflows": st(one(shape=[2**32, 2**32]), D8),
    "shape-product-overflows-to-two": st(one(shape=[2**31, 2**31, 4, 2]), D8),
    "shape-bytes-overflow": st(one(shape=[2**52, 2**10]), D8),
    "shape-entry-1e300": st(b'{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,8]}}', D8),
    "shape-too-small": st(one(shape=[1]), D8),
    "shape-too-large": st(one(shape=[3]), D8),
    "offsets-missing": st(one(data_offsets=None), D8),
    "offsets-one": st(one(data_offsets=[8]), D8),
    "offsets-three": st(one(data_offsets=[0, 8, 8]), D8),
    "offsets-reversed": st(one(data_offsets=[8, 0]), D8),
    "offsets-negative": st(one(data_offsets=[-8, 0]), D8),
    "offsets-behind-the-file": st(one(data_offsets=[8, 16]), D8),
    "offsets-wrap-around": st(one(data_offsets=[2**64 - 8, 2**64]), D8),
    "offsets-into-the-header": st(one(data_offsets=[-16, -8]), D8),
    "data-one-byte-short": st(one(), D8[:7]),
    "data-one-byte-long": st(one(), D8 + b"x"),
    "data-missing": st(one()),
    "data-without-tensors": st({}, D8),
    "tensors-overlap": st({"a": one()["a"], "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12)),
    "tensors-the-same-place": st({"a": one()["a"], "b": one()["a"]}, D8),
    "tensors-leave-a-hole": st({"a": one()["a"], "b": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}, bytes(16)),
    "tensors-begin-with-a-hole": st(one(data_offsets=[4, 12]), bytes(12)),
    "tensor-name-twice": st(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', D8),
    "foreign-dtype-wrong-size": st(one(dtype="I16"), D8),
    "half-byte-dtype-odd": st(one(dtype="F4", shape=[3], data_offsets=[0, 1]), b"x"),
    "metadata-not-an-object": st({"__metadata__": "pt"}),
    "metadata-value-a-number": st({"__metadata__": {"format": 1}}),
    "metadata-nested": st({"__metadata__": {"a": {"b": "c"}}}),
    "metadata-twice": st(b'{"__metadata__":{},"__metadata__":{}}'),
}
MAPS = {
    "no-weight-map": {"metadata": {}},
    "weight-map-empty": {"weight_map": {}},
    "weight-map-a-list": {"weight_map": ["a.safetensors"]},
    "shard-name-a-number": {"weight_map": {"t": 1}},
    "shard-outside": {"weight_map": {"t": "../a.safetensors"}},
    "shard-absolute": {"weight_map": {"t": "/etc/passwd.safetensors"}},
    "shard-in-a-subfolder": {"weight_map": {"t": "x/a.safetensors"}},
    "shard-hidden": {"weight_map": {"t": ".a.safetensors"}},
    "shard-not-safetensors": {"weight_map": {"t": "a.bin"}},
    "shard-empty-name": {"weight_map": {"t": ""}},
    "shard-missing": {"weight_map": {"t": "b.safetensors"}},
    "tensor-not-in-its-shard": {"weight_map": {"not there": "a.safetensors"}},
}
INDEXES = {
    "not-json": b"{",
    "a-list": b"[]",
    "no-class": b"{}",
    "class-a-list": b'{"_class_name": ["WanPipeline"]}',
    "component-a-text": b'{"_class_name": "WanPipeline", "vae": "AutoencoderKLWan"}',
    "component-a-number": b'{"_class_name": "WanPipeline", "transformer": 5}',
    "component-an-object": b'{"_class_name": "WanPipeline", "scheduler": {}}',
    "component-of-numbers": b'{"_class_name": "WanPipeline", "text_encoder": ["transformers", 5]}',
    "component-half-null": b'{"_class_name": "WanPipeline", "transformer_2": [null, "WanTransformer3DModel"]}',
    "component-one-entry": b'{"_class_name": "WanPipeline", "tokenizer": ["transformers"]}',
    "component-three-entries": b'{"_class_name": "WanPipeline", "vae": ["diffusers", "AutoencoderKLWan", "x"]}',
    "nested-deep": b'{"_class_name": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    "not-utf8": b'{"_class_name": "\xc3("}',
    "empty": b"",
}
MODELS = {
    "empty": b"",
    "text": b"this is not a model",
    "varint-without-end": b"\xff" * 20,
    "field-number-zero": b"\x00\x00",
    "group-field": b"\x0b\x0c",
    "piece-longer-than-the-file": b"\x0a\x7fabc",
    "piece-length-2-to-63": b"\x0a" + varint(2**63) + b"abc",
    "no-unknown-piece": piece(b"a") + piece(b"</s>", 0.0, 3),
    "two-unknown-pieces": UNK + piece(b"<unk2>", 0.0, 2),
    "piece-empty": UNK + piece(b""),
    "piece-not-utf8": UNK + piece(b"\xff"),
    "piece-with-nul": UNK + piece(b"a\0b"),
    "piece-twice": UNK + piece(b"a") + piece(b"a"),
    "piece-type-99": UNK + piece(b"a", -1.0, 99),
    "piece-type-byte": UNK + piece(b"<0x41>", 0.0, 6),
    "piece-very-long": UNK + piece(b"a" * 5000),
    "score-nan": UNK + piece(b"a", float("nan")),
    "score-infinite": UNK + piece(b"a", float("-inf")),
    "score-huge": UNK + piece(b"a", 1e30),
    "model-type-bpe": UNK + piece(b"a") + field(2, field(3, 2)),
    "trainer-spec-damaged": UNK + piece(b"a") + field(2, b"\xff"),
    "normalizer-spec-damaged": UNK + piece(b"a") + field(3, b"\xff"),
    "charsmap-three-bytes": UNK + piece(b"a") + field(3, field(2, b"abc")),
    "charsmap-table-too-large": UNK + piece(b"a") + field(3, field(2, struct.pack("<I", 4000) + bytes(8))),
    "charsmap-table-not-in-words": UNK + piece(b"a") + field(3, field(2, struct.pack("<I", 6) + bytes(8))),
    "charsmap-table-empty": UNK + piece(b"a") + field(3, field(2, struct.pack("<I", 0) + bytes(8))),
}


def main():
    OUT.mkdir(exist_ok=True)
    files = {}
    for name, data in SAFETENSORS.items():
        files[f"{name}.safetensors"] = data
    for name, value in MAPS.items():
        files[f"{name}.weight_map.json"] = json.dumps(value).encode() + b"\n"
    files["tensor-twice.weight_map.json"] = b'{"weight_map": {"t": "a.safetensors", "t": "a.safetensors"}}\n'
    for name, data in INDEXES.items():
        files[f"{name}.model_index.json"] = data
    for name, data in MODELS.items():
        files[f"{name}.model"] = data
    for name, data in files.items():
        (OUT / name).write_bytes(data)
    print(len(files), "files", sum(map(len, files.values())), "bytes")


if __name__ == "__main__":
    main()
