"""Chapter 11. Diagnose, then write the rules, then: python -m lessons check 11"""

# What do the patients have? One of: "sound", "no cycle", "cycle too strong", "discriminators have won",
# "discriminators swapped", "discriminators bribed" (they also learn what G wishes, as in chapter 4).
diagnoses = {"P": None, "Q": None, "R": None, "S": None, "T": None, "U": None}


def examine(d: float, g: float, round_trip: float) -> str:
    """One of "sound", "no cycle", "discriminators have won", "discriminators swapped", "discriminators bribed".

    d, g         the losses, meaned over the last hundred steps; ¼ each in a draw
    round_trip   how far F(G(a)) is from a
    """
    raise NotImplementedError("a few comparisons; look at the museum's table (python -m lessons 12) for what is usual")
