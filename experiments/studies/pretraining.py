"""The runs of a study that its arms start from: trained before them, once for each seed.

Which run an arm starts from is said by its identity, which is known before it has run: the arms are planned with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.errors import UserError
from experiments.runs.checkpoints import StateDict
from experiments.runs.label import Label
from experiments.runs.settle import settle
from experiments.runs.start import copy_part
from experiments.runs.start_keys import KEY, RUN
from experiments.studies.board import board_of
from experiments.studies.comparison import Replicate
from experiments.studies.execution import Execution, execute_all, jobs_of
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.plan import PlannedArm, PlannedRun
from experiments.studies.pretrained import UNNEEDED
from experiments.studies.state import ArmState, RunState, look
from experiments.tracking.options import TrackingOptions


def look_at_pretraining(arms: Sequence[PlannedArm], seeds: Sequence[int], folder: Path) -> list[ArmState]:
    """Return the state of the runs that `arms` start from, as `look` does."""
    planned = {arm.pretraining.name: arm.pretraining for arm in arms if arm.pretraining is not None}
    return look(list(planned.values()), seeds, folder)


def started(arms: Sequence[PlannedArm], pretraining: Sequence[ArmState]) -> list[PlannedArm]:
    """Return the arms with the runs that theirs start from."""
    known = {state.arm.name: _starts(state) for state in pretraining}
    return [arm if arm.pretraining is None else arm.starting_from(known[arm.pretraining.name]) for arm in arms]


def _starts(state: ArmState) -> Mapping[int, tuple[str, ...]]:
    return {
        one.run.seed: (f"{KEY}={RUN}{one.run_dir.name}", f"{KEY}_identity={one.identity}") for one in state.replicates
    }


def needed(pretraining: Sequence[ArmState], states: Sequence[ArmState]) -> list[ArmState]:
    """Return the runs that are done, or that an arm which is not done still starts from.

    Args:
        pretraining: the states of the runs that arms start from.
        states: of the arms.
    """
    wanted = {
        (state.arm.pretraining.name, one.run.seed)
        for state in states
        if state.arm.pretraining is not None
        for one in state.replicates
        if one.kind != "done"
    }
    left = (
        replace(state, replicates=tuple(one for one in state.replicates if one.kind == "done" or _key(one) in wanted))
        for state in pretraining
    )
    return [state for state in left if state.replicates]


def _key(one: RunState) -> tuple[str, int]:
    return one.run.arm, one.run.seed


def check_starts(states: Sequence[ArmState], pretraining: Sequence[ArmState]) -> None:
    """See that the weights, which nobody has trained yet, will fit.

    Raises:
        UserError: they do not; one line that names the arm.
    """
    before = {state.arm.name: state.assembly.network for state in pretraining}
    for state in states:
        if state.arm.pretraining is not None:
            source = StateDict(before[state.arm.pretraining.name].state_dict())
            try:
                copy_part(state.arm.cfg, state.assembly.network, state.assembly.measures, source)
            except UserError as error:
                raise state.arm.sources.blamed(error, state.arm.sources.named_by(error)) from error


def settled(pretraining: Sequence[ArmState], options: TrackingOptions) -> list[Replicate]:
    """Return the runs that are done; send what the store lacks of them: as little as those of arms are they run again.

    Args:
        pretraining: the states of the runs that arms start from.
        options: where to.
    """
    return [
        Replicate(one.run.arm, one.run.seed, "FINISHED", settle(one.result, options), None, tuple(one.run.command))
        for state in pretraining
        for one in state.replicates
        if one.kind == "done" and one.result is not None
    ]


def ended(pretraining: Sequence[ArmState], known: Sequence[Replicate]) -> list[Replicate]:
    """Return what became of the runs that arms start from, where `known` are those that were done or executed."""
    found = {(run.arm, run.seed): run for run in known}
    return [
        found.get(_key(one), Replicate(*_key(one), "NOT RUN", None, UNNEEDED, tuple(one.run.command)))
        for state in pretraining
        for one in state.replicates
    ]


def pretrain(
    pretraining: Sequence[ArmState],
    options: ExecutionOptions,
    folder: Path,
    metric: str,
    label: Callable[[PlannedRun], Label],
    *,
    progress: bool,
) -> Execution:
    """Run what is missing of the runs that arms start from; those of one that fails fail, too.

    Args:
        pretraining: their states.
        options: how.
        folder: keeps the files of the study's jobs.
        metric: told of each run.
        label: what each is called in MLflow.
        progress: show epochs and errors of the run.
    """
    missing = [one.run for state in pretraining for one in state.replicates if one.kind != "done"]
    jobs = jobs_of(missing, folder, label)
    if not jobs:
        return Execution([], None)
    return execute_all(jobs, options, board_of(jobs, metric, options.workers), progress=progress)
