"""Readers: every published layout, and what is wrong with a file said plainly."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from training_stamps import stamps, write_batch, write_npz

from skygal.training.data import image_files
from skygal.training.data.cifar_batches import load_plain_pickle
from skygal.training.data.cutouts import join_cutouts
from skygal.training.data.image_files import measure_rms, parse_name
from skygal.training.data.readers import read_stamps


def write_fits(path, image, **header):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(image, fits.Header(header)).writeto(path)
    return path


def write_archive(path, names, inner=True):
    from PIL import Image

    images, _ = stamps(len(names))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for image, name in zip(images, names, strict=True):
            png = io.BytesIO()
            Image.fromarray(np.clip(image * 255, 0, 255).astype(np.uint8)).save(png, "PNG")
            for folder in ("all", "train"):
                archive.writestr(f"galaxy_data/{folder}/FRI/{name}", png.getvalue())
    if not inner:
        path.write_bytes(data.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as outer:
            outer.writestr("firstgalaxydata/galaxy_data.zip", data.getvalue())
    return path


class TestArrays:
    def test_simple_layout(self, tmp_path):
        read = read_stamps(write_npz(tmp_path / "a.npz", 6, las=np.full(6, 20.0), name=np.array(list("abcdef"))))
        images, labels = stamps(6, size=48)
        assert len(read) == 6 and read.skipped == 0
        assert read.fr_class.tolist() == [("FRI", "FRII")[label] for label in labels]
        np.testing.assert_array_equal(read.images[3], images[3])
        assert (read.las == 20).all() and (read.rms == 0.01).all() and read.name[1] == "b"
        assert np.isnan(read.pixel_scale).all()

    def test_class_names(self, tmp_path):
        names = np.array(["FRI", "frii", "Bent", "compact", "hybrid", "FRI"])
        read = read_stamps(write_npz(tmp_path / "a.npz", 6, label=None, fr_class=names))
        assert read.fr_class.tolist() == ["FRI", "FRII", "bent", "compact", "hybrid", "FRI"]

    def test_morphology(self, tmp_path):
        read = read_stamps(write_npz(tmp_path / "a.npz", 4, label=np.arange(4)))
        assert read.morphology.tolist() == ["", "", "", "bent"]
        given = np.array(["head-tail", "", "bent", "double-double"])
        assert read_stamps(write_npz(tmp_path / "b.npz", 4, morphology=given)).morphology.tolist() == given.tolist()

    def test_mirabest_layout(self, tmp_path):
        images = np.full((3, 20, 20), 100, np.int16)
        images[0, :3] = -32768
        images[:, 9:12, 9:12] = 200
        np.savez(tmp_path / "m.npz", image=images, scale=np.full(3, 1e-5, np.float32),
                 label=np.array([104, 210, 300], np.int16))
        read = read_stamps(tmp_path / "m.npz")
        assert read.fr_class.tolist() == ["FRI", "FRII", "hybrid"] and read.morphology.tolist() == ["head-tail", "", ""]
        assert np.isnan(read.images[0][:3]).all() and read.images[0][5, 5] == pytest.approx(1e-3)

    def test_frdeep_layout(self, tmp_path):
        images, labels = stamps(6)
        np.savez(tmp_path / "f.npz", train_image=images[:4], train_label=labels[:4], test_image=images[4:],
                 test_label=labels[4:], train_name=np.array(list("abcd")), test_name=np.array(list("ef")))
        assert read_stamps(tmp_path / "f.npz").name.tolist() == list("abcdef")

    def test_catalogue_is_part_of_the_name(self, tmp_path):
        read = read_stamps(write_npz(tmp_path / "a.npz", 2, source=np.array(["Gendre", "MiraBest"])))
        assert read.name.tolist() == ["Gendre 0", "MiraBest 1"]

    def test_stamps_that_show_nothing_are_counted(self, tmp_path):
        images, _ = stamps(6)
        images[0], images[2], images[4], images[5] = -1, 0, np.nan, 7
        with pytest.warns(UserWarning, match="stamps '.*a.npz': 4 of 6 cutouts are left out, since they are blank"):
            read = read_stamps(write_npz(tmp_path / "a.npz", 6, image=images))
        assert len(read) == 2 and read.skipped == 4

    def test_some_pixels_may_be_missing(self, tmp_path):
        images, _ = stamps(2)
        images[0, :5], images[1, 0, 0] = np.nan, np.inf
        assert len(read_stamps(write_npz(tmp_path / "a.npz", 2, image=images))) == 2

    def test_whole_numbers_stay(self, tmp_path):
        image = (stamps(2)[0] * 200).clip(0).astype(np.uint8)
        assert read_stamps(write_npz(tmp_path / "a.npz", 2, image=image)).images[0].dtype == np.uint8

    @pytest.mark.parametrize("change, message", [
        ({"image": None}, "must hold 'image' and 'label' or 'fr_class', got"),
        ({"image": np.zeros((6, 400))}, r"'image' in '.*' must have shape \(n, ny, nx\), got \(6, 400\)"),
        ({"image": np.full((6, 4, 4), "a")}, "'image' in '.*' must hold real numbers, got <U1"),
        ({"image": np.ones((6, 4, 4), complex)}, "'image' in '.*' must hold real numbers, got complex128"),
        ({"ra": np.full(6, "12h")}, "'ra' in '.*' must hold real numbers, got <U3"),
        ({"label": np.full(6, 0.5)}, "labels in '.*' must be one of fri, .*, got 0.5"),
        ({"label": np.array([0, 1, -1, 0, 1, 0])}, "labels in '.*' must be one of 0, 1, 2, 3, got -1"),
        ({"label": np.zeros(5, int)}, r"'labels' in '.*' must have shape \(6,\), got \(5,\)"),
        ({"rms": np.ones(2)}, r"'rms' in '.*' must have shape \(6,\), got \(2,\)"),
        ({"label": np.full(6, 7)}, "labels in '.*' must be one of 0, 1, 2, 3, got 7"),
        ({"label": np.full(6, 999)}, "labels in '.*' must be one of 100, 102, .*, got 999"),
        ({"label": None, "fr_class": np.full(6, "FR3")}, "labels in '.*' must be one of fri, .*, got FR3"),
        ({"morphology": np.full(6, "curly")}, "'morphology' in '.*' must be one of '', 'bent', .*, got 'curly'"),
    ])
    def test_refuses(self, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            read_stamps(write_npz(tmp_path / "a.npz", 6, **change))

    def test_damaged(self, tmp_path):
        path = write_npz(tmp_path / "a.npz", 6)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match="cannot be read as an NPZ file of plain arrays"):
            read_stamps(path)

    def test_objects(self, tmp_path):
        np.savez(tmp_path / "a.npz", image=np.array([{}]), label=np.zeros(1, int))
        with pytest.raises(ValueError, match="cannot be read as an NPZ file of plain arrays"):
            read_stamps(tmp_path / "a.npz")


class TestBatches:
    def test_folder(self, tmp_path):
        write_batch(tmp_path / "data_batch_1", 6)
        write_batch(tmp_path / "test_batch", 4)
        (tmp_path / "batches.meta").write_bytes(b"x")
        read = read_stamps(tmp_path)
        assert len(read) == 10 and read.images[0].shape == (64, 64) and np.isnan(read.rms).all()
        assert read.fr_class[:2].tolist() == ["FRI", "FRII"] and read.name[0] == "0.png"

    def test_a_batch_is_missing(self, tmp_path):
        for number in (1, 2, 4):
            write_batch(tmp_path / f"data_batch_{number}", 2)
        with pytest.raises(FileNotFoundError, match="stamps '.*' lack data_batch_3, though there is data_batch_4"):
            read_stamps(tmp_path)

    def test_batches_of_different_shapes(self, tmp_path):
        write_batch(tmp_path / "data_batch_1", 2)
        images = [np.arange(900, dtype=np.uint16) % 250] * 2
        write_batch(tmp_path / "test_batch", 2, data=images)
        with pytest.raises(ValueError, match=r"'.*test_batch' must have the shape of data_batch_1's, \(64, 64\), got "
                           r"\(30, 30\)"):
            read_stamps(tmp_path)

    def test_blank_images_are_counted(self, tmp_path):
        write_batch(tmp_path / "data_batch_1", 3, data=[np.zeros(4096, np.uint8), *[np.arange(4096) % 200] * 2])
        with pytest.warns(UserWarning, match="1 of 3 cutouts are left out"):
            assert read_stamps(tmp_path).skipped == 1

    def test_array_data_and_names(self, tmp_path):
        images, _ = stamps(2)
        names = [b"100_010.451-009.284_0.0529_0080.60.png", b"other"]
        path = write_batch(tmp_path / "test_batch", 2, data=(images.reshape(2, -1) * 255).clip(0).astype(np.uint8),
                           labels=np.array([100, 210]), filenames=names)
        read = read_stamps(path)
        assert read.fr_class.tolist() == ["FRI", "FRII"]
        assert (read.ra[0], read.dec[0], read.las[0]) == (10.451, -9.284, 80.6) and np.isnan(read.ra[1])

    @pytest.mark.parametrize("entries, message", [
        ({"labels": None}, "must hold 'data' and 'labels', got"),
        ({"labels": [0, 1]}, "must hold square images and a label for each"),
        ({"data": [np.zeros(10, np.uint8)] * 6}, "must hold square images and a label for each"),
        ({"data": [np.zeros(9, np.uint8)] * 5 + [np.zeros(4, np.uint8)]}, "must hold rows of numbers of one length"),
        ({"data": [["a"]] * 6}, "must hold rows of numbers of one length"),
        ({"labels": [0, 1, 12, 0, 1, 0]}, "labels in '.*' must be one of 0, 1, .*, 9, got 12"),
        ({"labels": [0, -1, 1, 0, 1, 0]}, "labels in '.*' must be one of 0, 1, got -1"),
        ({"labels": [0, 1, 3, 0, 1, 0]}, "must be told by a batches.meta .* names that begin with .*, got label 3"),
        ({"labels": [5, 1, 1, 0, 1, 0], "filenames": ["999_1.0+2.0_0.1_10.0.png"] * 6}, "must be one of 100, .*999"),
        ({"labels": [0, 1, 1, 0, 1, 0], "filenames": ["200_1.0+2.0_0.1_10.0.png"] * 2 + ["a.png"] * 4},
         "must be told by a batches.meta"),
    ])
    def test_refuses(self, tmp_path, entries, message):
        with pytest.raises(ValueError, match=message):
            read_stamps(write_batch(tmp_path / "test_batch", 6, **entries))

    #: of MiraBest's ten labels, in their order
    TEN = ("100", "102", "104", "110", "112", "200", "201", "210", "300", "310")
    CLASSES = ["FRI"] * 5 + ["FRII"] * 3 + ["hybrid"] * 2
    MORPHOLOGIES = ["", "wide-angle tail", "head-tail", "", "wide-angle tail", "", "double-double", "", "", ""]

    def test_labels_of_mirabest(self, tmp_path):
        read = read_stamps(write_batch(tmp_path / "data_batch_1", 10, labels=list(range(10))))
        assert read.fr_class.tolist() == self.CLASSES and read.morphology.tolist() == self.MORPHOLOGIES

    def test_names_of_mirabest(self, tmp_path):
        """They come with the folder that the batch was made from, and win over the labels."""
        names = [f"./MiraBest_data/{label}_010.451-009.284_0.0529_0080.60.png" for label in self.TEN]
        read = read_stamps(write_batch(tmp_path / "data_batch_1", 10, labels=[0] * 10, filenames=names))
        assert read.fr_class.tolist() == self.CLASSES and read.morphology.tolist() == self.MORPHOLOGIES
        assert (read.ra == 10.451).all() and (read.las == 80.6).all()

    def test_some_names_of_mirabest(self, tmp_path):
        names = ["112_010.451-009.284_0.0529_0080.60.png", "other"]
        read = read_stamps(write_batch(tmp_path / "data_batch_1", 2, labels=[4, 1], filenames=names))
        assert read.fr_class.tolist() == ["FRI", "FRI"]

    @pytest.mark.parametrize("label_names, labels, classes", [
        (TEN, [1, 2, 3, 0], ["FRI"] * 4), ([b"100", b"200"], [0, 1, 1, 0], ["FRI", "FRII", "FRII", "FRI"]),
        (["FRI", "FRII"], [0, 1, 1, 0], ["FRI", "FRII", "FRII", "FRI"]),
        (["FRI", "FRII", "compact", "bent"], [3, 1, 2, 0], ["bent", "FRII", "compact", "FRI"])])
    def test_label_names(self, tmp_path, label_names, labels, classes):
        path = write_batch(tmp_path / "data_batch_1", 4, labels=labels)
        (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": list(label_names), "num_vis": 22500}))
        assert read_stamps(path).fr_class.tolist() == classes
        assert read_stamps(tmp_path).fr_class.tolist() == classes

    def test_foreign_label_names(self, tmp_path):
        path = write_batch(tmp_path / "data_batch_1", 4)
        (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "truck"]}))
        with pytest.raises(ValueError, match="labels in batches.meta of '.*' must be one of fri, .*, got airplane"):
            read_stamps(path)

    @pytest.mark.parametrize("keep", [0, 10, 5000])
    def test_truncated(self, tmp_path, keep):
        path = write_batch(tmp_path / "test_batch", 6)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match="cannot be read as a batch: is no whole pickle"):
            read_stamps(path)

    def test_not_a_dict(self, tmp_path):
        (tmp_path / "test_batch").write_bytes(pickle.dumps([1, 2]))
        with pytest.raises(ValueError, match="must hold a dict, got list"):
            read_stamps(tmp_path / "test_batch")


class Runs:
    """Pickled, it would write a file when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class TestPlainPickles:
    @pytest.mark.parametrize("protocol", range(6))
    def test_plain_values(self, protocol):
        value = {"a": [1, 2.5, "x", b"\xff", None, True], "b": np.arange(6).reshape(2, 3), "c": np.str_("name"),
                 "d": np.float32(2)}
        found = load_plain_pickle(pickle.dumps(value, protocol))
        np.testing.assert_array_equal(found.pop("b"), value.pop("b"))
        assert found == value

    def test_code_is_refused_and_not_run(self, tmp_path):
        target = tmp_path / "made"
        with pytest.raises(ValueError, match=r"refuses to load \w*io.open: only numpy arrays and plain types"):
            load_plain_pickle(pickle.dumps(Runs(target)))
        assert not target.exists()

    @pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "eval"), ("numpy", "load"),
                                              ("numpy.core.multiarray", "fromfile"), ("torch", "load")])
    def test_globals_are_named(self, module, name):
        data = f"c{module}\n{name}\n(tR.".encode()
        with pytest.raises(ValueError, match=f"refuses to load {module}.{name}"):
            load_plain_pickle(data)

    def test_other_codecs_are_refused(self):
        data = b"c_codecs\nencode\n(Vabc\nVzip\ntR."
        with pytest.raises(ValueError, match="refuses to decode bytes by 'zip'"):
            load_plain_pickle(data)

    def test_persistent_objects_are_refused(self):
        with pytest.raises(ValueError, match="refuses to load the persistent object 'x'"):
            load_plain_pickle(b"Px\n.")


class TestCutouts:
    def test_mirabest_names(self, tmp_path):
        image = stamps(1)[0][0]
        write_fits(tmp_path / "100_010.451-009.284_0.0529_0080.60.fits", image, CTYPE1="RA---TAN", CTYPE2="DEC--TAN",
                   CRVAL1=10.451, CRVAL2=-9.284, CRPIX1=32.5, CRPIX2=32.5, CDELT1=-0.0005, CDELT2=0.0005)
        write_fits(tmp_path / "201_010.451+009.284_0.0529_0012.00.fits", image)
        read = read_stamps(tmp_path)
        assert read.fr_class.tolist() == ["FRI", "FRII"] and read.morphology.tolist() == ["", "double-double"]
        assert read.ra[0] == 10.451 and read.dec[1] == 9.284 and read.las.tolist() == [80.6, 12.0]
        assert read.pixel_scale[0] == pytest.approx(1.8) and np.isnan(read.pixel_scale[1])
        assert read.rms == pytest.approx([0.01, 0.01], rel=0.2)

    def test_folders_of_classes(self, tmp_path):
        image = stamps(1)[0][0]
        write_fits(tmp_path / "FRI" / "a.fits", image)
        write_fits(tmp_path / "frii" / "b.fits", image[None, None], CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CRVAL1=20.0,
                   CRVAL2=30.0, CRPIX1=32.5, CRPIX2=32.5, CDELT1=-0.0005, CDELT2=0.0005, CTYPE3="FREQ", CTYPE4="STOKES")
        read = read_stamps(tmp_path)
        assert read.fr_class.tolist() == ["FRI", "FRII"] and np.isnan(read.ra[0])
        assert (read.ra[1], read.dec[1]) == (pytest.approx(20), pytest.approx(30))
        assert len(read_stamps(tmp_path / "FRI" / "a.fits")) == 1

    def test_clipped_images_have_no_noise(self):
        image = stamps(1)[0][0]
        assert np.isnan(measure_rms(np.where(image > 0.1, image, 0)))
        assert np.isnan(measure_rms(np.full((4, 4), np.nan)))

    @pytest.mark.parametrize("name", ["100_010.451_0.0529.fits", "x.fits", "100_010.451-009.284_0.05_12.0.txt"])
    def test_other_names(self, name):
        assert parse_name(name) is None

    def test_missing_redshift(self):
        assert np.isnan(parse_name("100_010.451-009.284_._12.5.fits")["redshift"])

    def test_no_class(self, tmp_path):
        write_fits(tmp_path / "some" / "a.fits", np.ones((4, 4)))
        with pytest.raises(ValueError, match="class of '.*a.fits' must be told by a name like .* got a.fits"
                           .replace("got a.fits", "got 'a.fits' in 'some'")):
            read_stamps(tmp_path)

    def test_damaged(self, tmp_path):
        (tmp_path / "FRI").mkdir()
        (tmp_path / "FRI" / "a.fits").write_bytes(b"no FITS at all")
        with pytest.raises(ValueError, match="cannot be read as a FITS image"):
            read_stamps(tmp_path)

    def test_truncated(self, tmp_path):
        path = write_fits(tmp_path / "FRI" / "a.fits", stamps(1)[0][0])
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(ValueError, match="cannot be read as a FITS image"):
            read_stamps(tmp_path)

    @pytest.mark.parametrize("bits", [8, 16])
    def test_png(self, tmp_path, bits):
        from PIL import Image

        image = np.arange(12).reshape(3, 4) * (1 if bits == 8 else 1000)
        (tmp_path / "FRII").mkdir()
        Image.fromarray(image.astype(f"u{bits // 8}")).save(tmp_path / "FRII" / "a.png")
        read = read_stamps(tmp_path)
        np.testing.assert_array_equal(read.images[0], image[::-1])
        assert read.fr_class.tolist() == ["FRII"] and np.isnan(read.ra).all()
        assert len(read_stamps(tmp_path / "FRII" / "a.png")) == 1

    def test_damaged_png(self, tmp_path):
        (tmp_path / "FRI").mkdir()
        (tmp_path / "FRI" / "a.png").write_bytes(b"no PNG")
        with pytest.raises(ValueError, match="image '.*a.png' is damaged"):
            read_stamps(tmp_path)

    def test_cube(self, tmp_path):
        write_fits(tmp_path / "FRI" / "a.fits", np.ones((3, 4, 4)))
        with pytest.raises(ValueError, match=r"must hold a 2-d image, got shape \(3, 4, 4\)"):
            read_stamps(tmp_path)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="hold no FITS or PNG cutouts and no batches"):
            read_stamps(tmp_path)


class TestWheel:
    NAMES = ("0.878_0.466_0_Gendre.png", "10.05_-1.43_1_Capetti2017b.png", "3.0_4.0_3_Proctor_Tab1.png")

    @pytest.mark.parametrize("suffix, inner", [(".whl", True), (".zip", False)])
    def test_reads_each_image_once(self, tmp_path, suffix, inner):
        read = read_stamps(write_archive(tmp_path / f"data{suffix}", self.NAMES, inner))
        assert read.fr_class.tolist() == ["FRI", "FRII", "bent"] and read.morphology.tolist() == ["", "", "bent"]
        assert read.ra.tolist() == [0.878, 10.05, 3.0] and read.dec[1] == -1.43
        assert (read.pixel_scale == 1.8).all() and read.images[0].shape == (64, 64)

    def test_installed_package(self, tmp_path, monkeypatch):
        path = write_archive(tmp_path / "galaxy_data.zip", self.NAMES, inner=False)

        class Found:
            name = "galaxy_data.zip"

            def locate(self):
                return path

        monkeypatch.setattr("importlib.metadata.files", lambda package: [Found()])
        assert len(read_stamps("firstgalaxydata")) == 3

    def test_package_not_installed(self, monkeypatch):
        from importlib.metadata import PackageNotFoundError

        def missing(package):
            raise PackageNotFoundError(package)

        monkeypatch.setattr("importlib.metadata.files", missing)
        with pytest.raises(FileNotFoundError, match="not found: install the package by 'pip install --no-deps"):
            read_stamps(image_files.PACKAGE)

    def test_damaged(self, tmp_path):
        path = write_archive(tmp_path / "data.whl", self.NAMES)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(ValueError, match="cannot be read as an archive"):
            read_stamps(path)

    def test_damaged_image(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(self.NAMES[0], b"no PNG")
        with pytest.raises(ValueError, match="image '0.878_0.466_0_Gendre.png' is damaged"):
            read_stamps(tmp_path / "a.zip")

    def test_no_images(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("readme", b"")
        with pytest.raises(ValueError, match="hold no images named like"):
            read_stamps(tmp_path / "a.zip")


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="stamps '.*gone' not found; give a file, a folder or"):
        read_stamps(tmp_path / "gone")


def test_join(tmp_path):
    parts = [read_stamps(write_npz(tmp_path / f"{n}.npz", n, label=np.arange(n))) for n in (2, 4)]
    joined = join_cutouts(parts)
    assert len(joined) == 6 and joined.ra.shape == (6,) and joined.morphology.tolist() == [""] * 5 + ["bent"]


def test_a_cutout_whose_grid_cannot_be_read_has_no_place(tmp_path):
    image = np.zeros((32, 32), np.float32)
    image[14:18, 14:18] = 1
    cards = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 180.0, "CRVAL2": 30.0, "CRPIX1": 16.5,
             "CRPIX2": 16.5, "CDELT1": -5e-4, "CDELT2": 5e-4}
    for name, change in (("a", {}), ("b", {"CDELT2": "5E-4"})):
        path = tmp_path / "FRI" / f"{name}.fits"
        path.parent.mkdir(exist_ok=True)
        fits.PrimaryHDU(image, fits.Header({**cards, **change})).writeto(path)
        found = read_stamps(path)
        assert np.isnan(found.pixel_scale[0]) == np.isnan(found.ra[0]) == bool(change)
