#!/usr/bin/env python3
"""Compare vgen's token ids with HuggingFace's on fresh vocabularies and random text.

  check_tokens.py --test BUILD/tests/test_tokenizer --seeds 1 2 3

Each seed trains a small vocabulary and saves it three times: with spiece.model, as tokenizer.json alone, and as transformers 5 saves
it. Wanted are the ids of tokenizer.json, run by the tokenizers library, for random text of many scripts, cleaned as the pipeline does.
The test program reads the cases from the file that VGEN_TOKENS names (the format of tokens.json, models by absolute path).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import make_tiny_models
import make_tokens
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from tokenizers import Tokenizer

RANGES = [(0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x52F), (0x5D0, 0x6FF), (0x900, 0x97F), (0x1100, 0x11FF),
          (0x2000, 0x206F), (0x2100, 0x218F), (0x2460, 0x24FF), (0x3000, 0x30FF), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
          (0xFB00, 0xFB06), (0xFE00, 0xFE0F), (0xFF01, 0xFFEE), (0x1D400, 0x1D4FF), (0x1F300, 0x1F6FF)]


def words(r):
    text = make_tiny_models.CORPUS.split()
    return " ".join(r.choice(text) for _ in range(r.randint(0, 40)))


def characters(r):
    low, high = r.choice(RANGES)
    return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 12)))


def random_text(r):
    parts = [words, characters, characters, lambda r: r.choice(["</s>", "<unk>", "<pad>", "<extra_id_7>", "\u2581x", "  ", "\n"])]
    return "".join(r.choice(parts)(r) + r.choice(["", " "]) for _ in range(r.randint(1, 12)))


def cases(seed, folder, count=200):
    """tokens.json for one fresh vocabulary, saved below `folder` in its three forms."""
    r = random.Random(seed)
    make_tiny_models.write_tokenizer(folder / "spiece", r.randint(280, 600), r.random() < 0.7, r.choice([0, 100, 300]), r.random() < 0.5)
    (folder / "json").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "json" / name).write_bytes((folder / "spiece" / name).read_bytes())
    make_tokens.save_transformers5(folder / "spiece", folder / "transformers5")
    reference = Tokenizer.from_file(str(folder / "spiece" / "tokenizer.json"))
    reference.enable_truncation(make_tokens.MAX_LENGTH)
    texts = [prompt_clean(random_text(r)).replace("\0", "") for _ in range(count)]
    rows = [{"model": str(folder / form), "name": str(i), "ids": reference.encode(text).ids}
            for form in ("spiece", "json", "transformers5") for i, text in enumerate(texts)]
    return {"max_length": make_tokens.MAX_LENGTH, "tokens": rows,
            "cases": [{"name": str(i), "cleaned": text} for i, text in enumerate(texts)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", required=True, metavar="PATH", help="the built test_tokenizer")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, metavar="N")
    args = parser.parse_args()
    failures = 0
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp)
            common.save_json(folder / "tokens.json", cases(seed, folder), ascii=True)
            run = subprocess.run([args.test], env=os.environ | {"VGEN_TOKENS": str(folder / "tokens.json")},
                                 capture_output=True, text=True)
        failures += run.returncode != 0
        print(f"{'FAIL' if run.returncode else 'ok  '} seed {seed}", flush=True)
        if run.returncode:
            print(run.stdout[-2000:] + run.stderr[-2000:])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
