"""``skygal score``: what it reads, says, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import Table
from export_fields import small_field

from skygal.cli.main import main


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with a field, and catalogues made of its truth."""
    home = tmp_path_factory.mktemp("score")
    small_field().write(home / "field")
    truth = Table.read(home / "field" / "truth.fits")
    plain = Table({"a": truth["ra"].data, "d": truth["dec"].data, "S_int": 1e3 * truth["flux_apparent"].data})
    plain.write(home / "all.csv")
    plain[1:].write(home / "some.csv")
    (home / "options.yaml").write_text("columns: [ra=a, dec=d, flux=S_int mJy]\nlevel: source\n")
    return home


COLUMNS = ["--columns", "ra=a", "--columns", "dec=d", "--columns", "flux=S_int mJy"]


def run(capsys, *words):
    status = main(["score", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_it_says_what_it_reads_and_finds(home, capsys):
    status, out, err = run(capsys, home / "field", home / "field" / "components.fits")
    assert status == 0 and not err
    assert "components.fits is read as skygal components: ra = ra (deg), dec = dec (deg), flux = flux (Jy)" in out
    assert "sources found, of those of at least 5 sigma: 100.0 % (7 of 7)" in out
    assert "rows that are in a source: 100.0 %" in out


def test_columns_of_any_table(home, capsys):
    status, out, err = run(capsys, home / "field", home / "all.csv", *COLUMNS, "--output", home / "one")
    assert status == 0, err
    assert "flux = S_int (mJy)" in out and out.rstrip().endswith("one")
    score = json.loads((home / "one" / "score.json").read_text())
    assert score["summary"]["completeness"]["rate"] == 1
    assert {"score.json", "sources.ecsv", "components.ecsv", "rows.ecsv"} <= {p.name for p in (home / "one").iterdir()}
    recovered = score["sources"]["recovered"]["all"][0]["recovered"]
    assert recovered == pytest.approx(1, rel=1e-3)
    # in the wrong unit, all is too faint
    wrong = [word.replace("mJy", "uJy") for word in COLUMNS]
    status, out, err = run(capsys, home / "field", home / "all.csv", *wrong)
    assert status == 0 and "flux recovered of a source, median: 0.001" in out


def test_two_catalogues_are_compared(home, capsys):
    words = [home / "all.csv", home / "some.csv", "--against", home / "field", "--config", home / "options.yaml",
             "--output", home / "two"]
    status, out, err = run(capsys, *words)
    assert status == 0, err
    assert "some.csv beside all.csv: both found 6, only all.csv 1, only some.csv 0" in out
    (row,) = json.loads((home / "two" / "comparison.json").read_text())
    assert (row["both"], row["only_first"], row["only_other"], row["neither"]) == (6, 1, 0, 0)
    assert (home / "two" / "all" / "score.json").exists() and (home / "two" / "some" / "rows.ecsv").exists()
    # written once, and again only when asked
    before = (home / "two" / "comparison.json").stat().st_mtime_ns
    status, _, err = run(capsys, *words)
    assert status == 1 and "overwrite" in err and (home / "two" / "comparison.json").stat().st_mtime_ns == before
    assert run(capsys, *words, "--overwrite")[0] == 0


def test_what_is_read_is_not_replaced(home, capsys):
    status, _, err = run(capsys, home / "field", home / "all.csv", *COLUMNS, "--output", home / "field", "--overwrite")
    assert status != 0 and "field" in err
    assert (home / "field" / "truth.fits").exists()


@pytest.mark.parametrize(("words", "error"), [
    (["{}/field"], "catalogue must be named after the truth"),
    (["{}/nowhere", "{}/all.csv"], "nowhere' does not exist"),
    (["{}/field", "{}/nothing.csv"], "nothing.csv"),
    (["{}/field", "{}/all.csv", "--columns", "flux"],
     "columns must be a quantity and its column such as 'flux=S_int mJy', got 'flux'"),
    (["{}/field", "{}/all.csv", "--columns", "ra=a", "--columns", "dec=d", "--columns", "flux=S_itn"], "S_int"),
    (["{}/field", "{}/all.csv", "--columns", "ra=a", "--columns", "dec=d", "--columns", "flux=S_int arcsec"],
     "arcsec"),
    (["{}/field", "{}/all.csv", "--format", "PyBSDF"], "PyBDSF"),
    (["{}/field", "{}/all.csv", "--level", "galaxy"], "level must be one of 'component', 'source', 'island', got"),
    (["{}/field/components.fits", "{}/all.csv", "--beam", "wide"], "beam must be a FWHM such as '5.4arcsec'"),
])
def test_what_cannot_be(home, capsys, words, error):
    status, out, err = run(capsys, *(word.format(home) for word in words))
    assert status in (1, 2) and err.startswith("Error: ") and err.count("\n") == 1 and error in err, err


def test_another_field(home, capsys):
    table = Table.read(home / "all.csv")
    table["d"] = -np.asarray(table["d"])
    table.write(home / "other.csv")
    status, _, err = run(capsys, home / "field", home / "other.csv", *COLUMNS)
    assert status == 2 and "catalogue must be of the truth's field" in err and "got none of 7 rows in it" in err


def test_help_is_fast():
    """It imports neither torch nor astropy."""
    code = ("import sys; from skygal.cli.main import main; main(['score', '--help']); "
            "print(sorted({'torch', 'astropy', 'numpy', 'scipy'} & set(sys.modules)), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--against" in done.stdout and done.stderr.strip() == "[]"
