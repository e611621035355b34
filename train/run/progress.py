"""What the terminal shows while a run goes on: a bar, or plain lines where stderr is a file or a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Self

from tqdm import tqdm


class Progress:
    """Follows a run from step `start` to step `total`; `print_freq` is the number of steps between plain lines.

    Falls silent where the terminal, or who read the pipe, has gone.
    """

    def __init__(self, total: int, start: int, enabled: bool = True, print_freq: int = 100) -> None:
        self.total, self.step, self.enabled, self.print_freq = total, start, enabled, print_freq
        self.bar = None
        if enabled and sys.stderr.isatty():
            self.bar = tqdm(
                total=total, initial=start, unit=" steps", dynamic_ncols=True, smoothing=0.05,
                bar_format="{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left{postfix}",
            )  # fmt: skip
        self._mark = (start, time.perf_counter())  # step and time of the last plain line

    def update(self, losses: Mapping[str, float], lr: float) -> None:
        """One more step is done, with these losses."""
        self.step += 1
        if self.bar is not None:
            with self._seen():
                self.bar.set_postfix_str(_losses(losses), refresh=False)
                self.bar.update()
        elif self.enabled and (self.step % self.print_freq == 0 or self.step == self.total):
            before, then = self._mark
            self._mark = self.step, time.perf_counter()
            rate = (self.step - before) / max(self._mark[1] - then, 1e-9)
            left = f", {tqdm.format_interval((self.total - self.step) / rate)} left" if self.step < self.total else ""
            self.line(f"step {self.step}/{self.total}  {_losses(losses)}  lr {lr:.3g}  {rate:.3g} steps/s{left}")

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        with self._seen():
            if self.bar is not None:
                self.bar.write(text, file=sys.stderr)
            elif self.enabled:
                print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is and begin a new line."""
        if self.bar is not None:
            with self._seen():
                self.bar.close()

    @contextlib.contextmanager
    def _seen(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # closed
            self.bar, self.enabled = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _losses(losses: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in losses.items())
