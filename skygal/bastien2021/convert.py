"""The published weights of Bastien et al. (2021) as a file for `skygal.load_model`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skygal.bastien2021.networks import CLASSES, PaperArchitecture
from skygal.checks import shorten, show
from skygal.io.torch_files import read_torch

__all__ = ["convert_weights", "read_state_dict"]

#: what a checkpoint file may keep its state dict under
WRAPPERS = ("model_state_dict", "state_dict", "model")
LAYERS = {"encoder": ("fc1", "fc2", "fc3", "fc4", "fc5", "fc61", "fc62"),
          "decoder": ("fc7", "fc8", "fc9", "fc10", "fc11", "fc12")}


def read_state_dict(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], PaperArchitecture]:
    """Read one of the authors' state dicts.

    Parameters
    ----------
    path : path
        A file that ``torch.save`` wrote; it is read as tensors alone, and no code that a pickle may hold is run.

    Returns
    -------
    tensors : dict of str to `~numpy.ndarray`
        ``encoder.fc1.weight`` ... ``decoder.fc12.bias``, as they are, float32.
    arch : PaperArchitecture
        The architecture that their shapes tell.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is damaged or holds anything but tensors, keys are missing or unknown, shapes do not belong
        together, or a value is not finite.

    Notes
    -----
    The keys of the CVAE begin with ``encoder_z`` and ``decoder``, those of the VAE with ``encoder`` and ``decoder``
    (Zenodo 10.5281/zenodo.4456165).
    """
    import torch

    shown = show(os.fspath(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"state dict {shown} not found")
    state = read_torch(path, "state dict")
    if isinstance(state, Mapping):
        for word in WRAPPERS:
            if isinstance(state.get(word), Mapping):
                state = state[word]
                break
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"state dict {shown} must map names to tensors, got {type(state).__name__}")
    conditional = any(str(key).startswith("encoder_z.") for key in state)
    tensors = _renamed({str(key): value for key, value in state.items()}, conditional, shown)
    return tensors, _architecture(tensors, conditional, shown)


def _renamed(state: dict[str, Any], conditional: bool, shown: str) -> dict[str, np.ndarray]:
    """Return checked tensors under our names."""
    import torch

    prefix = {"encoder": "encoder_z" if conditional else "encoder", "decoder": "decoder"}
    names = {f"{prefix[part]}.{layer}.{kind}": f"{part}.{layer}.{kind}"
             for part, layers in LAYERS.items() for layer in layers for kind in ("weight", "bias")}
    missing, unknown = sorted(set(names) - set(state)), sorted(set(state) - set(names))
    if missing or unknown:
        raise ValueError(f"state dict {shown} must hold {prefix['encoder']}.fc1 ... fc5, fc61, fc62 and decoder.fc7 "
                         f"... fc12, each with weight and bias, got {f'no {missing[0]}' if missing else ''}"
                         f"{' and ' if missing and unknown else ''}"
                         f"{f'an unknown {shorten(unknown[0])}' if unknown else ''}")
    out = {}
    for key, name in names.items():
        value = state[key]
        if not value.is_floating_point() or value.ndim != (2 if key.endswith("weight") else 1):
            raise ValueError(f"{key} in {shown} must be a {'matrix' if key.endswith('weight') else 'vector'} of real "
                             f"numbers, got {value.dtype} of shape {tuple(value.shape)}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{key} in {shown} must be finite, got values that are not")
        out[name] = value.to(torch.float32).numpy()
    return out


def _architecture(tensors: Mapping[str, np.ndarray], conditional: bool, shown: str) -> PaperArchitecture:
    """Return the architecture whose shapes the tensors have."""
    labels = len(CLASSES) if conditional else 0
    widths = tuple(len(tensors[f"encoder.fc{i}.bias"]) for i in range(1, 6))
    latent_dim, pixels = len(tensors["encoder.fc61.bias"]), len(tensors["decoder.fc12.bias"])
    side = round(pixels**0.5)
    if side * side != pixels:
        raise ValueError(f"decoder.fc12.bias in {shown} must have one value a pixel of a square image, got {pixels}")
    sizes = {"encoder": [pixels + labels, *widths], "decoder": [latent_dim + labels, *widths[::-1], pixels]}
    wanted = {f"encoder.fc{i + 1}": (sizes["encoder"][i + 1], sizes["encoder"][i]) for i in range(5)}
    wanted |= {f"encoder.{head}": (latent_dim, widths[-1]) for head in ("fc61", "fc62")}
    wanted |= {f"decoder.fc{i + 7}": (sizes["decoder"][i + 1], sizes["decoder"][i]) for i in range(6)}
    for layer, shape in wanted.items():
        for kind, right in (("weight", shape), ("bias", shape[:1])):
            found = tensors[f"{layer}.{kind}"].shape
            if found != right:
                raise ValueError(f"{layer}.{kind} in {shown} must have shape {right} beside the other layers, "
                                 f"got {found}")
    return PaperArchitecture(latent_dim=latent_dim, conditional=conditional, widths=widths, side=side)


def convert_weights(state_dict: str | os.PathLike, output: str | os.PathLike, *, name: str | None = None,
                    overwrite: bool = False) -> Path:
    """Turn one of the authors' published state dicts into a model that decodes identically.

    Parameters
    ----------
    state_dict : path
        The file, from Zenodo 10.5281/zenodo.4456165; see `read_state_dict`.
    output : path
        The weights file, ``*.safetensors``: float32, as given, encoder included (417 MB).
    name : str, optional
        The model's name; the file's stem if not given.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The weights file, for `skygal.load_model`.

    Raises
    ------
    ValueError
        If the output's name ends otherwise, or as `read_state_dict`.
    FileExistsError
        If the output exists.
    FileNotFoundError
        If the state dict is missing.
    """
    from skygal.bastien2021.generator import write_paper_weights
    from skygal.io.atomic import check_writable

    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"output must end in .safetensors, got {show(os.fspath(output))}")
    check_writable(output, overwrite=overwrite, folder=False)
    tensors, arch = read_state_dict(state_dict)
    metadata = {"converted_from": Path(state_dict).name,
                "reference": "Bastien et al. 2021, 2021MNRAS.503.3351B"}
    return write_paper_weights(tensors, arch, output, name=name or output.stem, metadata=metadata, overwrite=overwrite)
