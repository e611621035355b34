"""Chapter 4. First predict, then fill in the hole, then: python -m lessons check 4"""

from typing import Any

from autograd import Tensor
from autograd.ops import lsgan_loss

# Predict before you run the experiment. Leave the two lines out that freeze the discriminators, and nothing else.
# After 600 steps the weights are "the same" or "others"?
without_freeze = None

# Leave out the freeze *and* forget the discriminators' gradients only after their step, not before. G's loss ends at ¼ in a draw.
# Will it end "below", "at" or "above" that?
generator_loss_of_the_leak = None


def discriminators_turn(game: Any, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> None:
    """One update of the discriminators, without a pool.

    game    has disc_a, disc_b (networks, still frozen, with `requires_grad_`) and adam_d (with `zero_grad` and `step`)
    a, b    real points
    fake_a, fake_b   made by the generators from b and a, with all their history

    The loss is ½ lsgan to 1 on real points plus ½ lsgan to 0 on fakes, for both discriminators.
    """
    raise NotImplementedError("thaw, forget, cut, add up four losses, backward, step")


_ = lsgan_loss  # lsgan_loss(scores, target, weight)
