"""A step on the CPU as a list of loops: what is noted, where its arrays lie the next time, and that it repeats the step to the bit."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from kernels.cpu import threads
from kernels.cpu.noted import Memory, Noted, Notes, Step, operation
from kernels.cpu.recording import Recording, Span, Spans, plan, side_by_side
from kernels.device import from_host, get_device, repeated
from nn.module import observed
from tests.test_training_step import flat
from train.config.settings import Config
from train.errors import NonFiniteLoss
from train.models.augmented_cyclegan import AugmentedConfig, AugmentedCycleGAN
from train.models.cyclegan import CycleGAN
from train.models.model import Model, Turns
from train.models.pix2pix import Pix2Pix, Pix2PixConfig
from train.models.stochastic_cyclegan import StochasticConfig, StochasticCycleGAN

CPU = get_device("cpu")
rng = np.random.default_rng(0)
SMALL: dict[str, Any] = dict(ngf=16, ndf=16, n_blocks=1, load_size=32, crop_size=32, device="cpu", pool_size=2)
CODES: dict[str, Any] = dict(ngf=4, ndf=4, n_blocks=1, load_size=64, crop_size=64, device="cpu")
UNET: dict[str, Any] = dict(netG="unet_64", ngf=4, ndf=4, load_size=64, crop_size=64, device="cpu")


# -- single operations


def again(function: Any, *given: np.ndarray) -> tuple[np.ndarray, Recording]:
    """What a replay makes of other numbers than those that were captured."""
    current = [np.zeros_like(x) for x in given]
    graph = Recording()
    output = graph.capture(lambda: function(*(from_host(CPU, lambda x=x: x) for x in current)))
    graph.replay()
    for mine, x in zip(current, given, strict=True):
        mine[...] = x
    return np.asarray(graph.replay(output)), graph


x, y = rng.standard_normal((2, 3, 4)).astype(np.float32)
OPERATIONS: dict[str, Any] = {
    "arithmetic": lambda x, y: (x + y) * x - y / 2,
    "a method": lambda x, y: x.sum(axis=0) + y.mean(),
    "in place": lambda x, y: plus(x.copy(), y),
    "a part": lambda x, y: x[1] - y[::-1][0],
    "one number": lambda x, y: x[1, 2] * y,
    "chosen numbers": lambda x, y: x[[2, 0]] + y[:2],
    "into a part": lambda x, y: into(x.copy(), (slice(None), 1), y[:, 0]),
    "into one number": lambda x, y: into(x.copy(), (1, 2), y[0, 0]),
    "into chosen numbers": lambda x, y: into(x.copy(), [0, 2], y[:2]),
    "concatenate": lambda x, y: np.concatenate([x, y], axis=1),
    "pad": lambda x, y: np.pad(x, 1, mode="reflect")[:3, :4] + y,
    "split": lambda x, y: np.split(x, 2, axis=1)[1] * np.split(y, 2, axis=1)[0],
    "where": lambda x, y: np.where(x > y, x, y),
    "matrix product": lambda x, y: x @ y.T,
    "turned and copied": lambda x, y: x.T.reshape(-1) + y.ravel(),
    "like another": lambda x, y: plus(np.zeros_like(x), y) + np.full_like(x, 2),
    "sum of all": lambda x, y: (x * y).sum(),
    "filled": lambda x, y: written(np.empty_like(x), "fill", 2) * y + x,
    "sorted in place": lambda x, y: written(x.copy(), "sort", 1) - y,
    "put": lambda x, y: written(x.copy(), "put", [0, 5], y[0, :2]),
    "copyto": lambda x, y: copied(x.copy(), y[0]) + y,
    "added at": lambda x, y: added_at(x.copy(), y),
    "scratch": lambda x, y: plus(into(threads.scratch("a test's", 3, 4), ..., x), y),
    "zeros": lambda x, y: plus(threads.zeros(3, 4), x) * y,
    "as a whole": lambda x, y: operation(lambda x, y: np.array([max(x.tolist()[0]), y.max()]))(x, y),
}


def plus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x += y
    return x


def written(x: np.ndarray, method: str, *args: Any) -> np.ndarray:
    assert getattr(x, method)(*args) is None
    return x


def copied(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    np.copyto(x, y)
    return x


def added_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    np.add.at(x, [1, 1, 0], y)
    return x


def into(x: np.ndarray, key: Any, y: np.ndarray) -> np.ndarray:
    x[key] = y
    return x


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_done_again(name: str) -> None:
    function = OPERATIONS[name]
    threads.scratch("a test's", 3, 4)  # is there already
    found, graph = again(function, x, y)
    assert not graph.why_not
    wanted = np.asarray(function(x.copy(), y.copy()))
    assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def test_nothing_is_noted_outside_of_a_capture() -> None:
    a = threads.empty(3, 4)
    assert type(a) is np.ndarray
    left = Recording().capture(lambda: from_host(CPU, lambda: x) + 1)
    assert type(left) is Noted
    assert left.sum().item() == (x + 1).sum() and bool((left > -9).all())  # what is left of one is like any array
    assert type(np.sum(left, axis=0)) is np.ndarray


REFUSED: dict[str, Any] = {
    "it looks at a value (item)": lambda x: x * x.max().item(),
    "it looks at a value (__bool__)": lambda x: x if x[0, 0] > 0 else -x,
    "it looks at a value (__repr__)": lambda x: x if len(repr(x)) else -x,
    "it looks at a value (to_host)": lambda x: x * Tensor(x).numpy().max(),
    "it looks at a value (array_equal)": lambda x: x if np.array_equal(x, x) else -x,
    "an array float32 (3, 4) was made outside of what is noted": lambda x: x + np.array(x),
    "an array float64 (3,) was made outside of what is noted": lambda x: x[0, :3] * np.arange(3.0),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_noted_is_told_and_done_as_usual(why: str) -> None:
    graph = Recording()
    found = graph.capture(lambda: REFUSED[why](from_host(CPU, lambda: x)))
    assert graph.why_not == why and not graph.calls
    assert np.array_equal(found, REFUSED[why](x))


def test_an_array_that_somebody_has_is_read_where_it_is() -> None:
    weights = np.ones((3, 4), np.float32)
    graph = Recording()
    found = graph.capture(lambda: from_host(CPU, lambda: x) + weights)
    graph.replay()
    weights += 1
    assert np.array_equal(graph.replay(found), x + 2)


def test_what_somebody_lets_go_of_later_is_still_the_recordings() -> None:
    held: list[np.ndarray] = []
    graph = Recording()
    graph.capture(lambda: held.append(from_host(CPU, lambda: np.ones(100, np.float32)) + 1))
    graph.replay()
    held.clear()
    others = [np.zeros(100, np.float32) for _ in range(100)]  # one of which would lie where that array was
    graph.replay()
    assert not np.any(others)


def test_the_host_is_asked_in_the_order_of_the_step() -> None:
    """So a check in its middle stops it there."""
    order: list[str] = []
    limit = [5.0]

    def check(total: np.ndarray) -> None:
        order.append("checked")
        if total.item() > limit[0]:
            raise NonFiniteLoss("too much")

    kept = np.zeros(1, np.float32)

    def step() -> None:
        one = from_host(CPU, lambda: order.append("drawn") or np.ones(1, np.float32))
        total = one * 3
        repeated(lambda: check(total))
        into(kept.view(Noted), ..., kept.view(Noted) + total)

    graph = Recording()
    graph.capture(step)
    graph.replay(), graph.replay()
    assert order == ["drawn", "checked"] * 2 and kept == 6
    limit[0] = 2.0
    with pytest.raises(NonFiniteLoss):
        graph.replay()
    assert kept == 6


def test_numbers_for_a_replay_keep_their_shape() -> None:
    given = [np.zeros(3)]
    graph = Recording()
    graph.capture(lambda: from_host(CPU, lambda: given[0]) + 1)
    graph.replay()
    given[0] = np.zeros(1)  # which NumPy would repeat
    with pytest.raises(
        RuntimeError, match=r"recording: \(1,\) numbers for a replay; the step was captured with \(3,\)"
    ):
        graph.replay()


# -- where arrays lie


def spans_at_random(seed: int) -> list[Span]:
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(60):
        memory = Memory(np.empty(int(draw.integers(0, 300)), np.uint8))
        fork = int(draw.integers(0, 3))
        first = int(draw.integers(0, 50)) + 100 * fork
        last = first + int(draw.integers(0, 20))
        made.append(Span(memory, first, last, fork, int(draw.integers(0, 2)) if fork else 0))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_no_two_that_are_in_use_at_a_time_share_a_byte(seed: int) -> None:
    spans = spans_at_random(seed)
    total = plan(spans)
    for i, a in enumerate(spans):
        assert a.place % 64 == a.memory.address % 64  # so vectors meet cache lines as they did
        assert a.place + a.memory.size <= total
        for b in spans[:i]:
            together = a.first <= b.last and b.first <= a.last
            beside = a.fork == b.fork > 0 and a.lane != b.lane
            if together or beside:
                assert a.place + a.memory.size <= b.place or b.place + b.memory.size <= a.place
    assert total < sum(span.size for span in spans)  # and some do share


def test_what_is_used_beside_a_lane_stays_while_any_lane_runs() -> None:
    """What was made before lanes and is read in the first one last, and what the first makes and another reads."""
    notes = Notes(Step())
    before, shared, own = (np.ones(4, np.float32) for _ in range(3))
    for array in (before, shared, own):
        notes.made(array)
    notes.note(len, before)
    first, second = notes.fork(2)
    first.note(len, before), first.note(len, shared), first.note(len, own), first.note(len, own)
    second.note(len, shared), second.note(len, np.zeros(1)), second.note(len, np.zeros(1))
    notes.note(len, np.zeros(1))
    spans = Spans(notes)
    of = lambda array: spans.of[notes.step.known[id(array)]]
    # notes: 1 before; 2 the lanes; 3 to 6 in the first, 7 to 9 in the second; 10 after
    assert (of(before).first, of(before).last, of(before).fork) == (1, 9, 0)
    assert (of(shared).first, of(shared).last, of(shared).fork) == (2, 9, 0)
    assert (of(own).first, of(own).last, of(own).fork, of(own).lane) == (5, 6, 2, 0)


def test_memory_is_used_again() -> None:
    size = 1 << 20

    def chain(x: Any) -> Any:
        for _ in range(50):
            x = x + 1
        return x

    graph = Recording()
    graph.capture(lambda: chain(from_host(CPU, lambda: np.zeros(size, np.float32))))
    assert graph.kept[-1].nbytes <= 3 * 4 * size


def roots(x: Any) -> Any:
    for _ in range(20):
        x = np.sqrt(x * x + 1)
    return x


@pytest.mark.parametrize("lanes", [False, True])
def test_lanes_are_replayed_as_lanes(lanes: bool) -> None:
    numbers = [np.full(1000, i + 1, np.float32) for i in range(3)]
    lane = lambda i: roots(from_host(CPU, lambda: numbers[i]))

    def step() -> Any:
        one, two, three = threads.together(lane, range(3)) if lanes else [lane(i) for i in range(3)]
        return one + two + three

    graph = Recording()
    found = graph.capture(step)
    graph.replay()
    assert (graph.calls[0].func is side_by_side) == lanes  # type: ignore[attr-defined]
    for row in numbers:
        row *= 2
    assert np.array_equal(graph.replay(found), roots(numbers[0]) + roots(numbers[1]) + roots(numbers[2]))


# -- steps

SYSTEMS: dict[str, tuple[type[Model], Config, int, bool]] = {
    "cyclegan": (CycleGAN, Config(**SMALL), 1, False),
    "a batch in parts, averaged": (CycleGAN, Config(**SMALL, n_critic=2, accumulate=2, ema=0.9), 4, False),
    "lanes one after the other": (CycleGAN, Config(**SMALL | dict(ngf=33, ndf=10), gan_mode="vanilla"), 1, False),
    "checkpointing, no pool": (CycleGAN, Config(**SMALL | dict(pool_size=0, n_blocks=2), checkpointing=True, upsample="nearest"), 1, False),
    "unet, pixel": (CycleGAN, Config(**UNET | dict(netD="pixel")), 2, False),
    "pix2pix": (Pix2Pix, Pix2PixConfig(**{k: v for k, v in SMALL.items() if k != "pool_size"}, netG="resnet"), 1, False),
    "diffaugment, known pairs": (CycleGAN, Config(**SMALL, diffaugment="color,translation,cutout", sup_frac=0.5), 1, True),
    "wgangp": (CycleGAN, Config(**SMALL, gan_mode="wgangp"), 2, False),
    "pix2pix, dropout": (Pix2Pix, Pix2PixConfig(**UNET), 1, False),
    "stochastic": (StochasticCycleGAN, StochasticConfig(**CODES, max_gnorm=0.5), 1, False),
    "augmented": (AugmentedCycleGAN, AugmentedConfig(**CODES, nef=4, two_sided=True, stoch_enc=True, sup_frac=0.5), 2, True),
}  # fmt: skip


def trained(
    system: tuple[type[Model], Config, int, bool], steps: int, graphed: bool = True
) -> tuple[list, list, Model]:
    """Losses, the last state, and the model."""
    kind, config, images, pairs = system
    model, draw = kind(config), np.random.default_rng(1)
    assert model.graphed is not None
    if not graphed:
        model.graphed = None
    shape = (images, config.crop_size, config.crop_size, 3)
    losses = []
    for i in range(steps):
        model.set_lr(config.lr / (1 + i))
        losses.append(model.step(*(draw.uniform(-1, 1, shape).astype(np.float32) for _ in range(2 + 2 * pairs))))
    return losses, flat(model.state_dict()), model


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_replay_is_the_step_to_the_bit(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "COUNT", count)
    usual, state, _ = trained(SYSTEMS[name], 5, graphed=False)
    replayed, replayed_state, model = trained(SYSTEMS[name], 5)
    assert model.graphed.graph.replays == 4 and not model.graphed.useless
    assert len({losses[model.metric[0]] for losses in usual}) == 5  # it does train
    assert replayed == usual and replayed_state == state


class Undecided(CycleGAN):
    """A system whose step depends on a value, and which does not know that."""

    replays = True

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        if a.data.sum() > 1e9:
            raise AssertionError
        return super().turns(a, b, *pair)


def test_a_step_that_cannot_be_replayed_goes_on_as_usual() -> None:
    usual, state, _ = trained(SYSTEMS["cyclegan"], 4, graphed=False)
    found, found_state, model = trained((Undecided, *SYSTEMS["cyclegan"][1:]), 4)
    assert model.graphed.useless == "it looks at a value (__bool__)" and model.graphed.graph is None
    assert found == usual and found_state == state


class Stranger(CycleGAN):
    """A system that does not say that its Python does the same every time."""

    turn = 0

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        self.turn += 1
        return super().turns(*((a, b) if self.turn % 2 else (b, a)), *pair)


def test_a_system_that_does_not_promise_it_is_never_replayed() -> None:
    assert Stranger(Config(**SMALL)).graphed is None


def test_a_debugger_meets_the_step_as_it_is_written() -> None:
    model = CycleGAN(Config(**SMALL))
    for _ in range(3):
        model.step(*pictures())
    lines: list[str] = []
    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: lines.append(frame.f_code.co_name))
    try:
        model.step(*pictures())
    finally:
        sys.settrace(before)
    assert "turns" in lines


def pictures(size: int = 32) -> list[np.ndarray]:
    return [rng.uniform(-1, 1, (1, size, size, 3)).astype(np.float32) for _ in range(2)]


def test_a_loss_that_is_no_number_stops_a_replay_before_it_reaches_the_weights() -> None:
    replayed, usual = CycleGAN(Config(**SMALL)), CycleGAN(Config(**SMALL))
    usual.graphed = None
    for given in (pictures(), pictures(), pictures()):
        replayed.step(*given), usual.step(*given)
    assert replayed.graphed.graph.replays == 2
    bad = pictures()
    bad[0][0, 0, 0] = np.nan
    messages = []
    for model in (replayed, usual):
        before = flat(model.state_dict())
        with pytest.raises(NonFiniteLoss) as told:
            model.step(*bad)
        assert flat(model.state_dict()) == before
        messages.append(str(told.value))
    assert messages[0] == messages[1]
    given = pictures()
    assert replayed.step(*given) == usual.step(*given)  # and who wants to can go on


def test_who_looks_at_layers_sees_every_step() -> None:
    model = CycleGAN(Config(**SMALL))
    seen: list[int] = []
    for _ in range(3):
        model.step(*pictures())
    with observed(lambda module, inputs, output: seen.append(1)):
        model.step(*pictures())
        assert seen
    seen.clear()
    replays = model.graphed.graph.replays
    model.step(*pictures())
    assert not seen and model.graphed.graph.replays == replays + 1


def test_weights_in_another_array_are_recorded_anew() -> None:
    replayed, usual = CycleGAN(Config(**SMALL)), CycleGAN(Config(**SMALL))
    usual.graphed = None
    for number in range(5):
        given = pictures()
        assert replayed.step(*given) == usual.step(*given)
        if number == 2:
            for model in (replayed, usual):
                weight = model.gen_ab.parameters()[0]
                weight.data = weight.data * np.float32(0.5)
    assert flat(replayed.state_dict()) == flat(usual.state_dict())


def test_pictures_of_another_size_are_recorded_anew() -> None:
    replayed, usual = (CycleGAN(Config(**SMALL | dict(pool_size=0))) for _ in range(2))
    usual.graphed = None
    for size in (32, 32, 32, 40, 40, 40, 32, 40):
        given = pictures(size)
        assert replayed.step(*given) == usual.step(*given)
    assert flat(replayed.state_dict()) == flat(usual.state_dict())


def test_where_python_is_next_to_nothing_steps_are_taken_as_they_are_written() -> None:
    graphed = CycleGAN(Config(**SMALL | dict(ngf=64, ndf=64))).graphed
    picture = lambda n, side: np.empty((n, side, side, 3))
    assert graphed.pays(picture(1, 128)) and not graphed.pays(picture(2, 128)) and not graphed.pays(picture(1, 256))


def test_references_alone_and_float64_are_never_replayed() -> None:
    assert CycleGAN(Config(**SMALL)).astype("float64").graphed is None


def test_what_a_step_leaves_behind_stays_until_the_next() -> None:
    """Gradients, and pictures that are kept in sight."""
    replayed, usual = CycleGAN(Config(**SMALL)), CycleGAN(Config(**SMALL))
    usual.graphed = None
    for _ in range(4):
        given = pictures()
        replayed.step(*given), usual.step(*given)
        gc.collect()
        np.ones(1 << 20)  # somebody else takes what memory is free
        for name, array in usual.seen.items():
            assert np.array_equal(replayed.seen[name], array), name
        for here, there in zip(replayed.gen_ab.parameters(), usual.gen_ab.parameters(), strict=True):
            assert (here.grad is None) == (there.grad is None)
            assert here.grad is None or np.array_equal(here.grad, there.grad)
