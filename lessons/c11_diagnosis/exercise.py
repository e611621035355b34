"""Chapter 11. Diagnose, then write the rules, then: python -m lessons check 11"""

# What do the patients have? One of: "sound", "no cycle", "cycle too strong", "discriminators have won",
# "discriminators swapped", "discriminators bribed" (they also learn what G wishes, as in chapter 4).
diagnoses = {"P": None, "Q": None, "R": None, "S": None, "T": None, "U": None}


def examine(d: float, g: float, round_trip: float) -> str:
    """What the numbers show, whatever the cause; one of these, and where two would do, the first:

    "generators have lost"   what they make is taken for a fake
    "nobody comes home"      the generators do not undo each other
    "nobody plays"           both players are content, and cannot both be
    "believed too easily"    the generators pass for real without an even game
    "sound"

    d, g         the losses, meaned over the last hundred steps; ¼ each in a draw
    round_trip   how far F(G(a)) is from a
    """
    raise NotImplementedError("a few comparisons; look at the museum's table (python -m lessons 12) for what is usual")
