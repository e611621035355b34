"""The one exception for what a user can mend: bad options, bad files, bad checkpoints."""


class UserError(Exception):
    """Says what was seen, what was wanted and how to mend it. Commands print it without a traceback and exit with 2."""
