#!/usr/bin/env python3
"""Tokenizers and encoders of HunyuanVideo-1.5, small and random -> tests/golden/hunyuan-text/.

  make_hunyuan_text.py [--check BUILD/tests/test_hunyuan_tokens --seeds 1 2 3]     --check: no files; fresh vocabularies against the test program

tokenizer/{tokenizer,tokenizer_config}.json
    a trained byte-level BPE vocabulary with Qwen2's normaliser and pre-tokenizer, as transformers 5 saves it, and added tokens of all kinds
tokenizer_2/  a ByT5Tokenizer with colour and font tokens, as transformers 5 saves it
text_encoder/    Qwen2_5_VLTextModel, 4 layers of which 2 are needed, 4 heads of 8, 2 for keys and values
text_encoder_2/  T5EncoderModel, 3 heads of 8 (inner width 24) in a model of 20
image_encoder/   SiglipVisionModel, 3 heads of 8, pictures of 46 pixels in patches of 14, with the pooling head that nobody needs
feature_extractor/preprocessor_config.json
    all weights BF16 (random, drawn by name), run in FP32

tokens.json
  texts: {words, spaces, tokens, snippets, ranges}   what generated texts consist of; snippets and spaces in hex (some are no UTF-8)
  count: how many texts are generated; text i of 0..count-1 is `generate(i)` below
  cases[]: {hex, ids, byt5_ids}    texts in full, by hand: BPE ids; ByT5 ids, cut to 256
  prompts[]: {prompt, ids, glyphs, glyph_ids}
      ids        of the chat that the pipeline makes (cut to 108 + 1000)
      glyphs     extract_glyph_texts: what ByT5 gets, or null
      glyph_ids  of it, cut to 256, without padding
tokens.safetensors
  bpe, byt5, glyphs [count] I32    FNV-1a 32 of each generated text's ids (little-endian 32-bit): BPE; ByT5 cut to 256; ByT5 of the glyphs of
                                   what stands in front of the text's first NUL, 0 where it has none
encoders.safetensors
  prompt_embeds.N, prompt_mask.N       _get_mllm_prompt_embeds of ENCODED[N] with tokenizer_max_length MAX_TOKENS, FP32
  prompt_embeds_2.N, prompt_mask_2.N   _get_byt5_prompt_embeds
  uncropped [108 + tokens, 32]  the first prompt's states with the frame left in; unmasked_2: of ByT5 without the mask (both must be missed)
  image.N [h,w,3] U8, pixels.N, image_embeds.N   _get_image_embeds
  metadata: max_tokens, texts (ENCODED), bf16_prompt_embeds, bf16_prompt_embeds_2, bf16_image_embeds: what BF16 costs the reference itself
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import numpy
import torch
from common import GOLDEN
from diffusers.pipelines.hunyuan_video1_5 import pipeline_hunyuan_video1_5 as hv
from diffusers.pipelines.hunyuan_video1_5 import pipeline_hunyuan_video1_5_image2video as hv_image
from make_tiny_models import CORPUS
from make_tokens import PROMPTS
from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import (ByT5Tokenizer, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel, Qwen2Tokenizer, SiglipImageProcessor,
                          SiglipVisionConfig, SiglipVisionModel, T5Config, T5EncoderModel)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

OUT = GOLDEN / "hunyuan-text"
COUNT = 6000
MAX_TOKENS = 37
MORE_CORPUS = """\
مرحبا بالعالم، القطة تجلس على النافذة. שלום עולם, החתול יושב על החלון. नमस्ते दुनिया, बिल्ली खिड़की पर बैठी है।
สวัสดีชาวโลก แมวนั่งอยู่บนหน้าต่าง 안녕하세요 세계, 고양이가 창문에 앉아 있다. こんにちは世界、猫が窓に座っている。カメラ
Γειά σου κόσμε, η γάτα κάθεται. Xin chào thế giới, con mèo ngồi trên cửa sổ. Dünya, kedi pencerede oturuyor, ışık.
বিড়াল জানালায় বসে আছে। பூனை ஜன்னலில் அமர்ந்திருக்கிறது. ພາສາລາວ ភាសាខ្មែរ ქართული հայերեն አማርኛ 😀😀 🚀 🐱🐶 👍🏽 ❤️
"""
WORDS = ("a the cat dog Camera camera's we'll I'D it’s Hello HELLO größe Straße naïve кошка Кошка 猫 一只猫 厨房里 カメラ 한글 안녕 قطة "
         "שלום नमस्ते แมว γάτα thế giới 12 1280x720 ½ x² № ﬁlm Ⅳ _snake_case don't ſ'ſ K'll").split()
SPACES = ["20", "2020", "202020", "0a", "0a0a", "0d0a", "09", "200a", "0a20", "c2a0", "e38080", "e28083", "e280a8", "c285", "e1a08e", "0b", "0c",
          "1c", "e2808b", "efbbbf"]
SNIPPETS = ["27 53", "27 6c 6c", "27 4c 4c", "27 c5bf", "e28099 73", "27 27 73", "22", "e2809c", "e2809d", "22 22", "2e2e2e 0a", "21 0d 0a 0a",
            "f09f918d f09f8fbd", "f09f91a8 e2808d f09f91a9 e2808d f09f91a7", "f09f87ab f09f87b7", "e29da4 efb88f", "65 cc81", "61 cc88 cc81", "cc81",
            "e18492 e185a1 e186ab", "e0a495 e0a4bc", "e284ab", "efac81", "f0a0 80 80", "80", "bf bf", "c3", "c3 28", "e2 82", "e2 28 a1", "ed a0 80",
            "ed b0 80 ed b0 80", "f0 9f 98", "f0 9f", "f4 90 80 80", "f8 88 80 80 80", "c0 80", "e0 80 af", "ff fe", "fe", "00", "1b 5b 33 31 6d", "7f",
            "c2 85", "e2 80", "c5bf", "e284aa", "d9 a1 d9 a2", "e0a5a7", "31 32 33", "efbc91", "f09d9f8f", "5f", "2d2d", "2f2f", "28 5b 7b"]
RANGES = [(0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F), (0x591, 0x5F4), (0x600, 0x6FF),
          (0x700, 0x74F), (0x780, 0x7BF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xA80, 0xAFF), (0xB00, 0xB7F), (0xB80, 0xBFF), (0xC00, 0xC7F),
          (0xC80, 0xCFF), (0xD00, 0xD7F), (0xD80, 0xDFF), (0xE00, 0xE5B), (0xE80, 0xEDF), (0xF00, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF),
          (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1400, 0x167F), (0x1680, 0x169C), (0x16A0, 0x16F8), (0x1780, 0x17F9), (0x1800, 0x18AA),
          (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209C), (0x20A0, 0x20BF), (0x20D0, 0x20F0), (0x2100, 0x218B), (0x2190, 0x23FF),
          (0x2460, 0x24FF), (0x2500, 0x27BF), (0x2C00, 0x2C5E), (0x2D30, 0x2D7F), (0x2E80, 0x2FD5), (0x3000, 0x303F), (0x3041, 0x30FF), (0x3105, 0x312F),
          (0x3131, 0x318E), (0x3200, 0x33FF), (0x4E00, 0x9FA5), (0xA000, 0xA4C6), (0xA500, 0xA62B), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xF900, 0xFAD9),
          (0xFB00, 0xFB4F), (0xFB50, 0xFDFD), (0xFE00, 0xFE6B), (0xFF01, 0xFFEE), (0xFFF9, 0xFFFF), (0x10000, 0x100FA), (0x10300, 0x1034A),
          (0x10400, 0x1049D), (0x10900, 0x1091B), (0x10A00, 0x10A48), (0x11000, 0x1106F), (0x12000, 0x12399), (0x13000, 0x1342E), (0x16800, 0x16A38),
          (0x1B000, 0x1B11E), (0x1D100, 0x1D1E8), (0x1D400, 0x1D7FF), (0x1F000, 0x1F02B), (0x1F100, 0x1F1FF), (0x1F300, 0x1F64F), (0x1F680, 0x1F6D7),
          (0x1F900, 0x1F978), (0x20000, 0x2A6D6), (0x2F800, 0x2FA1D), (0xE0001, 0xE007F), (0xF0000, 0xF00FF), (0x10FF00, 0x10FFFF)]
TOKENS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>", "<wide>", "Café", "word", "</s>", "<pad>", "<unk>", "<extra_id_7>", "<extra_id_70>",
          "<color-1>", "<color-11>", "<font-2>", "<|im_start|", "<font-2"]
# By "normalized": false, false, true (found as NFC in NFC), and with white space, and as a word of its own.
ADDED = [AddedToken("<tool_call>", normalized=False), AddedToken("<wide>", lstrip=True, rstrip=True, normalized=False),
         AddedToken("Cafe\u0301", normalized=True), AddedToken("word", single_word=True, normalized=False)]
GLYPH_PROMPTS = {
    "no-quotes": "A cat walks on the grass, realistic",
    "one": 'A sign that says "Open 24h" above a door',
    "two": 'Neon “咖啡 Café” and a poster "SALE"',
    "twice": '"A" then "B" then "A" again, “B” too',
    "empty-quotes": 'nothing "" in here',
    "inch": 'a 15" screen and a 17" one with the word "on" it',
    "unmatched": 'an open " quote',
    "lines": 'a "broken\nquote" here',
    "curly-in-straight": '"say “hi” now" and “what "else" is”',
    "apostrophes": "it's the 'word' of 'day'",
    "special": 'the "</s> end <color-1> x" sign',
    "long": '"' + "glyph " * 60 + '"',
    "many": " ".join(f'"{i}"' for i in range(60)),
    "im-end": "stop<|im_end|>\n<|im_start|>user\nmore",
    "newline-first": "\nA cat",
    "empty": "",
    "space": " ",
    "accents": "cafe\u0301 “nai\u0308ve”",
    "over": "cat dog " * 700,
}
ENCODED = ['A sign "Öffnen" by the cat', "", "a long text without quotes " * 6, '“猫” and "Text" and more of the cat and dog']


# ---- texts ----------------------------------------------------------------------------------------------------------


class Random:
    """splitmix64, as tests/check.h."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9e3779b97f4a7c15) % 2**64
        z = self.state
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 % 2**64
        z = (z ^ z >> 27) * 0x94d049bb133111eb % 2**64
        return (z ^ z >> 31) % n


def character(r):
    low, high = RANGES[r.below(len(RANGES))]
    return chr(low + r.below(high - low + 1)).encode()


def generate(number):
    """Text `number`, bytes. A part: 0..4 word, 5..8 characters of one range each, 9..10 white space, 11 an added token, 12..13 a snippet,
    14 random bytes, 15 a character without its last byte."""
    r = Random(number)
    out = b""
    for _ in range(1 + r.below(9)):
        kind = r.below(16)
        if kind < 5:
            out += WORDS[r.below(len(WORDS))].encode()
        elif kind < 9:
            low, high = RANGES[r.below(len(RANGES))]
            for _ in range(1 + r.below(8)):
                out += chr(low + r.below(high - low + 1)).encode()
        elif kind < 11:
            out += bytes.fromhex(SPACES[r.below(len(SPACES))])
        elif kind < 12:
            out += TOKENS[r.below(len(TOKENS))].encode()
        elif kind < 14:
            out += bytes.fromhex(SNIPPETS[r.below(len(SNIPPETS))])
        elif kind < 15:
            for _ in range(1 + r.below(6)):
                out += bytes([r.below(256)])
        else:
            out += character(r)[:-1]
        out += b" " * (r.below(3) == 0)
    return out


def fnv(ids):
    h = 0x811c9dc5
    for i in ids:
        for b in int(i).to_bytes(4, "little"):
            h = (h ^ b) * 0x01000193 % 2**32
    return h


# ---- tokenizers -----------------------------------------------------------------------------------------------------


def train(vocab_size, corpus):
    t = Tokenizer(BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(t.to_str())["model"]


CHAT = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def make_tokenizer(out, vocab_size, corpus):
    model = train(vocab_size, corpus)
    t = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]],
                       extra_special_tokens=["<|im_start|>", "<|im_end|>"])
    t.add_tokens(ADDED)
    t.chat_template = CHAT
    t.save_pretrained(out)
    for file in out.iterdir():
        if file.suffix == ".json":  # as one line: the indentation of merges is most of the file
            file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
        file.chmod(0o644)
    return Qwen2Tokenizer.from_pretrained(out)


def make_byt5(out):
    t = ByT5Tokenizer()
    t.add_tokens([f"<color-{i}>" for i in range(12)] + [f"<font-{i}>" for i in range(4)])
    t.save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)
    return ByT5Tokenizer.from_pretrained(out)


def bpe_ids(t, text):
    return t(text.decode("utf-8", "replace"), add_special_tokens=True).input_ids


def byt5_ids(t, text):
    return t(text, max_length=256, truncation=True, add_special_tokens=True).input_ids


def hashes(bpe, byt5, count, first=0):
    rows = {"bpe": [], "byt5": [], "glyphs": []}
    for i in range(first, first + count):
        text = generate(i)
        decoded = text.decode("utf-8", "replace")
        glyphs = hv.extract_glyph_texts(text.split(b"\0")[0].decode("utf-8", "replace"))
        rows["bpe"].append(fnv(bpe_ids(bpe, text)))
        rows["byt5"].append(fnv(byt5_ids(byt5, decoded)))
        rows["glyphs"].append(fnv(byt5_ids(byt5, glyphs)) if glyphs else 0)
    return {k: torch.from_numpy(numpy.array(v, dtype=numpy.uint32).view(numpy.int32)) for k, v in rows.items()}


def by_hand():
    texts = [p.encode() for p in PROMPTS.values() if len(p) < 600]
    texts += [t.encode() for t in TOKENS] + [bytes.fromhex(s) for s in SNIPPETS + SPACES]
    texts += [("x" + t + "y " + t + " z").encode() for t in TOKENS]
    texts += ["x\u0345\u0eba \u0eca\u0eba \U00011935\U00011930 \U00011938 e\u0301\u0898\u0327".encode()]  # newer than the library's NFC
    texts += [b" " * 300 + b"x", b"\n" * 50, b"a" * 400, ("猫" * 90).encode(), b"\xf0\x9f" * 20, b"word words sword word, _word word"]
    return texts


def prompt_row(bpe, byt5, prompt):
    message = hv.HunyuanVideo15Pipeline._get_mllm_prompt_embeds.__defaults__[2]
    chat = bpe.apply_chat_template(hv.format_text_input([prompt], message), add_generation_prompt=True, tokenize=True, return_dict=True,
                                   padding="max_length", max_length=1108, truncation=True, return_tensors="pt")
    ids, mask = chat.input_ids[0].tolist(), chat.attention_mask[0].tolist()
    glyphs = hv.extract_glyph_texts(prompt)
    return {"prompt": prompt, "ids": ids[:sum(mask)], "glyphs": glyphs, "glyph_ids": byt5_ids(byt5, glyphs) if glyphs else []}


def make_tokens(bpe, byt5):
    cases = [{"hex": t.hex(), "ids": bpe_ids(bpe, t), "byt5_ids": byt5_ids(byt5, t.decode("utf-8", "replace"))} for t in by_hand()]
    prompts = [prompt_row(bpe, byt5, p) for p in GLYPH_PROMPTS.values()]
    texts = {"words": WORDS, "tokens": TOKENS, "spaces": SPACES, "snippets": ["".join(s.split()) for s in SNIPPETS], "ranges": RANGES}
    common.save_json(OUT / "tokens.json", {"versions": common.versions(), "texts": texts, "count": COUNT, "cases": cases, "prompts": prompts},
                     ascii=True)
    common.save(OUT / "tokens.safetensors", hashes(bpe, byt5, COUNT))
    print(len(cases), "cases,", len(prompts), "prompts,", COUNT, "generated texts")


# ---- encoders -------------------------------------------------------------------------------------------------------


def lively(model, key, scale=1.0):
    """Random BF16 weights, drawn by name: norms near 1, biases small, matrices that keep the size of what they multiply."""
    for name, p in model.named_parameters():
        x = common.randn(tuple(p.shape), key, name)
        if p.ndim == 1:
            x = 1 + 0.2 * x if "norm" in name and name.endswith("weight") else 0.3 * x
        elif "embed" in name or "shared" in name or "relative" in name or "probe" in name:
            x = x * scale
        else:
            x = x * (1.5 / p[0].numel() ** 0.5)
        p.data = x.bfloat16().to(p.dtype)
    return model.eval()


def save_model(model, folder):
    """Saved as BF16, and loaded again as FP32 and as BF16 (casting a model in place would round its rotary frequencies, too)."""
    model.to(torch.bfloat16).save_pretrained(OUT / folder)
    for file in (OUT / folder).iterdir():
        file.chmod(0o644)
    return [type(model).from_pretrained(OUT / folder, dtype=d).eval() for d in (torch.float32, torch.bfloat16)]


def make_models(bpe):
    qwen = Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(
        vocab_size=len(bpe) + 5, hidden_size=32, intermediate_size=56, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}))
    t5 = T5EncoderModel(T5Config(vocab_size=410, d_model=20, d_kv=8, num_heads=3, d_ff=44, num_layers=2, feed_forward_proj="gated-gelu",
                                 relative_attention_num_buckets=12, relative_attention_max_distance=20))
    siglip = SiglipVisionModel(SiglipVisionConfig(hidden_size=24, intermediate_size=52, num_hidden_layers=2, num_attention_heads=3,
                                                  image_size=46, patch_size=14))
    return (save_model(lively(qwen, "qwen"), "text_encoder"), save_model(lively(t5, "t5"), "text_encoder_2"),
            save_model(lively(siglip, "siglip"), "image_encoder"))


def encode_texts(bpe, byt5, qwen, t5, out):
    for n, prompt in enumerate(ENCODED):
        embeds, mask = hv.HunyuanVideo15Pipeline._get_mllm_prompt_embeds(qwen, bpe, prompt, "cpu", MAX_TOKENS)
        out[f"prompt_embeds.{n}"], out[f"prompt_mask.{n}"] = embeds[0], mask[0]
        embeds, mask = hv.HunyuanVideo15Pipeline._get_byt5_prompt_embeds(byt5, t5, prompt, "cpu", 67)
        out[f"prompt_embeds_2.{n}"], out[f"prompt_mask_2.{n}"] = embeds[0], mask[0]
    whole, _ = hv.HunyuanVideo15Pipeline._get_mllm_prompt_embeds(qwen, bpe, ENCODED[0], "cpu", MAX_TOKENS + 108, crop_start=0)
    out["uncropped"] = whole[0]
    ids = byt5(hv.extract_glyph_texts(ENCODED[0]), padding="max_length", max_length=67, truncation=True, return_tensors="pt").input_ids
    out["unmasked_2"] = t5(input_ids=ids)[0][0]


def encode_images(siglip, out):
    processor = SiglipImageProcessor(size={"height": 46, "width": 46}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(OUT / "feature_extractor")
    for n, (height, width) in enumerate([(91, 60), (30, 33), (46, 46)]):
        picture = torch.randint(0, 256, (height, width, 3), generator=common.generator("picture", n), dtype=torch.uint8)
        image = Image.fromarray(picture.numpy())
        out[f"image.{n}"] = picture
        out[f"pixels.{n}"] = processor.preprocess(images=image, do_resize=True, return_tensors="pt").pixel_values[0]
        out[f"image_embeds.{n}"] = hv_image.HunyuanVideo15ImageToVideoPipeline._get_image_embeds(siglip, processor, image, "cpu")[0]


def bf16_cost(out, low, stem, mask):
    """Largest relative error of the reference's own BF16 run, valid tokens only."""
    worst = 0.0
    for n in range(len(ENCODED)):
        if f"{stem}.{n}" in out:
            a, b = out[f"{stem}.{n}"], low[f"{stem}.{n}"].float()
            if mask:
                valid = out[f"{mask}.{n}"].bool()
                a, b = a[valid], b[valid]
            worst = max(worst, ((a - b).norm() / a.norm()).item() if a.numel() and a.norm() > 0 else 0.0)
    return worst


def check(test, seeds):
    """Fresh vocabularies, and texts that no golden has."""
    failures = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp)
            corpus = (CORPUS + MORE_CORPUS).splitlines()
            bpe = make_tokenizer(folder / "tokenizer", 300 + seed * 137 % 1500, corpus[seed % 3:])
            common.save(folder / "tokens.safetensors", hashes(bpe, make_byt5(folder / "tokenizer_2"), COUNT, first=seed * 1000000))
            run = subprocess.run([test], env=os.environ | {"VGEN_BPE": tmp, "VGEN_BPE_FIRST": str(seed * 1000000)}, capture_output=True,
                                 text=True)
        failures += run.returncode != 0
        print(f"{'FAIL' if run.returncode else 'ok  '} seed {seed}", flush=True)
        if run.returncode:
            print(run.stdout[-2000:] + run.stderr[-2000:])
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="PATH", help="the built test_hunyuan_tokens")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N")
    args = parser.parse_args()
    if args.check:
        return check(args.check, args.seeds)
    corpus = (CORPUS + MORE_CORPUS).splitlines() + list(PROMPTS.values())
    bpe, byt5 = make_tokenizer(OUT / "tokenizer", 900, corpus), make_byt5(OUT / "tokenizer_2")
    make_tokens(bpe, byt5)
    models, out, low = make_models(bpe), {}, {}
    for index, to in enumerate((out, low)):
        qwen, t5, siglip = (m[index] for m in models)
        encode_texts(bpe, byt5, qwen, t5, to)
        encode_images(siglip, to)
    costs = {f"bf16_{stem}": bf16_cost(out, low, stem, mask)
             for stem, mask in (("prompt_embeds", "prompt_mask"), ("prompt_embeds_2", "prompt_mask_2"), ("image_embeds", None))}
    common.save(OUT / "encoders.safetensors", out, max_tokens=MAX_TOKENS, texts=json.dumps(ENCODED), **costs)
    print(costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
