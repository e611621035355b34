"""A trained model as a function from picture to picture, of any size: what `translate` and its page both stand on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autograd import Tensor, no_grad
from kernels.device import get_device
from nn.network import Network
from nn.resnet_generator import ResnetGenerator
from nn.unet_generator import UnetGenerator
from train.errors import UserError
from train.inference.strips import run_in_strips
from train.models.registry import loaded
from train.weights import formats as weights

LARGE = 1 << 20  # pixels from which a ResNet generator works in strips
DIRECTIONS = {"AtoB": ("gen_ab", "gen_ba", "disc_b"), "BtoA": ("gen_ba", "gen_ab", "disc_a")}
OTHER = {"AtoB": "BtoA", "BtoA": "AtoB"}


class Translator:
    """The generator of one direction; with the way back and the discriminator of its pictures, where the weights have them.

    path       a run's folder or any file of weights that train/weights/formats.py reads
    direction  "AtoB" or "BtoA"; "" takes AtoB, or the only generator there is

    Raises UserError that names the file if it holds no such generator.
    """

    coded = False  # whether there is a choice of codes, and so of translations

    def __init__(self, path: str | Path, direction: str = "", device: str = "auto", upsample: str = "") -> None:
        try:
            self.device = get_device(device)
        except (RuntimeError, ValueError) as error:
            raise UserError(str(error)) from error
        self.path = Path(path)
        found = weights.load(path, upsample)
        self.direction = direction or ("BtoA" if "gen_ba" in found and "gen_ab" not in found else "AtoB")
        forth, back, disc = DIRECTIONS[self.direction]
        if forth not in found:
            generators = [name for name, w in found.items() if name == "generator" or w.architecture().is_generator]
            if direction and DIRECTIONS[direction][1] in generators:
                raise UserError(
                    f"{path}: holds the generator of the other direction only; leave out --direction {direction}"
                )
            if len(generators) != 1:
                raise UserError(f"{path}: wanted one generator or a run's, seen {', '.join(found)}")
            if direction == "BtoA":
                raise UserError(
                    f"{path}: holds one generator and does not say that it is B to A; leave out --direction"
                )
            forth = generators[0]

        def network(name: str) -> Network | None:
            return found[name].network(self.device.name) if name in found else None

        generator = network(forth)
        assert generator is not None
        self.generator, self.back, self.disc = generator, network(back), network(disc)
        self.directions = (self.direction, OTHER[self.direction])[: 1 if self.back is None else 2]
        architecture = found[forth].architecture()
        if not architecture.is_generator:
            raise UserError(f"{found[forth].source}: {forth} is a discriminator, which translates nothing")
        self.in_channels, self.out_channels = (
            architecture.settings["in_channels"],
            architecture.settings["out_channels"],
        )

    def __call__(self, x: np.ndarray, code: int = 0) -> np.ndarray:
        """x [H,W,C] in [-1, 1] of any size -> [H,W,K] in [-1, 1]; with that one of the codes, where it is `coded`."""
        return run(self.generator, x)

    def reconstruct(self, fake: np.ndarray) -> np.ndarray | None:
        """The way back from a translation [H,W,K]; None without the other generator."""
        return None if self.back is None else run(self.back, fake)

    def scores(self, fake: np.ndarray) -> np.ndarray | None:
        """What the discriminator says of each patch of a picture: [P,Q], 1 for real; None without one."""
        if self.disc is None:
            return None
        return whole(self.disc, padded(fake, 4, least=32))[..., 0]


class ModelTranslator(Translator):
    """One direction of a run whose system itself translates. Codes are those of the run's samples: the same for all pictures.

    There is no way back where it would want a code read from the picture, and no discriminator, whose patches depend on the size.
    """

    def __init__(self, run: weights.WholeRun, direction: str = "", device: str = "auto") -> None:
        config, self.model = loaded(run.file, run.state, {"device": device})
        there = self.model.directions
        self.path, self.direction, self.device = run.file, direction or there[0], self.model.device
        if self.direction not in there:
            raise UserError(f"{run.file}: translates {there[0]} only; leave out --direction {direction}")
        self.directions, self.sides = there, config.generator_sides
        channels = config.input_nc, config.output_nc
        self.in_channels, self.out_channels = channels if self.direction == "AtoB" else channels[::-1]
        self.coded = self.model.takes_code(self.direction)

    def __call__(self, x: np.ndarray, code: int = 0) -> np.ndarray:
        codes = (self.model.codes(code + 1)[code:],) if self.coded else ()
        return self.made(x, self.direction, *codes)

    def made(self, x: np.ndarray, direction: str, *z: np.ndarray) -> np.ndarray:
        """The model's translation of x [H,W,C] of any size, with one code z [1,1,1,L] where it takes one."""
        height, width = x.shape[:2]
        return self.model.translate(padded(x, *self.sides)[None], direction, *z)[0, :height, :width]

    def reconstruct(self, fake: np.ndarray) -> np.ndarray | None:
        other = OTHER[self.direction]
        return None if other not in self.directions or self.model.takes_code(other) else self.made(fake, other)

    def scores(self, fake: np.ndarray) -> np.ndarray | None:
        return None


def open_translator(path: str | Path, direction: str = "", device: str = "auto") -> Translator:
    """The translator for what lies there: files of weights, or a run that only its system translates with."""
    try:
        return Translator(path, direction, device)
    except weights.WholeRun as run:
        return ModelTranslator(run, direction, device)


def run(network: Network, x: np.ndarray) -> np.ndarray:
    """A generator on a picture [H,W,C] of any size: mirrored at its right and lower edge to a size that fits, then cut."""
    height, width = x.shape[:2]
    if isinstance(network, UnetGenerator):
        step = 2**network.num_downs
        return whole(network, padded(x, step))[:height, :width]
    fitting = padded(x, 4, least=8)
    if isinstance(network, ResnetGenerator) and height * width > LARGE:
        return run_in_strips(network, fitting[None])[0, :height, :width]
    return whole(network, fitting)[:height, :width]


@no_grad()
def whole(network: Network, x: np.ndarray) -> np.ndarray:
    """network(x) of one picture [H,W,C], on the host."""
    return (
        network(Tensor(network.device.asarray(x[None]), device=network.device))
        .numpy()[0]
        .astype(np.float32, copy=False)
    )


def padded(x: np.ndarray, step: int, least: int = 0) -> np.ndarray:
    """x [H,W,C] mirrored at its right and lower edge until both sides are multiples of `step` and at least `least`."""
    height, width = (max(-(-side // step) * step, least) for side in x.shape[:2])
    return np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]), (0, 0)), mode="reflect")
