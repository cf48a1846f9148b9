#!/usr/bin/env python3
"""Small test pictures drawn by arithmetic, and what the reference makes of them.

tests/golden/pictures/*                     files of many kinds that diffusers.utils.load_image accepts (Pillow: the first frame of an
                                            animation, turned as EXIF says, convert("RGB"): alpha is dropped, not composed)
tests/golden/pictures/pictures.safetensors  NAME U8 [h,w,3], NAME.resized U8 [H,W,3] (VideoProcessor's Lanczos)
tests/golden/pictures/pictures.json         NAME: {"mode": Pillow's mode, "lossy": whether decoders may differ by a few levels,
                                            "clipped": Pillow cuts 16-bit greys off at 255 instead of scaling them}
tests/bad/pictures/*                        files that it refuses; their names say what is wrong
"""

import io
import json
import random
import struct
import wave
import zlib

import common
import numpy as np
import torch
from common import GOLDEN
from diffusers.utils import load_image
from diffusers.video_processor import VideoProcessor
from PIL import Image

PICTURES, BAD = GOLDEN / "pictures", GOLDEN.parent / "bad" / "pictures"
SIZE = (21, 34)  # height, width: odd, and no multiple of a JPEG block


def scene(height, width, *key):
    """An RGB picture that resampling cannot flatter: gradients, a hard edge, a thin grid, one bright dot, a noisy corner."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    phase = 3 * torch.rand(6, generator=common.generator(*key, "phase"))
    rgb = torch.stack([128 + 110 * torch.sin(x / (4 + 3 * k) + y / (9 - 2 * k) + phase[k]) for k in range(3)], -1)
    disc = (x - width * (0.3 + 0.1 * phase[3])) ** 2 + (y - height * 0.6) ** 2 < (0.3 * min(height, width)) ** 2
    rgb[disc] = torch.tensor([235.0, 20.0, 90.0])
    rgb[(x % 11 == 3) & (y > height / 2)] = 255
    rgb[height // 3, width // 3] = 255
    corner = (slice(0, max(1, height // 3)), slice(width - width // 3, width))
    rgb[corner] += 60 * common.randn(rgb[corner].shape, *key, "noise")
    return Image.fromarray(rgb.round().clamp(0, 255).to(torch.uint8).numpy())


def samples(channels, bits, *key):
    """[h,w,channels] of `bits` each; the last of 2 and 4 is alpha, of every opacity."""
    top = 2**bits - 1
    rgb = np.asarray(scene(*SIZE, *key)).astype(np.float64)
    x = rgb if channels > 2 else rgb[..., 1:2]
    if channels in (2, 4):
        alpha = np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(*SIZE, 1)
        x = np.concatenate([x, alpha], -1)
    noise = np.random.default_rng(len(key) + bits).random(x.shape)  # in the low bits of 16
    return np.clip(np.floor((x + noise) / 256 * (top + 1)), 0, top).astype(np.uint16)


# ---- PNG, of which Pillow cannot write every kind --------------------------------------------------------------------

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type: samples
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]  # y, x, step y, step x


def chunk(name, data, crc=None):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) if crc is None else crc)


def packed_rows(x, bits):
    """Scan lines, each with a filter byte (None, Sub and Up in turn for whole bytes)."""
    height, width, channels = x.shape
    if bits == 16:
        rows = x.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = x.astype(np.uint8).reshape(height, -1)
    else:
        flat = np.unpackbits(x.astype(np.uint8).reshape(height, -1, 1), axis=-1)[..., 8 - bits:].reshape(height, -1)
        rows = np.packbits(flat, axis=-1)
    step, out = max(1, channels * bits // 8), b""
    for i, row in enumerate(rows):
        kind = i % 3 if bits >= 8 else 0
        left = np.concatenate([np.zeros(step, np.uint8), row[:-step]])[:len(row)]
        above = rows[i - 1] if i else np.zeros_like(row)
        out += bytes([kind]) + (row - (left if kind == 1 else above if kind == 2 else 0)).astype(np.uint8).tobytes()
    return out


def png(x, colour, bits, interlaced=False, before=b"", size=None, idat=None):
    """PNG bytes of samples [h,w,channels]; `before`: chunks in front of the pixels; size, idat: lies."""
    height, width, channels = x.shape
    assert channels == CHANNELS[colour]
    passes = [x[y::dy, x0::dx] for y, x0, dy, dx in ADAM7] if interlaced else [x]
    data = b"".join(packed_rows(p, bits) for p in passes if p.size)
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour, 0, 0, interlaced)
    pixels = zlib.compress(data, 9) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def palette(bits):
    """Indexes and PLTE: the scene in 2^bits colours."""
    p = scene(*SIZE, "palette").quantize(2**bits, dither=Image.Dither.NONE)
    return np.asarray(p)[..., None].astype(np.uint16), chunk(b"PLTE", bytes(p.getpalette()[:3 * 2**bits]))


def pngs():
    yield "rgb.png", png(samples(3, 8), 2, 8)
    yield "rgba.png", png(samples(4, 8), 6, 8)
    yield "grey.png", png(samples(1, 8), 0, 8)
    yield "grey-alpha.png", png(samples(2, 8), 4, 8)
    for bits in (1, 2, 4, 16):
        yield f"grey-{bits}-bit.png", png(samples(1, bits), 0, bits)
    yield "grey-alpha-16-bit.png", png(samples(2, 16), 4, 16)
    yield "rgb-16-bit.png", png(samples(3, 16), 2, 16)
    yield "rgba-16-bit.png", png(samples(4, 16), 6, 16)
    yield "rgb-interlaced.png", png(samples(3, 8), 2, 8, interlaced=True)
    yield "grey-1-bit-interlaced.png", png(samples(1, 1), 0, 1, interlaced=True)
    yield "rgba-16-bit-interlaced.png", png(samples(4, 16), 6, 16, interlaced=True)
    for bits in (1, 4, 8):
        index, plte = palette(bits)
        yield f"palette-{bits}-bit.png", png(index, 3, bits, before=plte)
    yield "palette-alpha.png", png(index, 3, 8, before=plte + chunk(b"tRNS", bytes(range(0, 256, 2))))
    yield "rgb-one-colour-transparent.png", png(samples(3, 8), 2, 8, before=chunk(b"tRNS", struct.pack(">HHH", 235, 20, 90)))
    yield "rgb-with-gamma.png", png(samples(3, 8), 2, 8, before=chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "exif-6.png", png(samples(3, 8), 2, 8, before=chunk(b"eXIf", exif(6)))
    yield "one-pixel.png", png(np.array([[[200, 30, 5]]], np.uint16), 2, 8)
    yield "one-column.png", png(samples(3, 8)[:, :1], 2, 8)
    yield "one-row.png", png(samples(3, 8)[:1], 2, 8)


# ---- JPEG, WebP, GIF, BMP ----------------------------------------------------------------------------------------------


def exif(orientation, order="<"):
    """A TIFF block with the one tag, in either byte order."""
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def encoded(picture, format, **options):
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


UNTURN = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}


def jpegs():
    rgb = scene(*SIZE, "jpeg")
    yield "444.jpg", encoded(rgb, "JPEG", quality=95, subsampling=0)
    yield "422.jpg", encoded(rgb, "JPEG", quality=90, subsampling=1)
    yield "420.jpg", encoded(rgb, "JPEG", quality=75, subsampling=2)
    yield "progressive.jpg", encoded(rgb, "JPEG", quality=90, subsampling=0, progressive=True)
    yield "grey.jpg", encoded(rgb.convert("L"), "JPEG", quality=90)
    yield "cmyk.jpg", encoded(rgb.convert("CMYK"), "JPEG", quality=95)
    yield "one-pixel.jpg", encoded(rgb.crop((5, 5, 6, 6)), "JPEG", quality=95)
    for orientation in range(1, 9):  # upright, all are the same scene
        stored = rgb.transpose(UNTURN[orientation]) if orientation in UNTURN else rgb
        yield f"exif-{orientation}.jpg", encoded(stored, "JPEG", quality=95, subsampling=0,
                                                 exif=b"Exif\0\0" + exif(orientation, "<>"[orientation % 2]))
    yield "exif-no-such-orientation.jpg", encoded(rgb, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + exif(9))


def others():
    rgb, rgba = scene(*SIZE, "webp"), Image.fromarray(samples(4, 8).astype(np.uint8))
    frames = [scene(*SIZE, "frame", i) for i in range(3)]
    yield "lossy.webp", encoded(rgb, "WEBP", quality=90)
    yield "lossless.webp", encoded(rgb, "WEBP", lossless=True)
    yield "lossy-alpha.webp", encoded(rgba, "WEBP", quality=90)
    yield "lossless-alpha.webp", encoded(rgba, "WEBP", lossless=True, exact=True)
    yield "exif-8.webp", encoded(rgb, "WEBP", lossless=True, exif=exif(8))
    yield "one-pixel.webp", encoded(rgb.crop((5, 5, 6, 6)), "WEBP", lossless=True)
    yield "animated.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield "still.gif", encoded(rgb.quantize(64), "GIF")
    yield "animated.gif", encoded(frames[0].quantize(16), "GIF", save_all=True, append_images=[f.quantize(16) for f in frames[1:]])
    yield "rgb.bmp", encoded(rgb, "BMP")


LOSSY = {"lossy.webp", "lossy-alpha.webp"}


def good():
    clip_sizes = [(16, 32), (16, 16), (32, 16)]
    r, processor, tensors, facts = random.Random(3), VideoProcessor(vae_scale_factor=8), {}, {}
    for source in (pngs, jpegs, others):
        for name, data in source():
            path = PICTURES / name
            path.write_bytes(data)
            picture = load_image(str(path))
            height, width = r.choice(clip_sizes)
            resized = ((processor.preprocess(picture, height=height, width=width)[0] + 1) * 127.5).round()
            tensors[name] = torch.from_numpy(np.array(picture))
            tensors[f"{name}.resized"] = resized.to(torch.uint8).permute(1, 2, 0)
            with Image.open(path) as opened:
                facts[name] = {"mode": opened.mode, "lossy": name.endswith(".jpg") or name in LOSSY,
                               "clipped": opened.mode == "I;16"}
                turned = picture.size != opened.size
            print(f"{name:32s} {len(data):5d} bytes {facts[name]['mode']:5s} {picture.size}{' turned' if turned else ''}")
    upright = tensors["exif-1.jpg"].int()
    for i in range(2, 9):
        off = (tensors[f"exif-{i}.jpg"].int() - upright).abs().float().mean()
        assert off < 4, (i, off)  # other blocks are rounded otherwise
    common.save(PICTURES / "pictures.safetensors", tensors)
    (PICTURES / "pictures.json").write_text(json.dumps(facts, indent=1) + "\n")


# ---- what nobody should accept -----------------------------------------------------------------------------------------


def sound():
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setparams((1, 1, 8000, 0, "NONE", ""))
        w.writeframes(bytes(128 + int(100 * np.sin(i / 3)) for i in range(400)))
    return out.getvalue()


def bads():
    rgb = scene(*SIZE, "bad")
    whole = png(samples(3, 8), 2, 8)
    raw = zlib.compress(b"\x09" + bytes(3 * SIZE[1]) * SIZE[0] + bytes(SIZE[0] - 1))
    yield "empty.png", b""
    yield "empty.jpg", b""
    yield "text.png", b"This is a sentence and no picture.\n"
    yield "text.jpg", b"This is a sentence and no picture.\n"
    yield "sound.wav", sound()
    yield "sound.png", sound()
    yield "signature-only.png", whole[:8]
    yield "no-pixels.png", whole[:33] + chunk(b"IEND", b"")
    yield "truncated.png", whole[:len(whole) // 2]
    yield "header-checksum-wrong.png", whole[:29] + b"\0\0\0\0" + whole[33:]
    yield "width-zero.png", png(samples(3, 8), 2, 8, size=(0, SIZE[0]))
    yield "sides-of-2-to-31.png", png(samples(3, 8), 2, 8, size=(2**31 - 1, 2**31 - 1))
    yield "a-billion-pixels.png", png(samples(3, 8), 2, 8, size=(32768, 32768))
    yield "filter-nine.png", png(samples(3, 8), 2, 8, idat=raw)
    yield "pixels-not-deflated.png", png(samples(3, 8), 2, 8, idat=bytes(range(200)))
    jpg = encoded(rgb, "JPEG", quality=90)
    yield "start-only.jpg", jpg[:2]
    yield "truncated.jpg", jpg[:len(jpg) * 2 // 3]
    yield "no-tables.jpg", jpg[:2] + jpg[jpg.index(b"\xff\xc0"):]
    webp = encoded(rgb, "WEBP", lossless=True)
    yield "truncated.webp", webp[:len(webp) // 2]
    yield "empty-container.webp", b"RIFF\x04\0\0\0WEBP"
    gif = encoded(rgb.quantize(64), "GIF")
    yield "truncated.gif", gif[:len(gif) // 2]
    yield "no-frames.gif", gif[:13 + 3 * 64] + b";"


def bad():
    for name, data in bads():
        (BAD / name).write_bytes(data)
        try:
            load_image(str(BAD / name))
        except Exception as error:  # noqa: BLE001, whatever the library calls it
            print(f"{name:32s} {len(data):5d} bytes {type(error).__name__}: {str(error)[-60:]}")
        else:
            raise AssertionError(f"{name} is accepted")


def main():
    for folder in (PICTURES, BAD):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    good()
    bad()


if __name__ == "__main__":
    main()
