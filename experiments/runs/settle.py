"""What the store lacks of a finished run, sent where its own process died before it could."""

from pathlib import Path

from experiments.errors import UserError
from experiments.runs.result import FILE as RESULT_FILE
from experiments.runs.result import RunResult
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import end_left_run, has_pending
from experiments.tracking.options import TrackingOptions


def settle(result: RunResult, options: TrackingOptions) -> RunResult:
    """Return the result of a finished run, with its run id; send the rest of its record, if there is one.

    A process that is killed after its run has finished leaves a store that says it still runs. Cheap where nothing is
    left, enough so for ten thousand runs.
    """
    card = read_card(result.run_dir)
    if card is None or (card.status == result.status and not (options.deliver and has_pending(result.run_dir))):
        return result
    end_left_run(result.run_dir, options, result.status, result.reason, proof=finished_by(result.run_dir))
    return RunResult.read(result.run_dir) or result


def finished_by(run_dir: Path) -> Path | None:
    """Return the file by which a run shows that it finished; `None` where it did not, or nobody can tell."""
    try:
        result = RunResult.read(run_dir)
    except (UserError, OSError):
        return None
    return run_dir / RESULT_FILE if result is not None and result.status == "FINISHED" else None
