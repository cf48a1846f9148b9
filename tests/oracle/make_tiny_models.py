#!/usr/bin/env python3
"""Make the tiny random Wan pipelines tests/golden/tiny-{a,b,c,i2v} in diffusers' save_pretrained layout.

  make_tiny_models.py [NAME ...]     all of them, or only these

  tiny-a  one expert, model_index without boundary_ratio and transformer_2 (as Wan2.1); 2 heads x 64, d and ffn multiples
          of 128 (exact FP8 blocks); BF16 transformer and text encoder; UniPC, flow_shift 3
  tiny-b  two experts, boundary 0.875 (as Wan2.2 T2V-A14B); 3 heads x 16, ffn 40, 2 layers (partial FP8 blocks); all FP32
          but a BF16 VAE; text encoder with inner size != d_model and the key `encoder.embed_tokens.weight`; tokenizer
          with `<s>` 2, `<unk>` 3 and 300 extra ids as UMT5; UniPC, flow_shift 12
  tiny-c  two experts, boundary 0.9; 2 heads x 32, ffn 136; BF16 with the FP32-kept tensors, sharded with an index;
          VAE with 2 res blocks; FlowMatchEuler scheduler, shift 5
  tiny-i2v  image to video as Wan2.2 I2V-A14B: WanImageToVideoPipeline, two experts, boundary 0.9, 36 input channels (16 noise,
          4 mask, 16 latents of the picture), no CLIP (image_encoder and image_processor [null, null]); 2 heads x 28, ffn 88;
          BF16 with the FP32-kept tensors; FP32 text encoder and VAE; UniPC, flow_shift 5
  tokenizer-nfkc  only a tokenizer folder, with the whole nmt_nfkc character map that the real checkpoints carry
          (the tiny pipelines have a small map made from the same rules: the full one weighs half a megabyte)
"""

import io
import json
import shutil
import sys
import tempfile
import unicodedata
from pathlib import Path

import common
import sentencepiece as spm
import torch
from common import GOLDEN
from diffusers import (AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanImageToVideoPipeline,
                       WanPipeline, WanTransformer3DModel)
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2 as spm_pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

# ---- tokenizer ------------------------------------------------------------------------------------------------------

CORPUS = """\
A cat and a dog baking a cake together in a kitchen. The cat is carefully measuring flour, while the dog is stirring the batter.
The kitchen is cozy, with sunlight streaming through the window. A golden retriever runs through a wheat field at sunset.
An astronaut riding a horse on Mars, cinematic lighting, 35mm film. A hummingbird hovers near a red flower, macro, slow motion.
Campfire at night under the stars, sparks rising into the dark sky. A coral reef full of colourful fish, underwater camera.
A rose with dew drops, soft morning light. A mountain village at dawn, mist drifting between the houses.
A skateboarder performs a kickflip in an empty car park. Two anthropomorphic cats in comfy boxing gear fight on a stage.
The camera slowly pans to the left, then zooms in; the subject turns around and smiles. "Hello!" she says, it's 12:30.
Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, overall gray, worst quality,
low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn hands, poorly drawn faces, deformed,
disfigured, misshapen limbs, fused fingers, still picture, messy background, three legs, many people, walking backwards
Ein Hund läuft über die Wiese, während die Sonne untergeht. Größe, Straße, schön. Le café est très agréable, même l'hiver à Paris.
El niño camina por la montaña con su perro, ¿dónde está la luz? Привет, мир! Кошка сидит на окне и смотрит на снег.
一只猫和一只狗在厨房里一起做蛋糕。镜头缓慢地向左移动,阳光照进窗户。一名宇航员在火星上骑马,电影质感。
色调艳丽,过曝,静态,细节模糊不清,字幕,风格,作品,画作,画面,静止,整体发灰,最差质量,低质量,JPEG压缩残留,
丑陋的,残缺的,多余的手指,画得不好的手部,画得不好的脸部,畸形的,毁容的,形态畸形的肢体,手指融合,静止不动的画面
1 2 3 4 5 6 7 8 9 0 10 20 30 100 1000 4k 8k 24 fps 16:9 50% (a) [b] {c} a/b a-b a_b #tag @you $5 & more + less = same
"""


def small_rules():
    """The part of nmt_nfkc that video prompts meet, as a SentencePiece rule table (small enough to commit)."""
    rules = {}
    chars = [*range(0xA0, 0x180), 0x2026, *range(0x2000, 0x200B), *range(0x2070, 0x2090), 0x2122, *range(0x2153, 0x2180),
             *range(0x2460, 0x2480), 0x3000, *range(0xFB00, 0xFB07), *range(0xFF01, 0xFF5F), *range(0xFF66, 0xFF9E)]
    for c in chars:
        nfkc = unicodedata.normalize("NFKC", chr(c))
        if nfkc != chr(c):
            rules[(c,)] = nfkc
    for c in range(0xC0, 0x180):  # decomposed Latin letters compose
        nfd = unicodedata.normalize("NFD", chr(c))
        if len(nfd) > 1:
            rules[tuple(map(ord, nfd))] = chr(c)
    for c in [9, 10, 11, 12, 13, 0x2028, 0x2029]:  # nmt: line and tab become a space, controls and zero widths vanish
        rules[(c,)] = " "
    for c in [*range(1, 9), *range(14, 32), 0x7F, 0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF]:
        rules[(c,)] = ""
    lines = [" ".join(f"{c:X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) for k, v in sorted(rules.items())]
    return "\n".join(lines) + "\n"


def train_spiece(vocab_size, umt5_ids, full_nfkc):
    """A Unigram model with T5's reserved ids (pad 0, eos 1, unk 2) or UMT5's (pad 0, eos 1, bos 2, unk 3)."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as tmp:
        options = {"normalization_rule_name": "nmt_nfkc"}
        if not full_nfkc:
            rules = Path(tmp) / "rules.tsv"
            rules.write_text(small_rules())
            options = {"normalization_rule_tsv": str(rules)}
        # Unigram training wants sentences, and enough of them to score pieces apart.
        lines = [s.strip() for s in CORPUS.replace("\n", " ").replace(". ", ".\n").replace(", ", ",\n").split("\n")]
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter([s for s in lines if s] + CORPUS.splitlines()), model_writer=out,
            model_type="unigram", vocab_size=vocab_size, hard_vocab_limit=False, character_coverage=0.985,
            pad_id=0, eos_id=1, bos_id=2 if umt5_ids else -1, unk_id=3 if umt5_ids else 2, byte_fallback=False,
            add_dummy_prefix=True, remove_extra_whitespaces=True, num_threads=1, minloglevel=2, **options)
    model = spm_pb.ModelProto()
    model.ParseFromString(out.getvalue())
    model.trainer_spec.ClearField("input")  # no trace of temporary paths
    model.trainer_spec.ClearField("model_prefix")
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model


def tokenizer_json(model, extra_ids):
    """The layout of the real UMT5 tokenizer.json: charsmap, strip right, collapse spaces; Metaspace; `</s>` appended."""
    spec = model.trainer_spec
    vocab = [(p.piece, p.score) for p in model.pieces]
    vocab += [(f"<extra_id_{i}>", 0.0) for i in range(extra_ids - 1, -1, -1)]
    tok = Tokenizer(Unigram(vocab, unk_id=spec.unk_id, byte_fallback=False))
    tok.normalizer = normalizers.Sequence([
        normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tok.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tok.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", spec.eos_id)])
    special = ["<pad>", "</s>"] + (["<s>"] if spec.bos_id >= 0 else []) + ["<unk>"]
    special += [f"<extra_id_{i}>" for i in range(extra_ids - 1, -1, -1)]
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tok


def write_tokenizer(folder, vocab_size, umt5_ids, extra_ids, full_nfkc=False):
    folder.mkdir(parents=True, exist_ok=True)
    model = train_spiece(vocab_size, umt5_ids, full_nfkc)
    tok = tokenizer_json(model, extra_ids)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    tok.save(str(folder / "tokenizer.json"))
    extra = [f"<extra_id_{i}>" for i in range(extra_ids)]
    config = {"tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
              "extra_ids": extra_ids, "additional_special_tokens": extra, "model_max_length": 512,
              "sp_model_kwargs": {}, "legacy": True, "clean_up_tokenization_spaces": True}
    if umt5_ids:
        config["bos_token"] = "<s>"
    common.save_json(folder / "tokenizer_config.json", config)
    common.save_json(folder / "special_tokens_map.json",
                     {"additional_special_tokens": extra, "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
    return tok.get_vocab_size()


# ---- pipelines ------------------------------------------------------------------------------------------------------

LATENTS_MEAN = [round(float(v), 4) for v in 0.6 * common.randn(16, "latents_mean")]
LATENTS_STD = [round(1.2 + abs(float(v)), 4) for v in common.randn(16, "latents_std")]

UNIPC = dict(num_train_timesteps=1000, solver_order=2, solver_type="bh2", prediction_type="flow_prediction",
             use_flow_sigmas=True, final_sigmas_type="zero")

MODELS = {
    "tiny-a": dict(
        tokenizer=dict(vocab_size=384, umt5_ids=False, extra_ids=100),
        text=dict(d_model=24, d_kv=8, num_heads=3, d_ff=40, num_layers=2),
        transformer=dict(num_attention_heads=2, attention_head_dim=64, ffn_dim=256, num_layers=1),
        vae=dict(base_dim=6, dim_mult=[1, 1, 1, 2], num_res_blocks=1),
        experts=1, boundary=None, scheduler=("unipc", 3.0), bf16=("transformer", "text"), shard=None),
    "tiny-b": dict(
        tokenizer=dict(vocab_size=320, umt5_ids=True, extra_ids=300),
        text=dict(d_model=32, d_kv=24, num_heads=2, d_ff=72, num_layers=2, vocab_pad=20),
        transformer=dict(num_attention_heads=3, attention_head_dim=16, ffn_dim=40, num_layers=2),
        vae=dict(base_dim=4, dim_mult=[1, 2, 3, 3], num_res_blocks=1),
        experts=2, boundary=0.875, scheduler=("unipc", 12.0), bf16=("vae",), shard=None),
    "tiny-c": dict(
        tokenizer=dict(vocab_size=320, umt5_ids=False, extra_ids=100),
        text=dict(d_model=40, d_kv=8, num_heads=5, d_ff=56, num_layers=3),
        transformer=dict(num_attention_heads=2, attention_head_dim=32, ffn_dim=136, num_layers=2),
        vae=dict(base_dim=4, dim_mult=[1, 1, 2, 2], num_res_blocks=2),
        experts=2, boundary=0.9, scheduler=("euler", 5.0), bf16=("transformer", "text"), shard=("160KB", "48KB")),
    "tiny-i2v": dict(
        tokenizer=dict(vocab_size=300, umt5_ids=True, extra_ids=100),
        text=dict(d_model=36, d_kv=12, num_heads=2, d_ff=52, num_layers=2),
        transformer=dict(num_attention_heads=2, attention_head_dim=28, ffn_dim=88, num_layers=2),
        vae=dict(base_dim=4, dim_mult=[1, 1, 2, 2], num_res_blocks=1),
        experts=2, boundary=0.9, scheduler=("unipc", 5.0), bf16=("transformer",), shard=None, i2v=True),
}


def make_scheduler(kind, shift):
    if kind == "unipc":
        return UniPCMultistepScheduler(flow_shift=shift, **UNIPC)
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def rewrite_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    common.save_json(path, value)


def through_bf16(model):
    """The model as from_pretrained(torch_dtype=bfloat16) gives it, FP32-kept tensors included."""
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        return type(model).from_pretrained(tmp, torch_dtype=torch.bfloat16)


def make_pipeline(out, spec, seed):
    """Write one complete pipeline folder from a spec of MODELS' shape."""
    i2v = spec.get("i2v", False)
    shutil.rmtree(out, ignore_errors=True)
    vocab = write_tokenizer(out / "tokenizer", **spec["tokenizer"])
    text = dict(spec["text"])
    vocab += text.pop("vocab_pad", 0)
    text_encoder = UMT5EncoderModel(UMT5Config(vocab_size=vocab, feed_forward_proj="gated-gelu", **text)).eval()
    common.liven_text_encoder(text_encoder, seed, "text")
    experts = []
    for i in range(spec["experts"]):
        expert = WanTransformer3DModel(in_channels=16 + (4 + 16 if i2v else 0), out_channels=16, text_dim=text["d_model"], **spec["transformer"])
        common.liven_transformer(expert, seed, "transformer", i)
        experts.append(expert.eval())
    vae = AutoencoderKLWan(z_dim=16, latents_mean=LATENTS_MEAN, latents_std=LATENTS_STD, **spec["vae"]).eval()
    common.liven_vae(vae, seed, "vae")

    if "transformer" in spec["bf16"]:
        experts = [through_bf16(e) for e in experts]
    if "text" in spec["bf16"]:
        text_encoder = through_bf16(text_encoder)
    if "vae" in spec["bf16"]:
        vae = through_bf16(vae)

    tokenizer = T5TokenizerFast.from_pretrained(out / "tokenizer")
    pipe = (WanImageToVideoPipeline if i2v else WanPipeline)(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=vae, scheduler=make_scheduler(*spec["scheduler"]),
        transformer=experts[0], transformer_2=experts[1] if len(experts) > 1 else None, boundary_ratio=spec["boundary"])
    tokenizer_files = {p.name: p.read_bytes() for p in (out / "tokenizer").iterdir()}
    pipe.save_pretrained(out)
    if spec["shard"]:
        for part, size in (("transformer", spec["shard"][0]), ("transformer_2", spec["shard"][0]), ("text_encoder", spec["shard"][1])):
            if (out / part).exists():
                shutil.rmtree(out / part)
                getattr(pipe, part).save_pretrained(out / part, max_shard_size=size)
    # Keep the tokenizer files in the layout of the published checkpoints, not as transformers 5 rewrites them.
    shutil.rmtree(out / "tokenizer")
    (out / "tokenizer").mkdir()
    for name, data in tokenizer_files.items():
        (out / "tokenizer" / name).write_bytes(data)
    for path in out.rglob("*.json"):
        if path.parent.name != "tokenizer":
            rewrite_json(path, lambda v: v.pop("_name_or_path", None))

    def index(v):
        v["tokenizer"] = ["transformers", "T5TokenizerFast"]
        if spec["experts"] == 1:  # Wan2.1 files were written before these keys existed
            for key in ("boundary_ratio", "expand_timesteps", "transformer_2"):
                v.pop(key, None)

    rewrite_json(out / "model_index.json", index)


def rename_embedding(folder):
    """The other key name under which UMT5 embeddings are found in the wild."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    save_file(tensors, path, metadata={"format": "pt"})


def main():
    wanted = sys.argv[1:] or [*MODELS, "tokenizer-nfkc"]
    for i, (name, spec) in enumerate(MODELS.items()):
        if name in wanted:
            make_pipeline(GOLDEN / name, spec, seed=100 + i)
    if "tiny-b" in wanted:
        rename_embedding(GOLDEN / "tiny-b" / "text_encoder")
    if "tokenizer-nfkc" in wanted:
        write_tokenizer(GOLDEN / "tokenizer-nfkc", vocab_size=400, umt5_ids=True, extra_ids=300, full_nfkc=True)


if __name__ == "__main__":
    main()
