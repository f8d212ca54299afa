"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
    """A mistake in what was asked for: one line naming the key or file, the value and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """


class StudyError(UserError):
    """A mistake in a study itself, not in what the command line adds; whoever read the study knows its file."""
