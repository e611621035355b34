"""A training step as a graph: nothing but launches over fixed memory, so that repeating them is training."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
import pytest

from autograd import no_grad
from benchmarks.recording import Step, Watched, _watched
from kernels.device import get_device
from kernels.gpu.cuda_graph import Control, Graph, joined
from kernels.gpu.launch import empty, hooks, recorded
from tests.cupy_calls import signature
from tests.test_cupy_api import cuda, references  # noqa: F401 fixtures
from tests.test_training_step import flat, images
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.errors import NonFiniteLoss
from train.models.device_pool import DevicePool
from train.models.graphed_step import GraphedStep

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
            Graph(model.device).capture(lambda: model.play(a, b))
    return step


def test_replays_train_as_usual_steps_do_bit_for_bit():
    """Three steps beside three of which the second is captured and the last is a replay alone."""
    usual, graphed = CycleGAN(CONFIG), CycleGAN(CONFIG)
    graphed.graphed = GraphedStep(graphed, warm=1)
    wanted = train(usual, batches(CONFIG, 3))
    swapped = []
    decide = DevicePool.decide
    with (
        mock.patch.object(graphed, "play", wraps=graphed.play) as play,
        mock.patch.object(DevicePool, "decide", lambda *a: swapped.append(decide(*a)) or swapped[-1]),
    ):
        assert train(graphed, batches(CONFIG, 3)) == wanted
    assert play.call_count == 2 and len({losses["cycle_A"] for losses in wanted[0]}) == 3
    assert {(0, True), (-1, False)} <= {decision for query in swapped[4:] for decision in query}


def test_a_step_runs_once_before_it_is_captured():
    model = CycleGAN(CONFIG)
    model.graphed = GraphedStep(model, warm=0)
    with pytest.raises(RuntimeError, match="once before"), recorded(run=False):
        model.step(*batches(CONFIG, 1)[0])


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
        self.control = Control(self.device, 5, np.float32)

    def sound(self):
        from kernels.add.gpu import forward

        self.control.host[:] = self.count
        self.control.send()
        return forward(self.x, self.control.array)

    def host_dependent(self):
        from kernels.add.gpu import forward

        return forward(self.x, np.full(5, self.count, np.float32))

    def between_launches(self):
        from kernels.add.gpu import forward

        return forward(self.x, forward(self.x, self.control.array) * np.float32(2))


def replayed(small, function):
    """What the graph and the function itself give for new inputs."""
    graph = Graph(small.device)
    y = graph.capture(function)
    small.x[:], small.count = np.arange(5), 7
    small.control.host[:] = 7
    small.control.send()
    graph.replay()
    return y, function()


def test_inputs_and_control_reach_a_replay():
    small = Small()
    y, wanted = replayed(small, small.sound)
    assert np.array_equal(y, wanted) and wanted[4] == 11


@pytest.mark.parametrize("name", ["host_dependent", "between_launches"])
def test_an_impure_function_shows_in_its_replay(name):
    small = Small()
    y, wanted = replayed(small, getattr(small, name))
    assert not np.array_equal(y, wanted)


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


def test_one_copy_sends_all_controls():
    device = get_device("interpret")
    rates, coins = Control(device, 2, np.float32), Control(device, (2, 2), np.int32)
    rates.host[:] = 0.5, 2
    block = joined(device, [rates, coins])
    coins.host[1] = 3, 1
    block.send()
    assert rates.array.tolist() == [0.5, 2.0] and coins.array.tolist() == [[0, 0], [3, 1]]


def test_nothing_is_sent_while_capturing():
    small = Small()
    small.count = 4
    Graph(small.device).capture(small.sound)
    assert not small.control.array.any() and hooks.capture is None


def test_a_capture_that_fails_leaves_the_hooks_as_they_were():
    before = (hooks.allocate, hooks.perform)
    with pytest.raises(ZeroDivisionError):
        Graph(get_device("interpret")).capture(lambda: 1 / 0)
    assert (hooks.allocate, hooks.perform, hooks.capture) == (*before, None)


# -- when the step uses it


def test_other_sizes_start_again():
    step = GraphedStep(mock.Mock(), warm=2)
    small, large = (np.zeros((1, side, side, 3)) for side in (8, 16))
    assert [step.ready(a, small) for a in (small, small, small, small)] == [False, False, True, True]
    step.graph = object()
    assert not step.ready(large, small) and step.graph is None
    assert [step.ready(large, small) for _ in range(2)] == [False, True]


def test_a_graph_says_after_its_step_that_a_loss_is_no_number():
    model = CycleGAN(CONFIG)
    model.graphed = mock.Mock(ready=lambda *_: True)
    model.graphed.return_value = {"G_A": model.tensor(1.0), "D_A": model.tensor(np.nan)}
    with pytest.raises(NonFiniteLoss, match="loss D_A is nan"):
        model.step(*batches(CONFIG, 1)[0])


def test_only_a_gpu_uses_graphs_unasked():
    assert CycleGAN(CONFIG).graphed is None and CycleGAN(CONFIG.replace(device="cpu")).graphed is None


def idle(real):
    """A class or function of `cupy.cuda` that looks at its arguments and does nothing; not all are contexts."""

    def call(*arguments, **keywords):
        signature(real).bind(*arguments, **keywords)
        return mock.create_autospec(real, instance=True) if isinstance(real, type) else mock.MagicMock()

    return call


@pytest.mark.usefixtures("references")
def test_the_path_for_a_gpu_on_a_stand_in(cuda):  # noqa: F811
    """The calls to CuPy exist and come in order. A stand-in records nothing, so a replay changes nothing here."""
    model = CycleGAN(CONFIG.replace(device="cuda"))
    ((a, b),) = batches(CONFIG, 1)
    with (
        mock.patch.object(np, "get_default_memory_pool", mock.Mock, create=True),  # where the stand-in looks
        mock.patch("tests.cupy_stand_in._idle", idle),
    ):
        for _ in range(4):
            losses = model.step(a, b)
    assert np.isfinite([*losses.values()]).all() and model.optimizers["g"].steps == model.optimizers["d"].steps == 4
    graph = model.graphed.graph
    names = [name for name, *_ in graph.stream.method_calls]
    assert names == ["begin_capture", "end_capture", "synchronize", "synchronize"]
    assert graph.graph.launch.call_args_list == [mock.call(graph.stream)] * 2
    model.load_state_dict(model.state_dict())
    assert model.graphed.graph is None
