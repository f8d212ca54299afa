"""The index of the recorded results in the repository: a table of all studies, made from their reference files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.studies import membership, wording
from experiments.studies.chapter import CHAPTER, Chapter
from experiments.studies.gather import TRAIN_SECONDS
from experiments.studies.reference import Reference, ReferenceVerdict, read_reference
from experiments.studies.study_file import read_study

MARK = f"<!-- whydeep:report {CHAPTER} -->"
# Of the toy scale, which is there so that tests can run the study, no verdict means anything.
NOT_TOLD = "scale=toy"


def recorded_index(folder: Path, chapter: Chapter) -> str:
    """Return the table: for each study and variation the verdicts with their effects, runs and time.

    Args:
        folder: of the reference files, and of the studies' pages.
        chapter: the studies and their order.

    Raises:
        UserError: a reference that cannot be read.
    """
    found: dict[str, list[Reference]] = defaultdict(list)
    for file in sorted(folder.glob("*.json")):
        reference = read_reference(file)
        if reference.variation != NOT_TOLD:
            found[reference.name].append(reference)
    lines = []
    for part in chapter.parts:
        lines += [f"## {part.title}", "", "| question | as | verdicts | seeds | training |", "|---|---|---|---:|---:|"]
        for name in part.studies:
            lines += _rows(name, found[name])
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _rows(name: str, references: Sequence[Reference]) -> Iterator[str]:
    question = f"[{_cell(read_study(name).question)}]({name}.md)"
    if not references:
        yield f"| {question} | | not recorded yet | | |"
    # As it is written first.
    for reference in sorted(references, key=lambda one: (one.variation != membership.AS_WRITTEN, one.variation)):
        seconds = [
            run.metrics[TRAIN_SECONDS] for arm in reference.arms for run in arm.runs if TRAIN_SECONDS in run.metrics
        ]
        training = wording.duration(sum(seconds)) if seconds else wording.UNKNOWN
        yield (
            f"| {question} | {_cell(reference.variation)} | {_verdicts(reference)} "
            f"| {len(reference.seeds)} | {training} |"
        )
        question = ""


def _verdicts(reference: Reference) -> str:
    by_outcome: dict[str, list[str]] = defaultdict(list)
    for verdict in reference.verdicts:
        by_outcome[verdict.outcome].append(_effect(verdict, reference))
    order = [outcome for outcome in ("supported", "refuted", "undecided") if outcome in by_outcome]
    return "<br>".join(f"**{outcome}**: {', '.join(by_outcome[outcome])}" for outcome in order) or "nothing claimed"


def _effect(verdict: ReferenceVerdict, reference: Reference) -> str:
    """Say a claim's name and the effect: a difference with its sign, a ratio and what is exact as they are."""
    if verdict.mean is None:
        return verdict.claim
    if verdict.low is None or verdict.high is None:
        return f"{verdict.claim} = {verdict.mean:.3g}"
    ratio = "/" in reference.definition["claims"][verdict.claim]["contrast"]
    number = ("{:.3g}" if ratio else "{:+.2f}").format
    ends = {
        "": f"[{number(verdict.low)}, {number(verdict.high)}]",
        "at least": f"[{number(verdict.low)}, ∞)",
        "at most": f"(−∞, {number(verdict.high)}]",
    }[verdict.bound]
    return " ".join(filter(None, [verdict.claim, verdict.bound, number(verdict.mean), ends]))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
