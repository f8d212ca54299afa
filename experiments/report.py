"""Report on a study from MLflow alone, finished or not: table, verdicts and figures as HTML, Markdown and LaTeX.

whydeep report stacked_filters
whydeep report stacked_filters datamodule=cifar10 format=html,tex
whydeep report stacked_filters check=docs/studies/stacked_filters.md
whydeep report chapter

keys:
  KEY=VALUE            the variation of the study that was run with these settings
  scale=NAME           likewise
  runs_dir=runs        where the study was recorded (or $MLFLOW_TRACKING_URI, or tracking.uri=…)
  to=FOLDER            where the report goes; runs_dir and the study's name by default, which may be read-only with it
  format=html,md,…     some of html, md, tex, png; all by default
  check=FILE           compare the block between <!-- whydeep:report NAME --> and <!-- /whydeep:report --> in a Markdown
                       file with the store, and write nothing; exit code 1 where a line differs. Also --check FILE
  write=FILE           bring that block up to date
  reference=FILE       write the results as a file that `whydeep reproduce study=NAME against=reference` compares with

The directories of the runs are not needed. A study that is not finished is reported as far as it is.
`chapter` instead of a study's name writes the book of all studies in conf/chapter.yaml, as HTML; its check= and write=
are about the index of the recorded results (NAME.json) that lie beside FILE, such as docs/studies/README.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import check_keys, split_arguments
from experiments.cli import run
from experiments.errors import UserError
from experiments.runs.overrides import is_override

if TYPE_CHECKING:
    from experiments.studies.chapter import Chapter
    from experiments.studies.gather import Gathered
    from experiments.studies.written import WrittenStudy
    from experiments.tracking.options import TrackingOptions
    from experiments.tracking.search import Search

KEYS = {
    "runs_dir": "runs",
    "to": None,
    "format": "html,md,tex,png",
    "check": None,
    "write": None,
    "reference": None,
    "scale": None,
}
_TRACKING = ("tracking.uri", "tracking.artifact_root")


def main(argv: Sequence[str]) -> int:
    """Write the report, or check or write what is asked instead; return the exit code.

    Raises:
        UserError: no such study or variation, a store that cannot be asked, a file without the block.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, others = split_arguments(_without_flag(argv), {**KEYS, **dict.fromkeys(_TRACKING)})
    names = [argument for argument in others if not is_override(argument)]
    overrides = [argument for argument in others if is_override(argument)]
    if len(names) != 1:
        raise UserError(f"{' '.join(names) or 'report'}: give the name of one study, as in `whydeep report NAME`")
    check_keys(overrides, KEYS)
    if names == ["chapter"]:
        return _chapter(keys, overrides)
    formats = _formats(str(keys["format"]))

    from experiments.runs.metrics import METRICS  # noqa: PLC0415 - what --help and mistakes save
    from experiments.studies.gather import gather  # noqa: PLC0415
    from experiments.studies.membership import variation  # noqa: PLC0415
    from experiments.tracking.options import recorded_there  # noqa: PLC0415
    from experiments.tracking.read_only import readable  # noqa: PLC0415
    from experiments.tracking.search import Search  # noqa: PLC0415
    from experiments.tracking.store import Store  # noqa: PLC0415

    options = recorded_there(str(keys["runs_dir"]), keys["tracking.uri"], keys["tracking.artifact_root"])
    files = {key: Path(str(keys[key])) for key in ("check", "write", "reference") if keys[key] is not None}
    # A reference holds all that was measured; ten thousand runs of a report need not bring it.
    more = METRICS if "reference" in files else ()
    with readable(options.destination()) as destination:
        search = Search(Store(destination, options.timeout_seconds))
        try:
            gathered = gather(search, names[0], variation(overrides, keys["scale"]), metrics=more)
        except UserError:
            _check_scale(names[0], keys["scale"])
            raise
        if files:
            return _files(gathered, search, files)
    return _report(gathered, options, keys["to"], formats)


def _check_scale(name: str, scale: str | None) -> None:
    """Say why nothing is recorded at a scale that the study does not have; what was recorded before it lost it stays.

    Raises:
        UserError: it has no such scale.
    """
    from experiments.studies.study_file import read_study  # noqa: PLC0415 - imported late, as above

    try:
        study = read_study(name)
    except UserError:
        return  # what was recorded needs no file
    if scale is not None:
        study.at_scale(scale)


def _report(gathered: "Gathered", options: "TrackingOptions", to: str | None, formats: Sequence[str]) -> int:
    from rich.console import Console  # noqa: PLC0415 - imported late, as above
    from rich.text import Text  # noqa: PLC0415

    from experiments.studies.judging import judged  # noqa: PLC0415
    from experiments.studies.report import unfinished, write_report  # noqa: PLC0415
    from experiments.studies.table import print_answer  # noqa: PLC0415

    written = gathered.written
    folder = _folder(written, options.runs_dir, to)
    try:
        verdicts = judged(gathered)
        report = write_report(folder, gathered, verdicts, formats=formats, address=options.destination().pages)
    except OSError as error:
        raise UserError(f"to={folder}: cannot be written ({error.strerror})") from error
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    print_answer(console, gathered, verdicts)
    for line in written.claimed_later:
        console.print(Text(f"notice: {line}", style="yellow"))
    if missing := unfinished(gathered.comparison.replicates):
        print(f"unfinished: {missing}")
    print()
    for kind, file in report.files.items():
        print(f"{'figure' if kind == 'png' else kind}: {file}")
    return 0


def _folder(written: "WrittenStudy", runs_dir: str, to: str | None) -> Path:
    """Where the report goes.

    Raises:
        UserError: it cannot be written to.
    """
    from experiments.runs.place import check_folder  # noqa: PLC0415 - imported late, as above
    from experiments.studies.membership import study_folder  # noqa: PLC0415

    if to is not None:
        check_folder("to", Path(to))
        return Path(to)
    folder = study_folder(Path(runs_dir), written.name, written.variation)
    try:
        check_folder("runs_dir", folder)
    except UserError as error:
        raise UserError(f"runs_dir={runs_dir}: cannot be written to; to=FOLDER puts the report elsewhere") from error
    return folder


def _chapter(keys: dict[str, str | None], overrides: Sequence[str]) -> int:
    from experiments.studies.chapter import read_chapter  # noqa: PLC0415 - imported late, as above

    for key in ("format", "reference"):
        if keys[key] != KEYS[key]:
            raise UserError(f"{key}={keys[key]}: goes with a study, not with the chapter, which is one HTML file")
    chapter = read_chapter()
    if keys["check"] is not None or keys["write"] is not None:
        return _recorded_index(chapter, keys["check"], keys["write"])
    return _book(chapter, keys, overrides)


def _recorded_index(chapter: "Chapter", check: str | None, write: str | None) -> int:
    from experiments.studies.block import differences_in, write_in  # noqa: PLC0415 - imported late, as above
    from experiments.studies.recorded_index import MARK, recorded_index  # noqa: PLC0415

    code = 0
    if write is not None:
        changed = write_in(Path(write), MARK, recorded_index(Path(write).parent, chapter))
        print(f"{write}: {'brought up to date' if changed else 'is up to date'}")
    if check is not None:
        found = differences_in(Path(check), MARK, recorded_index(Path(check).parent, chapter), "recorded results")
        for line in found:
            print(line, file=sys.stderr)
        print(f"{check}: {'differs from' if found else 'matches'} the recorded results")
        code = int(bool(found))
    return code


def _book(chapter: "Chapter", keys: dict[str, str | None], overrides: Sequence[str]) -> int:
    from rich.console import Console  # noqa: PLC0415 - imported late, as above

    from experiments.studies.book import book_folder, write_book  # noqa: PLC0415
    from experiments.studies.chapter_entries import read_entries  # noqa: PLC0415
    from experiments.studies.chapter_index import print_index  # noqa: PLC0415
    from experiments.studies.membership import variation  # noqa: PLC0415
    from experiments.studies.study_parts import LAPTOP  # noqa: PLC0415
    from experiments.tracking.options import recorded_there  # noqa: PLC0415
    from experiments.tracking.read_only import readable  # noqa: PLC0415
    from experiments.tracking.search import Search  # noqa: PLC0415
    from experiments.tracking.store import Store  # noqa: PLC0415

    options = recorded_there(str(keys["runs_dir"]), keys["tracking.uri"], keys["tracking.artifact_root"])
    destination, varied = options.destination(), variation(overrides, keys["scale"])
    with readable(destination) as there:
        entries = read_entries(Search(Store(there, options.timeout_seconds)), chapter, varied, keys["scale"] or LAPTOP)
    if all(entry.gathered is None for entry in entries.values()):
        raise UserError(f"chapter: none of its studies is recorded {varied}; `whydeep chapter` runs them")
    folder = book_folder(Path(options.runs_dir), varied) if keys["to"] is None else Path(str(keys["to"]))
    try:
        book = write_book(folder, chapter, entries, varied, address=destination.pages)
    except OSError as error:
        raise UserError(f"to={folder}: cannot be written ({error.strerror})") from error
    print_index(Console(width=None if sys.stdout.isatty() else 120, highlight=False), list(entries.values()))
    print(f"book: {book}")
    return 0


def _files(gathered: "Gathered", search: "Search", files: dict[str, Path]) -> int:
    from experiments.studies.block import differences, write_block  # noqa: PLC0415 - imported late, as above
    from experiments.studies.judging import judged  # noqa: PLC0415
    from experiments.studies.made_of import stored_made  # noqa: PLC0415
    from experiments.studies.reference import write_reference  # noqa: PLC0415

    verdicts = judged(gathered)
    code = 0
    if (file := files.get("write")) is not None:
        print(f"{file}: {'brought up to date' if write_block(file, gathered, verdicts) else 'is up to date'}")
    if (file := files.get("reference")) is not None:
        write_reference(file, gathered, verdicts, stored_made(search, gathered))
        print(f"reference: {file}")
    if (file := files.get("check")) is not None:
        found = differences(file, gathered, verdicts)
        for line in found:
            print(line, file=sys.stderr)
        print(f"{file}: {'differs from the store' if found else 'matches the store'}")
        code = int(bool(found))
    return code


def _formats(text: str) -> list[str]:
    allowed = str(KEYS["format"]).split(",")
    chosen = [part.strip() for part in text.strip("[]").split(",")]
    for part in chosen:
        if part not in allowed:
            raise UserError(f"format={text}: no such format '{part}'; allowed: {', '.join(allowed)}")
    return chosen


def _without_flag(argv: Sequence[str]) -> list[str]:
    """Read `--check FILE` and `--check=FILE` as `check=FILE`."""
    arguments = list(argv)
    for place, argument in enumerate(arguments):
        if argument == "--check":
            if place + 1 == len(arguments):
                raise UserError("--check: needs a file")
            return [*arguments[:place], f"check={arguments[place + 1]}", *arguments[place + 2 :]]
        if argument.startswith("--check="):
            return [*arguments[:place], argument.removeprefix("--"), *arguments[place + 1 :]]
    return arguments


if __name__ == "__main__":
    sys.exit(run("report", sys.argv[1:]))
