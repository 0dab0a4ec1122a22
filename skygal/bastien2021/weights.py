"""Weights of the paper's networks: written, read, and converted from those that its authors published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.bastien2021.generator import FORMAT, PaperGenerator, check_paper_tensors
from skygal.bastien2021.networks import CLASSES, PaperArchitecture, PaperDecoder
from skygal.checks import shorten, show
from skygal.io.torch_files import read_torch
from skygal.io.weights import read_weights, write_weights
from skygal.morphology.checkpoint import FORMATS
from skygal.morphology.clip import clip_stamps
from skygal.morphology.weights_checks import fill_module

if TYPE_CHECKING:
    from skygal.bastien2021.networks import PaperModel

__all__ = ["convert_weights", "load_paper_model", "read_state_dict", "save_paper_model", "write_paper_weights"]

#: stamps of each class from which the extents are measured
EXTENT_STAMPS = 192
CLIP = 3.0
#: what a checkpoint file may keep its state dict under
WRAPPERS = ("model_state_dict", "state_dict", "model")
LAYERS = {"encoder": ("fc1", "fc2", "fc3", "fc4", "fc5", "fc61", "fc62"),
          "decoder": ("fc7", "fc8", "fc9", "fc10", "fc11", "fc12")}


def _measured_extents(arch: PaperArchitecture, decoder: PaperDecoder) -> dict[str, np.ndarray]:
    """Return the median extent (arcsec) of each class's stamps: root of the larger second moment, clipped."""
    device = next(decoder.parameters()).device
    maker = PaperGenerator(arch, decoder, name="", sha256="", extents={}, metadata={}, device=str(device))
    z = np.random.default_rng(0).standard_normal((EXTENT_STAMPS, arch.latent_dim))
    grid = np.arange(arch.side) - (arch.side - 1) / 2
    out = {}
    for name in CLASSES:
        raw = maker.decode(z, np.full(len(z), name))
        stamps = clip_stamps(raw, CLIP, beam_fwhm=arch.beam_fwhm / arch.pixel_scale).astype(float)
        flux = stamps.sum(axis=(1, 2))
        x, y = ((stamps.sum(axis=axis) @ grid) / flux for axis in (1, 2))
        xx, yy = ((stamps.sum(axis=axis) @ grid**2) / flux - mean**2 for axis, mean in ((1, x), (2, y)))
        xy = np.einsum("nij,i,j->n", stamps, grid, grid) / flux - x * y
        larger = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
        found = float(np.median(np.sqrt(larger[np.isfinite(larger)]))) * arch.pixel_scale
        out[name] = np.full(2, found, np.float32)
    return out


def write_paper_weights(tensors: Mapping[str, np.ndarray], arch: PaperArchitecture, path: str | os.PathLike, *,
                        name: str, metadata: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write weights of the paper's networks as a file for `skygal.load_model`.

    Parameters
    ----------
    tensors : mapping of str to `~numpy.ndarray`
        ``decoder.fc7.weight`` ... and, if they are kept, ``encoder.fc1.weight`` ...; float32, written as they are.
    arch : PaperArchitecture
        Their architecture.
    path : path
        The file; it appears whole or not at all.
    name : str
        The model's name.
    metadata : mapping
        JSON-able: where the weights come from.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The file's path.
    """
    import torch

    from skygal.bastien2021.networks import PaperDecoder

    with torch.random.fork_rng():
        decoder = PaperDecoder(arch)
    decoder.load_state_dict({key.removeprefix("decoder."): torch.from_numpy(np.array(value, np.float32))
                             for key, value in tensors.items() if key.startswith("decoder.")})
    kept = {key: np.ascontiguousarray(value, np.float32) for key, value in tensors.items()}
    kept |= {f"extents.{key}": value for key, value in _measured_extents(arch, decoder).items()}
    return write_weights(path, kept, form=FORMAT, name=name, architecture=arch.to_dict(), metadata=metadata,
                         overwrite=overwrite)


def save_paper_model(model: PaperModel, path: str | os.PathLike, *, name: str, metadata: Mapping[str, Any],
                     overwrite: bool = False) -> Path:
    """Write a trained model, encoder and decoder; see `write_paper_weights`."""
    tensors = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
    return write_paper_weights(tensors, model.arch, path, name=name, metadata=metadata, overwrite=overwrite)


def load_paper_model(path: str | os.PathLike) -> PaperModel:
    """Read encoder and decoder of a model that was trained here.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is damaged, of another kind, or has no encoder.
    """
    import torch

    from skygal.bastien2021.networks import CLASSES, PaperArchitecture, PaperModel

    shown = f"model file {show(os.fspath(path))}"
    if not os.path.exists(path):
        raise FileNotFoundError(f"{shown} not found")
    tensors, description, _ = read_weights(Path(path), FORMATS)
    if description["format"] != FORMAT[0]:
        raise ValueError(f"{shown} must be of a bastien2021 preset, got {description['format']}")
    if "encoder.fc1.weight" not in tensors:
        raise ValueError(f"{shown} must hold an encoder, got a decoder alone")
    try:
        arch = PaperArchitecture.from_dict(description["architecture"])
        check_paper_tensors(arch, tensors, CLASSES)
        with torch.random.fork_rng():
            model = PaperModel(arch)
        fill_module(model, "", {key: value for key, value in tensors.items() if not key.startswith("extents.")})
    except Exception as error:
        reason = shorten(str(error).split("\n")[0])
        raise ValueError(f"{shown} does not fit its architecture: {reason}") from None
    return model


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
    from skygal.bastien2021.weights import write_paper_weights
    from skygal.io.atomic import check_writable

    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"output must end in .safetensors, got {show(os.fspath(output))}")
    check_writable(output, overwrite=overwrite, folder=False)
    tensors, arch = read_state_dict(state_dict)
    metadata = {"converted_from": Path(state_dict).name,
                "reference": "Bastien et al. 2021, 2021MNRAS.503.3351B"}
    return write_paper_weights(tensors, arch, output, name=name or output.stem, metadata=metadata, overwrite=overwrite)
