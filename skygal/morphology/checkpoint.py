"""Trained models by name or file: loaded, each file once in a process, and saved."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import nearest_names, shorten, show, warn_caller
from skygal.io.inputs import check_file
from skygal.io.weights import read_weights, write_weights
from skygal.morphology.conditions import ConditionTable
from skygal.morphology.generator import CvaeGenerator, Generator
from skygal.morphology.weights_checks import check_tensors, fill_module

if TYPE_CHECKING:
    from skygal.morphology.model import GalaxyModel
    from skygal.morphology.networks import Acceptance

__all__ = ["DEFAULT_MODEL", "FORMATS", "check_device", "is_shipped", "list_models", "load_model", "save_model",
           "shared_model"]

#: The model used where none is named.
DEFAULT_MODEL = "first-cvae"
#: name and version of the format of weights files that is written here
FORMAT = ("skygal-cvae", 2)
#: others that are read, by the modules whose `build_generator` knows them
BUILDERS = {("skygal-bastien2021", 1): "skygal.bastien2021.generator",
            ("skygal-octaves", 5): "skygal.morphology.octaves"}
FORMATS = (FORMAT, *BUILDERS)
WEIGHTS = Path(__file__).parent / "weights"


def list_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def is_shipped(model: Generator) -> bool:
    """Return whether a model is, to the bit, the one of its name that comes with the package."""
    return model.name in list_models() and _loaded(WEIGHTS / f"{model.name}.safetensors", "cpu").sha256 == model.sha256


def save_model(model: GalaxyModel, path: str | os.PathLike, *, name: str, tables: Mapping[str, ConditionTable],
               metadata: Mapping[str, Any], acceptance: Acceptance | None = None, overwrite: bool = False) -> Path:
    """Write what sampling needs of a trained model: decoder, flow, acceptance, condition tables, their description.

    Parameters
    ----------
    model : GalaxyModel
        The trained model.
    path : path
        The file, usually ``*.safetensors``; it appears whole or not at all.
    name : str
        The model's name.
    tables : mapping of str to ConditionTable
        How extent and bending are distributed in each class.
    metadata : mapping
        JSON-able: data, licence, seed, settings, figures.
    acceptance : Acceptance, optional
        What resamples the prior.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The file's path.

    Notes
    -----
    Weights are stored as float16, those of the acceptance as float32. The file's own header holds the SHA-256 over the
    description and the tensors.
    """
    tensors = {}
    for part, module in (("decoder", model.decoder), ("flow", model.flow)):
        for key, value in module.state_dict().items():
            tensors[f"{part}.{key}"] = value.detach().cpu().numpy().astype(np.float16)
    if acceptance is not None:
        # small, and with a level that must not be rounded
        tensors |= {f"acceptance.{key}": value.detach().cpu().numpy().astype(np.float32)
                    for key, value in acceptance.state_dict().items()}
    for fr_class, table in tables.items():
        tensors[f"extents.{fr_class}"] = np.asarray(table.extent, np.float32)
        tensors[f"bendings.{fr_class}"] = np.asarray(table.bending, np.float32)
    return write_weights(path, tensors, form=FORMAT, name=name, architecture=model.arch.to_dict(), metadata=metadata,
                         overwrite=overwrite)


def load_model(model: str | os.PathLike | Generator | None = None, *,
               device: str = "cpu") -> Generator:
    """Load a trained model.

    Parameters
    ----------
    model : str, path or Generator, optional
        The name of a model that comes with the package (see `list_models`), or a weights file
        (``.safetensors``); the default model if not given. A Generator is returned as it is.
    device : str
        Where to decode: "cpu", "cuda" or "cuda:N".

    Returns
    -------
    Generator
        The caller's own, whatever is done to it.

    Raises
    ------
    ValueError
        If the name is unknown, the device cannot be had, or the file is truncated, was changed since it
        was written, or holds something else than a model of this kind.
    TypeError
        If ``model`` is none of these.
    FileNotFoundError
        If the file is missing.

    Warns
    -----
    UserWarning
        If the model is a VAE: classes that are asked for say nothing about its stamps.

    Notes
    -----
    A file is read, checked against its digest and built once in each process, and again when it has changed. The last
    four are kept.

    Examples
    --------
    >>> from skygal.morphology.checkpoint import load_model
    >>> generator = load_model()
    >>> generator.classes
    ('FRI', 'FRII', 'hybrid', 'compact')
    """
    loaded = shared_model(model, device=device)
    return loaded if loaded is model else copy.deepcopy(loaded)


def shared_model(model: str | os.PathLike | Generator | None = None, *, device: str = "cpu") -> Generator:
    """Return what `load_model` copies, the same object for all who ask: it must not be changed.

    Parameters
    ----------
    model, device
        See `load_model`.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        As `load_model` does.
    """
    if isinstance(model, Generator):
        return model
    check_device(device)
    if model is None:
        model = DEFAULT_MODEL
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError("model must be a shipped model's name, the path of a .safetensors file, a Generator or None, "
                        f"got {show(model)}")
    path = Path(model)
    named = isinstance(model, str) and path.suffix != ".safetensors" and len(path.parts) == 1
    if named:
        if model not in list_models():
            raise ValueError(f"model must be a .safetensors file or one of {', '.join(map(repr, list_models()))}, "
                             f"got {show(model)}{nearest_names(str(model), list_models())}")
        path = WEIGHTS / f"{model}.safetensors"
    elif not os.path.exists(path):
        raise FileNotFoundError(f"model file {show(os.fspath(model))} not found")
    loaded = _loaded(path, device)
    if not loaded.conditional:
        warn_caller(f"model {loaded.name!r} is a VAE without classes: the class asked for says nothing about its "
                    "stamps")
    return loaded


def _loaded(path: Path, device: str) -> Generator:
    """Return the model in a file, which is the same object for all who ask: it must not be changed."""
    check_file(path, "model file")
    state = path.stat()
    # nobody can set ctime: it tells of files that were changed and given their old times and size
    return _load(Path(os.path.realpath(path)), (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns,
                                                state.st_ctime_ns), device)


@lru_cache(maxsize=4)
def _load(path: Path, state: tuple[int, ...], device: str) -> Generator:
    """Return the model in the file that is in this state."""
    tensors, description, sha256 = read_weights(path, FORMATS)
    form = description["format"], description["format_version"]
    build = build_generator if form == FORMAT else import_module(BUILDERS[form]).build_generator
    try:
        return build(tensors, description, sha256, device)
    except Exception as error:  # what is too large for torch, or of no kind that it has
        reason = shorten(str(error).split("\n")[0])
        raise ValueError(f"model file {show(str(path))} does not fit its architecture: {reason}") from None


def check_device(device: str) -> str:
    """Return ``device`` if tensors can be put there.

    Raises
    ------
    ValueError
        If it is no device of this machine.
    """
    import torch

    if device == "cpu":
        return device
    found = re.fullmatch(r"cuda(?::(\d+))?", device, re.ASCII) if isinstance(device, str) else None
    if found is None:
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {show(device)}")
    if not torch.cuda.is_available() or int(found[1] or 0) >= torch.cuda.device_count():
        raise ValueError(f"device must be one that this machine has, got {show(device)} "
                         f"with {torch.cuda.device_count() if torch.cuda.is_available() else 0} CUDA devices")
    return device


def build_generator(tensors: Mapping[str, np.ndarray], description: Mapping[str, Any], sha256: str,
                    device: str) -> CvaeGenerator:
    """Return the generator that the tensors and the description of a file make.

    Raises
    ------
    ValueError
        If the tensors do not fit the architecture.
    """
    from skygal.morphology.networks import Acceptance, Architecture, ConditionalFlow, Decoder, Unset

    arch = Architecture.from_dict(description["architecture"])
    check_tensors(arch, tensors)
    with Unset():
        decoder, flow = Decoder(arch), ConditionalFlow(arch)
        acceptance = Acceptance(arch) if any(key.startswith("acceptance.") for key in tensors) else None
    for part, module in (("decoder", decoder), ("flow", flow), ("acceptance", acceptance)):
        if module is not None:
            fill_module(module, part, tensors)
    tables = {fr_class: ConditionTable(tensors[f"extents.{fr_class}"], tensors[f"bendings.{fr_class}"])
              for fr_class in arch.classes}
    return CvaeGenerator(arch, decoder, flow, acceptance, name=description["name"], sha256=sha256,
                         tables=tables, metadata=description["metadata"], device=device)
