"""Executing the jobs of a study in this process, one after the other."""

from experiments.runs.asked import Asked
from experiments.studies.job import Job, JobOutcome, perform


class Here:
    """Executes a job when it is started, and returns when it has ended.

    One that takes the whole process with it (a segmentation fault, the system's out-of-memory killer) ends the study,
    which the same command continues; a pool of one worker outlives it.

    Args:
        asked: who listens for signals between the trainings.
        progress: show epochs and errors while training.
    """

    capacity = 1

    def __init__(self, asked: Asked, *, progress: bool) -> None:
        self._asked = asked
        self._progress = progress
        self._ended: list[tuple[Job, JobOutcome]] = []
        self.stopped_by: int | None = None

    def start(self, job: Job) -> None:
        """Execute a job."""
        with self._asked.impatient():
            outcome = perform(job, progress=self._progress)
        if outcome.status == "KILLED":
            self.stopped_by = outcome.signal_number
        self._ended.append((job, outcome))

    def ended(self, seconds: float) -> list[tuple[Job, JobOutcome]]:  # noqa: ARG002 - nothing to wait for
        """Return what has ended."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self, number: int) -> None:
        """Nothing runs while this process can be told so."""

    def kill(self) -> None:
        """Nothing runs while this process can be told so."""

    def close(self) -> None:
        """Leave nothing."""
