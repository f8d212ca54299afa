"""The replicates of a run: finished runs of its configuration, code and data under other seeds."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from omegaconf import OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import load
from experiments.runs.identity import ingredients
from experiments.runs.likeness import METRIC, Spread
from experiments.runs.record import CONFIG_FILE, IDENTITY_FILE
from experiments.runs.result import RunResult
from experiments.tracking.card import run_dirs

# A folder's runs by the seed and identity in their names; a run may start from one of them.
Named = Callable[[Path], Mapping[str, list[Path]]]
_SEED_AND_IDENTITY = re.compile(r".*(-seed\d+-[0-9a-f]{10})")  # as `attempts.stem` names them


def recorded_spread(runs_dir: Path, run_dir: Path) -> Spread | None:
    """Return how the test error of the run in `run_dir` varies over its replicates in `runs_dir`, itself included.

    `None` where there are too few. Of a seed that was run more than once the first run counts: those that reproduce
    it would make the spread smaller than it is.
    """
    own = RunResult.read(run_dir)
    if own is None:
        return None
    errors = {own.seed: own.metrics[METRIC]}
    for result in _replicates(runs_dir, run_dir, own):
        errors.setdefault(result.seed, result.metrics[METRIC])
    return Spread.of(list(errors.values()))


def _replicates(runs_dir: Path, run_dir: Path, own: RunResult) -> Iterator[RunResult]:
    """Look at what is read quickly first: there may be ten thousand runs."""
    made_of = _made_of(run_dir)
    named: Named = functools.cache(_named)
    configuration = _without_seed(run_dir, own.seed, named)
    for other in run_dirs(runs_dir):
        try:
            result = RunResult.read(other)
            if (
                result is not None
                and result.status == "FINISHED"
                and METRIC in result.metrics
                and result.seed != own.seed
                and result.choices == own.choices
                and made_of == _made_of(other)
                and _without_seed(other, result.seed, named) == configuration
            ):
                yield result
        except UserError:
            continue  # a damaged record is nobody's replicate


def _made_of(run_dir: Path) -> tuple[str, str] | None:
    """Return the digests of a run's code and data; `None` where they cannot be read."""
    try:
        identity = json.loads((run_dir / IDENTITY_FILE).read_text(encoding="utf-8"))
        return str(identity["code"]), str(identity["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _without_seed(run_dir: Path, seed: int, named: Named) -> dict[str, object]:
    """Return what decides the result of a run besides its seed; of one that starts from a run of its study, of both."""
    cfg = load(run_dir / CONFIG_FILE)
    content = ingredients(cfg)
    content.pop("seed", None)
    if isinstance(datamodule := content.get("datamodule"), dict):
        datamodule.pop("seed", None)
    identity = OmegaConf.select(cfg, "model.weights_identity")
    if identity is not None and isinstance(model := content.get("model"), dict):
        model["weights"] = _start_without_seed(run_dir.parent, seed, str(identity), named) or identity
    return content


def _named(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for run_dir in sorted(folder.iterdir()):
        if told := _SEED_AND_IDENTITY.match(run_dir.name):
            found.setdefault(told[1], []).append(run_dir)
    return found


def _start_without_seed(runs_dir: Path, seed: int, identity: str, named: Named) -> tuple[object, object] | None:
    """Return what decides the weights that a study trained under `seed` itself; `None` where that run is not here."""
    for run_dir in named(runs_dir).get(f"-seed{seed}-{identity[:10]}", ()):
        try:
            result = RunResult.read(run_dir)
            if result is not None and (result.identity, result.seed) == (identity, seed):
                return _made_of(run_dir), _without_seed(run_dir, seed, named)
        except UserError:
            continue  # what is compared is read already, and must not be lost for a damaged start
    return None
