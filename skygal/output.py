"""The edge to the disk: images and headers in and out, whole files or none."""

from __future__ import annotations

from skygal.atomic import MANIFEST, check_writable, whole_directory, whole_file
from skygal.headers import field_header
from skygal.images import SkyImage, parse_unit, read_image, read_psf, write_image

__all__ = ["MANIFEST", "SkyImage", "check_writable", "field_header", "parse_unit", "read_image",
           "read_psf", "whole_directory", "whole_file", "write_image"]
