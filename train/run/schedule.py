"""How the learning rate falls, epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

from train.config.settings import Config


class Schedule:
    """The learning rate of the epoch at hand; `end_epoch` moves on to the next.

    With k epochs done, the rate is lr times

        linear   1 - max(0, k + epoch_count - n_epochs) / (n_epochs_decay + 1)
        step     0.1 ** (k // lr_decay_iters)
        cosine   (1 + cos(pi * k / epochs)) / 2
        plateau  0.2 for every time that the metric has not fallen by 1 % for more than 5 epochs (or evaluations)
    """

    PATIENCE, DROP, THRESHOLD = 5, 0.2, 0.01

    def __init__(self, config: Config) -> None:
        self.config = config
        self.done = 0  # epochs
        self.drops = 0  # of the plateau policy
        self.best = math.inf
        self.bad = 0  # verdicts since the best
        self.watched = ""  # the metric that `best` is a value of

    @property
    def lr(self) -> float:
        """The learning rate of the current epoch."""
        return self.config.lr * self.factor()

    def factor(self) -> float:
        c, k = self.config, self.done
        if c.lr_policy == "linear":
            return 1 - max(0, k + c.epoch_count - c.n_epochs) / (c.n_epochs_decay + 1)
        if c.lr_policy == "step":
            return 0.1 ** (k // c.lr_decay_iters)
        if c.lr_policy == "cosine":
            return (1 + math.cos(math.pi * k / c.epochs)) / 2
        return self.DROP**self.drops

    def end_epoch(self, metric: float | None, name: str = "") -> None:
        """An epoch is over; `metric` (lower is better) is what the plateau policy watches, None if it was not measured.

        Under another `name` than before it is another metric, with a best of its own.
        """
        self.done += 1
        if metric is None:
            return
        if name != self.watched:
            self.watched, self.best, self.bad = name, math.inf, 0
        if metric < self.best * (1 - self.THRESHOLD):
            self.best, self.bad = metric, 0
            return
        self.bad += 1
        if self.bad > self.PATIENCE:
            self.drops, self.bad = self.drops + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("done", "drops", "best", "bad", "watched")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done, self.drops, self.best, self.bad = state["done"], state["drops"], state["best"], state["bad"]
        self.watched = state.get("watched", "")
