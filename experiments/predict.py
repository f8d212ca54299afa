"""Classify pictures with a recorded run: the five likeliest classes, and a picture with the answer on it.

whydeep predict run=RUN_ID picture.png [more.jpg …]

keys:
  run=ID          a recorded run: its MLflow id, the beginning of it, or its name; its best checkpoint answers
  out=FOLDER      where the pictures with their answers go; `predictions` by default
  runs_dir=runs   where runs are recorded
"""

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
    if keys["run"] is None:
        raise UserError("predict: needs run=RUN_ID")
    if not files:
        raise UserError("predict: needs at least one picture file")
    for file in files:
        if not Path(file).is_file():
            hint = f"; unknown key, allowed: {', '.join(KEYS)}" if "=" in file else ""
            raise UserError(f"{file}: no such file{hint}")

    from datamodules.errors import DataError  # noqa: PLC0415 - seconds that --help and mistakes save
    from datamodules.pictures import read_picture  # noqa: PLC0415
    from experiments.runs.pictures import annotated_picture  # noqa: PLC0415
    from experiments.runs.prediction import Predictor  # noqa: PLC0415
    from experiments.tracking.lookup import find_run  # noqa: PLC0415

    predictor = Predictor(find_run(Path(str(keys["runs_dir"])), keys["run"]))
    try:
        pictures = [read_picture(Path(file)) for file in files]
    except DataError as error:
        raise UserError(str(error)) from error
    folder = Path(str(keys["out"]))
    for path, picture in zip(map(Path, files), pictures, strict=True):
        answers = predictor.classify(picture)
        print(path)
        table = Table()
        table.add_column("class")
        table.add_column("probability", justify="right")
        for name, probability in answers:
            table.add_row(name, f"{probability:.4f}")
        Console().print(table)
        target = folder / f"{path.stem}-answer.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            annotated_picture(picture, answers).savefig(target, dpi=120)
        except OSError as error:
            raise UserError(f"out={folder}: cannot be written ({error.strerror})") from error
        print(f"  {target}")
    return 0
