"""Tiles of fields for detectors: the same whoever asks for them, and targets that agree with the pixels."""

from __future__ import annotations

import multiprocessing
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy import units as u
from photutils.segmentation import SegmentationImage, SourceCatalog, detect_sources
from torch.utils.data import DataLoader

import skygal
from skygal.rendering.contributions import Contribution
from skygal.seeds import Seeds

pytestmark = pytest.mark.filterwarnings("ignore:.* sources (have stamps coarser|lie outside)")

ASKED = {"size": 96, "survey": "FIRST", "flux": "2 mJy", "las": "mirabest", "seed": 3}


@pytest.fixture(scope="module")
def fields():
    return skygal.SyntheticFields(40, 5, snr=0, deblended=True, **ASKED)


@pytest.fixture(scope="module")
def tiles(fields):
    return [fields[i] for i in range(8)]


def field_of(fields, index):
    """Return what `skygal.simulate_field` gives for a tile and its surroundings, and how wide these are."""
    frame, window, _ = fields._see()
    seeds = Seeds(int(Seeds(fields.seed).generator("field", index).integers(2**63)))
    n = len(fields._sample(seeds).galaxies)
    field = skygal.simulate_field(skygal.make_wcs("12h00m00s +30d00m00s", frame.shape, 1.8 * u.arcsec), n,
                                  survey="FIRST", flux="2 mJy", las="mirabest", seed=seeds.seed)
    return field, window[0]


def same(one, other):
    return torch.equal(one[0], other[0]) and one[1].keys() == other[1].keys() and all(
        torch.equal(one[1][key], other[1][key]) if torch.is_tensor(one[1][key]) else one[1][key] == other[1][key]
        for key in one[1])


class TestItems:
    def test_in_the_form_of_torchvision(self, fields, tiles):
        for index, (image, target) in enumerate(tiles):
            n = len(target["boxes"])
            assert image.shape == (1, 96, 96) and image.dtype == torch.float32 and target["image_id"] == index
            kinds = {"boxes": (torch.float32, (n, 4)), "labels": (torch.int64, (n,)),
                     "masks": (torch.uint8, (n, 96, 96)), "area": (torch.float32, (n,)),
                     "iscrowd": (torch.int64, (n,)), "deblended": (torch.float32, (n, 96, 96)),
                     "source_id": (torch.int64, (n,)), "flux": (torch.float32, (n,)), "snr": (torch.float32, (n,)),
                     "others": (torch.float32, (96, 96))}
            assert {key: (value.dtype, tuple(value.shape)) for key, value in target.items()
                    if key != "image_id"} == kinds
            assert set(target["labels"].tolist()) <= {fields.class_to_idx["FRI"], fields.class_to_idx["FRII"]}
            x0, y0, x1, y1 = target["boxes"].T
            assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 > x0).all() and (y1 > y0).all()
            assert (x1 <= 96).all() and (y1 <= 96).all()
        assert sum(len(target["boxes"]) for _, target in tiles) > 20

    def test_a_tile_without_sources(self):
        empty = skygal.SyntheticFields(2, 0, **ASKED)
        image, target = empty[0]
        assert target["boxes"].shape == (0, 4) and target["masks"].shape == (0, 96, 96)
        assert float(image.std()) == pytest.approx(empty.noise, rel=0.1)

    def test_an_item_depends_on_seed_and_number_alone(self, fields, tiles):
        longer = skygal.SyntheticFields(1000, 5, snr=0, deblended=True, **ASKED)
        assert all(same(longer[i], tiles[i]) for i in (5, 0, 3))
        assert same(fields[-1], fields[39]) and not torch.equal(tiles[0][0], tiles[1][0])
        assert same(pickle.loads(pickle.dumps(fields))[2], tiles[2])
        other = skygal.SyntheticFields(40, 5, **{**ASKED, "seed": 4})
        assert not torch.equal(other[0][0], tiles[0][0])

    @pytest.mark.parametrize(("start", "workers", "batch"), [
        ("fork", 2, 3), pytest.param("spawn", 1, 2, marks=pytest.mark.slow)])
    def test_workers_and_batches_do_not_matter(self, fields, tiles, start, workers, batch):
        loader = DataLoader(fields, batch_size=batch, sampler=[4, 1, 6, 2], num_workers=workers, collate_fn=list,
                            multiprocessing_context=multiprocessing.get_context(start))
        found = [item for items in loader for item in items]
        assert all(same(item, tiles[i]) for i, item in zip([4, 1, 6, 2], found, strict=True))

    def test_transforms_see_both(self):
        turned = skygal.SyntheticFields(3, 5, transforms=lambda image, target: (image.flip(2), len(target["boxes"])),
                                        **ASKED)
        plain = skygal.SyntheticFields(3, 5, **ASKED)
        image, n = turned[1]
        assert torch.equal(image.flip(2), plain[1][0]) and n == len(plain[1][1]["boxes"])

    def test_the_number_is_that_of_sources_centred_in_a_tile(self, fields):
        frame, (y0, y1, x0, x1), _ = fields._see()
        many = skygal.SyntheticFields(30, 20, **ASKED)
        centred = 0
        for index in range(30):
            table = many._sample(Seeds(index)).galaxies.population
            x, y = frame.wcs.all_world2pix(table["ra"].to_value(u.deg), table["dec"].to_value(u.deg), 0)
            centred += int(((x > x0 - 0.5) & (x < x1 - 0.5) & (y > y0 - 0.5) & (y < y1 - 0.5)).sum())
        # 600 with a Poisson error of 24
        assert abs(centred - 600) < 4 * 24.5


class TestTargets:
    @pytest.mark.parametrize("index", [0, 3, 5])
    def test_a_tile_is_a_piece_of_a_field(self, fields, tiles, index):
        field, edge = field_of(fields, index)
        image, target = tiles[index]
        inner = (slice(edge, edge + 96),) * 2
        assert np.array_equal(image[0].numpy(), field.image[inner])
        deblended, masks = target["deblended"].numpy(), target["masks"].numpy().astype(bool)
        # together they are the model, but for the wings of sources that have no pixel here
        rest, told = field.model[inner] - deblended.sum(axis=0), set(target["source_id"].tolist())
        np.testing.assert_allclose(rest, target["others"], atol=1e-9)
        peaks = np.array([row["peak_flux"].value for row in field.truth if row["source_id"] not in told])
        assert -1e-8 < rest.min() and rest.max() < np.maximum(0.01 * peaks, fields.noise).max() + 1e-8
        # where one is above its limit, one is labelled
        labels = field.segmentation[inner]
        assert np.array_equal(masks.any(axis=0), labels != 0)
        brightest = target["source_id"].numpy()[np.where(masks, deblended, -1).argmax(axis=0)]
        assert np.array_equal(np.where(labels != 0, brightest, 0), labels)
        truth = {row["source_id"]: row for row in field.truth}
        for k, number in enumerate(target["source_id"].tolist()):
            row = truth[number]
            assert fields.classes[target["labels"][k]] == row["fr_class"]
            ends = np.array([row[f"bbox_{end}"] for end in ("xmin", "ymin", "xmax", "ymax")]) - edge + [0, 0, 1, 1]
            box = target["boxes"][k].numpy()
            # what is cut off may have been the widest part
            assert (box[:2] >= ends[:2]).all() and (box[2:] <= ends[2:]).all()
            if (ends >= 0).all() and (ends <= 96).all():
                assert box.tolist() == ends.tolist()
                assert float(target["snr"][k]) == pytest.approx(float(row["snr"]), rel=1e-4)

    def test_sources_centred_beyond_the_border_reach_in(self, fields, tiles):
        reach_in = 0
        for index in range(4):
            field, edge = field_of(fields, index)
            place = {row["source_id"]: (row["x"] - edge, row["y"] - edge) for row in field.truth}
            for box, number in zip(tiles[index][1]["boxes"].tolist(), tiles[index][1]["source_id"].tolist(),
                                   strict=True):
                if not all(-0.5 < at < 95.5 for at in place[number]):
                    reach_in += 1
                    assert 0 in box[:2] or 96 in box[2:]
        assert reach_in

    def test_boxes_areas_and_fluxes_as_photutils_has_them(self, fields, tiles):
        area = fields._see().frame.beam.area
        for _, target in tiles[:4]:
            for k, mask in enumerate(target["masks"].numpy()):
                data = target["deblended"][k].numpy().astype(float)
                found = SourceCatalog(data, SegmentationImage(mask.astype(int)))
                assert target["boxes"][k].tolist() == [found.bbox_xmin[0], found.bbox_ymin[0], found.bbox_xmax[0] + 1,
                                                       found.bbox_ymax[0] + 1]
                assert float(target["area"][k]) == found.area[0].value
                # what is below the limit is flux, but not mask
                assert 0.5 < found.segment_flux[0] / area / float(target["flux"][k]) <= 1.0001

    def test_photutils_finds_the_mask_of_a_lonely_source(self):
        # two fields of one seed, with noise and without, where a tile has one source and none beyond its border
        asked = {**ASKED, "margin": 0 * u.arcsec, "snr": 0}
        lonely = skygal.SyntheticFields(60, 1, **asked)
        quiet = skygal.SyntheticFields(60, 1, **asked | {"noise": False})
        seen = 0
        for index in range(12):
            target, image = lonely[index][1], quiet[index][0][0].numpy()
            if len(target["boxes"]) != 1 or len(quiet[index][1]["boxes"]) != 1:
                continue
            found = detect_sources(image, max(lonely.noise, 0.01 * float(image.max())), n_pixels=1, connectivity=8)
            assert np.array_equal(found.data > 0, target["masks"][0].numpy().astype(bool))
            seen += 1
        assert seen >= 3

    def test_whole_sources_hold_their_footprints(self, fields, tiles):
        whole = skygal.SyntheticFields(40, 5, snr=0, masks="whole", **ASKED)
        grown = 0
        for index in range(3):
            wide = whole[index][1]
            wide = dict(zip(wide["source_id"].tolist(), wide["masks"], strict=True))
            narrow = tiles[index][1]
            for number, mask in zip(narrow["source_id"].tolist(), narrow["masks"], strict=True):
                assert not (mask > wide[number]).any()
                grown += int((wide[number] > mask).sum())
        assert grown

    def test_faint_sources_are_in_the_image_alone(self, tiles):
        bright = skygal.SyntheticFields(40, 5, snr=30, **ASKED)
        left_out = 0
        for index in range(4):
            (image, target), (_, every) = bright[index], tiles[index]
            assert torch.equal(image, tiles[index][0]) and "deblended" not in target
            assert target["source_id"].tolist() == every["source_id"][every["snr"] >= 30].tolist()
            left_out += len(every["boxes"]) - len(target["boxes"])
        assert left_out


class TestTheWholeSky:
    def test_parts_of_a_source_are_one(self):
        asked = {"beam": "1 arcsec", "noise": "10 uJy", "sky": "default", "flux": "3 mJy", "seed": 2}
        fields = skygal.SyntheticFields(3, 40, size=256, pixel_scale=0.3 * u.arcsec, margin=5 * u.arcsec, snr=0,
                                        deblended=True, **asked)
        assert fields.classes == ("background", "SFG", "RQ-AGN", "FR0", "FRI", "FRII")
        frame, (y0, y1, x0, x1), _ = fields._see()
        image, target = fields[1]
        seeds = Seeds(int(Seeds(2).generator("field", 1).integers(2**63)))
        n = int(seeds.generator("number of sources").poisson(40 * (frame.shape[0] / 256) ** 2))
        field = skygal.simulate_field(skygal.make_wcs("12h00m00s +30d00m00s", frame.shape, fields._pixel_scale
                                                      * u.arcsec), n, **{**asked, "seed": seeds.seed})
        np.testing.assert_allclose(image[0].numpy(), field.image[y0:y1, x0:x1], rtol=0, atol=1e-9)
        rest = field.model[y0:y1, x0:x1] - target["deblended"].sum(0).numpy()
        np.testing.assert_allclose(rest, target["others"], atol=1e-9)
        assert np.abs(rest).max() < 0.01 * field.truth["peak_flux"].value.max()
        parents = np.asarray(field.truth["parent_id"])
        assert len(np.unique(parents)) < len(parents)
        kinds = dict(zip(parents.tolist(), field.truth["population"], strict=True))
        ids = target["source_id"].tolist()
        assert len(set(ids)) == len(ids) and set(ids) <= set(parents.tolist())
        assert [fields.classes[label] for label in target["labels"]] == [kinds[number] for number in ids]
        # its pixels are those of any of its parts, as far as these are not under 1 % of the peak of all together
        labels, parts = field.segmentation[y0:y1, x0:x1], np.asarray(field.truth["source_id"])
        several = 0
        for k, number in enumerate(ids):
            own, seen = parts[parents == number], target["deblended"][k].numpy()
            mask, mine = target["masks"][k].numpy() == 1, np.isin(labels, own)
            assert (labels[mask] != 0).all() and (mask[mine].all() or own.size > 1)
            assert (seen[mine & ~mask] <= 0.01 * field.truth["peak_flux"][parents == number].value.sum()).all()
            several += own.size > 1
        assert several
        assert len(set(target["labels"].tolist())) >= 3


class TestContributions:
    def test_parts_add_up(self):
        one, other = Contribution(2, 1, np.ones((2, 3), np.float32)), Contribution(4, 2, np.full((2, 2), 2, np.float32))
        both = Contribution.join([one, other])
        window = 0, 5, 0, 7
        assert np.array_equal(both.within(window), one.within(window) + other.within(window))
        assert np.array_equal(both.within((2, 3, 4, 9)), [[3, 2, 0, 0, 0]])
        assert not both.meets((5, 9, 0, 7)) and both.meets((3, 4, 5, 6))

    @pytest.mark.parametrize(("rms", "limit"), [(0, 0.02), (0.3, 0.3), (5, 1)])
    def test_limits(self, rms, limit):
        assert Contribution(0, 0, np.array([[2.0, 1.0]])).limit(rms) == pytest.approx(limit)


@pytest.mark.parametrize(("given", "error", "said"), [
    ({"nois": 1}, TypeError, "SyntheticFields has no argument 'nois' .did you mean 'noise'"),
    ({"n": 0}, ValueError, "n must be at least 1"), ({"size": 4}, ValueError, "size must be at least 16"),
    ({"masks": "all"}, ValueError, "masks must be one of"), ({"snr": -1}, ValueError, "snr must be"),
    ({"n_sources": -1}, ValueError, "n_sources must be"), ({"latents": "pairs"}, ValueError, "latents must be"),
    ({"survey": "NOVA"}, ValueError, "NOVA"), ({"survey": 3}, TypeError, "survey must be a name"),
    ({"noise": np.ones((9, 9))}, (TypeError, ValueError), "noise"), ({"fr_mix": {"FRI": 2.0}}, ValueError, "fr_mix"),
    ({"margin": -1 * u.arcsec}, ValueError, "margin must be"), ({"flux": "3 Mpc"}, ValueError, "flux"),
    ({"table": "x.fits"}, TypeError, "no argument 'table'")])
def test_what_is_not_allowed(given, error, said):
    given = {**ASKED, "n": 10, "n_sources": 5, **given}
    with pytest.raises(error, match=said):
        skygal.SyntheticFields(given.pop("n"), given.pop("n_sources"), **given)


def test_indices_end(fields):
    with pytest.raises(IndexError, match="index must be between -40 and 39, got 40"):
        fields[40]


@pytest.mark.slow
def test_a_small_detector_learns(tmp_path):
    """The worked example of the documentation: in a process of its own, with the workers that it asks for."""
    page = Path(__file__).parents[1] / "docs" / "detectors.rst"
    code, = re.findall(r"^\.\. code-block:: python3\n((?:   .*\n|\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    first, last, recall, bright, precision = map(float, re.search(
        r"loss ([\d.]+) to ([\d.]+), recall ([\d.]+) of (\d+), precision ([\d.]+)", done.stdout).groups())
    assert last < 0.6 * first and recall > 0.85 and bright > 50 and precision > 0.8
