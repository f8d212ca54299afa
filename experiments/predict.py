"""Classify pictures with a recorded run: the five likeliest classes, and a picture with the answer on it.

whydeep predict run=RUN_ID picture.png [more.jpg …]

keys:
  run=ID          a recorded run: its MLflow id, the beginning of it, or its name; its best checkpoint answers
  out=FOLDER      where the pictures with their answers go; `predictions` by default. x.png is answered in
                  x-answer.png, and further pictures of the same command that are called x in x-2-answer.png …
  runs_dir=runs   where runs are recorded
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.arguments import split_arguments
from experiments.errors import UserError

KEYS = {"run": None, "out": "predictions", "runs_dir": "runs"}


def main(argv: Sequence[str]) -> int:
    """Classify the pictures named in `argv` and print the answers; return the exit code.

    Raises:
        UserError: no such run, or a file that is no picture.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, files = split_arguments(argv, KEYS)
    for file in files:
        _check_file(file)
    if keys["run"] is None:
        raise UserError("predict: needs run=RUN_ID")
    if not files:
        raise UserError("predict: needs at least one picture file")
    folder = Path(str(keys["out"]))

    from datamodules.errors import DataError  # noqa: PLC0415 - seconds that --help and mistakes save
    from datamodules.pictures import read_picture  # noqa: PLC0415
    from experiments.runs.pictures import annotated_picture  # noqa: PLC0415
    from experiments.runs.place import check_folder  # noqa: PLC0415
    from experiments.runs.prediction import Predictor  # noqa: PLC0415
    from experiments.tracking.lookup import find_run  # noqa: PLC0415

    check_folder("out", folder)
    predictor = Predictor(find_run(Path(str(keys["runs_dir"])), keys["run"]))
    try:
        pictures = [read_picture(Path(file)) for file in files]
    except DataError as error:
        raise UserError(str(error)) from error
    for path, picture, target in zip(map(Path, files), pictures, _targets(folder, files), strict=True):
        answers = predictor.classify(picture)
        print(path)
        table = Table()
        table.add_column("class")
        table.add_column("probability", justify="right")
        for name, probability in answers:
            table.add_row(name, f"{probability:.4f}")
        Console().print(table)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            annotated_picture(picture, answers).savefig(target, dpi=120)
        except OSError as error:
            raise UserError(f"out={folder}: cannot be written ({error.strerror})") from error
        print(f"  {target}")
    return 0


def _check_file(file: str) -> None:
    path = Path(file)
    if path.is_file():
        return
    key, assigned, _ = file.partition("=")
    if assigned and not path.exists():
        close = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)
        guess = f"did you mean '{close[0]}'? " if close else ""
        raise UserError(f"{key}: unknown key, and no such file; {guess}allowed: {', '.join(KEYS)}")
    raise UserError(f"{file}: {'not a regular file' if path.exists() else 'no such file'}; a picture must be one")


def _targets(folder: Path, files: Sequence[str]) -> list[Path]:
    """Return where each answer goes; what is called alike, apart from its folder or its ending, is numbered."""
    targets: list[Path] = []
    for file in files:
        stem, number = Path(file).stem, 1
        target = folder / f"{stem}-answer.png"
        while target in targets:
            number += 1
            target = folder / f"{stem}-{number}-answer.png"
        targets.append(target)
    return targets
