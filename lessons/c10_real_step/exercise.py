"""Chapter 10. Fill in the hole, then: python -m lessons check 10"""

from typing import Any

import numpy as np

from autograd import Tensor
from autograd.ops import l1_loss, lsgan_loss


def gradients_by_source(game: Any, a: Tensor, b: Tensor) -> dict[str, np.ndarray]:
    """The gradient of gen_ab's parameters from each source alone, as one long array (all parameters, raveled and joined).

    game has gen_ab, gen_ba, disc_b; `network.parameters()` are its parameters, `network.zero_grad()` forgets their gradients.
    Sources and their losses:
        "adversarial"   lsgan_loss(D_B(G(a)), 1.0)
        "cycle"         l1_loss(F(G(a)), a, 10.0) and l1_loss(G(F(b)), b, 10.0) together
        "identity"      l1_loss(G(b), b, 5.0)
    """
    raise NotImplementedError("for each source: forget, forward, backward, collect")


# Which of the three is longest in the first step? Look at the second table of the page; "cycle" is cycle_A and cycle_B.
longest_at_first = None

_ = l1_loss, lsgan_loss
