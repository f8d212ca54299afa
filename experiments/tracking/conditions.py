"""Conditions in MLflow's search language, which has two kinds of quotes and no escape within them."""

from collections.abc import Mapping, Sequence

_ANY = "_"  # of LIKE: any one character


def equals(name: str, value: str) -> str:
    """A condition that holds where `name` (``tags.`key``` or ``attributes.key``) has this value.

    A value with both kinds of quotes cannot be written down: its condition holds for values of the same length too that
    have other characters in their place. Whoever needs the very value compares what comes.
    """
    # A backslash at the end of a text between single quotes would take the quote with it.
    if "'" not in value and "\\" not in value:
        return f"{name} = '{value}'"
    if '"' not in value:
        return f'{name} = "{value}"'
    alike = value.replace('"', _ANY).replace("\\", _ANY)  # data bases do not agree on what a backslash means to LIKE
    return f'{name} LIKE "{alike}"'


def tagged(tags: Mapping[str, str]) -> str:
    """A condition that holds where a run carries all of `tags`; see `equals`."""
    return " and ".join(equals(f"tags.`{key}`", value) for key, value in tags.items())


def has_id_of(run_ids: Sequence[str]) -> str:
    """A condition that holds for the runs that have these ids; what cannot be an id is left out."""
    ids = ", ".join(f"'{run_id}'" for run_id in run_ids if run_id.isalnum())
    return f"attributes.run_id IN ({ids or repr('none')})"
