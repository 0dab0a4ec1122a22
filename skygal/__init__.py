"""Realistic, resolved radio galaxies in any radio sky image, with exact truth."""

from __future__ import annotations

__version__ = "0.1.0"
