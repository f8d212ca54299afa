"""A study as it was run, written down beside its run in MLflow: all that a report needs besides the runs themselves."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from experiments.errors import UserError
from experiments.studies.confound import Confound
from experiments.studies.membership import WRITTEN_FILE
from experiments.studies.study import Study

FILE = WRITTEN_FILE
FORMAT = 1


@dataclass(frozen=True)
class WrittenArm:
    """One arm as it is run.

    Attributes:
        name: of the arm.
        overrides: whole: of the study, of the command line, of the arm, of its budget; all but the seed.
        levels: by factor; empty where the study lists its arms.
        measures: totals of its network, as runs record them without `measure/`.
        layers: measures by layer (`parameters`, `macs`, …), for claims on some layers.
        input_shape: `(C, H, W)` at which MACs were counted.
    """

    name: str
    overrides: tuple[str, ...]
    levels: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    input_shape: tuple[int, int, int] | None = None

    @property
    def command_pattern(self) -> tuple[str, ...]:
        """The command line of its runs, but for the seed."""
        return ("whydeep", "train", *self.overrides)

    def command(self, seed: int) -> tuple[str, ...]:
        """The command line that makes one replicate by itself."""
        return (*self.command_pattern, f"seed={seed}")


@dataclass(frozen=True)
class WrittenReplicate:
    """One run of the study.

    Attributes:
        arm: its arm.
        seed: its seed.
        identity: what makes it the same run wherever it is found.
        run_id: in MLflow, where that was known when this was written; a run that finished before, in another study or
            by itself, is found by it.
        reason: why it has no run, where it has none: it could not be begun.
    """

    arm: str
    seed: int
    identity: str
    run_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class WrittenStudy:
    """A study, its arms and its runs.

    Attributes:
        name: of the study.
        variation: what distinguishes it from its file, see `membership.variation`.
        command: the command line that runs it.
        study: what was asked.
        arms: in the study's order.
        replicates: all runs of its arms.
        pretraining: what arms start from, as arms are written down.
        pretrained: the runs of that.
        confounds: what differs between arms undeclared: in their configurations and, once runs have ended, in what was
            recorded of these.
        claimed_later: which claims were changed, added or removed after runs were recorded, see `claimed_later.py`.
    """

    name: str
    variation: str
    command: tuple[str, ...]
    study: Study
    arms: tuple[WrittenArm, ...]
    replicates: tuple[WrittenReplicate, ...]
    pretraining: tuple[WrittenArm, ...] = ()
    pretrained: tuple[WrittenReplicate, ...] = ()
    confounds: tuple[Confound, ...] = ()
    claimed_later: tuple[str, ...] = ()

    def arm(self, name: str) -> WrittenArm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def write(self, folder: Path) -> Path:
        """Write `study.json` into `folder`, whole or not at all; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "name": self.name,
            "variation": self.variation,
            "command": self.command,
            "study": self.study.model_dump(mode="json", by_alias=True),
            "arms": [asdict(arm) for arm in self.arms],
            "pretraining": [asdict(arm) for arm in self.pretraining],
            "pretrained": [asdict(one) for one in self.pretrained],
            "confounds": [asdict(confound) for confound in self.confounds],
            "claimed_later": self.claimed_later,
            # One line each: ten thousand of them are read and compared by people, too.
            "replicates": [],
        }
        lines = ",\n".join(f"  {json.dumps(asdict(one), ensure_ascii=False)}" for one in self.replicates)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        text = text.replace('"replicates": []', f'"replicates": [\n{lines}\n ]') if lines else text
        fresh = folder / f"{FILE}.new"
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(folder / FILE)
        return folder / FILE


def read_written(path: Path) -> WrittenStudy:
    """Read `study.json`.

    Raises:
        UserError: it is missing, not what a study writes, or written by a newer whydeep.
    """
    try:
        content = json.loads(path.read_bytes())
        made = content.pop("format")
        if made > FORMAT:
            raise UserError(f"{path}: written by a newer whydeep (format {made}); update this one")
        return TypeAdapter(WrittenStudy).validate_python(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not what a study writes ({' '.join(str(error).split())})") from error
