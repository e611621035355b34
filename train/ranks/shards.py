"""Which samples of a step a rank works on, by their places in the global batch."""

from __future__ import annotations


def shard(count: int, rank: int, size: int) -> range:
    """The places of rank `rank` of `size` in a batch of `count`: neighbours, as many as the others' or one more.

    Earlier ranks have the one more, so that rank 0 is never without a sample.
    """
    each, more = divmod(count, size)
    first = rank * each + min(rank, more)
    return range(first, first + each + (rank < more))


def turns(count: int, n: int) -> list[range]:
    """The places of a step's batches, of which there are n with --n_critic n; the last may be smaller, or missing."""
    each = -(-count // n)
    return [range(first, min(first + each, count)) for first in range(0, count, each)]


def units(batch: range, unit: int) -> list[range]:
    """A batch in units of `unit` neighbours or a few more, which are never parted; one of fewer where the batch is smaller."""
    n = max(1, len(batch) // unit)
    return [batch[mine.start : mine.stop] for i in range(n) for mine in [shard(len(batch), i, n)]]


def own(count: int, n: int, rank: int, size: int, unit: int = 1) -> list[dict[int, range]]:
    """Of each of a step's batches this rank's units, by their number in the batch."""
    cut = [units(batch, unit) for batch in turns(count, n)]
    return [{i: those[i] for i in shard(len(those), rank, size)} for those in cut]
