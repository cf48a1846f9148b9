"""Rasterise DejaVu Sans Mono into app/media/frames_font.def, the glyphs that are burned into comparison clips.

Needs Pillow and the font (Debian: fonts-dejavu-core); neither is needed to build or run vgen. The table is checked in.
The font's licence (Bitstream Vera and public domain) permits embedding and derived bitmaps.

    python3 tests/oracle/make_font.py [FONT.ttf]
"""

import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

CELL_W, CELL_H, OVERSAMPLE = 16, 32, 8
CHARS = [*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), 0x394, 0x2013, 0x2014, 0x2018, 0x2019, 0x201C,
         0x201D, 0x2026, 0x2192, 0x2212, 0x221E, 0x2248, 0x2264, 0x2265, 0xFFFD]
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"


def glyph(font, code, ascent, left):
    """Alpha of one cell, 0..15, by box-averaging an oversampled drawing (no hinting: the cell is resampled again later)."""
    big = Image.new("L", (CELL_W * OVERSAMPLE, CELL_H * OVERSAMPLE), 0)
    ImageDraw.Draw(big).text((left, ascent), chr(code), font=font, fill=255, anchor="ls")
    small = big.resize((CELL_W, CELL_H), Image.BOX)
    data = list(small.tobytes())
    return [[(data[y * CELL_W + x] * 15 + 127) // 255 for x in range(CELL_W)] for y in range(CELL_H)]


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else FONT
    # The advance of DejaVu Sans Mono is 0.602 em: choose the size that fills the cell's width.
    size = int(CELL_W * OVERSAMPLE / 0.602)
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    left = (CELL_W * OVERSAMPLE - font.getlength("M")) / 2
    baseline = int(CELL_H * OVERSAMPLE * 0.77)
    lines = [
        "/* frames_font.def: DejaVu Sans Mono as 16x32 alpha bitmaps, made by tests/oracle/make_font.py; do not edit.",
        " * FONT_GLYPH(code point, first row, rows): one hex digit a pixel, 0 empty .. f full; rows not listed are empty.",
        " * Glyph shapes: Bitstream Vera (c) 2003 Bitstream, Inc., DejaVu changes public domain; embedding is permitted. */",
    ]
    for code in sorted(CHARS):
        rows = glyph(font, code, baseline, left)
        used = [y for y, row in enumerate(rows) if any(row)]
        first, last = (used[0], used[-1]) if used else (0, -1)
        text = "".join("".join("%x" % v for v in row) for row in rows[first:last + 1])
        lines.append('FONT_GLYPH(0x%04X, %d, "%s")' % (code, first, text))
    out = pathlib.Path(__file__).resolve().parents[2] / "app" / "frames_font.def"
    out.write_text("\n".join(lines) + "\n")
    print("%s: %d glyphs, %d bytes" % (out.name, len(CHARS), out.stat().st_size))


main()
