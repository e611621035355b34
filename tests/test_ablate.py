"""The ablation study: what it measures, what it concludes, and that a finished variant is not trained again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from train.ablate import main
from train.cyclegan import CycleGAN
from train.data import phases
from train.data.builtin.streets import CLASSES, street
from train.evaluation import domain_distance
from train.evaluation.scoring import Asked, score
from train.evaluation.verdict import spread, verdict, ways
from train.ranks.group import ALONE
from train.run import display
from train.run.ablation import VARIANTS, AblationConfig

TINY = (
    "--device cpu --load_size 24 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 0 --netD n_layers --n_layers_D 1 --n_epochs 1 "
    "--n_epochs_decay 0 --max_dataset_size 3 --num_threads 0"
)


def test_spread_is_the_mean_difference_of_all_pairs() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 4, 2))
    wanted = np.mean([np.abs(a - b).mean() for a, b in itertools.combinations(x, 2)])
    assert spread(x) == pytest.approx(wanted) and spread(np.stack([x[0]] * 3)) == pytest.approx(0, abs=1e-12)


def test_independent_ways_to_differ_are_counted() -> None:
    waves = [np.cos(np.pi * (np.arange(16) + 0.5) * k / 16)[:, None, None] * np.ones((16, 3)) for k in range(1, 6)]
    four = [s * wave / 2 for wave in waves[:4] for s in (1, -1)]  # one mean, four directions of equal weight
    assert ways(four) == pytest.approx(4, rel=0.01) and ways(four[:2] * 9) == pytest.approx(1)
    assert ways([waves[0]] * 5) == 0
    large = [np.kron(x, np.ones((4, 4, 1))) for x in four]
    grain = 0.15 * np.random.default_rng(0).choice([-1, 1], (8, 64, 64, 3))
    assert ways(large + grain) == pytest.approx(4, rel=0.03)


def test_one_street_from_many_places_is_a_collapse_though_its_pictures_differ() -> None:
    streets = [street("A", seed, 32) for seed in range(16)]
    one = [np.roll(streets[1], shift, axis=1) for shift in range(-4, 4)] * 2
    assert spread(np.stack(one)) > 0.5 * spread(np.stack(streets)) and ways(one) < 0.5 * ways(streets)
    soft = [(x + sum(np.roll(x, shift, axis) for shift in (1, -1) for axis in (0, 1))) / 5 for x in streets]
    assert ways(soft) > 0.8 * ways(streets)


def test_verdicts() -> None:
    good = dict(distance=1.0, real=0.5, untouched=3.0, diversity=0.9, variety=0.8, retrieval=0.9)
    assert verdict(good) == "works"
    assert verdict(good | dict(distance=1.3, diversity=0.1)) == "fails"
    assert verdict(good | dict(diversity=0.4, retrieval=0.1)) == "collapses" == verdict(good | dict(variety=0.4))
    assert verdict(good | dict(retrieval=0.4)) == "unfaithful"


def test_variants_differ_from_the_base_as_they_say() -> None:
    runs = AblationConfig(variants=",".join(VARIANTS), seeds="0,2").runs()
    assert len(runs) == 2 * len(VARIANTS) and {c.seed for c in runs.values()} == {0, 2}
    base = runs["full", 0]
    assert (base.builtin, base.lambda_identity, base.name) == ("streets", 0.0, "full-0")
    for (name, _), config in runs.items():
        changed = {k: v for k, v in config.as_dict().items() if v != getattr(base, k) and k not in ("name", "seed")}
        assert changed == VARIANTS[name][1], name
        config.check()


def test_streets_are_the_same_street_in_both_domains() -> None:
    a, again, b = street("A", 3, 48), street("A", 3, 48), street("B", 3, 48)
    assert np.array_equal(a, again) and a.shape == b.shape == (48, 48, 3) and a.dtype == np.float32
    classes = CLASSES.classes(a)
    np.testing.assert_allclose(CLASSES.colours[classes] / 127.5 - 1, a, atol=1e-6)  # nothing but the palette's colours
    sky, road = b[classes == 4].mean(axis=0), b[classes == 0].mean(axis=0)
    assert sky[2] > sky[0] and sky.mean() > road.mean() + 0.3
    assert not np.array_equal(street("A", 4, 48), a)


def test_a_study_writes_its_page_and_trains_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(domain_distance, "STEPS", 2)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)  # it has tests of its own
    monkeypatch.setitem(phases.DRAWN, "testA", (5, 2_000_000))
    monkeypatch.setitem(phases.DRAWN, "testB", (5, 2_000_000))
    steps: list[str] = []
    step = CycleGAN.step

    def counted(model: CycleGAN, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        losses = step(model, a, b)
        steps.append(model.config.name)
        if model.config.name == "cycle-0":  # no discriminators: nothing adversarial is measured or trained
            assert losses["G_A"] == losses["D_B"] == 0 and losses["cycle_A"] > 0
            assert not np.any(model.optimizers["d"].m[0])
        return losses

    monkeypatch.setattr(CycleGAN, "step", counted)
    line = [*TINY.split(), "--checkpoints_dir", str(tmp_path), "--variants"]
    assert main([*line, "full"]) == 0 and steps == ["full-0"] * 3
    assert main([*line, "full,cycle"]) == 0 and steps == ["full-0"] * 3 + ["cycle-0"] * 3
    assert "ablation.html" in capsys.readouterr().out
    page = (tmp_path / "ablation" / "ablation.html").read_text()
    assert (
        "the cycle losses alone" in page
        and "<script" not in page
        and "://" not in page.replace("http://www.w3.org", "")
    )
    figures = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
    assert set(figures["runs"]) == {"full-0", "cycle-0"} and "pixel_accuracy" in figures["runs"]["full-0"]["BtoA"]
    assert [f["variant"] for f in figures["findings"]] == ["cycle", "full"]


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        ("--variants full,gna", "there is no 'gna'; choose from full, cycle"),
        ("--seeds 1,x", "--seeds is '1,x'"),
        ("--continue_train", "goes on with what is there"),
        ("--load_size 32 --crop_size 32 --variants unet", "multiples of 64"),
    ):
        assert main([*words.split(), "--checkpoints_dir", str(tmp_path), "--device", "cpu"]) == 2
        assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_photos_are_scored_by_the_classes_that_are_read_in_them() -> None:
    maps, photos = ([street(domain, seed, 24) for seed in range(4)] for domain in "AB")

    class Reader:
        """Knows the true map of each photo."""

        def translate(self, pictures: np.ndarray, direction: str) -> np.ndarray:
            return np.stack([maps[next(i for i, p in enumerate(photos) if np.array_equal(p, x))] for x in pictures])

    known: Any = SimpleNamespace(
        ranks=ALONE,
        pictures={"A": maps, "B": photos},
        translations=lambda model, direction: {"AtoB": photos[1:] + photos[:1], "BtoA": maps}[direction],
        scores=lambda direction, made, distance: {"model": {"l1": 0.1}},
        mean_for=lambda domain: None,
    )
    model = SimpleNamespace(directions=("AtoB", "BtoA"))
    found = score(model, known, Asked(CLASSES, "A", Reader(), distance=False))  # photos of other streets
    assert found.classes["model"]["sky"]["iou"] == 1 == found.tables["BtoA"]["model"]["class_iou"]
    table = found.tables["AtoB"]
    assert table["real"]["pixel_accuracy"] == table["real"]["class_iou"] == 1
    agree = np.mean([np.equal(a, b).all(axis=-1) for a, b in zip(maps, maps[1:] + maps[:1], strict=True)])
    assert table["model"] == {"l1": 0.1} | {
        k: table["model"][k] for k in ("pixel_accuracy", "class_accuracy", "class_iou")
    }
    assert table["model"]["pixel_accuracy"] == pytest.approx(agree) and 0.3 < agree < 0.95
