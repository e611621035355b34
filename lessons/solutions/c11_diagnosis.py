"""Chapter 11, solved."""

diagnoses = {
    "P": "discriminators have won",
    "Q": "sound",
    "R": "discriminators swapped",
    "S": "no cycle",
    "T": "cycle too strong",
    "U": "discriminators bribed",
}


def examine(d: float, g: float, round_trip: float) -> str:
    if d < 0.1:
        return "discriminators swapped" if g < 0.1 else "discriminators have won"
    if g < 0.18:
        return "discriminators bribed"
    return "no cycle" if round_trip > 0.3 else "sound"
