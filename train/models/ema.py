"""EMA, an exponential moving average of networks: steadier than any single step's weights, which still sway with the game."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels.device import from_host
from kernels.dispatch import implementation
from nn.network import Network


class EMA:
    """Copies of networks that follow them: average += (1 - d) (weights - average) after each step.

    d is `decay`, but at most (n - 1) / (n + 9) in step n, so that the random weights of the start are soon forgotten; the
    first step copies. Until then the networks themselves are what there is to show.
    """

    def __init__(self, live: Mapping[str, Network], decay: float) -> None:
        self.live, self.decay, self.steps = dict(live), decay, 0
        self.networks = {name: copy.deepcopy(network) for name, network in self.live.items()}

    def shown(self, name: str) -> Network:
        """The average of the network of that name, or that network itself before the first step."""
        return (self.networks if self.steps else self.live)[name]

    def update(self) -> None:
        """One more step was made."""
        pairs = [
            (average, now)
            for name, network in self.networks.items()
            for (_, average), (_, now) in zip(
                network.named_parameters(), self.live[name].named_parameters(), strict=True
            )
        ]
        device = pairs[0][0].device
        share = from_host(device, lambda: np.array([self.advance()], pairs[0][0].dtype))
        implementation("ema", device).update(
            *([p.data for p in side] for side in zip(*pairs, strict=True)), share=share
        )
        for average, _ in pairs:
            average.changed()

    def advance(self) -> float:
        """The host's part: count the step. 1 - d."""
        self.steps += 1
        return 1 - min(self.decay, (self.steps - 1) / (self.steps + 9))

    def state_dict(self) -> dict[str, Any]:
        """The weights that are trained. The averages stand in their place among the model's networks, so that whoever
        opens the file to translate, evaluate or export takes them."""
        return {"steps": self.steps, "live": {name: network.state_dict() for name, network in self.live.items()}}

    def load_state_dict(self, state: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        """Go on from `state`; `shown` holds the averages by name."""
        self.steps = state["steps"]
        for name, network in self.live.items():
            network.load_state_dict(state["live"][name])
            self.networks[name].load_state_dict(shown[name])
