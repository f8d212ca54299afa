"""Test the recorded checkpoint of a run, or weights from elsewhere, on a split.

whydeep evaluate run=RUN_ID
whydeep evaluate checkpoint=resnet20.pt model=resnet20 datamodule=cifar10 key_map=auto
    'datamodule.mean=[0.49,0.48,0.45]' 'datamodule.std=[0.25,0.24,0.26]'

keys:
  run=ID            a recorded run: its MLflow id, the beginning of it, or its name; its best checkpoint is tested
  checkpoint=FILE   weights of others: a state dict of torch or safetensors, alone or among other things; further
                    keys compose the configuration as `whydeep train` does
  key_map=…         with checkpoint: nothing takes the names as they are, auto pairs tensors by name, else by order
                    and shape, FILE.yaml holds {pattern: replacement} of regular expressions
  split=test        val or test
  json=FILE         also write the numbers there
  runs_dir=runs     where runs are recorded
With checkpoint, any other key changes the configuration, as for `whydeep train`. A recorded run is tested on the split
that it was divided by, so with run only these may change: data_dir, datamodule.root, datamodule.download,
datamodule.num_workers, datamodule.batch_size, trainer.accelerator, trainer.devices, trainer.num_nodes,
trainer.strategy, trainer.detect_anomaly. To test its weights on another data set of the same classes, name its file:
checkpoint=runs/NAME/checkpoints/best.ckpt model=… datamodule=…, with the run's own datamodule.mean and datamodule.std.
The constants that the pictures are normalised with are datamodule.mean and datamodule.std, per channel on a scale
from 0 to 1; without them they are computed from the training split.
docs/weights.md lists, for the public weights of several repositories, the model, constants and key map that fit.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from experiments.arguments import check_keys, split_arguments
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.runs.build import Assembly
    from experiments.runs.evaluation import Evaluation

KEYS = {"run": None, "checkpoint": None, "key_map": None, "split": "test", "json": None, "runs_dir": None}
SPLITS = ("val", "test")


def main(argv: Sequence[str]) -> int:
    """Evaluate and print; return the exit code.

    Raises:
        UserError: a mistake in what was asked.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, overrides = split_arguments(argv, KEYS)
    check_keys(overrides, KEYS)
    if (keys["run"] is None) == (keys["checkpoint"] is None):
        raise UserError("evaluate: needs one of run=RUN_ID and checkpoint=FILE")
    if keys["split"] not in SPLITS:
        raise UserError(f"split={keys['split']}: allowed: {', '.join(SPLITS)}")
    if keys["run"] is not None and keys["key_map"] is not None:
        raise UserError(f"key_map={keys['key_map']}: goes with checkpoint=FILE; a run's own weights need no map")

    if keys["json"] is not None:
        _check_writable(Path(keys["json"]))

    subject, assembly = _open(keys, overrides)
    from experiments.runs.evaluation import evaluate  # noqa: PLC0415 - seconds that --help and mistakes save

    evaluation = evaluate(assembly, str(keys["split"]))
    _show(subject, str(keys["split"]), assembly, evaluation)
    if keys["json"] is not None:
        _write(Path(keys["json"]), subject, str(keys["split"]), assembly, evaluation)
    return 0


def _open(keys: Mapping[str, str | None], overrides: list[str]) -> tuple[str, "Assembly"]:
    from experiments.runs.build import assemble  # noqa: PLC0415 - seconds that --help and mistakes save
    from experiments.runs.configuration import compose  # noqa: PLC0415
    from experiments.runs.recorded import open_recorded  # noqa: PLC0415
    from experiments.runs.weights import load_weights  # noqa: PLC0415
    from experiments.tracking.lookup import find_run  # noqa: PLC0415

    if keys["run"] is not None:
        run_dir = find_run(Path(keys["runs_dir"] or "runs"), keys["run"])
        return run_dir.name, open_recorded(run_dir, overrides)
    if keys["runs_dir"] is not None:
        overrides = [*overrides, f"runs_dir={keys['runs_dir']}"]
    cfg = compose(overrides)
    limit = f"limit_{keys['split']}_batches"
    if cfg.trainer.get(limit) is not None:
        raise UserError(
            f"trainer.{limit}={cfg.trainer[limit]}: evaluate counts every sample of the split; leave it out"
        )
    assembly = assemble(cfg)
    copied = load_weights(assembly.network, str(keys["checkpoint"]), key_map=keys["key_map"], key="checkpoint")
    print(f"weights: {copied}")
    return str(keys["checkpoint"]), assembly


def _show(subject: str, split: str, assembly: "Assembly", evaluation: "Evaluation") -> None:
    spec, normalisation = assembly.datamodule.spec, assembly.datamodule.normalisation
    print(f"{subject} on {spec.name}, {split} split")
    table = Table()
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_row("samples", f"{evaluation.samples}")
    for name, value in evaluation.errors.items():
        table.add_row(*(("loss", f"{value:.4f} nats") if name == "loss" else (_words(name), f"{value:.2f} %")))
    if spec.num_classes <= _FEW_CLASSES:
        for name, error in zip(spec.class_names, evaluation.error_per_class, strict=True):
            table.add_row(f"  {name}", "no samples" if error is None else f"{error:.2f} %")
    Console().print(table)
    print(f"normalised with mean {_short(normalisation.mean)} and std {_short(normalisation.std)}")


def _write(path: Path, subject: str, split: str, assembly: "Assembly", evaluation: "Evaluation") -> None:
    spec, normalisation = assembly.datamodule.spec, assembly.datamodule.normalisation
    content = {
        "subject": subject,
        "data": spec.name,
        "split": split,
        "samples": evaluation.samples,
        **evaluation.errors,
        "top1_error_per_class": dict(zip(spec.class_names, evaluation.error_per_class, strict=True)),
        "mean": normalisation.mean,
        "std": normalisation.std,
    }
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"json={path}: cannot be written ({error.strerror})") from error


def _check_writable(path: Path) -> None:
    """Refuse a file that could not be written once everything is computed."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"json={path}: cannot be written; it must be a file in a folder that exists")


_FEW_CLASSES = 20


def _words(name: str) -> str:
    return name.replace("top", "top-").replace("_", " ")


def _short(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.4f}" for value in values) + "]"
