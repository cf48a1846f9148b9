#!/usr/bin/env python3
"""Tables of ftfy -> engine/text/ftfy_tables.def: what engine/text/ftfy.c needs to repair text exactly as ftfy.fix_text does.

ftfy (https://github.com/rspeer/python-ftfy, Apache-2.0) decides by regular expressions that are alternations of short sequences of
character classes. They are parsed here with Python's own regex parser and written as rows:
  FTFY_RANGE(first, last)                  ranges of code points, all classes one after the other
  FTFY_CLASS(first_range, ranges, flags)   a class: so many rows of the above; flags: 1 = negated, 2 = also \\w
  FTFY_BAD(flags, n, a, ..., g)        badness.BADNESS_RE: n classes in a row; flags: 1 = only at the beginning of the text
  FTFY_ALTERED(n, a, b, c, d), FTFY_LOSSY(n, a, b, c, d, e, f)   chardata.ALTERED_UTF8_RE and LOSSY_UTF8_RE, over bytes, in order
  FTFY_CLUE(name, class)                   chardata.UTF8_CLUES
  FTFY_CHARMAP(name, sloppy, 128 codes)    the encodings to try, in order: what bytes 0x80..0xff mean
  FTFY_WIDTH(code, first, second), FTFY_LIGATURE(code, first, second, third), FTFY_CONTROL(first, last)
  FTFY_UPPER_ENTITY(name, first, second, third)   entities that are accepted in capitals too, sorted by name
"""

import itertools
import pathlib
import re
import re._constants as C
import re._parser as parser

import ftfy
import ftfy.bad_codecs  # registers the sloppy encodings
import html.entities
from ftfy import badness, chardata
from make_html_entities import ranges

OUT = pathlib.Path(__file__).resolve().parents[2] / "engine" / "ftfy_tables.def"
SPACES = [c for c in range(0x110000) if chr(c).isspace()]

class_rows, range_rows, class_ids = [], [], {}


def class_of(members, negated=False, word=False):
    key = (tuple(map(tuple, ranges(members))), negated, word)
    if key not in class_ids:
        class_ids[key] = len(class_rows)
        class_rows.append((len(range_rows), len(key[0]), negated * 1 + word * 2))
        range_rows.extend(key[0])
    return class_ids[key]


def class_from(op, value):
    """The class of one single-character node."""
    if op is C.LITERAL:
        return class_of({value})
    if op is C.NOT_LITERAL:
        return class_of({value}, negated=True)
    if op is C.ANY:
        return class_of({ord("\n")}, negated=True)
    assert op is C.IN, op
    members, negated, word = set(), False, False
    for item, arg in value:
        if item is C.NEGATE:
            negated = True
        elif item is C.LITERAL:
            members.add(arg)
        elif item is C.RANGE:
            members.update(range(arg[0], arg[1] + 1))
        elif item is C.CATEGORY and arg is C.CATEGORY_SPACE:
            members.update(SPACES)
        elif item is C.CATEGORY and arg is C.CATEGORY_WORD:
            word = True
        else:
            raise AssertionError((item, arg))
    return class_of(members, negated, word)


def expand(nodes):
    """A list of nodes -> the list of (at_beginning, [classes]) that it stands for."""
    out = [(False, [])]
    for op, value in nodes:
        if op is C.AT:
            assert value is C.AT_BEGINNING
            options = [(True, [])]
        elif op is C.BRANCH:
            options = [o for branch in value[1] for o in expand(branch)]
        elif op is C.MAX_REPEAT:
            low, high, inner = value
            assert 0 <= low <= high <= 2
            options = []
            for n in range(high, low - 1, -1):
                options += [(False, [c for part in parts for c in part[1]]) for parts in itertools.product(expand(inner), repeat=n)]
        elif op is C.SUBPATTERN:
            options = expand(value[3])
        else:
            options = [(False, [class_from(op, value)])]
        out = [(a or b, x + y) for a, x in out for b, y in options]
    return out


def rows(pattern):
    return expand(parser.parse(pattern.pattern, pattern.flags))


def padded(values, n):
    return ", ".join(str(v) for v in list(values) + [0] * (n - len(values)))


def codes(text, n):
    assert len(text) <= n, text
    return ", ".join(hex(ord(c)) for c in text) + ", 0x0" * (n - len(text))


def main():
    bad, altered, lossy = rows(badness.BADNESS_RE), rows(chardata.ALTERED_UTF8_RE), rows(chardata.LOSSY_UTF8_RE)
    assert not any(begin for begin, _ in altered + lossy)
    clues = {}
    for name, text in chardata.UTF8_CLUES.items():
        (op, value), = parser.parse(f"[{text}]")
        clues[name] = class_from(op, value)

    blocks = {
        "FTFY_RANGE": [f"0x{a:x}, 0x{b:x}" for a, b in range_rows],
        "FTFY_CLASS": [f"{a}, {n}, {flags}" for a, n, flags in class_rows],
        "FTFY_BAD": [f"{begin:d}, {len(seq)}, {padded(seq, 7)}" for begin, seq in bad],
        "FTFY_ALTERED": [f"{len(seq)}, {padded(seq, 4)}" for _, seq in altered],
        "FTFY_LOSSY": [f"{len(seq)}, {padded(seq, 6)}" for _, seq in lossy],
        "FTFY_CLUE": [f"{name}, {row}" for name, row in clues.items()],
        "FTFY_CHARMAP": [], "FTFY_WIDTH": [], "FTFY_LIGATURE": [], "FTFY_CONTROL": [], "FTFY_UPPER_ENTITY": [],
    }
    for name in chardata.CHARMAP_ENCODINGS:
        table = [hex(ord(c)) for c in bytes(range(0x80, 0x100)).decode(name)]
        assert bytes([0x1a]).decode(name) == ("\ufffd" if name.startswith("sloppy") else "\x1a")
        lines = [", ".join(table[i:i + 16]) for i in range(0, 128, 16)]
        blocks["FTFY_CHARMAP"].append(f'"{name}", {name.startswith("sloppy"):d},\n    ' + ",\n    ".join(lines))
    blocks["FTFY_WIDTH"] = [f"0x{c:x}, {codes(t, 2)}" for c, t in sorted(chardata.WIDTH_MAP.items())]
    blocks["FTFY_LIGATURE"] = [f"0x{c:x}, {codes(t, 3)}" for c, t in sorted(chardata.LIGATURES.items())]
    blocks["FTFY_CONTROL"] = [f"0x{a:x}, 0x{b:x}" for a, b in ranges(chardata.CONTROL_CHARS)]
    known = {"&" + name for name in html.entities.html5}
    upper = {k[1:]: v for k, v in chardata.HTML_ENTITIES.items() if k not in known}
    blocks["FTFY_UPPER_ENTITY"] = [f'"{k}", {codes(v, 3)}' for k, v in sorted(upper.items(), key=lambda i: i[0].encode())]

    lines = [f"/* Generated by tests/oracle/make_ftfy_tables.py from ftfy {ftfy.__version__} (Apache-2.0): do not edit. */"]
    for name, block in blocks.items():
        lines.append(f"#ifdef {name}")
        lines += [f"{name}({row})" for row in block]
        lines.append("#endif")
    OUT.write_text("\n".join(lines) + "\n")
    print(OUT.name, {k: len(v) for k, v in blocks.items()})


if __name__ == "__main__":
    main()
