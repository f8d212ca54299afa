"""Where the weights of `model.weights` lie: a file, a recorded run, a registered model, or what torchvision publishes.

Of a run's identity the digest of the weights is a part, never the place: the same weights found elsewhere make the same
run, and other weights at the same place make another one.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs.checkpoints import StateDict, digest_of, published, read_checkpoint
from experiments.runs.place import tracking_options
from experiments.runs.result import RunResult
from experiments.runs.start_keys import KEY, PRETRAINING, RUN, TORCHVISION, check_source
from experiments.tracking.card import read_card
from experiments.tracking.lookup import find_run
from experiments.tracking.registry import SCHEME, fetch_model

BEST = Path("checkpoints") / "best.ckpt"
# By preference: of MLflow's models, a state dict lies beside what describes it.
_ENDINGS = (".safetensors", ".ckpt", ".pth", ".pt")


@dataclass(frozen=True)
class Place:
    """Where weights were found.

    Attributes:
        source: what finds them again: as it was asked for, with a run's whole id, or a model's number for its alias.
        file: that holds them; `None` for torchvision's.
        run_id: MLflow's, of the run that they come from; its own key while the store has none; `None` where no run is
            known.
        run: the name of that run.
    """

    source: str
    file: Path | None
    run_id: str | None = None
    run: str | None = None


@dataclass(frozen=True)
class Weights:
    """Weights to start from, and where they come from; `digest` is that of the tensors, in hexadecimal."""

    place: Place
    state: StateDict
    digest: str


def read_weights(cfg: DictConfig) -> Weights:
    """Find and read the weights that `model.weights` of a run's configuration means.

    Raises:
        UserError: there are none, they cannot be read, or they are not those of `model.weights_digest`.
    """
    place = _place(cfg)
    named = f"{KEY}={cfg.model.weights}"
    if place.file is None:
        state = published(cfg.choices.get("model"), place.source.removeprefix(TORCHVISION), named)
    else:
        state = read_checkpoint(place.file, named)
    digest = digest_of(state.tensors)
    if (wanted := cfg.model.get("weights_digest")) not in (None, digest):
        raise UserError(
            f"{named}: other weights lie there now (digest {digest[:10]}…) than those that were meant ({wanted[:10]}…)"
        )
    return Weights(place, state, digest)


def weights_digest(cfg: DictConfig) -> str | None:
    """Return the digest of the weights that `model.weights` means; `None` where it means none.

    What `model.weights_digest` says is not looked at again.

    Raises:
        UserError: as `read_weights`.
    """
    if cfg.model.get("weights") is None:
        return None
    if (known := cfg.model.get("weights_digest")) is not None:
        return str(known)
    place = _place(cfg)
    if place.file is None or not place.file.is_file():
        return read_weights(cfg).digest
    state = place.file.stat()
    return _digest_of(place.file, f"{KEY}={cfg.model.weights}", state.st_ino, state.st_mtime_ns, state.st_size)


# A study asks for the same weights once for each of its arms and seeds.
@functools.lru_cache(maxsize=1024)
def _digest_of(file: Path, named: str, *_: int) -> str:
    return digest_of(read_checkpoint(file, named).tensors)


def best_checkpoint(run_dir: Path) -> Path:
    """Return the best checkpoint of the run in `run_dir`.

    Raises:
        UserError: it has none yet.
    """
    checkpoint = run_dir / BEST
    if not checkpoint.is_file():
        raise UserError(f"{run_dir}: has no {BEST} yet; a run writes it after its first validation")
    return checkpoint


def _place(cfg: DictConfig) -> Place:
    source = str(cfg.model.weights)
    check_source(source)
    if source.startswith(PRETRAINING):
        raise UserError(f"{KEY}={source}: a run of a study, which alone knows it; run:ID names a recorded one")
    if source.startswith(RUN):
        return _of_run(source, cfg)
    if source.startswith(SCHEME):
        return _of_model(source, cfg)
    return Place(source, None if source.startswith(TORCHVISION) else Path(source))


def _of_run(source: str, cfg: DictConfig) -> Place:
    reference, options = source.removeprefix(RUN), tracking_options(cfg)
    # By the name of its folder, without a look at all others; a study that is run again elsewhere has runs of its own.
    named = (Path(folder) / reference for folder in (cfg.runs_dir, options.runs_dir))
    try:
        run_dir = next((path for path in named if read_card(path) is not None), None)
        run_dir = run_dir or find_run(Path(options.runs_dir), reference, options)
        checkpoint = best_checkpoint(run_dir)
    except UserError as error:
        raise UserError(f"{KEY}={source}: {str(error).removeprefix(f'run={reference}: ')}") from error
    card = read_card(run_dir)
    if card is None or not (card.status == "FINISHED" or _has_finished(run_dir)):
        status = "not recorded" if card is None else card.status.lower()
        raise UserError(
            f"{KEY}={source}: that run is {status}, so that its best checkpoint may still be another; name the file "
            f"to use it nevertheless: {KEY}={checkpoint}"
        )
    if (wanted := cfg.model.get("weights_identity")) is not None and wanted != (own := _identity(run_dir)):
        raise UserError(f"{KEY}={source}: that run has the identity {own[:10]}…, and {wanted[:10]}… is meant")
    found = card.run_id or card.key
    return Place(f"{RUN}{found}", checkpoint, found, card.name)


def _has_finished(run_dir: Path) -> bool:
    """Whether a run has finished by its result: its process may have been killed before its card could say so."""
    try:
        result = RunResult.read(run_dir)
    except UserError:
        return False
    return result is not None and result.status == "FINISHED"


def _identity(run_dir: Path) -> str:
    try:
        return str(json.loads((run_dir / "identity.json").read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run_dir / 'identity.json'}: missing or not what a run writes ({error})") from error


def _of_model(source: str, cfg: DictConfig) -> Place:
    model = fetch_model(KEY, source, tracking_options(cfg))
    files = sorted(path for path in model.folder.rglob("*") if path.suffix in _ENDINGS)
    for ending in _ENDINGS:
        fitting = [path for path in files if path.suffix == ending]
        if len(fitting) > 1:
            names = ", ".join(str(path.relative_to(model.folder)) for path in fitting)
            raise UserError(
                f"{KEY}={source}: the model holds several checkpoints ({names}); name one: {KEY}={fitting[0]}"
            )
        if fitting:
            return Place(model.reference, fitting[0], model.run_id)
    raise UserError(f"{KEY}={source}: the model holds no checkpoint; a file of {', '.join(_ENDINGS)} is one")
