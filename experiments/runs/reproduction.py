"""Reproducing a recorded run: its code had again, run as a run of its own, and compared with the record."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.errors import UserError
from experiments.runs import rerun
from experiments.runs.allowed import check_named
from experiments.runs.callbacks import RunFailed
from experiments.runs.configuration import nearest, plain
from experiments.runs.ingredients import Difference, Ingredients, differences, surroundings
from experiments.runs.leaves import leaves
from experiments.runs.likeness import Likeness, Spread, compare, finished
from experiments.runs.options import EXECUTION_KEYS
from experiments.runs.place import check_place, tracking_options
from experiments.runs.provenance import collect
from experiments.runs.recorded_code import Recorded, recorded_code, run_there
from experiments.runs.replicates import recorded_spread
from experiments.runs.rerun import Order
from experiments.runs.source_files import HOUSE
from experiments.runs.weight_sources import BEST
from experiments.tracking.afterwards import tag_ended_run
from experiments.tracking.credentials import is_masked
from experiments.tracking.leftovers import has_journal

REPRODUCES_TAG = "whydeep.reproduces"
REPRODUCTION_TAG = "whydeep.reproduction"
REPRODUCTION_FILE = "reproduction.json"
FOLDER = "reproductions"
SHOWN = 3  # packages, or properties of the hardware, in a line

# Keys whose value another one takes over, as conf/ has it; in a recorded configuration both are written out.
FOLLOWERS = {
    "seed": "datamodule.seed",
    "data_dir": "datamodule.root",
    "experiment": "tracking.experiment",
    "model.suggested_lr": "optimizer.lr",
}
# What a reproduction decides itself.
OWN_KEYS = frozenset({"choices", "rerun", "resume", "runs_dir", "tracking.runs_dir", "tracking.experiment"})


@dataclass(frozen=True)
class Request:
    """What is to be reproduced, and how.

    `overrides` are `key=value`, of keys that the recorded configuration has; `threads` is torch's number, `None` for
    the recorded one (or $OMP_NUM_THREADS); `spread` is that over the replicates of a study's arm, `None` where the
    replicates in `runs_dir` are to be looked for; `apply_diff` agrees to run recorded changes that came from a store.
    """

    run_dir: Path
    runs_dir: Path
    overrides: tuple[str, ...] = ()
    threads: int | None = None
    spread: Spread | None = None
    apply_diff: bool = False
    command: tuple[str, ...] = ()
    progress: bool = True


@dataclass(frozen=True)
class Reproduction:
    """A run and what became of it when it was run again; `differences` are in the order of the ingredients."""

    likeness: Likeness
    differences: tuple[Difference, ...]

    @property
    def answer(self) -> str:
        """`identical`, `equivalent` or `different`.

        Another configuration is another experiment, which its result is equivalent to by coincidence at most: unless
        it is identical to the bit, it is different.
        """
        answer = self.likeness.answer
        return "different" if answer == "equivalent" and self.is_another_experiment else answer

    @property
    def is_another_experiment(self) -> bool:
        """Whether the configuration, as far as it decides the result, was changed."""
        return any(difference.ingredient == "configuration" for difference in self.differences)

    @property
    def first(self) -> Difference | None:
        """The first ingredient that differs; `None` where nothing recorded does."""
        return self.differences[0] if self.differences else None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        likeness = self.likeness
        return {
            "answer": self.answer,
            "first_difference": None if self.first is None else str(self.first),
            "differences": [asdict(difference) for difference in self.differences],
            "recorded": {"run_id": likeness.recorded.run_id, "run_dir": str(likeness.recorded.run_dir)},
            "now": {"run_id": likeness.now.run_id, "run_dir": str(likeness.now.run_dir)},
            "metrics": {name: {"recorded": before, "now": after} for name, before, after in likeness.rows},
            "weights": None if likeness.weights is None else asdict(likeness.weights),
            "numbers": asdict(likeness.numbers),
            "margin": asdict(likeness.margin),
            "interval": asdict(likeness.interval),
        }


def reproduce(request: Request, say: Callable[[str, str], None] = lambda *_: None) -> Reproduction:
    """Run a recorded run again, as a run of its own, and compare the two.

    Interrupted, the same request goes on where it was. The recorded run is only read.

    Args:
        request: which run, and how.
        say: gets what a person wants to know before the training, as (subject, sentence).

    Raises:
        UserError: the run is not finished, its configuration names what it may not, its data are missing or others,
            or what is asked cannot be.
        RunKilled, RunFailed: as `execute`, of the new run.
    """
    result = finished(request.run_dir)
    recorded = Ingredients.read(request.run_dir)
    cfg = configured(recorded.cfg, request)
    check_named(cfg)
    check_place(cfg)
    threads = _threads(request, recorded)
    order = Order(
        config=plain(cfg),
        data=None if _varies_data(request.overrides) else recorded.data,
        checkpoint=str((request.run_dir / BEST).resolve()),
        threads=threads,
        # Not the recorded run's own name, by which that one is found.
        name=f"{request.run_dir.name} reproduced",
        tags={REPRODUCES_TAG: result.run_id or result.name},
        command=list(request.command),
        progress=request.progress,
        house=str(HOUSE),
    )
    fetched = not has_journal(request.run_dir)
    say("reproducing", request.run_dir.name)
    if asked := [*request.overrides, *([] if request.threads is None else [f"threads={request.threads}"])]:
        say("with", " ".join(asked))
    code = Recorded(request.run_dir, cfg, recorded.code, recorded.sessions[0].get("commit"), fetched=fetched)
    with recorded_code(code, say, apply_diff=request.apply_diff) as house:
        for line in _foreseen(recorded, threads):
            say("differs", line)
        try:
            answer = rerun.run_again(order) if house is None else run_there(order, house)
        except RunFailed as failed:
            if failed.result is not None:
                tag_ended_run(failed.result.run_dir, tracking_options(cfg), {REPRODUCTION_TAG: "different"})
            raise
    now_dir = Path(str(answer["run_dir"]))
    likeness = compare(request.run_dir, now_dir, disagreement=answer["disagreement"], spread=request.spread)
    if likeness.answer != "identical" and request.spread is None:
        # Looked for only where it matters: there may be thousands of runs.
        spread = recorded_spread(request.runs_dir, request.run_dir)
        likeness = compare(request.run_dir, now_dir, disagreement=answer["disagreement"], spread=spread)
    reproduction = Reproduction(likeness, differences(recorded, Ingredients.read(now_dir)))
    (now_dir / REPRODUCTION_FILE).write_text(json.dumps(reproduction.as_dict(), indent=2) + "\n", encoding="utf-8")
    tag_ended_run(now_dir, tracking_options(cfg), {REPRODUCTION_TAG: reproduction.answer})
    return reproduction


def configured(recorded: DictConfig, request: Request) -> DictConfig:
    """Return the recorded configuration with what is asked to be otherwise, to be run anew into `runs_dir`.

    Raises:
        UserError: an unknown key, or a value that cannot be read.
    """
    cfg = recorded.copy()
    keys = [key for key, _ in leaves(plain(recorded)) if not any(_is_of(key, own) for own in OWN_KEYS)]
    keys = [key for key in keys if key.rpartition(".")[2] not in ("_target_", "_partial_")]
    for override in request.overrides:
        key, assigned, _ = override.partition("=")
        if not assigned:
            raise UserError(f"{override}: not of the form key=value")
        if key not in keys:
            raise UserError(_refusal(key, override, recorded, keys))
        try:
            value = OmegaConf.select(OmegaConf.from_dotlist([override]), key)
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"{override}: cannot be read; write key=value") from error
        follower = FOLLOWERS.get(key)
        if follower is not None and OmegaConf.select(cfg, follower) == OmegaConf.select(cfg, key):
            OmegaConf.update(cfg, follower, value, merge=False)
        OmegaConf.update(cfg, key, value, merge=False)
    cfg.rerun, cfg.resume = True, "auto"
    # Apart from the runs that it compares itself with: one of the same identity must not be taken for another attempt.
    cfg.runs_dir, cfg.tracking.runs_dir = str(request.runs_dir / FOLDER), str(request.runs_dir)
    if isinstance(uri := cfg.tracking.get("uri"), str) and is_masked(uri):
        cfg.tracking.uri = None  # its password was not recorded; $MLFLOW_TRACKING_URI may have it
    if cfg.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.accelerator={cfg.trainer.accelerator}: the run was recorded on one and this machine has none; "
            "trainer.accelerator=cpu computes it without"
        )
    return cfg


def _refusal(key: str, override: str, recorded: DictConfig, keys: Sequence[str]) -> str:
    if key in recorded.choices:
        return f"{override}: a reproduction changes single values of the recorded {key}, such as {key}.KEY=VALUE"
    if any(_is_of(key, own) for own in OWN_KEYS):
        return f"{override}: a reproduction decides that itself"
    parent = key.rpartition(".")[0]
    siblings = [name for name in keys if name.rpartition(".")[0] == parent]
    # At the root, the groups and the command's own keys are what may have been meant.
    roots = {*(name.partition(".")[0] for name in keys), "threads", "json", "run", "diff", "runs_dir"}
    return f"{key}: unknown key; {nearest(key, siblings if parent and siblings else roots)}"


def _is_of(key: str, parent: str) -> bool:
    return key == parent or key.startswith(f"{parent}.")


def _varies_data(overrides: Sequence[str]) -> bool:
    """Whether other pictures are asked for, so that they must not be those of the record."""
    keys = {override.partition("=")[0] for override in overrides}
    return any(key.startswith("datamodule.") for key in keys - EXECUTION_KEYS)


def _threads(request: Request, recorded: Ingredients) -> int | None:
    if request.threads is not None:
        return request.threads
    if os.environ.get("OMP_NUM_THREADS"):
        return None
    threads = recorded.sessions[0].get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def _foreseen(recorded: Ingredients, threads: int | None) -> Iterator[str]:
    """Yield what will differ of packages and hardware: one line for each, before the training instead of after it."""
    here = collect().as_dict()
    if threads is not None:
        here["threads"] = threads
    found = list(surroundings(recorded.sessions, [here]))
    for ingredient in ("packages", "hardware"):
        some = [f"{one.name} {one.recorded} → {one.now}" for one in found if one.ingredient == ingredient]
        if some:
            more = f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
            yield f"{ingredient}: {'; '.join(some[:SHOWN])}{more}"
