"""Fields in the formats of other programs: a format a module."""

from __future__ import annotations

from skygal.truth.exports.formats import Format, export_field, list_formats

__all__ = ["Format", "export_field", "list_formats"]
