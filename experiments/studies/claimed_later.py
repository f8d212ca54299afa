"""What was claimed only after runs of a study were recorded: claims that were changed, added or removed since.

**The rule.** The claims of a study are compared with those that its `study.json` holds, once one of its runs has
finished; before that they may be edited freely. Every edit that was executed stays, one line each, also when it is
turned back: the numbers had been seen both times. A claim under another name is the same claim, and so is one that only
spells out what it meant before, such as `on` with the study's metric.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from experiments.errors import UserError
from experiments.studies.claim import Claim
from experiments.studies.claims_said import claim_said
from experiments.studies.state import ArmState, any_finished
from experiments.studies.study import Study
from experiments.studies.written import FILE, read_written

WHEN = "after runs were recorded"


def claimed_later(study: Study, folder: Path, states: Sequence[ArmState], runs_dir: Path) -> tuple[str, ...]:
    """Say what was claimed later, a line each: in former executions, and now.

    Args:
        study: what is asked now.
        folder: of the study's run, where it was written down before; nothing is said where it was not.
        states: of its runs.
        runs_dir: of all runs.
    """
    try:
        former = read_written(folder / "study" / FILE)
    except UserError:
        return ()  # nobody has run it; or what is there is damaged, and is written anew
    edits = list(edited(former.study, study))
    if edits and (former.claimed_later or any_finished(states, folder, runs_dir)):
        return tuple(dict.fromkeys([*former.claimed_later, *edits]))
    return former.claimed_later


def edited(then: Study, now: Study) -> Iterator[str]:
    """Say how the claims of `now` differ from those of `then`, a line for each claim."""
    old = {name: _meant(claim, then.metric) for name, claim in then.claims.items()}
    new = {name: _meant(claim, now.metric) for name, claim in now.claims.items()}
    for name in [name for name in old if name not in new]:
        renamed = next((other for other in new if other not in old and new[other] == old[name]), None)
        if renamed is None:
            yield f"{_named(name)} was removed {WHEN}: {claim_said(then.claims[name], then.metric)}"
        else:
            del old[name], new[renamed]
    for name, claim in new.items():
        if name not in old:
            yield f"{_named(name)} was added {WHEN}: {claim_said(now.claims[name], now.metric)}"
        elif claim != old[name]:
            both = [key for key in claim if key in old[name]]
            changes = [f"{key} {old[name][key]} → {claim[key]}" for key in both if old[name][key] != claim[key]]
            yield f"{_named(name)} was changed {WHEN}: {', '.join(changes)}"


def _meant(claim: Claim, metric: str) -> Mapping[str, str]:
    """What a claim says by the keys of its file that count for its kind, with what it leaves to its defaults."""
    said = {
        "contrast": " ".join(claim.contrast.split()),
        "on": claim.on or metric,
        "layers": claim.layers or "all",
        "reach": "nothing" if claim.reach is None else f"{claim.reach:g}",
        "over": claim.over or "nothing",
        "is": claim.kind,
    }
    if claim.kind == "equal":
        return {**said, "to": str(claim.target)}
    said["margin"] = f"{claim.margin or 0.0!r}".removesuffix(".0")
    return {**said, "better": claim.better} if claim.kind == "not_worse" else said


def _named(name: str) -> str:
    return "the claim" if name == "claim" else f"claim {name}"
