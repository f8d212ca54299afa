"""The result of a study in a committed Markdown file: a block written from the store, and checked against it."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from experiments.errors import UserError
from experiments.studies import membership
from experiments.studies.claims_said import Judged
from experiments.studies.gather import Gathered
from experiments.studies.report import render, report_context

BEGIN, END = "<!-- whydeep:report ", "<!-- /whydeep:report -->"


def begin(gathered: Gathered) -> str:
    """The line before the block of a study, or of one of its variations."""
    written = gathered.written
    varied = "" if written.variation == membership.AS_WRITTEN else f" {written.variation}"
    return f"{BEGIN}{written.name}{varied} -->"


def block(gathered: Gathered, verdicts: Mapping[str, Judged]) -> str:
    """The verdicts and the table of arms, as they stand between the two marks."""
    text = render("report_block.md.jinja", report_context(gathered, verdicts))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def differences(file: Path, gathered: Gathered, verdicts: Mapping[str, Judged]) -> list[str]:
    """Say in which lines the block in `file` differs from the store; nothing where it does not.

    Raises:
        UserError: no such file, or it has no block of this study.
    """
    return differences_in(file, begin(gathered), block(gathered, verdicts), "store")


def differences_in(file: Path, mark: str, wanted: str, source: str) -> list[str]:
    """Say in which lines the block after `mark` in `file` differs from `wanted`, which comes from `source`.

    Raises:
        UserError: no such file, or it has no such block.
    """
    text = _read(file)
    start, end = _place(file, text, mark)
    own, recorded = text[start:end].strip().splitlines(), wanted.strip().splitlines()
    first = text.count("\n", 0, start) + 1 + (len(text[start:end]) - len(text[start:end].lstrip("\n")))
    found = []
    matcher = difflib.SequenceMatcher(None, own, recorded, autojunk=False)
    for kind, begins, ends, other_begins, other_ends in matcher.get_opcodes():
        if kind != "equal":
            found.append(f"{file}:{first + begins}: differs from the {source}")
            found += [f"  in the file:  {line}" for line in own[begins:ends]]
            found += [f"  in the {source}: {line}" for line in recorded[other_begins:other_ends]]
    return found


def write_block(file: Path, gathered: Gathered, verdicts: Mapping[str, Judged]) -> bool:
    """Bring the block in `file` up to date; return whether it had to be changed.

    Raises:
        UserError: no such file, it has no block of this study, or it cannot be written.
    """
    return write_in(file, begin(gathered), block(gathered, verdicts))


def write_in(file: Path, mark: str, wanted: str) -> bool:
    """Put `wanted` between `mark` and the end of its block in `file`; return whether that had to be changed.

    Raises:
        UserError: no such file, it has no such block, or it cannot be written.
    """
    text = _read(file)
    start, end = _place(file, text, mark)
    changed = f"{text[:start]}\n{wanted}{text[end:]}"
    if changed == text:
        return False
    try:
        file.write_text(changed, encoding="utf-8")
    except OSError as error:
        raise UserError(f"write={file}: cannot be written ({error.strerror})") from error
    return True


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error})") from error


def _place(file: Path, text: str, mark: str) -> tuple[int, int]:
    """Where what is between the marks begins and ends."""
    start = text.find(mark)
    if start < 0:
        raise UserError(f"{file}: has no block between {mark} and {END}; write both lines where it shall stand")
    start += len(mark)
    end, another = text.find(END, start), text.find(BEGIN, start)
    if end < 0 or 0 <= another < end:
        line = text.count("\n", 0, start) + 1
        raise UserError(f"{file}:{line}: {mark} has no {END} after it; write that line where the block shall end")
    return start, end
