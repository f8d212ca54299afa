"""What ties the runs of a study together in MLflow: its own run, one of each arm below it, the replicates below those.

All of them carry the study's name and variation as tags. A variation is the study under other settings than its file
has, given on the command line; what only says where and how runs are executed, and how many seeds there are, is none.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from experiments.errors import UserError
from experiments.runs.label import PARENT_TAG, Label
from experiments.runs.options import EXECUTION_KEYS
from experiments.runs.overrides import override_key
from experiments.studies.study_parts import LAPTOP
from experiments.tracking.parents import parent_by_key

KIND_TAG = "whydeep.kind"
STUDY_TAG = "whydeep.study"
VARIATION_TAG = "whydeep.variation"
ARM_TAG = "whydeep.arm"
SEED_TAG = "whydeep.seed"
IDENTITY_TAG = "whydeep.identity"

Kind = Literal["study", "arm", "run", "pretraining", "sweep"]
AS_WRITTEN = "as written"
WRITTEN_FILE = "study.json"


def variation(overrides: Sequence[str], scale: str | None = None, reproduction: str | None = None) -> str:
    """Say in one line what distinguishes a study from its file: `as written`, or its scale and overrides.

    Args:
        overrides: for all arms, from the command line.
        scale: of the study; `None` or `laptop` for the one that is written.
        reproduction: what it is called, where it reproduces a study that was recorded.
    """
    told = [] if scale in (None, LAPTOP) else [f"scale={scale}"]
    told += sorted(override for override in overrides if not _is_execution(override_key(override)))
    told += [] if reproduction is None else [reproduction]
    return " ".join(told) or AS_WRITTEN


def study_folder(runs_dir: Path, name: str, varied: str) -> Path:
    """The folder of a study's own records, one for each variation: `study` for its run, `arm-<name>` for each arm's."""
    if varied == AS_WRITTEN:
        return runs_dir / name
    return runs_dir / f"{name}-{hashlib.sha256(varied.encode()).hexdigest()[:6]}"


def check_folder(folder: Path, name: str, varied: str) -> None:
    """Refuse the folder of another study or variation: of what tells variations apart it has the first digits alone.

    Args:
        folder: of `study_folder`.
        name: of the study.
        varied: its variation.

    Raises:
        UserError: one line.
    """
    file = folder / "study" / WRITTEN_FILE
    try:
        written = json.loads(file.read_bytes())
        found = written["name"], written["variation"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # nobody has run it; or what is there is damaged, and is written anew
    if found != (name, varied):
        raise UserError(
            f"{folder}: holds {found[0]} ({found[1]}), whose folder has the same name as that of {name} ({varied}); "
            "choose another runs_dir, or move this folder away"
        )


def study_tags(kind: Kind, name: str, varied: str, arm: str | None = None) -> dict[str, str]:
    """The tags of one of a study's runs."""
    tags = {KIND_TAG: kind, STUDY_TAG: name, VARIATION_TAG: varied}
    return tags if arm is None else {**tags, ARM_TAG: arm}


def replicate_label(name: str, varied: str, arm: str, seed: int, parent_key: str) -> Label:
    """What a replicate is called in MLflow, and its tags; it nests under the run of its arm."""
    tags = {**study_tags("run", name, varied, arm), SEED_TAG: str(seed), PARENT_TAG: parent_by_key(parent_key)}
    return Label(f"{arm} seed {seed}", tags)


def pretraining_label(name: str, varied: str, pretraining: str, seed: int, study_key: str) -> Label:
    """What a run that arms start from is called in MLflow, and its tags; it nests under the study's run."""
    tags = {
        **study_tags("pretraining", name, varied, pretraining),
        SEED_TAG: str(seed),
        PARENT_TAG: parent_by_key(study_key),
    }
    return Label(f"{pretraining} seed {seed}", tags)


def _is_execution(key: str) -> bool:
    parts = key.replace("/", ".").split(".")
    return any(".".join(parts[:length]) in EXECUTION_KEYS for length in range(1, len(parts) + 1)) or key == "seeds"
