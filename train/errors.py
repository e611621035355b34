"""What can go wrong in a run, and is told to the user in one line."""


def shown(name: object) -> str:
    """A name from outside, such as a file's, as it may be printed: what is no visible character is escaped (\\x1b, \\n)."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


class UserError(Exception):
    """Says what was seen, what was wanted and how to mend it. Commands print it without a traceback and exit with 2.

    Whatever names stand in it, it holds no terminal escapes.
    """

    def __str__(self) -> str:
        return "\n".join(map(shown, super().__str__().split("\n")))


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite."""
