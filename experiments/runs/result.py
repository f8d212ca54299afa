"""The outcome of a run, kept beside it."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from experiments.errors import UserError
from experiments.tracking.card import read_card

Status = Literal["FINISHED", "FAILED", "KILLED"]
FILE = "result.json"


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    `metrics` are last values by name (errors in percent, times in seconds); `measures` are of the network at
    `input_shape` `(C, H, W)`; `run_id` is MLflow's, `None` while the store has not been reached; `skipped` says that
    the run was finished before.
    """

    run_dir: Path
    run_id: str | None
    identity: str
    name: str
    status: Status
    seed: int
    choices: dict[str, str]
    input_shape: tuple[int, int, int]
    metrics: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    skipped: bool = False

    def write(self) -> None:
        """Write the result into the run's directory, whole or not at all."""
        content = {name: value for name, value in asdict(self).items() if name not in ("run_dir", "skipped")}
        fresh = self.run_dir / f"{FILE}.new"
        fresh.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.run_dir / FILE)

    @classmethod
    def read(cls, run_dir: Path) -> "RunResult | None":
        """Return the result of the run in `run_dir`; `None` when it has none yet.

        Raises:
            UserError: the file is not what a run writes.
        """
        try:
            content = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
            content["input_shape"] = tuple(content["input_shape"])
            if content["run_id"] is None and (card := read_card(run_dir)) is not None:
                # The store has answered since.
                content["run_id"] = card.run_id
            return cls(run_dir=run_dir, **content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{run_dir / FILE}: not the result of a run ({error})") from error

    def again(self) -> "RunResult":
        """Return the result as one that was finished before."""
        return replace(self, skipped=True)
