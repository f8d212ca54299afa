"""From factors to arms: crossed, zipped level by level, or varied only where they apply."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BASELINE = "baseline"
OFF, ON = "off", "on"
ARM = "arm"

Levels = Mapping[str, Sequence[str]]  # overrides by the name of the level


@dataclass(frozen=True)
class Cell:
    """One combination of levels.

    Attributes:
        name: made of the levels: `plain.depth20`; `baseline` when every factor is off.
        overrides: of all its levels.
        levels: by factor.
        is_baseline: whether each factor is at its first level.
    """

    name: str
    overrides: tuple[str, ...]
    levels: Mapping[str, str]
    is_baseline: bool


def cross(
    factors: Mapping[str, Levels],
    *,
    zipped: Sequence[Sequence[str]] = (),
    when: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> list[Cell]:
    """Return every combination of levels once, the first factor the slowest.

    Args:
        factors: levels by factor; the first level of each is its baseline.
        zipped: groups of factors that go together, level by level.
        when: a factor varies only where others are at one of these levels: `{norm: {depth: [20, 56]}}`; elsewhere it
            stays at its baseline.

    Raises:
        ValueError: an unknown factor or level, zipped factors of different lengths, or a factor zipped twice; the text
            begins with the key.
    """
    conditions = when or {}
    _check(factors, zipped, conditions)
    axes = [[(name, level) for level in levels] for name, levels in factors.items()]
    groups = [[name] for name in factors]
    for members in zipped:
        place = groups.index([members[0]])
        groups[place] = list(members)
        groups = [group for group in groups if group == list(members) or group[0] not in members]
    by_name = {axis[0][0]: axis for axis in axes}
    steps = [list(zip(*(by_name[name] for name in group), strict=True)) for group in groups]
    cells: dict[str, Cell] = {}
    for combination in itertools.product(*steps):
        levels = {factor: level for step in combination for factor, level in step}
        # A factor that goes back to its baseline may be the condition of another.
        for _ in conditions:
            for factor, needed in conditions.items():
                if any(levels[other] not in allowed for other, allowed in needed.items()):
                    levels[factor] = next(iter(factors[factor]))
        ordered = {factor: levels[factor] for factor in factors}
        cell = _cell(factors, ordered, groups)
        known = cells.setdefault(cell.name, cell)
        if known.levels != cell.levels:
            one, other = (", ".join(f"{name}={level}" for name, level in each.levels.items()) for each in (known, cell))
            raise ValueError(f"factors: ({one}) and ({other}) would both be called {cell.name!r}; rename a level")
    return list(cells.values())


def _cell(factors: Mapping[str, Levels], levels: Mapping[str, str], groups: Sequence[Sequence[str]]) -> Cell:
    # Of zipped factors the first names the arm.
    naming = [group[0] for group in groups]
    parts = [part for factor in naming if (part := _part(factor, levels[factor]))]
    return Cell(
        name=".".join(parts) or BASELINE,
        overrides=tuple(override for factor, level in levels.items() for override in factors[factor][level]),
        levels=levels,
        is_baseline=all(level == next(iter(factors[factor])) for factor, level in levels.items()),
    )


def _part(factor: str, level: str) -> str:
    """Say a level in an arm's name: `on` by its factor, `off` not at all, a bare number with its factor before it."""
    if level == OFF:
        return ""
    if level == ON:
        return factor
    return level if factor == ARM or not re.fullmatch(r"[\d.]+", level) else f"{factor}{level}"


def _check(
    factors: Mapping[str, Levels],
    zipped: Sequence[Sequence[str]],
    conditions: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    together: set[str] = set()
    for members in zipped:
        for name in members:
            _refuse_unknown("zip", name, factors, "factor")
            if name in together:
                raise ValueError(f"zip: {name!r} stands in it twice")
            together.add(name)
        if len({len(factors[name]) for name in members}) > 1:
            sizes = ", ".join(f"{name} {len(factors[name])}" for name in members)
            raise ValueError(f"zip: factors that go together need as many levels each; here {sizes}")
    for factor, needed in conditions.items():
        _refuse_unknown("when", factor, factors, "factor")
        if factor in together:
            raise ValueError(f"when: {factor!r} goes together with others (zip); it cannot have a condition of its own")
        for other, allowed in needed.items():
            _refuse_unknown(f"when.{factor}", other, [name for name in factors if name != factor], "other factor")
            for level in allowed:
                _refuse_unknown(f"when.{factor}.{other}", level, factors[other], "level of it")


def _refuse_unknown(where: str, name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: {name!r} is no {what}; allowed: {', '.join(known)}")
