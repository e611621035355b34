"""What can go wrong in a run, and is told to the user in one line."""


class UserError(Exception):
    """Says what was seen, what was wanted and how to mend it. Commands print it without a traceback and exit with 2."""


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite."""
