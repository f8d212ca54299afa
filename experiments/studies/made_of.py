"""What the arms of a study are made of, as one of their runs recorded it: code, data, configuration."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import plain
from experiments.runs.identity import ingredients
from experiments.runs.ingredients import DEVICE_KEYS, Difference, Ingredients, code_differences, differences
from experiments.runs.likeness import test_pictures
from experiments.runs.record import CONFIG_FILE, DATA_FILE, IDENTITY_FILE, PROVENANCE_FILE
from experiments.runs.result import RunResult
from experiments.studies.comparison import Replicate
from experiments.studies.gather import Gathered
from experiments.studies.pretrained import PREFIX
from experiments.tracking.search import Search
from experiments.tracking.store_errors import RefusedError, StoreAwayError
from experiments.tracking.stored_run import StoredRun

FILES = (CONFIG_FILE, DATA_FILE, IDENTITY_FILE, PROVENANCE_FILE)
SEED_KEYS = ("seed", "datamodule.seed")


@dataclass(frozen=True)
class MadeOf:
    """What one run of an arm is made of.

    Attributes:
        seed: of that run.
        pictures: that its test counted.
        configuration: what decides the result, and on what it was computed; not where files lay.
        digest: of the configuration, as the run's identity has it.
        data: digest of the pictures.
        split: digest of how they were divided.
        code: digest of each source file that the configuration reaches, by module.
        pretrained: it starts from a run of the study's own, whose identity stands for `model.weights`.
    """

    seed: int
    pictures: int
    configuration: Mapping[str, Any]
    digest: str
    data: str
    split: str
    code: Mapping[str, str] = field(default_factory=dict)
    pretrained: bool = False

    @classmethod
    def read(cls, run_dir: Path) -> "MadeOf":
        """Read it from a folder that has the files of a run.

        Raises:
            UserError: a file is missing, or not what a run writes.
        """
        recorded = Ingredients.read(run_dir)
        cfg = OmegaConf.create(ingredients(recorded.cfg))
        for key in DEVICE_KEYS:
            if (value := OmegaConf.select(recorded.cfg, key)) is not None:
                OmegaConf.update(cfg, key, value)
        return cls(
            seed=int(cfg.seed),
            pictures=test_pictures(run_dir),
            configuration=plain(cfg),
            digest=recorded.configuration,
            data=recorded.data,
            split=recorded.split,
            code=dict(recorded.code),
            pretrained=recorded.cfg.model.get("weights_identity") is not None,
        )

    def under(self, seed: int) -> "MadeOf":
        """Return it as it would be under another seed, but for the split and the digest, which follow from it."""
        cfg = OmegaConf.create(dict(self.configuration))
        for key in SEED_KEYS:
            if OmegaConf.select(cfg, key) == self.seed:
                OmegaConf.update(cfg, key, seed)
        return replace(self, seed=seed, configuration=plain(cfg))

    def starting_as(self, other: "MadeOf") -> "MadeOf":
        """Return it with the weights that `other` starts from, and its digest."""
        cfg = OmegaConf.create(dict(self.configuration))
        cfg.model.weights = OmegaConf.create(dict(other.configuration)).model.weights
        return replace(self, configuration=plain(cfg), digest=other.digest)

    def as_ingredients(self) -> Ingredients:
        """Return it as a run's, without code and provenance, which are told of the study as a whole."""
        cfg = OmegaConf.create(dict(self.configuration))
        return Ingredients(cfg, {}, self.data, self.split, self.digest, ())


def here_made(gathered: Gathered, seeds: Mapping[str, int]) -> dict[str, MadeOf]:
    """Return what the arms, and what they start from, are made of, as far as their runs lie on this machine.

    Args:
        gathered: the study and what became of it.
        seeds: of which run of each, where it has one of that seed.

    Raises:
        UserError: a finished run's file is missing, or not what a run writes.
    """
    found = {}
    for name, runs in _finished(gathered).items():
        chosen = min(runs, key=lambda run: (run.seed != seeds.get(name), run.seed))
        if isinstance(chosen.result, RunResult):
            found[name] = MadeOf.read(chosen.result.run_dir)
    return found


def _finished(gathered: Gathered) -> dict[str, list[Replicate]]:
    """Return the runs of each arm that count, and the finished ones of what arms start from; by name, where any."""
    runs = [run for arm in gathered.comparison.arms for run in arm.counted]
    found: dict[str, list[Replicate]] = {}
    for run in (*runs, *(run for run in gathered.pretrained if run.status == "FINISHED")):
        found.setdefault(run.arm, []).append(run)
    return found


def stored_made(search: Search, gathered: Gathered) -> dict[str, MadeOf]:
    """Return the same, read from the store; without those whose files it does not have.

    Raises:
        UserError: the store cannot be asked, or a file is not what a run writes.
    """
    first = {name: runs[0].result for name, runs in _finished(gathered).items()}
    ids = {name: result.run_id for name, result in first.items() if result is not None and result.run_id is not None}
    try:
        runs = {run.run_id: run for run in search.named(list(ids.values()), wanted_tags=())}
        read = {name: _stored(search, runs[run_id]) for name, run_id in ids.items() if run_id in runs}
    except (StoreAwayError, RefusedError) as error:
        raise UserError(f"{gathered.written.name}: the tracking store cannot be asked ({error})") from error
    return {name: made for name, made in read.items() if made is not None}


def _stored(search: Search, run: StoredRun) -> MadeOf | None:
    with tempfile.TemporaryDirectory() as folder:
        if any(search.artifact(run, name, Path(folder)) is None for name in FILES):
            return None
        # It counts what was tested, also where that was a part of the pictures.
        search.artifact(run, "test_classes.json", Path(folder))
        return MadeOf.read(Path(folder))


def made_differences(
    recorded: Mapping[str, MadeOf], code: Mapping[str, str], now: Mapping[str, MadeOf], *, whole: bool
) -> list[Difference]:
    """Return what differs of code, data, device and configuration; not of packages and machines.

    What differs alike in all arms is told once; what differs in some, with the name of the first of them. Weights of
    another pretraining differ in what that is made of, where it is known, and else by themselves.

    Args:
        recorded: what the arms, and what they start from, were made of that are known now, by their names.
        code: the code of all arms that were recorded.
        now: what they are made of now.
        whole: these are all arms: code that none of them reaches now is a difference.
    """
    code_now = {module: digest for name in recorded for module, digest in now[name].code.items()}
    reached = {module: digest for module, digest in code.items() if whole or module in code_now}
    found: dict[Difference, list[str]] = {}
    before = {name for name in now if name.startswith(PREFIX)}
    for name, then in recorded.items():
        mine = now[name]
        theirs = then if then.seed == mine.seed else replace(then.under(mine.seed), split=mine.split)
        if then.pretrained and mine.pretrained and (then.seed != mine.seed or not before.isdisjoint(recorded)):
            theirs = theirs.starting_as(mine)
        for one in differences(theirs.as_ingredients(), mine.as_ingredients()):
            # The digest of a configuration follows from its seed.
            if one.name != "digest" or theirs is then:
                found.setdefault(one, []).append(name)
    arms_alone = recorded.keys() - before
    said = [
        one if arms_alone <= set(arms) else replace(one, name=f"{arms[0]}: {one.name}") for one, arms in found.items()
    ]
    return [*code_differences(reached, code_now), *said]
