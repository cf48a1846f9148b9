#!/usr/bin/env python3
"""tests/bad/clips/*: files that are no clip to read; their names say what is wrong. Needs the program ffmpeg (7 was used).

frames-missing.* and size-zero.mkv are made from good ones by cutting, and by writing 0 over the picture's size.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "bad" / "clips"
PICTURES = ["-f", "lavfi", "-i", "testsrc=size=32x48:rate=16:duration=0.3125"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.05:sample_rate=8000"]
EXACT = ["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1"]


def ffmpeg(folder, name, *arguments):
    path = Path(folder) / name
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, *EXACT, str(path)], check=True)
    return path.read_bytes()


def zero_size_mkv(data):
    """PixelWidth B0 81 20 and PixelHeight BA 81 30."""
    for element in (b"\xb0\x81\x20", b"\xba\x81\x30"):
        assert data.count(element) == 1
        data = data.replace(element, element[:2] + b"\0")
    return data


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as tmp:
        h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "40", "-bf", "0", "-x264-params", "sei=0"]
        mp4 = ffmpeg(tmp, "good.mp4", *PICTURES, *h264, "-movflags", "+faststart")
        mkv = ffmpeg(tmp, "good.mkv", *PICTURES, "-c:v", "ffv1", "-level", "3", "-pix_fmt", "bgr0")
        files = {
            "empty.mp4": b"",
            "text.mp4": b"this is no clip\n" * 8,
            "sound-only.mp4": ffmpeg(tmp, "sound.mp4", *SOUND, "-c:a", "aac", "-b:a", "16k"),
            "sound-only.mkv": ffmpeg(tmp, "sound.mkv", *SOUND, "-c:a", "pcm_s16le"),
            "other-codec.mkv": ffmpeg(tmp, "other.mkv", *PICTURES, "-c:v", "mpeg2video", "-r", "25"),
            "frames-missing.mp4": mp4[:len(mp4) * 3 // 4],
            "frames-missing.mkv": mkv[:len(mkv) * 3 // 4],
            "last-byte-missing.mp4": mp4[:-1],
            "last-byte-missing.mkv": mkv[:-1],
            "size-zero.mkv": zero_size_mkv(mkv),
        }
    for name, data in files.items():
        (OUT / name).write_bytes(data)
        print(f"{name:20s} {len(data)} bytes")


if __name__ == "__main__":
    main()
