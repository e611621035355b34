"""What an op's backward can do for its neighbours while it is at it. For speed alone: the engine is as correct without.

    epilogue             A gradient dx is seldom all that comes for x: in a residual block another one went round through
                         the skip. A kernel that takes an epilogue adds that to dx while dx is in registers.
    requested reduction  An instance norm's backward begins with two sums over the gradient of its output. Whoever makes the
                         last contribution to that gradient can make the sums from the same registers.
    deferred gradient    A weight's gradient is read when the walk is over. Until then it may wait for those of other layers
                         that are alike, and all are made by one launch.

The first two save a launch that fetches all of dx from memory again; one layer of many by itself leaves half of a GPU idle. Whether
a kernel takes them is said in its module, see kernels/gpu/epilogue.py; on the CPU none does. What comes when is known to
the engine, which calls `run_backward`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array

if TYPE_CHECKING:
    from kernels.gpu.epilogue import Epilogue, Sums


class Fused(Function):
    """An op whose kernel may take an epilogue for dx, the gradient of its first input, or the sums it requested, or may defer
    the gradient of its second, a weight."""

    epilogue: Epilogue | None = None
    sums: Sums | None = None
    deferred: Deferred | None = None

    def request(self) -> Sums | None:
        """The sums over the gradient of its output that this op's backward would like to find made."""
        return None

    def fused(self) -> dict[str, Any]:
        """What there is of the three, as keywords for the kernel's backward."""
        given = {"epilogue": self.epilogue, "sums": self.sums, "deferred": self.deferred}
        return {name: value for name, value in given.items() if value is not None}

    def run_backward(self, dy: Array, pending: dict[Function, list[Array]], deferred: Deferred) -> Any:
        """The gradients; the first holds what had come for that input before, which is then no longer pending."""
        assert self.inputs is not None and self.inputs[0] is not None
        if getattr(self.kernel, "DEFERRED", False) and read_at_the_end(self.inputs[1]):
            self.deferred = deferred
        maker = self.inputs[0].creator
        if maker is None or not getattr(self.kernel, "EPILOGUE", False):
            return self.backward(dy)
        from kernels.gpu.epilogue import Epilogue

        come = pending.get(maker, [])
        if isinstance(maker, Fused) and maker.uses == len(come) + 1:  # no other gradient is still to come
            maker.sums = maker.request()
        self.epilogue = Epilogue(maker.total(come) if come else None, maker.sums if isinstance(maker, Fused) else None)
        grads = self.backward(dy)
        maker.uses -= len(come)
        come.clear()
        return grads

    def release(self) -> None:
        super().release()
        self.epilogue = self.sums = self.deferred = None


def read_at_the_end(weight: Tensor | None) -> bool:
    """Whether nobody reads this input's gradient while the walk goes on: it is a leaf, or a leaf in another precision."""
    if weight is None or weight.creator is None:
        return True
    maker = weight.creator
    return maker.uses == 1 and not maker.reads and all(t is None or t.creator is None for t in maker.inputs or ())


class Deferred:
    """Gradients of one kind that wait to be made together, before anybody reads them.

    What they are made from is held meanwhile. So only one kind waits at a time: the first of another has the others made.
    """

    def __init__(self) -> None:
        self.kind: Hashable = None
        self.waiting: list[Any] = []
        self.together: Callable[[list[Any]], None] | None = None

    def join(self, kind: Hashable, work: Any, together: Callable[[list[Any]], None]) -> None:
        """Let `work` wait for more of its kind; `together` does all of it."""
        if kind != self.kind:
            self.finish()
        self.kind, self.together = kind, together
        self.waiting.append(work)

    def finish(self) -> None:
        """Do what waits, and let go of it."""
        waiting, together = self.waiting, self.together
        self.kind, self.waiting, self.together = None, [], None
        if together is not None:
            together(waiting)
