"""Optimisers: how parameters follow their gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from autograd.tensor import zeros_like
from kernels.device import from_host, to_host, xp_of
from kernels.dispatch import implementation
from nn.module import Parameter


class Optimizer:
    """Holds the parameters of one player. `step` moves them against `.grad`; those without a gradient stay.

    `lr` may be changed between steps. `moments` names the lists of arrays, one per parameter, that a step updates.
    """

    moments: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        self.steps = 0
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: no parameters to train")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters:
            p.grad = None

    def moved(self) -> list[int]:
        """Indices of the parameters that have a gradient."""
        return [i for i, p in enumerate(self.parameters) if p.arrived]

    def step(self) -> None:
        raise NotImplementedError

    def grad_norm(self) -> float:
        """Euclidean length of all gradients together, as `step` finds or leaves them; 0.0 without any."""
        grads = [p.grad.ravel() for p in self.parameters if p.grad is not None]
        return float(xp_of(grads[0]).stack([g.dot(g) for g in grads]).sum() ** 0.5) if grads else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Host copies of all that the next step depends on, besides the parameters."""
        copies = {name: [np.array(to_host(a)) for a in getattr(self, name)] for name in self.moments}
        return {"steps": self.steps, "lr": self.lr, **copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; ValueError where its moments do not fit the parameters."""
        for name in self.moments:
            own = getattr(self, name)
            if [a.shape for a in own] != [a.shape for a in state[name]]:
                raise ValueError(f"{type(self).__name__}: the saved moments {name} do not fit these parameters")
            for mine, saved in zip(own, state[name], strict=True):
                mine[...] = self.parameters[0].device.asarray(saved)
        self.steps, self.lr = int(state["steps"]), float(state["lr"])


class Adam(Optimizer):
    """Adam, one moment pair per parameter; see kernels/adam.

    The steps are counted once for all parameters (PyTorch counts for each): the two differ only for a parameter whose
    first gradient comes after the first step.
    """

    moments = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas, self.eps = betas, eps
        self.m = [zeros_like(p) for p in self.parameters]
        self.v = [zeros_like(p) for p in self.parameters]

    def advance(self) -> np.ndarray:
        """The host's part of a step: count it. The numbers [2] that follow from the count and from lr; see kernels/adam."""
        from kernels.adam.reference import rates

        self.steps += 1
        return np.array(rates(self.lr, *self.betas, self.steps))

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        device = self.parameters[0].device
        control = from_host(device, self.advance if device.name == "cpu" else lambda: self.advance().astype(np.float32))
        moved = self.moved()
        if not moved:
            return
        params = [self.parameters[i] for i in moved]
        kernel, kept, more = implementation("adam", device), [], {}
        if getattr(kernel, "TERMS", 1) > 1:  # it adds up what has arrived, and keeps copies in bfloat16
            kept = [p for p in params if p.has_low()]
            more["others"] = [p.arrived[1] if len(p.arrived) > 1 else None for p in params]
            more["low"] = [p.low if p.has_low() else None for p in params]
        kernel.update(
            [p.data for p in params],
            [p.arrived[0] if more else p.grad for p in params],
            [self.m[i] for i in moved],
            [self.v[i] for i in moved],
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            step=self.steps,
            control=control,
            **more,
        )
        for p in params:
            p.changed()
        for p in kept:
            p.low_is_current()


class SGD(Optimizer):
    """p = p - lr * u, u = momentum * u + grad."""

    moments = ("velocity",)

    def __init__(self, parameters: Iterable[Parameter], lr: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.velocity = [zeros_like(p) for p in self.parameters]

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        self.steps += 1
        for i in self.moved():
            p, u = self.parameters[i], self.velocity[i]
            u *= self.momentum
            u += p.grad
            p.data -= self.lr * u
            p.changed()


def clip_grad_norm(parameters: Iterable[Parameter], most: float) -> None:
    """Scale all gradients together, so that their joint Euclidean norm is at most `most`; see kernels/clip_grad_norm."""
    own = [p for p in parameters if p.grad is not None]
    if own:
        clipped = implementation("clip_grad_norm", own[0].device).forward([p.grad for p in own], most=most)
        for p, grad in zip(own, clipped, strict=True):
            p.grad = grad
