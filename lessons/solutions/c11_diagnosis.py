"""Chapter 11, solved: the rules by which the museum's exhibits (lessons/exhibits.py) are named."""

diagnoses = {
    "P": "discriminators have won",
    "Q": "sound",
    "R": "discriminators swapped",
    "S": "no cycle",
    "T": "cycle too strong",
    "U": "discriminators bribed",
}


def examine(d: float, g: float, round_trip: float) -> str:
    if g > 0.6:
        return "generators have lost"
    if round_trip > 0.3:
        return "nobody comes home"
    if d < 0.1 and g < 0.1:
        return "nobody plays"
    return "believed too easily" if g < 0.18 else "sound"
