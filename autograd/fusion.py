"""What an op's backward can do for its neighbours while it is at it. For speed alone: the engine is as correct without.

    epilogue             A gradient dx is seldom all that comes for x: in a residual block another one went round through
                         the skip. A kernel that takes an epilogue adds that to dx while dx is in registers.
    requested reduction  An instance norm's backward begins with two sums over the gradient of its output. Whoever makes the
                         last contribution to that gradient can make the sums from the same registers.

Both save a launch that fetches all of dx from memory again. Whether a kernel takes them is said in its module, see
kernels/gpu/epilogue.py; on the CPU none does. What comes when is known to the engine, which calls `run_backward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autograd.function import Function
from kernels.device import Array

if TYPE_CHECKING:
    from kernels.gpu.epilogue import Epilogue, Sums


class Fused(Function):
    """An op whose kernel may take an epilogue for dx, the gradient of its first input, or the sums it requested."""

    epilogue: Epilogue | None = None
    sums: Sums | None = None

    def request(self) -> Sums | None:
        """The sums over the gradient of its output that this op's backward would like to find made."""
        return None

    def fused(self) -> dict[str, Any]:
        """What there is of the two, as keywords for the kernel's backward."""
        given = {"epilogue": self.epilogue, "sums": self.sums}
        return {name: value for name, value in given.items() if value is not None}

    def run_backward(self, dy: Array, pending: dict[Function, list[Array]]) -> Any:
        """The gradients; the first holds what had come for that input before, which is then no longer pending."""
        assert self.inputs is not None and self.inputs[0] is not None
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
        self.epilogue = self.sums = None
