"""A trained model as a function from picture to picture, of any size: what `translate` and its page both stand on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from kernels.device import get_device
from nn.network import Network
from nn.resnet_generator import ResnetGenerator
from nn.unet_generator import UnetGenerator
from train.config import sides
from train.data.pixels import LEVELS
from train.errors import UserError
from train.inference.strips import run_in_strips
from train.models.registry import SYSTEMS, loaded
from train.weights import formats as weights
from train.weights.generators import generators

LARGE = 1 << 20  # pixels from which a ResNet generator works in strips
OTHER = {"AtoB": "BtoA", "BtoA": "AtoB"}
DISCRIMINATORS = {"AtoB": "disc_b", "BtoA": "disc_a"}  # of a direction's translations


class Translator:
    """The generator of one direction; with the way back and the discriminator of its pictures, where the weights have them.

    path       a run's folder or any file of weights that train/weights/formats.py reads
    direction  "AtoB" or "BtoA"; "" takes AtoB, or the only generator there is
    upsample   "nearest" or "bilinear": how a generator resizes whose weights do not tell it
    network    the generator's name, where there are several and no name tells a direction

    Raises UserError that names the file if it holds no such generator. A discriminator that cannot be read is left out.
    """

    coded = False  # whether there is a choice of codes, and so of translations
    notes: tuple[str, ...] = ()  # what was taken where the weights do not tell it
    trained: Mapping[str, Any] = {}  # the settings of the run that it is of, and its "program", where that is known

    def __init__(
        self, path: str | Path, direction: str = "", device: str = "auto", upsample: str = "", network: str = ""
    ) -> None:
        try:
            self.device = get_device(device)
        except (RuntimeError, ValueError) as error:
            raise UserError(str(error)) from error
        self.path = Path(path)
        found = weights.load(path, upsample)
        there = generators(found, path, direction, network)
        self.directions = tuple(there)
        self.direction = self.directions[0]
        forth, back, disc = (
            there[self.direction],
            there.get(OTHER[self.direction]),
            found.get(DISCRIMINATORS[self.direction]),
        )
        self.generator = forth.network(self.device.name)
        self.back = back.network(self.device.name) if back else None
        self.disc = disc.network(self.device.name) if disc and disc.kind == "discriminator" else None
        architecture = forth.architecture()
        self.notes, self.trained = architecture.notes, forth.trained
        self.in_channels, self.out_channels = (
            architecture.settings["in_channels"],
            architecture.settings["out_channels"],
        )

    @property
    def white_level(self) -> int:
        """The value of 16-bit files that is white: the run's --white_level."""
        white = self.trained.get("white_level", LEVELS[16])
        return white if isinstance(white, int) and 0 < white <= LEVELS[16] else LEVELS[16]

    def half_of(self, width: int, height: int) -> str:
        """The half to translate, "left" or "right", where a picture of this size may show A beside B, as those of runs of pairs do; "" elsewhere."""
        system = SYSTEMS.get(str(self.trained.get("program")))
        if system is None or self.trained.get("dataset_mode", system.settings.dataset_mode) != "aligned":
            return ""
        try:
            wide, high = sides(self.trained["crop_size"])
        except (LookupError, TypeError, ValueError):  # a file of a stranger's
            return ""
        if width % 2 or not 0.98 < width / 2 / height * high / wide < 1.02:
            return ""
        return "left" if self.direction == self.trained.get("direction", "AtoB") else "right"

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
        self.trained = {**config.as_dict(), "program": self.model.program}
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


def open_translator(
    path: str | Path, direction: str = "", device: str = "auto", upsample: str = "", network: str = ""
) -> Translator:
    """The translator for what lies there: files of weights, or a run that only its system translates with."""
    try:
        return Translator(path, direction, device, upsample, network)
    except weights.WholeRun as run:
        if upsample or network:
            raise UserError("--upsample and --network speak of weights from elsewhere; a run says both itself") from run
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
