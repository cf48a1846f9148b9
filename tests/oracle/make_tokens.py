#!/usr/bin/env python3
"""Tokenizer goldens -> tests/golden/tokens.json: for each tokenizer and prompt, the cleaned text and the token ids.

  cases[]: {name, prompt, cleaned, heavy_ftfy}
      cleaned = prompt_clean(prompt) of diffusers' Wan pipeline (ftfy.fix_text, html.unescape twice, whitespace)
      heavy_ftfy: the result needs ftfy's mojibake repair (fix_encoding); without it cleaning gives `cleaned_light`
  tokens[]: {model, name, ids}, model a folder of tests/golden, name a case; ids cut to 512 with `</s>` kept last, no padding
      ids             tokenizer.json as it stands, run by the tokenizers library (= transformers 4.x, which the published
                      checkpoints were made with)
      ids_transformers5  only where it differs: T5TokenizerFast of transformers 5, which rebuilds the tokenizer from the
                      vocabulary and puts `<unk>` at id 2 whatever tokenizer.json says
      ids_sentencepiece  only where it differs: spiece.model run by sentencepiece, plus `</s>`

tests/golden/tokenizer-transformers5/{tokenizer,tokenizer_config}.json
  tiny-b's tokenizer as transformers 5 saves it: without spiece.model, and with an unk_id that contradicts its vocabulary. Its
  ids are tiny-b's `ids`.
"""

import html

import common
import ftfy
import sentencepiece
from common import GOLDEN, TINY
from diffusers.pipelines.wan import pipeline_wan
from tokenizers import Tokenizer
from transformers import T5TokenizerFast

MAX_LENGTH = 512
WAN_NEGATIVE = (
    "色调艳丽,过曝,静态,细节模糊不清,字幕,风格,作品,画作,画面,静止,整体发灰,最差质量,低质量,JPEG压缩残留,"
    "丑陋的,残缺的,多余的手指,画得不好的手部,画得不好的脸部,畸形的,毁容的,形态畸形的肢体,手指融合,静止不动的画面,"
    "杂乱的背景,三条腿,背景人很多,倒着走").replace(",", "\uff0c")

PROMPTS = {
    "plain": "A cat and a dog baking a cake together in a kitchen.",
    "wan-negative": WAN_NEGATIVE,
    "english-negative": "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
                        "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers",
    "empty": "",
    "spaces": "     ",
    "one-space-inside": "a b",
    "leading-trailing": "  a cat  ",
    "many-spaces": "a    cat \u00a0\u2003 and a   dog",
    "tabs-newlines": "a\tcat\nand\r\na dog\x0b\x0cend\u2028x\u2029y\x85z",
    "full-width": "ＡＢＣ　１２３！？（ｃａｔ），：；",
    "half-width-katakana": "ｶﾞｷﾞ ｱｲｳ ﾊﾟ",
    "curly-quotes": "\u201cHello!\u201d she says, it\u2019s \u2018fine\u2019 \u201alow\u2019 \u201elow\u201d \u2032prime\u2033",
    "dashes-ellipsis": "wait\u2026 a \u2013 b \u2014 c \u2212 d \u2010 e",
    "ligatures": "ﬁlm ﬂower oﬃce baﬄe ﬀ ﬅ",
    "superscripts": "x² m³ ½ ⅓ ① ⑳ Ⅳ ™ № ℃",
    "html-entities": "a cat &amp; a dog &lt;b&gt; &quot;x&quot; &#39;y&#39; &nbsp; &eacute; &hellip; &#x4e00; &notanentity;",
    "html-double": "&amp;lt;b&amp;gt; &amp;amp;amp; &amp;quot;",
    "html-with-angle": "<b>bold</b> &amp; &lt;",
    "mojibake-utf8": "Le cafÃ© est trÃ¨s agrÃ©able, lâ€™hiver Ã  Paris",
    "mojibake-quote": "itâ€™s a â€œtestâ€\x9d",
    "mojibake-cyrillic": "РџСЂРёРІРµС‚, РјРёСЂ",
    "mojibake-ambiguous": "Ã la carte, naïve coöperation, À Â",
    "c1-controls": "a\x93quoted\x94 b\x96c",
    "emoji": "a cat 😀 and 🐶🐱 in space 🚀!",
    "emoji-zwj": "family 👨\u200d👩\u200d👧 flag 🇫🇷 thumb 👍🏽 heart ❤\ufe0f",
    "unknown-adjacent": "猪犬馬 ∀∃ ℵ鬱",
    "unknown-mixed": "a∀b ∀ ∀∀ cat∀",
    "extra-id": "a <extra_id_0> b<extra_id_1>c <extra_id_99> <extra_id_299> <extra_id_300>",
    "eos-inside": "a cat</s> and </s>a dog",
    "pad-inside": "a <pad> b<pad><pad>c",
    "unk-inside": "a <unk> b <s> c",
    "special-spaces": "a cat   </s>   b",
    "special-case": "</S> <PAD> < /s> <extra_id_00>",
    "metaspace": "a▁b ▁ ▁▁c",
    "controls": "a\x00b\x01c\x07d\x1be\x7ff",
    "ansi": "a \x1b[31mred\x1b[0m cat",
    "nfd": "cafe\u0301 u\u0308ber n\u0303 e\u0302\u0301 o\u0328\u0304",
    "nfc-hangul": "\u1112\u1161\u11ab\u1100\u1173\u11af 한글",
    "zero-width": "a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg",
    "bidi": "a \u202eabc\u202c b \u200fc \u200ed",
    "surrogate-like": "\ufffd replacement \ufffe x",
    "private-use": "a \ue000 b \uf8ff",
    "digits": "16:9, 24 fps, 1280x720, 3.14, 1,000,000, 50%",
    "punctuation": "!!! ??? ... --- *** ((a)) [b] {c} ~`@#$%^&_+=|\\/<>",
    "cyrillic": "Привет, мир! Кошка сидит на окне.",
    "german": "Ein Hund läuft über die Wiese. GRÖSSE größe ẞ",
    "turkish": "İstanbul ığdır",
    "cjk-mixed": "一只猫runs快速地through厨房kitchen。",
    "long-word": "a" * 200,
    "long": "a cat and a dog " * 200,
    "long-exact-cjk": "猫" * 600,
    "long-unknown": "∀ " * 600,
    "long-special": "<extra_id_0>" * 520,
    "supplementary": "𝐁𝐨𝐥𝐝 𝓼𝓬𝓻𝓲𝓹𝓽 🄰 𠀀",
    "combining-only": "\u0301\u0308",
    "quote-lone": "'",
    "trailing-unknown": "cat∀",
    "case": "HELLO Hello hELLO",
}


def light_clean(text):
    """prompt_clean without ftfy's encoding repair."""
    text = ftfy.fix_text(text, fix_encoding=False)
    return pipeline_wan.whitespace_clean(html.unescape(html.unescape(text)).strip())


def save_transformers5(source, out):
    """The folder that save_pretrained of transformers 5 leaves."""
    T5TokenizerFast.from_pretrained(source).save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)


def main():
    save_transformers5(GOLDEN / "tiny-b" / "tokenizer", GOLDEN / "tokenizer-transformers5")
    cases, tokens = [], []
    for name, prompt in PROMPTS.items():
        cleaned, light = pipeline_wan.prompt_clean(prompt), light_clean(prompt)
        case = {"name": name, "prompt": prompt, "cleaned": cleaned, "heavy_ftfy": cleaned != light}
        if cleaned != light:
            case["cleaned_light"] = light
        cases.append(case)
    difference = {"ids_transformers5": 0, "ids_sentencepiece": 0}
    for model in [*TINY, "tokenizer-nfkc"]:
        folder = GOLDEN / model / "tokenizer" if model in TINY else GOLDEN / model
        file = Tokenizer.from_file(str(folder / "tokenizer.json"))
        file.enable_truncation(MAX_LENGTH)
        fast = T5TokenizerFast.from_pretrained(folder)
        spiece = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
        for case in cases:
            row = {"model": model, "name": case["name"], "ids": file.encode(case["cleaned"]).ids}
            others = {
                "ids_transformers5": fast([case["cleaned"]], max_length=MAX_LENGTH, truncation=True,
                                          add_special_tokens=True).input_ids[0],
                "ids_sentencepiece": spiece.encode(case["cleaned"])[:MAX_LENGTH - 1] + [spiece.eos_id()],
            }
            for key, ids in others.items():
                if ids != row["ids"]:
                    row[key] = ids
                    difference[key] += 1
            tokens.append(row)
    common.save_json(GOLDEN / "tokens.json", {"versions": common.versions(), "max_length": MAX_LENGTH, "cases": cases,
                                              "tokens": tokens}, ascii=True)
    print(len(cases), "prompts,", len(tokens), "rows; rows that differ:", difference,
          "heavy ftfy:", [c["name"] for c in cases if c["heavy_ftfy"]])


if __name__ == "__main__":
    main()
