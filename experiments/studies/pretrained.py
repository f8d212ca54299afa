"""Arms that start from runs of the study's own: what they say, and what may be said."""

from collections.abc import Mapping, Sequence

from experiments.runs.configuration import nearest
from experiments.runs.overrides import override_key, read_override
from experiments.runs.start_keys import KEY, PRETRAINING
from experiments.studies.factors import Cell

# Of the name that such runs have where those of arms have the arm's.
PREFIX = "pretraining."
# Why one of them was not run.
UNNEEDED = "not needed: all runs that start from it are done"


def started_by(cell: Cell) -> str | None:
    """Return the name of the pretraining that an arm starts from; `None` where it starts from none of the study's."""
    for override in cell.overrides:
        if override_key(override) == KEY and (given := read_override(override)) is not None:
            value = str(given.value).strip("'\"")
            return value.removeprefix(PRETRAINING) if value.startswith(PRETRAINING) else None
    return None


def check_pretraining(pretraining: Mapping[str, Sequence[str]], cells: Sequence[Cell]) -> None:
    """See that every arm starts from a pretraining that is there, every one is started from, and no arm has its name.

    Raises:
        ValueError: one line.
    """
    used = {cell.name: name for cell in cells if (name := started_by(cell)) is not None}
    for arm, name in used.items():
        if name not in pretraining:
            known = nearest(name, pretraining) if pretraining else "the study has none"
            raise ValueError(f"arm {arm}: {KEY}={PRETRAINING}{name}: no such pretraining; {known}")
    for cell in cells:
        if pretraining and cell.name.startswith(PREFIX):
            raise ValueError(
                f"arm {cell.name}: {PREFIX!r} begins the names of the study's pretraining alone; rename the arm, or "
                "the factor or level that it is named after"
            )
    for name in pretraining:
        if name not in used.values():
            raise ValueError(f"pretraining: no arm starts from {name!r} ({KEY}={PRETRAINING}{name})")
