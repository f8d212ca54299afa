"""The keys `match.…` of a command: the budget that a network is to have."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from experiments.errors import UserError
from experiments.runs.matching import (
    QUANTITIES,
    TOLERANCE,
    MatchedBudget,
    Quantity,
    check_tolerance,
    dimension,
    match_budget,
)


def budget_asked(keys: Mapping[str, str | None]) -> Callable[..., MatchedBudget] | None:
    """Return `match_budget` with what was asked, as far as it can be checked before anything is built.

    Raises:
        UserError: two budgets, a key that goes with none, or a value that cannot be.
    """
    asked: list[Quantity] = [quantity for quantity in QUANTITIES if keys[f"match.{quantity}"] is not None]
    if not asked:
        for key in ("match.by", "match.tolerance"):
            if keys[key] is not None:
                raise UserError(f"{key}={keys[key]}: nothing to match; say what with match.macs or match.parameters")
        return None
    if len(asked) > 1:
        both = " and ".join(f"match.{quantity}" for quantity in asked)
        raise UserError(f"{both}: only one of them can be held equal; leave the other out")
    (quantity,) = asked
    share = keys["match.tolerance"]
    try:
        tolerance = TOLERANCE if share is None else float(share)
    except ValueError as error:
        raise UserError(f"match.tolerance={share}: must be a number, e.g. 0.02 for 2 %") from error
    check_tolerance(tolerance)
    return partial(
        match_budget,
        quantity=quantity,
        target=_target(f"match.{quantity}", keys[f"match.{quantity}"] or ""),
        by=dimension(keys["match.by"] or "width"),
        tolerance=tolerance,
    )


def _target(key: str, text: str) -> int | str:
    if re.fullmatch(r"\d{1,18}|\d{1,3}(,\d{3}){1,5}", text, re.ASCII) and int(text.replace(",", "")) > 0:
        return int(text.replace(",", ""))
    if re.match(r"[-+.]?\d", text):
        raise UserError(f"{key}={text}: must be the name of a network or a whole number from 1 to 10^18")
    return text
