"""What ranks share a step by: who gets which samples, sums in an order of the samples, who started whom, and hearts that beat."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from train.config.settings import Config
from train.cyclegan import CycleGAN, main
from train.errors import UserError
from train.evaluation.evaluation import translate_all
from train.inference import pictures as pictures_of_files
from train.inference.pictures import translate_images
from train.models.data_parallel import DataParallel, OnRank
from train.models.model import Model
from train.ranks import buckets, heart, launcher
from train.ranks.buckets import Buckets
from train.ranks.group import ALONE, Group, Pending
from train.ranks.shards import own, shard, turns, units
from train.ranks.sums import Node, Tree, advance, cover, finish, summing
from train.run.pace import Pace, check_shares

ROOT = Path(__file__).parents[1]
rng = np.random.default_rng(0)


class Threads(Group):
    """Ranks that are threads of this process: the same calls, by a table that all can see."""

    unasked = True

    def __init__(self, rank: int, size: int, table: dict[str, Any]) -> None:
        self.rank, self.size, self.table, self.calls = rank, size, table, itertools.count()

    def gather(self, value: Any) -> list[Any]:
        number = next(self.calls)
        self.table[number, self.rank] = value
        self.table["barrier"].wait()
        return [self.table[number, rank] for rank in range(self.size)]

    def exchange(self, parts: Any, sizes: Any) -> Pending[list[Any]]:
        came = [theirs[self.rank] for theirs in self.gather(list(parts))]
        assert [part.size for part in came] == list(sizes)
        return Pending(came)

    def allgather(self, piece: Any, sizes: Any) -> Pending[Any]:
        pieces = self.gather(piece)
        assert [p.size for p in pieces] == list(sizes)
        return Pending(np.concatenate(pieces))

    def allreduce(self, array: Any) -> Pending[Any]:
        return Pending(np.sum(self.gather(array), axis=0))


def on_ranks(size: int, work: Any) -> list[Any]:
    """work(group) of each of so many ranks; what one of them raises is raised here."""
    table: dict[Any, Any] = {"barrier": threading.Barrier(size, timeout=20)}
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(lambda rank: work(Threads(rank, size, table)), range(size)))


# -- who gets what


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(("count", "n", "unit"), [(1, 1, 1), (12, 1, 1), (5, 2, 1), (11, 1, 2), (9, 3, 2)])
def test_every_sample_is_one_ranks(count: int, n: int, unit: int, size: int) -> None:
    of_ranks = [own(count, n, rank, size, unit) for rank in range(size)]
    for number, batch in enumerate(turns(count, n)):
        dealt = [dealt[number] for dealt in of_ranks]
        assert [place for one in dealt for unit in one.values() for place in unit] == [*batch]  # in order, none twice
        numbers = [i for one in dealt for i in one]
        assert numbers == [*range(len(units(batch, unit)))] and 0 in dealt[0]  # rank 0 is never without
        lengths = [len(places) for one in dealt for places in one.values()]
        assert min(lengths) >= min(unit, len(batch)) and max(lengths) < 2 * max(unit, 2)
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_what_stays_together_does_not_depend_on_the_ranks() -> None:
    assert [units(range(n), 2) for n in (1, 3, 5)] == [
        [range(1)], [range(3)], [range(3), range(3, 5)]
    ]  # fmt: skip


# -- sums


def test_a_sum_does_not_depend_on_who_adds_what() -> None:
    for count in (1, 2, 3, 5, 8, 13):
        x = (rng.standard_normal((count, 1001)) * 10.0 ** rng.integers(-4, 4, (count, 1001))).astype(np.float32)

        def total(group: Group, x: np.ndarray = x, count: int = count) -> bytes:
            places = shard(count, group.rank, group.size)
            tree = Tree(Node(place, 0, x[place].copy()) for place in places)
            covers = [cover(shard(count, rank, group.size)) for rank in range(group.size)]
            assert [(node.first, node.level) for node in tree.nodes] == covers[group.rank]
            return finish(group, [summing(group, tree.nodes, covers, 1001, x)], {})[0].tobytes()

        alone = total(ALONE)
        assert np.allclose(np.frombuffer(alone, np.float32), x.astype(np.float64).sum(0), rtol=1e-3, atol=0.1)
        for size in (2, 3, 4):
            assert set(on_ranks(size, total)) == {alone}, (count, size)
        if count == 5:  # a control: added up rank by rank it does depend
            ranks = [sum(x[p] for p in shard(5, rank, 2)).astype(np.float32) for rank in range(2)]
            assert (ranks[0] + ranks[1]).tobytes() != alone


class Slow(Threads):
    """Ranks whose calls are over after so many questions as chance will have it. Exchanges are matched among themselves, and so
    are allgathers, as each has a communicator of its own."""

    def __init__(self, rank: int, size: int, table: dict[Any, Any]) -> None:
        super().__init__(rank, size, table)
        self.rng = random.Random(rank)
        self.begun = {"exchange": itertools.count(), "allgather": itertools.count()}

    def later(self, kind: str, value: Any, read: Any) -> Pending[Any]:
        number, table, left = next(self.begun[kind]), self.table, iter(range(self.rng.randrange(6)))
        table[kind, number, self.rank] = value

        class Later(Pending[Any]):
            def done(_) -> bool:
                return next(left, None) is None and all((kind, number, r) in table for r in range(self.size))

            @property
            def value(_) -> Any:
                return read([table[kind, number, r] for r in range(self.size)])

        return Later.__new__(Later)

    def exchange(self, parts: Any, sizes: Any) -> Pending[list[Any]]:
        return self.later("exchange", list(parts), lambda every: [theirs[self.rank] for theirs in every])

    def allgather(self, piece: Any, sizes: Any) -> Pending[Any]:
        return self.later("allgather", piece, np.concatenate)


def test_sums_that_are_under_way_together_are_those_of_one_after_the_other() -> None:
    """Whoever is asked when, and whatever is over first: what belongs together meets."""
    xs = [rng.standard_normal((4, 101 + i)).astype(np.float32) for i in range(8)]
    wanted = [Tree(Node(i, 0, row.copy()) for i, row in enumerate(x)).total() for x in xs]
    covers = [cover(shard(4, rank, 3)) for rank in range(3)]

    def totals(threads: Threads) -> list[np.ndarray]:
        group, begun, found = Slow(threads.rank, threads.size, threads.table), [], {}
        for x in xs:
            nodes = Tree(Node(place, 0, x[place].copy()) for place in shard(4, group.rank, 3)).nodes
            begun.append(summing(group, nodes, covers, x.shape[1], x))
            next(begun[-1])
            advance(begun, found)
        while not advance(begun, found):
            time.sleep(0)
        return [found[i] for i in range(len(begun))]

    for found in on_ranks(3, totals):
        assert all(np.array_equal(x, y) for x, y in zip(found, wanted, strict=True))


# -- who started whom


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, "srun --mpi=pmi2 -n 4 python"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "mpiexec -n 2 python"),
    ],
)
def test_a_launcher_whose_ranks_would_not_know_of_each_other_is_refused(environment: dict[str, str], line: str) -> None:
    with pytest.raises(UserError, match="each would train by itself") as told:
        launcher.join(environment)
    assert line in str(told.value) and launcher.group() is ALONE


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"WORLD_SIZE": "8"},
        {"SLURM_NTASKS": "4"},
        {"WORLD_SIZE": "1", "RANK": "0"},
    ],
)
def test_one_process_is_the_default(environment: dict[str, str]) -> None:
    assert launcher.join(environment) is ALONE and "mpi4py" not in sys.modules


def test_who_started_them_is_asked_before_the_job_around() -> None:
    job = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
    assert launcher.launched(job | {"PMI_SIZE": "4", "PMI_RANK": "1"}) == (4, "mpiexec")
    assert launcher.launched(job) == (8, "Slurm")
    launcher.check(4, "mpiexec", 4)
    with pytest.raises(UserError, match="mpiexec started 4 processes, but MPI knows of 1"):
        launcher.check(4, "mpiexec", 1)


@pytest.mark.slow
def test_a_job_without_its_server_writes_nothing(tmp_path: Path) -> None:
    """As four times by `srun` without --mpi: each would be rank 0 of 1."""
    done = subprocess.run(
        [sys.executable, "-m", "train.cyclegan", "--checkpoints_dir", str(tmp_path / "runs")],
        cwd=ROOT, env={"PATH": "", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert f"srun --mpi=pmi2 -n 4 python -m train.cyclegan --checkpoints_dir {tmp_path}/runs" in done.stderr


# -- hearts


class Line:
    def __init__(self, beats: int) -> None:
        self.left, self.sent = beats, 0

    def beat(self) -> None:
        self.sent += 1

    def heard(self) -> bool:
        self.left -= 1
        return self.left >= 0


def test_a_rank_that_falls_silent_is_noticed_and_a_machine_that_slept_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heart, "BEAT", 0.01)
    told: list[float] = []
    silent = heart.Heart(Line(3), 0.05, told.append)
    silent.start()
    silent.join(10)
    assert len(told) == 1 and 0.05 < told[0] < 1 and silent.line.sent > 3  # type: ignore[attr-defined]

    now = iter([0.0, *(1000.0 + i / 100 for i in range(10**6))])  # asleep before the first beat
    monkeypatch.setattr(heart.time, "monotonic", lambda: next(now))
    awake = heart.Heart(Line(10**6), 0.05, told.append)
    awake.start()
    time.sleep(0.1)
    awake.stop()
    assert len(told) == 1


# -- the step


def test_a_step_of_one_rank_is_that_of_three_and_of_one_by_itself_where_it_has_one_sample() -> None:
    def model() -> CycleGAN:
        return CycleGAN(
            Config(device="cpu", ngf=1, ndf=1, n_blocks=0, crop_size=24, load_size=24, pool_size=2, batch_size=1)
        )

    a, b = (rng.uniform(-1, 1, (1, 24, 24, 3)).astype(np.float32) for _ in "ab")
    plain, exact = model(), DataParallel(model(), ALONE)
    for _ in range(2):
        assert plain.step(a, b) == exact.step(1, a, b)
    for name, network in plain.networks().items():
        for key, value in network.state_dict().items():
            assert np.array_equal(value, exact.model.networks()[name].state_dict()[key]), (name, key)


def test_gradients_leave_while_the_backward_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second step on, when it is known in which order they come; and the sums stay what they were."""
    monkeypatch.setattr(buckets, "MOST", 50)
    monkeypatch.setattr("kernels.cpu.threads.COUNT", 1)  # lanes one after the other
    sent: dict[
        tuple[int, int], list[int]
    ] = {}  # by rank and step: how many gradients were complete when each bucket left

    def begin(own: Buckets, begin: Any = Buckets.begin) -> None:
        sent.setdefault((own.group.rank, step[own.group.rank]), []).append(len(own.arrived))
        begin(own)

    monkeypatch.setattr(Buckets, "begin", begin)
    step: dict[int, int] = {}
    a, b = (rng.uniform(-1, 1, (3, 24, 24, 3)).astype(np.float32) for _ in "ab")

    def digest(group: Group) -> list[Any]:
        small: Any = dict(device="cpu", ngf=1, ndf=1, n_blocks=1, crop_size=24, load_size=24, pool_size=2, batch_size=3)
        parallel = DataParallel(CycleGAN(Config(**small)), group)
        own, losses = parallel.places(3), []
        for i in range(2):
            step[group.rank] = i
            losses.append(parallel.step(3, a[own], b[own]))
        return [losses, *(p.data.tobytes() for _, p in parallel.model.gen_ab.named_parameters())]

    alone = digest(ALONE)
    assert on_ranks(2, digest) == [alone, alone]
    for rank in range(2):
        first, second = (len(set(sent[rank, i])) for i in range(2))
        assert first <= 3  # nearly all of a player's at its backward's end
        assert second > 6


def test_a_rank_whose_loss_is_no_number_sends_all_the_same_and_all_hear_of_it() -> None:
    a, b = (rng.uniform(-1, 1, (2, 24, 24, 3)).astype(np.float32) for _ in "ab")

    def told(group: Group) -> tuple[str, int]:
        small: Any = dict(device="cpu", ngf=1, ndf=1, n_blocks=0, crop_size=24, load_size=24, pool_size=2, batch_size=2)
        parallel = DataParallel(CycleGAN(Config(**small)), group)
        own = parallel.places(2)
        parallel.step(2, a[own], b[own])
        with pytest.raises(OnRank) as error, np.errstate(all="ignore"):
            parallel.step(2, a[own] * (np.nan if group.rank else 1), b[own])
        return str(error.value), error.value.rank

    first, second = on_ranks(2, told)
    assert first == second and first[1] == 1


def test_too_few_samples_and_systems_without_turns_are_refused() -> None:
    model = CycleGAN(Config(device="cpu", ngf=1, ndf=1, n_blocks=0, crop_size=24, load_size=24, batch_size=2))
    crowd: Any = SimpleNamespace(size=3, rank=0)
    with pytest.raises(
        UserError, match=r"--batch_size 2: a step's 2 images are too few for 3 ranks.* at least 3, or mpiexec -n 2"
    ) as told:
        check_shares(DataParallel(model, crowd))
    assert told.value.everywhere
    stranger: Any = type("Stranger", (), {"turns": Model.turns, "program": "stranger"})()
    with pytest.raises(UserError, match="stranger trains in one process"):
        DataParallel(stranger, crowd)


def test_the_ranks_tell_each_other_of_signals_times_and_flat_images() -> None:
    def met(group: Group) -> tuple[Any, ...]:
        pace, batch = Pace(group), SimpleNamespace(flat=(f"{group.rank}.png",), a=range(2 - group.rank))
        for _ in range(2):
            pace.meet(15 * (group.rank == 1), (1.0 + group.rank, 0.5, 0.25), batch)  # type: ignore[arg-type]
        return pace.signal, pace.flat, pace.take(), pace.take()

    assert (
        on_ranks(2, met)
        == [(15, ("0.png", "1.png"), {"ranks": [[1.0, 0.5, 0.25, 2.0], [2.0, 0.5, 0.25, 1.0]]}, {})] * 2
    )


def test_a_dry_run_is_rank_0s_alone_with_its_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(Group):
        """Others that answer to nothing."""

        size = 2

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def gather(self, value: Any) -> list[Any]:
            raise AssertionError("it talks to others")

    words = "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 1 --ndf 1 --n_blocks 0 --num_threads 0 --batch_size 3"
    words = [*words.split(), "--checkpoints_dir", str(tmp_path), "--dry_run"]
    monkeypatch.setattr(launcher, "_group", Busy(1))
    assert main(words) == 0 and capsys.readouterr().out == ""
    monkeypatch.setattr(launcher, "_group", Busy(0))
    assert main(words) == 0
    assert "rank 0 of 2, which has 2 of a step's 3 images" in capsys.readouterr().out
    assert launcher.group().rank == 0 and launcher.group().size == 2 and type(launcher.group()) is Busy


# -- pictures


class Halved:
    """A model that shows how its pictures came."""

    def translate(self, pictures: np.ndarray, direction: str) -> np.ndarray:
        return pictures / 2 + len(pictures)


def test_translations_shared_by_ranks_are_made_in_the_same_batches_and_come_in_the_same_order() -> None:
    pictures = [np.full((4, 4 + 4 * (i // 13), 1), i, np.float32) for i in range(21)]
    alone = translate_all(Halved(), pictures, "AtoB")  # type: ignore[arg-type]
    assert len(alone) == 21 and {x.max() - i / 2 for i, x in enumerate(alone)} == {8, 5}
    for size in (2, 3, 5):
        for made in on_ranks(size, lambda ranks: translate_all(Halved(), pictures, "AtoB", ranks)):  # type: ignore[arg-type]
            assert all(np.array_equal(x, y) for x, y in zip(made, alone, strict=True))


def test_files_shared_by_ranks_are_all_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = SimpleNamespace(notes=(), coded=False, in_channels=3, white_level=0, half_of=lambda w, h: "")
    written: list[Path] = []
    monkeypatch.setattr(pictures_of_files, "open_translator", lambda *args: translator)
    monkeypatch.setattr(pictures_of_files, "translated", lambda translator, original, side, code: (None, original))
    monkeypatch.setattr(pictures_of_files, "save_picture", lambda target, picture: written.append(target))
    for i in range(5):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "5.png").write_bytes(b"")
    found = on_ranks(3, lambda ranks: translate_images("w", tmp_path, tmp_path / "out", ranks=ranks))
    for outcome in found:
        assert [path.name for path in outcome.written] == [f"{i}.png" for i in range(5)]
        assert [path.name for path in outcome.failed] == ["5.png"]
    assert sorted(path.name for path in written) == [f"{i}.png" for i in range(5)]
