"""The exception for data or data settings that cannot be used."""


class DataError(ValueError):
    """A user's mistake: the text is one line naming the key or the file, its value and what is allowed."""
