#!/usr/bin/env python3
"""Prompt cleaning goldens -> tests/golden/prompts.json: {versions, cases: [[prompt, cleaned], ...]} with
cleaned = prompt_clean(prompt) of diffusers' Wan pipeline (ftfy.fix_text, html.unescape twice, white space).

A few hundred prompts, the same on every run: hand-made ones, and mixes of ordinary text, HTML entities, control characters and
text that went through a wrong encoding (once or twice, also with losses) in each of the encodings that ftfy knows.
--check LIBRARY N compares N fresh random prompts with vg_prompt_clean of a shared library instead, and writes nothing.
"""

import argparse
import ctypes
import random

import common
import ftfy.bad_codecs  # noqa: F401  (registers the sloppy encodings)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

HAND_MADE = [
    "", " ", "a", "A cat walks on the grass, realistic.", "Ã", "Ã ", "Ã la mode", "voilÃ  le travail", "Ã quele", "fÃ cil",
    "â€œ like this â€\ufffd", "Â¡Hola!", "ãƒ†ã‚¹ãƒˆ", "æ–‡å­—åŒ–ã‘", "РџСЂРёРІРµС‚", "cafÃƒÂ©", "l’humanitÃ©", "IL Y MARQUÃ‰", "ðŸ˜€ ok",
    "\xf0\x9f\x98\x80", "\xed\xa0\xbd\xed\xb8\x8d", "\xc0\x80x", "\xc0\n", "a\xed\xa0\xbd\xed\xb8\n", "x\x85y", "\x93quoted\x94", "100Â°C", "5Âº", "naïve Ã¯",
    "<b>&amp;</b>", "&amp;\n<b>\n&amp;", "&lt;b>\n&lt;", "&EACUTE; &SZLIG; &NTILDE; &nTILDE; &Alpha; &ALPHA;", "&#39;&#x27;&#X27;&#0;&#xD800;&#x110000;&#99999999999999999999;",
    "&#128;&#129;&#150;&#11;&#xFFFE;", "&notit; &notin; &not; &not", "&ampamp;amp;", "&amp;amp;amp;lt;", "&;&#;&#x;&x&", "&thisisaverylongentitynamewithmorethanthirtytwochars;",
    "\x1b[31mred\x1b[0m \x1b[1;32mX \x1b[٣m \x1b[?25l \x1b[", "\r\n\r\n a\rb\u2028c\u2029d", "ﬁ ﬂ ﬃ ﬅ ŉ ǆ Ǳ ĳ", "｡｢ｶﾞ￠￣￦", "\u3000a\u3000", "\ufeffbom\ufeff",
    "a\u0301\u0300 \u0344 \u212b \u1e9b\u0323 \u0958 \ufb1d", "\u1100\u1161\u11a8", "\u200b\u200e\u202e\u2066", "\ufff9a\ufffab\ufffb\ufffc", "\u206a", "\x1c \x1d \x1e \x1f", "\U0001d15e", "œuf Œ œ.", "§ 5 ¶",
    "(ツ)_/¯ ಠ_ಠ ┒(⌣˛⌣)┎", "Å koda", "Çürük", "Łódź €5 £3", "«dites»", "×²", "Ø¹Ø±Ø¨", "à²", "√±", "≈°", "‚Äì", "вЂ™", "β€™", "ā€",
]
WORDS = [
    "café", "naïve", "“quoted”", "it’s", "…", "—", "Привет мир", "猫が好き", "àéîõü", "ÀÉÎÕÜ", "ﬁlm", "\u00a0", "voilà le travail", "à quel point",
    "¿Qué?", "£5", "€100", "25°C", "Łódź", "ŽELVA", "İstanbul", "Ελληνικά", "😀", "한국어", "ÿ", "Ÿ", "×", "²", "½", "plain text", "ä", "š", "\x80",
    "\x93", "\x91", "\x1b[31m", "\r\n", "\n", "\r", "\u2028", "&amp;", "&eacute;", "&EACUTE;", "&#233;", "&#xe9;", "&#150;", "&#0;", "&#xD800;", "&notit;",
    "&not", "&amp;lt;", "&lt", "&copy", "&hellip;", "<", "&#x110000;", "&#;", "&;", "&", "&abc;", "&SZLIG;", "&nGt;", "&#11;", "&#128;", "\ufffd", "\x1a",
    "Ｆｕｌｌ", "ｶﾞ", "e\u0301", "\u1112\u1161\u11ab", "ſ", "ŉ", "ǆ", "\x07", "\ufeff", "\u200b", " ", "  ", "\t", "a", "Z", "9", ".", "!",
]
ENCODINGS = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253", "sloppy-windows-1254",
             "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437", "windows-1252"]
SPECIAL = [c for e in ENCODINGS for c in bytes(range(0x80, 0x100)).decode(e, "replace")]


def misread(rnd, text, encoding):
    try:
        return text.encode("utf-8").decode(encoding, "replace" if rnd.random() < 0.3 else "strict")
    except UnicodeDecodeError:
        return text


def cesu8(text):
    out = b""
    for c in text:
        units = c.encode("utf-16-be")
        out += b"".join(chr(int.from_bytes(units[i:i + 2], "big")).encode("utf-8", "surrogatepass") for i in range(0, len(units), 2))
    return out


def any_char(rnd):
    low, high = rnd.choice([(1, 0x7f), (0x80, 0x2fff), (0x3000, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff)])
    return chr(rnd.randint(low, high))


def make(rnd):
    size = rnd.randint(1, 8)
    text = "".join(rnd.choice(WORDS) + (" " if rnd.random() < 0.4 else "") for _ in range(size))
    kind = rnd.random()
    if kind < 0.45:
        text = misread(rnd, text, rnd.choice(ENCODINGS))
        if rnd.random() < 0.3:
            text = misread(rnd, text, rnd.choice(ENCODINGS))
        if rnd.random() < 0.3:
            text = text.replace("\u00a0", " ")
        if rnd.random() < 0.3:
            text = rnd.choice(WORDS) + text + rnd.choice(WORDS)
    elif kind < 0.55:
        text = cesu8(text).decode("latin-1")
    elif kind < 0.8:
        text = "".join(rnd.choice(SPECIAL) if rnd.random() < 0.6 else rnd.choice("abcXYZ 019 .,&;#\n") for _ in range(rnd.randint(1, 14)))
    elif kind < 0.88:
        text = "".join(any_char(rnd) for _ in range(size))
    return text.replace("\0", "")


def check(library, count):
    lib, libc, rnd = ctypes.CDLL(library), ctypes.CDLL(None), random.Random()
    libc.free.argtypes = [ctypes.c_void_p]
    bad = 0
    for _ in range(count):
        prompt, out = make(rnd), ctypes.c_void_p()
        assert lib.vg_prompt_clean(prompt.encode(), ctypes.byref(out), None) == 0, ascii(prompt)
        got, wanted = ctypes.string_at(out.value).decode(), prompt_clean(prompt)
        libc.free(out)
        if got != wanted:
            bad += 1
            print(f"{ascii(prompt)}\n  ftfy {ascii(wanted)}\n  vgen {ascii(got)}")
    print(f"{count} prompts, {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", nargs=2, metavar=("LIBRARY", "N"))
    args = parser.parse_args()
    if args.check:
        raise SystemExit(check(args.check[0], int(args.check[1])) != 0)
    rnd = random.Random(20)
    prompts = HAND_MADE + [make(rnd) for _ in range(400)]
    cases = [[p, prompt_clean(p)] for p in prompts]
    common.save_json(common.GOLDEN / "prompts.json", {"versions": common.versions(), "cases": cases}, ascii=True)
    print(len(cases), "prompts,", sum(c != " ".join(p.split()) for p, c in cases), "changed by more than white space")


if __name__ == "__main__":
    main()
