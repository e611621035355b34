"""What a CycleGAN shows of itself: translations, there and back again, and what its losses mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from autograd import no_grad
from kernels.device import Array
from nn.network import Network
from train.models.model import Model, Pair, Rows, host_picture

if TYPE_CHECKING:
    from train.models.quantities import Quantity


class CyclePictures(Model):
    """The pictures of a model whose two generators, gen_ab and gen_ba, undo each other."""

    legend: ClassVar[Mapping[str, str]] = {
        "real": "A picture as it is.",
        "fake": "Its translation into the other domain: what the run is about.",
        "reconstructed": "The fake translated back. It should equal the real one.",
        "identity": "The real one given to the generator of its own domain. It should not change.",
    }
    gen_ab: Network
    gen_ba: Network
    disc_a: Network
    disc_b: Network

    @no_grad()
    def pictures(self, real_a: Array, real_b: Array) -> dict[str, np.ndarray]:
        """Every picture of one step, on the host: real, fake, rec(onstructed) and idt(entity), _a and _b."""
        gen_ab, gen_ba = self.shown("gen_ab"), self.shown("gen_ba")
        a, b = self.tensor(real_a), self.tensor(real_b)
        fake_b, fake_a = gen_ab(a), gen_ba(b)
        made = {"real_a": a, "fake_b": fake_b, "rec_a": gen_ba(fake_b)}
        made |= {"real_b": b, "fake_a": fake_a, "rec_b": gen_ab(fake_a)}
        if self.config.input_nc == self.config.output_nc:
            made |= {"idt_a": gen_ba(a), "idt_b": gen_ab(b)}
        return {name: host_picture(picture) for name, picture in made.items()}

    @no_grad()
    def translate(self, pictures: Array, direction: str = "AtoB") -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host. `direction` is "AtoB" or "BtoA"."""
        return host_picture(self.shown("gen_ab" if direction == "AtoB" else "gen_ba")(self.tensor(pictures)))

    def sample_rows(self, pairs: Sequence[Pair]) -> Rows:
        """Each sample's own row: first all of A, then all of B."""
        pictures = [self.pictures(pair.a[None], pair.b[None]) for pair in pairs]
        rows: Rows = []
        for direction, other in ("ab", "ba"):
            for made in pictures:
                row = {f"real {direction.upper()}": made[f"real_{direction}"][0]}
                row[f"fake {other.upper()}"] = made[f"fake_{other}"][0]
                row[f"reconstructed {direction.upper()}"] = made[f"rec_{direction}"][0]
                if f"idt_{direction}" in made:
                    row[f"identity {direction.upper()}"] = made[f"idt_{direction}"][0]
                rows.append(row)
        return rows

    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""
        from train.models.quantities import quantities

        return quantities(self.config.as_dict())

    @no_grad()
    def run_networks(self, real_a: Array, real_b: Array) -> None:
        """All networks on what they see in a step: the generators forth and back, the discriminators on real and fake."""
        a, b = self.tensor(real_a), self.tensor(real_b)
        fake_b, fake_a = self.gen_ab(a), self.gen_ba(b)
        self.gen_ba(fake_b), self.gen_ab(fake_a)
        for disc, real, fake in ((self.disc_a, a, fake_a), (self.disc_b, b, fake_b)):
            disc(real), disc(fake)
