"""Make the figures of the README and the documentation, from the package itself.

    python docs/make_figures.py [NAME ...]

Without names all of them are made, into docs/_static. The same weights give the same figures.
"""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u

import skygal
from skygal.morphology.batches import make_stamps
from skygal.morphology.clip import clip_stamps, noise_floor
from skygal.morphology.latents import sample_latent_values, sample_latents
from skygal.morphology.measure import ISOPHOTE, measure_stamps
from skygal.observation.beam import TargetBeam, native_covariance
from skygal.population import MiraBestSizes, WindhorstSizes, frii_fraction, read_counts, sample_population
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.transform import render_stamp
from skygal.rendering.zoom import stamp_affines
from skygal.seeds import Seeds
from skygal.wcs import pixel_affine

FOLDER = Path(__file__).resolve().parent / "_static"
COLOURS = {"FRI": "#2a78b8", "FRII": "#d1602a"}
FIGURES = {}


def figure(function):
    """Register a function that draws the figure of its name and returns it."""
    FIGURES[function.__name__] = function
    return function


def save(fig, name: str, dpi: int = 110) -> None:
    """Save a figure as small as PNG can be."""
    import matplotlib.pyplot as plt
    from PIL import Image

    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    plt.close(fig)
    FOLDER.mkdir(exist_ok=True)
    Image.open(buffer).convert("RGB").save(FOLDER / f"{name}.png", optimize=True)
    print(f"{name}.png {(FOLDER / f'{name}.png').stat().st_size / 1000:.0f} kB")


def grid(rows: int, columns: int, size: float = 1.9, *, aspect: float = 1.0, top: float = 0.0):
    """Return a figure of images without axes, and its axes."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(rows, columns, squeeze=False, figsize=(columns * size, rows * size * aspect + top),
                             layout="constrained")
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("0.7")
    return fig, axes


def show(ax, image: np.ndarray, *, peak: float | None = None, log: bool = False, root: bool = False,
         floor: float = 1e-5) -> None:
    """Draw a non-negative image: linear, by square root, or by logarithm from ``floor`` of the peak up."""
    peak = float(image.max()) if peak is None else peak
    if log:
        ax.imshow(np.log10(np.maximum(image / peak, floor)), vmin=np.log10(floor), vmax=0, origin="lower",
                  cmap="inferno")
    else:
        ax.imshow((np.maximum(image, 0) / peak) ** (0.5 if root else 1), vmin=0, vmax=1, origin="lower",
                  cmap="inferno")


def label(ax, text: str) -> None:
    """Write into the upper left corner of an image."""
    ax.text(0.03, 0.96, text, transform=ax.transAxes, color="white", fontsize=7.5, va="top")


def first_wcs(size: int):
    """Return the grid of the demo: FIRST's pixel at 12h +30d."""
    return skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)


def draw(n: int, seed: int, fr_class=None):
    """Return the model, a plan of ``n`` stamps, and the stamps as the decoder gives them."""
    model = skygal.load_model()
    keys = Seeds(seed).keys("latent", n)
    classes = np.where(np.arange(n) % 2 == 0, "FRI", "FRII") if fr_class is None else np.asarray(fr_class)
    plan = sample_latents(model, "prior", classes, keys)
    return model, plan, model.decode(plan.values, plan.fr_class, plan.extent, plan.bending)


@figure
def field():
    """The field of `make demo`."""
    import matplotlib.pyplot as plt

    found = skygal.simulate_field(first_wcs(1024), 300, survey="FIRST", seed=1, flux=3 * u.mJy, las="mirabest")
    fig = plt.figure(figsize=(8.4, 7.2))
    ax = found.plot(fig.add_subplot(projection=found.wcs))
    ax.coords[0].set_ticklabel(fontsize=8)
    ax.coords[1].set_ticklabel(fontsize=8)
    return fig


@figure
def population():
    """Counts, sizes and classes that are drawn, beside what they are drawn from."""
    import matplotlib.pyplot as plt

    counts = read_counts()
    sources = sample_population(first_wcs(4096), n_sources=20000, seeds=Seeds(1), frequency=1.4 * u.GHz,
                                fr_mix="survey")
    s = sources["flux"].to_value(u.Jy)
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
    left.loglog(counts.flux, counts.counts, "k.-", lw=0.8, ms=4, label="table, interpolated")
    edges = np.geomspace(1e-3, 10, 25)
    number, _ = np.histogram(s, edges)
    mid, n_sr = np.sqrt(edges[1:] * edges[:-1]), counts.number(1 * u.mJy).value
    good = number > 4
    rate = number / np.diff(edges) * n_sr / s.size * mid**2.5
    left.errorbar(mid[good], rate[good], (rate / np.sqrt(np.maximum(number, 1)))[good], fmt="s", ms=3.5, color="C3",
                  lw=0.8, label="20000 drawn above 1 mJy")
    left.set(xlabel="flux at 1.4 GHz (Jy)", ylabel=r"$S^{2.5}\,dN/dS$ (Jy$^{1.5}$ sr$^{-1}$)")
    left.legend(fontsize=7.5, frameon=False)
    las = sources["las"].to_value(u.arcsec)
    flux = np.geomspace(1e-3, 3, 50)
    middle.loglog(s[:3000], las[:3000], ".", ms=2, color="0.5", alpha=0.35)
    relations = [(WindhorstSizes(), "FRI", "k", "all sources (the default)")]
    relations += [(MiraBestSizes(), name, colour, f"{name}, classifiable") for name, colour in COLOURS.items()]
    for relation, name, colour, text in relations:
        for p, style in ((0.1587, ":"), (0.5, "-"), (0.8413, ":")):
            size = relation.sizes(np.full(50, p), flux, np.full(50, name))
            middle.loglog(flux, size, style, color=colour, lw=1.3, label=text if p == 0.5 else None)
    middle.set(xlabel="flux at 1.4 GHz (Jy)", ylabel="largest angular size (arcsec)", xlim=(1e-3, 3), ylim=(0.03, 2000))
    middle.legend(fontsize=6.5, frameon=False, loc="upper left")
    right.semilogx(flux, frii_fraction(flux * u.Jy), "k-", lw=1, label="relation")
    which, edges = np.asarray(sources["fr_class"]) == "FRII", np.geomspace(1e-3, 1, 13)
    k = np.digitize(s, edges) - 1
    part = [which[k == i].mean() for i in range(12)]
    right.plot(np.sqrt(edges[1:] * edges[:-1]), part, "s", ms=3.5, color="C3", label="drawn, fr_mix=\"survey\"")
    right.axhline(0.5, color="0.6", lw=0.8, ls="--", label="balanced (the default)")
    right.set(xlabel="flux at 1.4 GHz (Jy)", ylabel="share of FRII", ylim=(0, 1))
    right.legend(fontsize=7.5, frameon=False, loc="lower right")
    return fig


@figure
def latents():
    """The same latents in both classes, and a walk between two places."""
    model = skygal.load_model()
    n = 7
    keys = np.repeat(Seeds(4).keys("latent", n), 2)
    classes = np.tile(["FRI", "FRII"], n)
    values = sample_latent_values("pairs", keys, model.latent_dim)
    extent = np.full(2 * n, 18.0)
    pairs = clip_stamps(model.decode(values, classes, extent), beam_fwhm=3.0)
    share = np.linspace(0, 1, n)[:, None] * np.pi / 2
    walk = np.cos(share) * values[0] + np.sin(share) * values[2]
    third = clip_stamps(model.decode(walk, np.full(n, "FRII"), np.full(n, 18.0)), beam_fwhm=3.0)
    sizes = np.geomspace(7, 32, n)
    fourth = clip_stamps(model.decode(np.repeat(values[:1], n, axis=0), np.full(n, "FRII"), sizes), beam_fwhm=3.0)
    bendings = np.radians(np.linspace(0, 60, n))
    fifth = clip_stamps(model.decode(np.repeat(values[:1], n, axis=0), np.full(n, "FRI"), np.full(n, 22.0), bendings),
                        beam_fwhm=3.0)
    fig, axes = grid(5, n, 1.45, aspect=52 / 90)
    for row, (text, images) in enumerate((("FRI", pairs[::2]), ("FRII", pairs[1::2]), ("between two", third),
                                          ("extent", fourth), ("bending", fifth))):
        for ax, image in zip(axes[row], images, strict=True):
            show(ax, image[14:66, 27:117], root=True)
        axes[row, 0].set_ylabel(text, fontsize=8)
    for ax, size in zip(axes[3], sizes, strict=True):
        label(ax, f'{size:.0f}"')
    for ax, angle in zip(axes[4], np.degrees(bendings), strict=True):
        label(ax, f"{angle:.0f} deg")
    return fig


@figure
def decode():
    """What the decoder puts out, linear and on a logarithmic scale."""
    _, plan, raw = draw(6, 11)
    fig, axes = grid(2, 6, 1.75, aspect=80 / 144)
    for k, image in enumerate(raw):
        show(axes[0, k], image)
        show(axes[1, k], image, log=True)
        label(axes[0, k], f'{plan.fr_class[k]}, {plan.extent[k]:.0f}"')
    axes[0, 0].set_ylabel("linear", fontsize=8)
    axes[1, 0].set_ylabel("log, 5 decades", fontsize=8)
    return fig


@figure
def clip():
    """The same stamps before and after the clip, on a logarithmic scale."""
    _, _, raw = draw(6, 11)
    done = clip_stamps(raw, 3.0, beam_fwhm=3.0)
    level, scatter = noise_floor(raw)
    fig, axes = grid(2, 6, 1.75, aspect=80 / 144)
    for k, (before, after) in enumerate(zip(raw, done, strict=True)):
        show(axes[0, k], before, log=True)
        axes[0, k].contour(before, [level[k] + 3 * scatter[k]], colors="#7fe0ff", linewidths=0.6)
        show(axes[1, k], after, log=True, peak=float(before.max()))
        label(axes[1, k], f"{100 * (1 - after.sum() / before.sum()):.1f} % of the sum cut")
    axes[0, 0].set_ylabel("before", fontsize=8)
    axes[1, 0].set_ylabel("after", fontsize=8)
    return fig


@figure
def measure():
    """Everything that is measured, drawn on the stamp that it was measured on."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse

    found = skygal.sample_stamps(200, seed=2)
    part = [k for k in range(200) if 30 * u.arcsec < found.table["las"][k] < 160 * u.arcsec]
    many = np.asarray(found.table["n_components"])
    chosen = [next(k for k in part if many[k] == c and found.table["fr_class"][k] == name)
              for c, name in ((1, "FRI"), (2, "FRII"), (3, "FRI"), (3, "FRII"))]
    stamps = found.images[chosen]
    shapes, parts = measure_stamps(stamps, beam_fwhm=3.0)
    fig, axes = grid(1, 4, 2.7, top=0.45)
    for k, ax in enumerate(axes[0]):
        show(ax, stamps[k], root=True)
        cx, cy = shapes.centre[k]
        half = 0.85 * shapes.las[k] + 6
        ax.set(xlim=(cx - half, cx + half), ylim=(cy - half, cy + half))
        peak = stamps[k].max()
        ax.contour(stamps[k], [ISOPHOTE * peak], colors="#7fe0ff", linewidths=0.8)
        a, b = _far_ends(stamps[k], ISOPHOTE * peak)
        ax.plot([a[0], b[0]], [a[1], b[1]], color="#7fe0ff", lw=0.8, ls="--")
        ax.add_patch(Ellipse((cx, cy), shapes.b_maj[k], shapes.b_min[k], angle=shapes.pa[k] + 90, fill=False,
                             color="white", lw=0.9))
        ax.plot(cx, cy, "+", color="white", ms=8)
        mine = parts.stamp == k
        ax.plot(*parts.centre[mine].T, "o", mfc="none", color="#9dff6f", ms=6, mew=1)
        if shapes.core_frac[k] > 0:
            ax.plot(*shapes.core[k], "x", color="#ff4fd8", ms=6)
        core = f"{shapes.core_frac[k]:.2f}" if shapes.core_frac[k] > 0 else "none"
        name = found.table["fr_class"][chosen[k]]
        label(ax, f"{name}  LAS {shapes.las[k] * 1.8:.0f}\"  PA {round(shapes.pa[k]) % 180}\N{DEGREE SIGN}\n"
                  f'axes {shapes.b_maj[k] * 1.8:.0f}" x {shapes.b_min[k] * 1.8:.0f}"\n'
                  f"components {shapes.n_components[k]}, core fraction {core}")
    fig.legend([Line2D([], [], color="#35a8cc"), Line2D([], [], color="#35a8cc", ls="--"),
                Line2D([], [], color="0.4", marker="o", mfc="none", ls="none", ms=9),
                Line2D([], [], color="0.4", marker="+", ls="none", ms=8),
                Line2D([], [], color="#e030b8", marker="x", ls="none"),
                Line2D([], [], color="#4fae20", marker="o", mfc="none", ls="none", ms=6)],
               ["isophote at 5 % of the peak", "LAS", "b_maj, b_min, pa", "centre", "core", "components"],
               loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return fig


def _far_ends(stamp: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the two points of an isophote that are farthest apart."""
    y, x = np.nonzero(stamp > level)
    points = np.stack([x, y], axis=1).astype(float)
    best = max(((np.cos(t), np.sin(t)) for t in np.arange(0, np.pi, np.pi / 60)),
               key=lambda d: np.ptp(points @ np.array(d)))
    along = points @ np.array(best)
    return points[along.argmin()], points[along.argmax()]


@figure
def render():
    """One stamp at several angles, sizes and beams."""
    from matplotlib.patches import Ellipse
    from radio_beam import Beam

    model, plan, _ = draw(40, 5, np.full(40, "FRII"))
    # a stamp with a core, long enough for all sizes below
    batch = next(iter(make_stamps(model, plan, 3.0)))
    shapes = batch.shapes
    good = (shapes.las * model.pixel_scale > 90) & (shapes.n_components >= 3) & (shapes.core_frac > 0)
    k = int(np.flatnonzero(good)[0])
    size, wcs = 100, first_wcs(100)
    middle = np.full(2, (size - 1) / 2)
    jacobian = pixel_affine(wcs, *wcs.wcs_pix2world(*middle, 0))
    first = Beam(5.4 * u.arcsec)
    cases = [("PA 90, LAS 90\", beam 5.4\"", 90, 90, first), ("PA 30", 30, 90, first), ("PA 150", 150, 90, first),
             ("LAS 60\"", 90, 60, first), ("LAS 30\"", 90, 30, first),
             ("beam 15\"", 90, 90, Beam(15 * u.arcsec)),
             ("beam 20\" x 8\", PA 45", 90, 90, Beam(20 * u.arcsec, 8 * u.arcsec, 45 * u.deg)),
             ("LAS 10\", beam 15\"", 90, 10, Beam(15 * u.arcsec))]
    fig, axes = grid(2, 4, 2.2)
    for ax, (text, pa, las, beam) in zip(axes.flat, cases, strict=True):
        zoom = las / (shapes.las[k] * model.pixel_scale)
        affine = stamp_affines(jacobian, np.radians([pa - shapes.pa[k]]), np.array([zoom * model.pixel_scale]))[0]
        target = TargetBeam.from_beam(beam, jacobian[0])
        native = native_covariance(model.beam_fwhm / model.pixel_scale)
        kernel, _ = matching_kernel(affine, target.covariance, native)
        image = target.area * render_stamp(batch.stamps[k], shapes.centre[k], middle, affine, kernel, native,
                                           (size, size))
        show(ax, image, root=True)
        label(ax, f"{text}\nflux {image.sum() / target.area:.4f} Jy, peak {image.max():.3f} Jy/beam")
        ax.add_patch(Ellipse((14, 12), beam.major.to_value(u.arcsec) / 1.8, beam.minor.to_value(u.arcsec) / 1.8,
                             angle=beam.pa.to_value(u.deg) + 90, fc="0.75", ec="none"))
    return fig


@figure
def inject():
    """Model, noise and their sum, and the noise's autocorrelation beside the beam's."""
    wcs = first_wcs(256)
    done = skygal.simulate_field(wcs, 25, survey="FIRST", seed=6, flux=3 * u.mJy,
                                 las=MiraBestSizes(8 * u.arcsec, 100 * u.arcsec))
    noise = done.image - done.model
    fig, axes = grid(1, 4, 2.6)
    for ax, (text, image) in zip(axes[0], (("model", done.model), ("noise", noise), ("image", done.image)),
                                 strict=False):
        ax.imshow(np.arcsinh(image / 3e-4), vmin=-1, vmax=4, origin="lower", cmap="inferno")
        label(ax, text)
    wide = skygal.simulate_field(first_wcs(1024), 0, survey="FIRST", seed=6).image.astype(float)
    power = np.abs(np.fft.rfft2(wide)) ** 2
    acf = np.fft.irfft2(power)[0, :8] / np.fft.irfft2(power)[0, 0]
    ax, x = axes[0, 3], np.linspace(0, 7, 100)
    ax.plot(x, np.exp(-2 * np.log(2) * (x / 3) ** 2), "k-", lw=1, label="beam's (FWHM 3\u221a2 pixels)")
    ax.plot(np.arange(8), acf, "s", ms=4, color="C3", label="noise, 1024 x 1024 pixels")
    ax.set(xlabel="lag (pixels)", xticks=range(0, 8, 2), ylim=(-0.1, 1.4), yticks=[0, 0.5, 1])
    ax.set_title("autocorrelation", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.xaxis.label.set_size(8)
    ax.set_box_aspect(1)
    ax.legend(fontsize=6.5, frameon=False, loc="upper right")
    return fig


@figure
def truth():
    """A small field with the truth catalogue drawn over it, its components and its segmentation."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Ellipse, Rectangle

    done = skygal.simulate_field(first_wcs(200), 12, survey="FIRST", seed=8, flux=8 * u.mJy,
                                 las=(25 * u.arcsec, 90 * u.arcsec))
    fig, axes = grid(1, 3, 3.5)
    for ax, text in zip(axes[0], ("truth: centre, core, axes", "components, bounding boxes", "segmentation"),
                        strict=True):
        ax.set_title(text, fontsize=9)
        if ax is not axes[0, 2]:
            ax.imshow(np.arcsinh(done.image / 4e-4), vmin=-1, vmax=5, origin="lower", cmap="gray_r")
        ax.set(xlim=(-0.5, 199.5), ylim=(-0.5, 199.5))
    for row in done.truth:
        colour = COLOURS[row["fr_class"]]
        one, two = axes[0, 0], axes[0, 1]
        one.plot(row["x"], row["y"], "+", color=colour, ms=7)
        one.add_patch(Ellipse((row["x"], row["y"]), row["b_maj"].value / 1.8, row["b_min"].value / 1.8,
                              angle=row["pa"].value + 90, fill=False, color=colour, lw=1))
        if row["core_frac"] > 0:
            at = done.wcs.world_to_pixel_values(row["ra_core"].value, row["dec_core"].value)
            one.plot(*at, "x", color="#c01890", ms=5)
        if row["bbox_xmin"] >= 0:
            low = row["bbox_xmin"] - 0.5, row["bbox_ymin"] - 0.5
            two.add_patch(Rectangle(low, row["bbox_xmax"] - row["bbox_xmin"] + 1,
                                    row["bbox_ymax"] - row["bbox_ymin"] + 1, fill=False, color=colour, lw=0.9))
    for kind, mark in (("lobe", "o"), ("core", "x")):
        mine = done.components["kind"] == kind
        axes[0, 1].plot(done.components["x"][mine], done.components["y"][mine], mark, mfc="none", color="#c01890",
                        ms=4, ls="none")
    colours = np.random.default_rng(3).permutation(12)
    palette = ListedColormap(["white", *(f"C{k % 10}" for k in range(10)), "#333366", "#88aa33"])
    label_of = np.concatenate([[0], 1 + colours])
    axes[0, 2].imshow(label_of[done.segmentation], origin="lower", cmap=palette, vmin=-0.5, vmax=12.5,
                      interpolation="nearest")
    return fig


@figure
def sharp():
    """The same sources from 5 to 100 beams across."""
    from skygal.evaluation.sharp_table import draw_sources

    model, beams, decades = skygal.load_model("first-atlas"), (5, 12, 25, 50, 100), 3.5
    fig, axes = grid(6, len(beams), aspect=0.55)
    for column, across in enumerate(beams):
        for row, image in enumerate(draw_sources(model, 6, across, frii=0.5, seed=4)):
            half = round((0.42 * across + 1.2) * 4)
            wide, middle = np.pad(image, half), image.shape[0] // 2 + half
            part = wide[middle - half:middle + half, middle - round(1.85 * half):middle + round(1.85 * half)]
            axes[row, column].imshow(np.log10(np.maximum(part, 10**-decades)), origin="lower", cmap="inferno",
                                     vmin=-decades, vmax=0)
        axes[0, column].set_title(f"{across} beams across", fontsize=8)
    return fig


def sky_field(name: str, side: int, bins: int = 1):
    """Return a figure of what a survey sees of the whole sky, pixels averaged by so many."""
    import matplotlib.pyplot as plt

    survey = skygal.read_survey(name)
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", side, survey.pixel_scale)
    seen = skygal.simulate_field(wcs, survey=name, seed=12)
    pixels = seen.image.reshape(side // bins, bins, side // bins, bins).mean(axis=(1, 3))
    # averages have less noise, and how much less depends on the beam
    rms = survey.noise.to_value("Jy / beam") if bins == 1 else 1.4826 * np.median(np.abs(pixels - np.median(pixels)))
    shown = pixels.shape[0]
    fig, ax = plt.subplots(figsize=(shown / 100, shown / 100))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.imshow(np.arcsinh(pixels / (2 * rms)), vmin=-1, vmax=4, origin="lower", cmap="gray_r", interpolation="nearest")
    ax.axis("off")
    length = 10 * survey.beam.major.to_value("arcsec") / (bins * survey.pixel_scale.to_value("arcsec"))
    ax.plot([12, 12 + length], [12, 12], color="#d1602a", lw=2)
    found = seen.truth[seen.truth["snr"] >= 5]
    large = np.asarray(found["las"] > survey.beam.major)
    print(f"{name}: {side * survey.pixel_scale.to_value('arcmin'):.0f} arcmin, {len(seen.truth)} sources, "
          f"{len(found)} at 5 sigma, {100 * large.mean():.0f} % of them larger than the beam")
    return fig


@figure
def sky_nvss():
    """The whole sky as NVSS sees it."""
    return sky_field("NVSS", 400)


@figure
def sky_first():
    """The whole sky as FIRST sees it."""
    return sky_field("FIRST", 800, 2)


@figure
def sky_lotss():
    """The whole sky as LoTSS sees it."""
    return sky_field("LoTSS", 400)


@figure
def sky_vlass():
    """The whole sky as VLASS sees it."""
    return sky_field("VLASS", 1280, 4)


@figure
def sky_mightee():
    """The whole sky as MIGHTEE sees it."""
    return sky_field("MIGHTEE", 400)


def main(words: list[str] | None = None) -> None:
    """Make the figures that are named, or all."""
    import matplotlib

    matplotlib.use("Agg")
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    names = options.parse_args(words).names or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        options.error(f"NAME must be one of {', '.join(FIGURES)}, got {', '.join(unknown)}")
    warnings.simplefilter("ignore", UserWarning)
    matplotlib.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name in names:
        save(FIGURES[name](), name, 90 if name == "field" else 110)


if __name__ == "__main__":
    main()
