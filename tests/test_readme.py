"""The README's code runs as it stands."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL) \
    if README.exists() else []


@pytest.mark.skipif(not BLOCKS, reason="needs the checkout")
def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with warnings.catch_warnings():
        # a field may tell that some of its sources are limited by the beam
        warnings.simplefilter("ignore", UserWarning)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"README.md, block {number + 1}", "exec"), names)
