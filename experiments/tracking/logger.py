"""Lightning's metrics into a run's tracker."""

from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from typing_extensions import override

from experiments.tracking.tracker import RunTracker


class TrackerLogger(Logger):
    """Passes what ``self.log`` collects to a tracker, under the same names and steps.

    It records no hyperparameters, graphs or checkpoints: a run records those itself, once and whole.

    Args:
        tracker: the run's tracker; None in processes other than the first, which record nothing.
    """

    def __init__(self, tracker: RunTracker | None) -> None:
        super().__init__()
        self._tracker = tracker

    @property
    @override
    def name(self) -> str | None:
        """The run's name."""
        return None if self._tracker is None else self._tracker.name

    @property
    @override
    def version(self) -> str | None:
        """The MLflow run id, once there is one."""
        return None if self._tracker is None else self._tracker.run_id

    @property
    @override
    def save_dir(self) -> str | None:
        """The run's directory."""
        return None if self._tracker is None else str(self._tracker.run_dir)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record one step's metrics; ``step`` is the trainer's global step, or what was logged as ``step``."""
        if self._tracker is not None:
            self._tracker.metrics(metrics, step=0 if step is None else step)

    @override
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run records its whole configuration."""
