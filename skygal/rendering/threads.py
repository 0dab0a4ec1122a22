"""One thread for torch: what its products sum up to, in the last bits, depends on how many threads share them.

A process that was forked has one too: the threads that OpenMP started before are not in it, and it would wait for them
for ever.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ["each_block", "one_thread"]


class _Blocks(threading.local):
    """Whether this Python thread is in a block already."""

    inside = False


class _Setting:
    """Torch's number of threads as it was set outside of all blocks.

    Torch keeps the number for each Python thread, and a new one starts with what was set last: by a block, perhaps.
    """

    def __init__(self) -> None:
        self.lock, self.running, self.number, self.here = threading.Lock(), 0, 1, _Blocks()

    def enter(self) -> int:
        """Set one thread; return how many there are to be afterwards."""
        import torch

        with self.lock:
            before = torch.get_num_threads()
            if self.running == 0:
                self.number = before
            elif before == 1:
                before = self.number
            self.running += 1
            torch.set_num_threads(1)
            return before

    def leave(self, before: int) -> None:
        import torch

        with self.lock:
            self.running -= 1
            torch.set_num_threads(before)


_setting = _Setting()


def _after_fork() -> None:
    # another thread may have held the lock, or been in a block, when the process was forked
    _setting.__init__()  # type: ignore[misc]
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, in this Python thread; then with as many as before.

    Pixels then do not depend on how many there are. How products share out rows, and add up terms, does
    depend on it, on some processors.
    """
    if _setting.here.inside:
        yield
        return
    before = _setting.enter()
    _setting.here.inside = True
    try:
        yield
    finally:
        _setting.here.inside = False
        _setting.leave(before)


def each_block(run: Callable[[int], object], starts: Sequence[int], *, device: str = "cpu") -> None:
    """Compute blocks, as many at a time as torch has threads, each with one of its own.

    Parameters
    ----------
    run : callable
        Called with the start of each block; without gradients.
    starts : sequence of int
        Of the blocks.
    device : str
        Where torch computes: one block at a time but on a "cpu".
    """
    import torch

    def alone(start: int) -> None:
        with torch.inference_mode(), one_thread():
            run(start)

    workers = min(len(starts), torch.get_num_threads()) if device == "cpu" else 1
    if workers < 2:
        for start in starts:
            alone(start)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(alone, starts))
