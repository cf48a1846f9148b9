#!/usr/bin/env python3
"""Noise goldens: torch's CPU randn -> tests/golden/noise.{safetensors,json}.

Keys (the seed in decimal as given to manual_seed, the shape joined by x):
  seed{S}.{shape}            the whole tensor F32
  seed{S}.{shape}.first/.last  first and last 64 values of a video-sized tensor; `.sum` F64 [1] its sum
  seed42.sequence.{0,1,2,...}  several draws from one generator, of sizes 5, 20, 3, 17, 1, 1: the state carries over
The algorithms are written out in the .json and emulated below (class Torch); the script fails if they disagree with torch.
"""

import math

import common
import numpy as np
import torch

SEEDS = [0, 1, 42, 1234567, 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1, 2**64 - 1, -7]
SMALL = [(1,), (2,), (3,), (7,), (3, 5), (16,), (17,), (31,), (32,), (2, 3, 5), (16 * 9 + 7,), (1, 16, 3, 6, 10), (1, 16, 1, 3, 5)]
BIG = [(1, 16, 21, 60, 104), (1, 16, 21, 90, 160), (1, 48, 31, 44, 80), (1, 16, 13, 60, 104), (1, 16, 3, 37, 53)]
SEQUENCE = [5, 20, 3, 17, 1, 1]

ALGORITHM = {
    "generator": "MT19937, init_genrand(seed mod 2^32) (negative seeds: two's complement mod 2^64 first)",
    "at least 16 elements": "u[i] = (next32 & 0xFFFFFF) * 2^-24 in F32 for all i in order; then for each whole block of 16, "
    "j = 0..7: r = sqrt(-2 ln(1 - u[j])), a = 2 pi u[j+8], out[j] = r cos a, out[j+8] = r sin a, in F32. If the size is not "
    "a multiple of 16: afterwards 16 fresh u are drawn and the last 16 elements are overwritten by their block. Neither "
    "reads nor changes the cached sample below.",
    "fewer than 16 elements": "per element, all in F64, rounded to F32 at the end: if the generator holds a cached sample, "
    "take it and clear it; else u1 then u2, each (next64 & (2^53 - 1)) * 2^-53 with next64 = (next32 << 32) | next32 (first "
    "draw is the high half); r = sqrt(-2 log1p(-u2)), a = 2 pi u1; the value is r cos a, and r sin a is cached. The cache "
    "belongs to the generator and outlives the call: an odd count leaves one for the next small draw.",
}


class Torch:
    """The CPU generator, as documented above."""

    def __init__(self, seed):
        self.bits = np.random.MT19937()
        self.bits._legacy_seeding(seed % 2**64 % 2**32)
        self.cached = None

    def next32(self):
        return int(self.bits.random_raw())

    def uniform24(self, n):
        return np.float32((self.bits.random_raw(n) & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24))

    def uniform53(self):
        high = self.next32()
        return (((high << 32) | self.next32()) & (2**53 - 1)) * 2.0**-53

    @staticmethod
    def block(u):
        r = np.sqrt(-2 * np.log1p(-u[:8].astype(np.float64)))
        a = 2 * math.pi * u[8:]
        return np.concatenate([r * np.cos(a), r * np.sin(a)]).astype(np.float32)

    def randn(self, n):
        if n < 16:
            return np.array([self.small() for _ in range(n)], dtype=np.float32)
        out = self.uniform24(n)
        for i in range(0, n - 15, 16):
            out[i:i + 16] = self.block(out[i:i + 16])
        if n % 16:
            out[-16:] = self.block(self.uniform24(16))
        return out

    def small(self):
        if self.cached is not None:
            value, self.cached = self.cached, None
            return value
        u1, u2 = self.uniform53(), self.uniform53()
        r, a = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self.cached = r * math.sin(a)
        return r * math.cos(a)


def name(shape):
    return "x".join(map(str, shape))


def main():
    tensors = {}
    worst = 0.0
    for seed in SEEDS:
        for shape in SMALL:
            x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            ours = Torch(seed).randn(x.numel())
            worst = max(worst, float(np.abs(ours - x.flatten().numpy()).max()))
            tensors[f"seed{seed}.{name(shape)}"] = x
    for seed, shapes in ((0, BIG), (42, BIG), (1234567, BIG[:2])):
        for shape in shapes:
            x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).flatten()
            key = f"seed{seed}.{name(shape)}"
            tensors[f"{key}.first"], tensors[f"{key}.last"] = x[:64], x[-64:]
            tensors[f"{key}.sum"] = x.double().sum()[None]
    theirs, ours = torch.Generator().manual_seed(42), Torch(42)
    for i, n in enumerate(SEQUENCE):
        x = torch.randn(n, generator=theirs)
        worst = max(worst, float(np.abs(ours.randn(n) - x.numpy()).max()))
        tensors[f"seed42.sequence.{i}"] = x
    assert worst < 4e-6, worst
    common.save(common.GOLDEN / "noise.safetensors", tensors)
    common.save_json(common.GOLDEN / "noise.json", {
        "versions": common.versions(), "seeds": SEEDS, "shapes": SMALL, "big_shapes": BIG, "sequence": SEQUENCE,
        "algorithm": ALGORITHM, "max_abs_difference_of_an_f64_emulation": worst})
    print(f"emulation differs from torch by at most {worst:.1e}")


if __name__ == "__main__":
    main()
