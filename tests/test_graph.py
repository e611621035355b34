"""A training step as a graph: nothing but launches over fixed memory, so that repeating them is training."""

from __future__ import annotations

import math
from collections import Counter
from unittest import mock

import numpy as np
import pytest

from autograd import no_grad
from benchmarks.recording import Step, Watched, _watched
from kernels.device import address, from_host, get_device, peak_bytes, repeated
from kernels.gpu.cuda_graph import BLOCK, Graph
from kernels.gpu.launch import empty, hooks, recorded
from nn.layers import Conv2d, Dropout
from nn.network import Network
from tests.cupy_calls import signature
from tests.cupy_stand_in import count
from tests.replayed_arrays import array_operations
from tests.test_cupy_api import cuda, references  # noqa: F401 fixtures
from tests.test_training_step import flat, images
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.errors import NonFiniteLoss
from train.models.device_pool import DevicePool
from train.models.graphed_step import GraphedStep
from train.models.pix2pix import Pix2Pix, Pix2PixConfig

# As small as the networks go: the interpreter is slow. A step takes some two seconds.
CONFIG = Config(
    ngf=2, ndf=2, n_blocks=1, netD="n_layers", n_layers_D=1, load_size=8, crop_size=8, pool_size=1, seed=3,
    device="interpret", precision="fp32",
)  # fmt: skip


def batches(config: Config, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a.astype(np.float32), b.astype(np.float32)) for a, b in images(config, count)]


def train(model: CycleGAN, pictures: list[tuple[np.ndarray, np.ndarray]]) -> list:
    """Losses of every step and the state after the last; the learning rate differs from step to step."""
    losses = []
    for step, (a, b) in enumerate(pictures):
        model.set_lr(0.002 / (1 + step))
        losses.append(model.step(a, b))
    return [losses, flat(model.state_dict())]


def strays(config: Config, model_class: type[CycleGAN] = CycleGAN) -> Step:
    """What a captured step does besides its launches."""
    model, step = model_class(config), Step()
    graph = Graph(model.device)  # whose block on the host is no array of the device
    a, b = (model.tensor(x) for x in batches(config, 1)[0])
    with recorded(run=False):
        model.play(a, b)  # makes the pools
        stacks = [pair.stack for pair in model.pairs]
        for network in (*model.networks().values(), *stacks):
            for parameter in network.parameters():
                parameter.data = parameter.data.view(Watched)
                if parameter.low is not None:
                    parameter.low = parameter.low.view(Watched)
        a.data, b.data = a.data.view(Watched), b.data.view(Watched)
        # (NumPy's generator of random numbers would be watched as well.)
        with _watched(step), mock.patch.object(DevicePool, "decide", lambda pool, count: [(0, True)] * count):
            graph.capture(lambda: model.whole_step(a.data, b.data))
    return step


def test_replays_train_as_usual_steps_do_bit_for_bit():
    """Three steps beside three of which the second is captured and the last is a replay alone."""
    usual, graphed = CycleGAN(CONFIG), CycleGAN(CONFIG)
    graphed.graphed = GraphedStep(graphed, warm=1)
    wanted = train(usual, batches(CONFIG, 3))
    swapped = []
    decide = DevicePool.decide
    with (
        mock.patch.object(graphed, "played", wraps=graphed.played) as played,
        mock.patch.object(DevicePool, "decide", lambda *a: swapped.append(decide(*a)) or swapped[-1]),
    ):
        assert train(graphed, batches(CONFIG, 3)) == wanted
    assert played.call_count == 2 and len({losses["cycle_A"] for losses in wanted[0]}) == 3
    assert {(0, True), (-1, False)} <= {decision for query in swapped[4:] for decision in query}


def test_replays_in_bfloat16_with_the_hinge_loss():
    config = CONFIG.replace(precision="bf16", gan_mode="hinge", lambda_identity=0.0, pool_size=0)
    usual, graphed = CycleGAN(config), CycleGAN(config)
    graphed.graphed = GraphedStep(graphed, warm=0)
    a, b = (graphed.tensor(x) for x in batches(config, 1)[0])
    with no_grad():
        graphed.pairs[0]((a,), (b,))  # leaves weights in bfloat16, which the graph must not take for its own
    assert train(graphed, batches(config, 2)) == train(usual, batches(config, 2))
    for model in (usual, graphed):  # somebody changes the weights: the graph finds their copies changed, too
        model.gen_ab.load_state_dict({name: 1.5 * w for name, w in model.gen_ab.state_dict().items()})
    assert train(graphed, batches(config, 2)) == train(usual, batches(config, 2))
    low, weight = graphed.pairs[0].stack.parameters()[0].low, graphed.pairs[0].stack.parameters()[0].data
    assert np.array_equal(low, weight.astype(low.dtype))  # as the graph's Adam left it


class Drops(Network):
    """A generator of one layer whose output is dropped: what a U-Net does level by level."""

    def __init__(self) -> None:
        self.in_channels = 3
        self.conv, self.dropout = Conv2d(3, 3, 1), Dropout(0.5)
        self.finish("interpret", 0, "normal", 0.5)

    def forward(self, x):
        return self.dropout(self.conv(x))


def test_dropout_throws_the_steps_own_coins_in_each_replay():
    """The key of pix2pix's coins is drawn on the host, for every one of six steps anew."""
    config = Pix2PixConfig(lambda_GAN=0.0, load_size=8, crop_size=8, seed=3, device="interpret", precision="fp32")
    with mock.patch("train.models.pix2pix.generator", lambda *_: Drops()):
        usual, graphed = Pix2Pix(config), Pix2Pix(config)
    graphed.graphed = GraphedStep(graphed, warm=1)
    ((a, b),) = batches(config, 1)
    dropped = set()
    for _ in range(6):
        assert graphed.step(a, b) == usual.step(a, b)
        dropped.add((usual.seen["fake_b"] == 0).tobytes())
    assert graphed.graphed.graph.replays == 5 and len(dropped) == 6
    assert flat(graphed.state_dict()) == flat(usual.state_dict())


def test_a_captured_step_is_launches_and_nothing_else():
    for change in ({}, {"gan_mode": "hinge", "lambda_identity": 0.0}, {"gan_mode": "vanilla", "precision": "bf16"}):
        step = strays(CONFIG.replace(**change))
        assert not step.operations and not step.waits, Counter(o.name for o in step.operations)


def test_an_operation_between_the_launches_is_named():
    class Doubling(CycleGAN):
        def generator_losses(self, d):
            losses = yield from super().generator_losses(d)
            return losses | {f"G_{d.name}": losses[f"G_{d.name}"] * 2.0}

    assert "multiply" in {operation.name for operation in strays(CONFIG, Doubling).operations}


# -- what a graph is, on functions small enough to see through


class Small:
    """y = x + c, where c is what the host says: by way of the device, or baked into the launch's memory."""

    def __init__(self):
        self.device = get_device("interpret")
        self.x, self.count = np.zeros(5, np.float32), 0

    def told(self):
        return from_host(self.device, lambda: np.full(5, self.count, np.float32))

    def sound(self):
        from kernels.add.gpu import forward

        return forward(self.x, self.told())

    def host_dependent(self):
        from kernels.add.gpu import forward

        return forward(self.x, np.full(5, self.count, np.float32))

    def between_launches(self):
        from kernels.add.gpu import forward

        return forward(self.x, forward(self.x, self.told()) * np.float32(2))


def replayed(small, function):
    """What the second replay of the function and it itself give for new inputs."""
    graph = Graph(small.device)
    y = graph.capture(function)
    graph.replay()
    small.x[:], small.count = np.arange(5), 7
    graph.replay()
    return y, function()


def test_inputs_and_what_the_host_makes_reach_a_replay():
    small = Small()
    y, wanted = replayed(small, small.sound)
    assert np.array_equal(y, wanted) and wanted[4] == 11


@pytest.mark.parametrize("name", ["host_dependent", "between_launches"])
def test_an_impure_function_shows_in_its_replay(name):
    small = Small()
    y, wanted = replayed(small, getattr(small, name))
    assert not np.array_equal(y, wanted)


def test_operations_between_launches_can_be_replayed_too():
    small = Small()
    with array_operations():
        y, wanted = replayed(small, small.between_launches)
    assert np.array_equal(y, wanted) and wanted[4] == 26


def test_memory_of_a_graph_is_nobody_elses():
    """What a captured function lets go of must not be handed out again: the graph writes there at every replay."""
    small = Small()

    def forgetful():
        from kernels.adam.gpu import update

        p, m, v = (empty(small.x, small.x.shape) for _ in range(3))
        rates = dict(lr=1.0, beta1=0.5, beta2=0.5, eps=1.0, step=1)
        update([p], [small.x], [m], [v], **rates)  # its launch has addresses in a list, which keeps nothing alive

    graph = Graph(small.device)
    graph.capture(forgetful)
    others = [np.full(5, 9, np.float32) for _ in range(50)]
    small.x[:] = 1
    graph.replay()
    assert all((other == 9).all() for other in others)


def test_one_copy_takes_all_from_the_host_in_the_order_of_the_step():
    device, order, made = get_device("interpret"), [], {}

    def make(name, values):
        def draw():
            order.append(name)
            return values.copy()

        return draw

    rates, coins = np.float32([0.5, 2]), np.int32([[0, 0], [3, 1]])
    graph = Graph(device)

    def step():
        made["rates"] = from_host(device, make("rates", rates))
        repeated(lambda: order.append("counted"))
        made["coins"] = from_host(device, make("coins", coins))

    graph.capture(step)
    rates[0] = 0.25  # too late for the first replay, whose numbers the capture has drawn
    graph.replay()
    assert made["rates"].tolist() == [0.5, 2.0] and made["coins"].tolist() == [[0, 0], [3, 1]]
    assert order == ["rates", "counted", "coins"] and len(graph.blocks) == 1
    coins[1] = 5, 7
    graph.replay()
    assert made["rates"].tolist() == [0.25, 2.0] and made["coins"].tolist() == [[0, 0], [5, 7]]
    assert order == ["rates", "counted", "coins"] * 2
    assert all(address(array) % 16 == 0 for array in made.values())  # or Triton compiles anew inside the capture


def test_another_block_where_one_is_full():
    device = get_device("interpret")
    graph, sizes = Graph(device), (BLOCK - 8, 16, 2 * BLOCK)
    arrays = graph.capture(lambda: [from_host(device, lambda size=size: np.full(size, 7, np.uint8)) for size in sizes])
    graph.replay()
    assert len(graph.blocks) == 3 and [array.sum() for array in arrays] == [7 * size for size in sizes]


def test_numbers_of_another_shape_are_refused_in_a_replay():
    device, drawn = get_device("interpret"), [1, 2]
    graph = Graph(device)
    graph.capture(lambda: from_host(device, lambda: np.array(drawn, np.float32)))
    graph.replay()
    drawn.pop()
    with pytest.raises(RuntimeError, match="numbers for a replay"):
        graph.replay()


def test_no_kernel_runs_while_capturing():
    small = Small()
    small.count = 4
    y = Graph(small.device).capture(small.sound)
    y[:] = 9
    assert (y == 9).all() and hooks.capture is None


def test_a_capture_that_fails_leaves_the_hooks_as_they_were():
    before = (hooks.allocate, hooks.perform)
    with pytest.raises(ZeroDivisionError):
        Graph(get_device("interpret")).capture(lambda: 1 / 0)
    assert (hooks.allocate, hooks.perform, hooks.capture) == (*before, None)


# -- when the step uses it


def test_other_sizes_start_again():
    step = GraphedStep(mock.Mock(capturable=lambda: True), warm=2)
    small, large = (np.zeros((1, side, side, 3)) for side in (8, 16))
    assert [step.ready(a, small) for a in (small, small, small, small)] == [False, False, True, True]
    step.graph = object()
    assert not step.ready(large, small) and step.graph is None
    assert [step.ready(large, small) for _ in range(2)] == [False, True]


def test_while_the_host_swaps_pictures_no_step_is_captured():
    """After a change of size the pool has pictures of both; a graph would repeat the choice of one step for ever."""
    model = CycleGAN(CONFIG)
    model.graphed = GraphedStep(model, warm=1)
    captured = []
    with recorded(run=False):
        for side in (8, *[12] * 12):
            model.step(*np.zeros((2, 1, side, side, 3), np.float32))
            on_device = all(pool.swaps_on_device for pool in (model.pool_a, model.pool_b))
            captured.append((model.graphed.graph is not None, on_device))
    assert captured[0] == (False, True) and captured[1] == (False, False)
    assert captured[2][0] is False  # by its count it could have been captured
    assert captured[3:] == [(True, True)] * 10  # all that are kept have the new size


def test_a_graph_says_after_its_step_that_a_loss_is_no_number():
    model = CycleGAN(CONFIG)
    model.graphed = mock.Mock(ready=lambda *_: True, return_value=[("G_A", 1.0, 1.0), ("D_A", 1.0, math.nan)])
    with pytest.raises(NonFiniteLoss, match="loss D_A is nan"):
        model.step(*batches(CONFIG, 1)[0])


def test_the_interpreter_uses_no_graph_unasked():
    assert CycleGAN(CONFIG).graphed is None and CycleGAN(CONFIG.replace(device="cpu")).graphed is not None


def idle(real):
    """A class or function of `cupy.cuda` that looks at its arguments and does nothing; not all are contexts."""

    def call(*arguments, **keywords):
        signature(real).bind(*arguments, **keywords)
        made = mock.create_autospec(real, instance=True) if isinstance(real, type) else mock.MagicMock()
        if hasattr(real, "total_bytes"):
            made.total_bytes.return_value = 5000
        return made

    return call


@pytest.mark.usefixtures("references")
def test_the_path_for_a_gpu_on_a_stand_in(cuda):  # noqa: F811
    """The calls to CuPy exist and come in order. A stand-in records nothing, so a replay changes nothing here."""
    model = CycleGAN(CONFIG.replace(device="cuda"))
    ((a, b),) = batches(CONFIG, 1)
    default = mock.Mock(total_bytes=mock.Mock(return_value=1000))
    with (
        mock.patch.object(np, "get_default_memory_pool", lambda: default, create=True),  # where the stand-in looks
        mock.patch.object(np, "empty", np.zeros),  # the stand-in runs while capturing, on what is not yet sent
        mock.patch("kernels.device._most", 0),
        mock.patch("tests.cupy_stand_in._idle", idle),
    ):
        for _ in range(4):
            before = count.waits
            losses = model.step(a, b)
        assert peak_bytes(model.device) == 6000  # the graph's pool counts, and before it was made there was less
        default.total_bytes.return_value = 500
        assert peak_bytes(model.device) == 6000
    assert np.isfinite([*losses.values()]).all() and model.optimizers["g"].steps == model.optimizers["d"].steps == 4
    graph = model.graphed.graph
    names = [name for name, *_ in graph.stream.method_calls]
    assert names == ["begin_capture", "end_capture", *["wait_event", "synchronize"] * 2]
    assert count.waits == before  # but for its synchronize: a replay waits once
    assert graph.graph.launch.call_args_list == [mock.call(graph.stream)] * 2
    model.load_state_dict(model.state_dict())
    assert model.graphed.graph is None
