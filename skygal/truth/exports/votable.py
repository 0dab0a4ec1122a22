"""VOTables of sources and components, each column with its UCD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from skygal.checks import check_choice
from skygal.io.config import as_plain
from skygal.io.provenance import restore_provenance
from skygal.truth.exports.formats import Format

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["BANDS", "FORMATS", "UCDS", "band_word"]

#: words for parts of the radio spectrum and where they end, MHz (IVOA UCD1+ controlled vocabulary 1.5)
BANDS = (("em.radio.20-100MHz", 20, 100), ("em.radio.100-200MHz", 100, 200), ("em.radio.200-400MHz", 200, 400),
         ("em.radio.400-750MHz", 400, 750), ("em.radio.750-1500MHz", 750, 1500),
         ("em.radio.1500-3000MHz", 1500, 3000), ("em.radio.3-6GHz", 3000, 6000), ("em.radio.6-12GHz", 6000, 12000),
         ("em.radio.12-30GHz", 12000, 30000), ("em.radio.30-100GHz", 30000, 100000))
#: UCDs of the columns of both tables; {band} is a word of `BANDS`
UCDS = {
    "fr_class": "meta.code.class", "population": "meta.code.class", "parent_id": "meta.id.parent",
    "morphology": "src.morph.type", "kind": "meta.code.class",
    "ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main", "ra_core": "pos.eq.ra", "dec_core": "pos.eq.dec",
    "ra_peak": "pos.eq.ra", "dec_peak": "pos.eq.dec", "x": "pos.cartesian.x;instr.pixel",
    "y": "pos.cartesian.y;instr.pixel", "x_peak": "pos.cartesian.x;instr.pixel",
    "y_peak": "pos.cartesian.y;instr.pixel", "flux": "phot.flux.density;{band}",
    "flux_apparent": "phot.flux.density;{band}", "flux_in_image": "phot.flux.density;{band}",
    "flux_requested": "phot.flux.density;{band}", "peak_flux": "phot.flux.density;stat.max;{band}",
    "las": "phys.angSize", "las_requested": "phys.angSize", "extent": "phys.angSize",
    "b_maj": "phys.angSize.smajAxis", "b_min": "phys.angSize.sminAxis", "pa": "pos.posAng",
    "core_frac": "phot.flux.density;arith.ratio", "flux_fraction": "phot.flux.density;arith.ratio",
    "neighbour_flux_frac": "phot.flux.density;arith.ratio", "n_components": "meta.number",
    "n_components_stamp": "meta.number", "spectral_index": "spect.index;em.radio", "curvature": "spect.index;em.radio",
    "redshift": "src.redshift", "snr": "stat.snr", "local_rms": "instr.det.noise",
    "edge": "meta.code", "blended": "meta.code", "beam_limited": "meta.code",
    "bbox_xmin": "pos.cartesian.x;stat.min", "bbox_xmax": "pos.cartesian.x;stat.max",
    "bbox_ymin": "pos.cartesian.y;stat.min", "bbox_ymax": "pos.cartesian.y;stat.max", "zoom": "arith.factor",
    "bending": "pos.angDistance", "latent_seed": "meta.code"}


def band_word(frequency: u.Quantity | None) -> str:
    """Return the UCD word of a frequency's part of the radio spectrum.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.truth.exports.votable import band_word
    >>> band_word(1.4 * u.GHz)
    'em.radio.750-1500MHz'
    """
    megahertz = np.nan if frequency is None else frequency.to_value(u.MHz)
    return next((word for word, low, high in BANDS if low <= megahertz < high), "em.radio")


def _ucd(name: str, table: str, band: str) -> str | None:
    if name == "source_id":
        return "meta.id;meta.main" if table == "sources" else "meta.id.parent"
    if name == "component_id":
        return "meta.id.part"
    return UCDS[name].format(band=band) if name in UCDS else None


def _votable_table(tree: Any, table: QTable, name: str, band: str) -> Any:
    """Return the element of a table."""
    from astropy.io.votable import from_table

    plain = Table(table, copy=False)
    plain.meta = {}
    for column in plain.itercols():
        if column.dtype.kind == "U" and column.dtype.itemsize == 0:
            plain[column.name] = column.astype("U1")
    element = from_table(plain).resources[0].tables[0]
    element.ID = element.name = name
    for field in element.fields:
        # both tables have columns of the same names, which as IDs would not be unique in the file
        field.ID = None
        field.ucd = _ucd(field.name, name, band)
        if (field.ucd or "").startswith("pos.eq"):
            field.ref = "icrs"
    return element


def write_votable(field: Field, path: Path, *, progress: bool = False, level: str = "sources") -> None:
    """Write the table ``sources`` or ``components``, with units, descriptions and UCDs, in VOTable 1.4.

    Parameters
    ----------
    field, path, progress
    level : "sources", "components" or "both"
        Which table. Of a file with both, ``astropy.table.Table.read`` wants to know which is meant (``table_id``).

    Notes
    -----
    Seed, model, version and frequency are parameters. Numbers are binary (BINARY2), to the bit as they are in truth.
    """
    from astropy.io.votable.tree import CooSys, Param, Resource, VOTableFile

    check_choice("level", level, ("sources", "components", "both"))
    provenance = restore_provenance(field.provenance)
    frequency = provenance.get("frequency")
    tree = VOTableFile(version="1.4")
    resource = Resource(name="skygal", type="results")
    tree.resources.append(resource)
    resource.coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    for key in ("skygal_version", "seed", "model", "model_sha256"):
        text = str(as_plain(provenance.get(key, "")))
        resource.params.append(Param(tree, ID=key, name=key, datatype="char", arraysize="*", value=text or " "))
    if frequency is not None:
        resource.params.append(Param(tree, ID="frequency", name="frequency", datatype="double", unit="Hz",
                                     ucd="em.freq", value=float(frequency.to_value(u.Hz))))
    for name, table in (("sources", field.truth), ("components", field.components)):
        if level in (name, "both"):
            resource.tables.append(_votable_table(tree, table, name, band_word(frequency)))
    tree.to_xml(str(path), tabledata_format="binary2")


FORMATS = (Format("votable", (".vot", ".xml"), write_votable),)
