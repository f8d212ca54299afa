"""Why a run that was finished is not what would be run now: the code, keys or data that have changed since."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from experiments.runs.identity import with_weights_digest
from experiments.runs.ingredients import changed_keys
from experiments.runs.record import CONFIG_FILE, IDENTITY_FILE
from experiments.runs.source_files import code_digests, code_files
from experiments.runs.start_keys import KEY as WEIGHTS
from experiments.studies.plan import PlannedRun

TOLD_KEYS = 3


class Changes:
    """What made the runs of one arm stale, found out once for all that were recorded alike but for their seeds."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], str] = {}

    def of(self, former: Path, run: PlannedRun, now: str) -> str:
        """Say what differs between a recorded run and `run` as it would be run now, on data with the digest `now`."""
        if not run.planned.seed_keys:
            return changes(former, run.cfg, now)
        try:
            recorded = json.loads((former / IDENTITY_FILE).read_text(encoding="utf-8"))
            code, data = json.dumps(recorded["code_files"]), str(recorded["data"])
            configuration = (former / CONFIG_FILE).read_text(encoding="utf-8")
        except (OSError, ValueError, KeyError, TypeError):
            return changes(former, run.cfg, now)
        names = "|".join({re.escape(key.rpartition(".")[2]) for key in run.planned.seed_keys})
        alike = code, data, re.sub(rf"(?m)^( *(?:{names})): {run.seed}$", r"\1", configuration)
        if alike not in self._said:
            self._said[alike] = changes(former, run.cfg, now)
        return self._said[alike]


def changes(former: Path, cfg: DictConfig, data: str) -> str:
    """Say what differs between a recorded run and the configuration, code and data that it would be run with now."""
    try:
        recorded = json.loads((former / IDENTITY_FILE).read_text(encoding="utf-8"))
        then, _ = dict(recorded["code_files"].items()), recorded["data"]
        old = OmegaConf.load(former / CONFIG_FILE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return "its record cannot be read any more"
    now = code_digests(code_files(cfg).items())
    files = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    # What was recorded has the digest of its weights.
    keys = sorted(key for key, *_ in changed_keys(old, with_weights_digest(cfg)))  # type: ignore[arg-type]
    if OmegaConf.select(old, WEIGHTS) == cfg.model.get("weights"):
        keys = [f"the content of {WEIGHTS}" if key == WEIGHTS else key for key in keys]
    said = []
    if files:
        said.append(f"code: {_listed(files)}")
    if keys:
        said.append(f"configuration: {_listed(keys)}")
    if not said and recorded["data"] != data:
        said.append("data: other pictures or labels")
    # What no key shows decides the result too.
    return "; ".join(said) or "configuration: the number of processes"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOLD_KEYS} more" if len(names) > TOLD_KEYS else ""
    return ", ".join(names[:TOLD_KEYS]) + more
