"""What can go wrong in a run, and is told to the user in one line."""


def shown(name: object, most: int = 4096) -> str:
    """Words from outside, such as a file's name, as they may be printed: in one line, what is no visible character escaped
    (\\x1b, \\n), and of more than `most` characters the beginning."""
    text = str(name)
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])
    return f"{escaped} …" if len(text) > most else escaped


class UserError(Exception):
    """Says what was seen, what was wanted and how to mend it. Commands print it without a traceback and exit with 2.

    Whatever names stand in it, it holds no terminal escapes.
    """

    everywhere = False
    """Whether every rank of a run raises it: then each ends by itself, and rank 0 tells."""

    def __str__(self) -> str:
        return "\n".join(map(shown, super().__str__().split("\n")))


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite."""
