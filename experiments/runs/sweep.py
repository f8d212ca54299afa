"""The jobs of a plain sweep, `whydeep train -m`, under one run in MLflow, each named by what differs among them."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from experiments.runs.label import PARENT_TAG, Label
from experiments.runs.place import tracking_options
from experiments.runs.search import LENGTH, OBJECTIVE, Found
from experiments.tracking.credentials import masked
from experiments.tracking.opening import open_run
from experiments.tracking.parents import parent_by_key
from experiments.tracking.tracker import RunTracker

KIND_TAG = "whydeep.kind"
WAIT_SECONDS = 15.0
LONGEST_NAME = 200  # of 250 characters that MLflow has for one


@dataclass(frozen=True)
class JobLabels:
    """Names the jobs of a sweep; small enough to be sent to the process of a launcher.

    Attributes:
        key: of the sweep's run.
        given: the overrides of the command line: those that a job has word for word are common to all jobs.
    """

    key: str
    given: tuple[str, ...]

    def of(self, overrides: Sequence[str]) -> Label:
        """The label of the job that has these overrides: `model=resnet20 seed=1`."""
        own = [masked(override) for override in overrides if override not in self.given]
        return Label(" ".join(own) or None, {KIND_TAG: "run", PARENT_TAG: parent_by_key(self.key)})


class Sweep:
    """The run of a sweep in MLflow, while its jobs run. The same command keeps its run."""

    def __init__(self, tracker: RunTracker, given: Sequence[str]) -> None:
        self._tracker = tracker
        self._command = f"`{shlex.join(['whydeep', 'train', '-m', *map(masked, given)])}`"
        tracker.description(self._command)
        self.labels = JobLabels(tracker.key, tuple(given))

    def found(self, found: Found) -> None:
        """Record the best run of a search."""
        self._tracker.metrics({OBJECTIVE: found.error}, step=0)
        said = "\n".join(found.lines())
        self._tracker.description(f"{self._command}\n\n```\n{said}\n```")

    def finish(self, codes: Sequence[int], *, stopped: bool) -> None:
        """End the run: `codes` are those of the jobs that ended."""
        failed = sum(code != 0 for code in codes)
        reason = "stopped; the same command continues it" if stopped else f"{failed} of {len(codes)} jobs failed"
        self._tracker.finish(
            "KILLED" if stopped else "FAILED" if failed else "FINISHED", reason if stopped or failed else None
        )


def open_sweep(cfg: DictConfig, given: Sequence[str], swept: Sequence[str]) -> Sweep:
    """Begin, or continue, to record a sweep; returns once the store has it, or does not answer.

    A launcher may fork the jobs' processes: what a thread is doing then, such as importing MLflow, is never finished in
    them.

    Args:
        cfg: of one of its jobs: where to record.
        given: the overrides of the command line.
        swept: those of them that have several values: they name the sweep.

    Raises:
        UserError: another process runs the same sweep, or the store's address cannot be used.
    """
    # A search that goes further is the same one.
    asked = sorted(masked(override) for override in given if not override.startswith(LENGTH))
    digits = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:8]
    options = tracking_options(cfg)
    tracker = open_run(
        Path(cfg.runs_dir) / f"sweep-{digits}",
        options,
        name=masked(" ".join(swept))[:LONGEST_NAME] or f"sweep {digits}",
        tags={KIND_TAG: "sweep"},
    )
    if options.deliver:
        tracker.wait_for_run_id(WAIT_SECONDS)
    return Sweep(tracker, given)
