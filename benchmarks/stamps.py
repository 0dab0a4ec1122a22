"""How many stamps a second `skygal.SyntheticStamps` gives to a training loop, on one core.

    python benchmarks/stamps.py [--n 2048] [--size 150]

*decode* is what each stamp takes once; what it takes to show it, with noise of its own, comes each time that it is
asked for: by batches of 32, as a DataLoader does, in turn, and one by one in any order. The time is the
process's own on all cores, so that what else the machine does counts little. For scale, what the steps of
noise take at the least: as many random numbers, and one transform back.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from figures import note
from scipy import fft

import skygal
from skygal.morphology.generator import DECODE_BLOCK


def cost(work: Callable[[], object], n: int) -> float:
    """Return the processor's milliseconds for each of n."""
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start) / n


def exhaust(items: Iterable) -> None:
    for _ in items:
        pass


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--n", type=int, default=2048)
    options.add_argument("--size", type=int, default=150, help="side of the images, pixels")
    given = options.parse_args()
    torch.set_num_threads(1)
    n, blocks = given.n, -(-given.n // DECODE_BLOCK)
    for text, noise in (("without noise", {}), ("with noise and clip", {"noise": (0.005, 0.05), "noise_clip": 3})):
        stamps = skygal.SyntheticStamps(blocks * DECODE_BLOCK, size=given.size, seed=1, **noise)
        exhaust(stamps.__getitems__(range(32)))
        decode = cost(lambda: exhaust(map(stamps._decode, range(blocks))), blocks * DECODE_BLOCK)  # noqa: B023
        exhaust(map(stamps._block, range(blocks)))
        shuffled = np.random.default_rng(0).permutation(n)
        ways = {"batches of 32": lambda: exhaust(
                    stamps.__getitems__(shuffled[i:i + 32]) for i in range(0, n, 32)),  # noqa: B023
                "in turn": lambda: exhaust(stamps[i] for i in range(n)),  # noqa: B023
                "one by one": lambda: exhaust(stamps[int(i)] for i in shuffled)}  # noqa: B023
        print(f"{given.size} x {given.size} pixels, {text}: decode {decode:.3f} ms")
        for way, work in ways.items():
            show = cost(work, n)
            print(f"  {way:14s} show {show:.3f} ms: {1e3 / (decode + show):5.0f} /s, "
                  f"{1e3 / show:5.0f} /s of those that are decoded", flush=True)
            note(f"stamps {text}, {way}, first time", 1e3 / (decode + show), "/core s")
            note(f"stamps {text}, {way}, decoded before", 1e3 / show, "/core s")
    side, rng = fft.next_fast_len(given.size, real=True), np.random.default_rng(0)
    waves = np.ones((side, side // 2 + 1), np.complex64)
    numbers = cost(lambda: exhaust(rng.standard_normal(side**2, dtype=np.float32) for _ in range(50)), 50)
    back = cost(lambda: exhaust(fft.irfft2(waves, s=(side, side)) for _ in range(50)), 50)
    print(f"for scale: numpy's normal numbers for an image {numbers:.3f} ms, scipy.fft.irfft2 {back:.3f} ms")


if __name__ == "__main__":
    main()
