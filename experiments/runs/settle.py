"""What the store lacks of a run that has ended, sent where its own process died before it could."""

from pathlib import Path

from experiments.errors import UserError
from experiments.runs import endings
from experiments.runs.result import FILE as RESULT_FILE
from experiments.runs.result import RunResult
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import Proof, end_left_run, has_pending
from experiments.tracking.options import TrackingOptions


def settle(result: RunResult, options: TrackingOptions) -> RunResult:
    """Return the result of a run, with its run id; send the rest of its record, if there is one.

    A process that is killed after its run has ended leaves a store that says it still runs. Cheap where nothing is
    left, enough so for ten thousand runs.
    """
    card = read_card(result.run_dir)
    if card is None or (card.status == result.status and not (options.deliver and has_pending(result.run_dir))):
        return result
    end_left_run(result.run_dir, options, result.status, result.reason, proof=result.run_dir / RESULT_FILE)
    return RunResult.read(result.run_dir) or result


def ended_by(run_dir: Path) -> Proof | None:
    """Return how a run ended by the result that its last process wrote, or else by the endings of its processes.

    `None` where there is neither. Who goes on with a run removes both of the session before (`session.run_here`).
    """
    try:
        result = RunResult.read(run_dir)
    except (UserError, OSError):
        return None
    if result is not None:
        return Proof(result.status, result.reason, run_dir / RESULT_FILE)
    ending = endings.left(run_dir)
    return None if ending is None or ending.mistake else Proof(ending.status, ending.reason, None)
