"""From a plan to what is written down of it: each arm with its measures, each replicate with its identity."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.runs.record import scalars
from experiments.studies.comparison import Replicate
from experiments.studies.measured import sums_by_layer
from experiments.studies.state import ArmState, RunState
from experiments.studies.study import Study
from experiments.studies.written import WrittenArm, WrittenReplicate, WrittenStudy
from experiments.tracking.credentials import masked


def write_down(
    name: str,
    varied: str,
    study: Study,
    states: Sequence[ArmState],
    command: Sequence[str],
    pretraining: Sequence[ArmState] = (),
) -> WrittenStudy:
    """Return what is written down of a study before it runs.

    Args:
        name: of the study.
        varied: which of its variations, see `membership.variation`.
        study: what was asked.
        states: of its arms and their replicates.
        command: the command line that runs it, without passwords.
        pretraining: the states of what arms start from.
    """
    return WrittenStudy(
        name=name,
        variation=varied,
        command=tuple(command),
        study=study,
        arms=tuple(_arm(state, study) for state in states),
        replicates=_replicates(states, study),
        pretraining=tuple(_arm(state, study) for state in pretraining),
        pretrained=_replicates(pretraining, study),
    )


def _replicates(states: Sequence[ArmState], study: Study) -> tuple[WrittenReplicate, ...]:
    """Write down the runs of some arms seed by seed, as they are run."""
    return tuple(_replicate(state.replicates[place]) for place in range(len(study.seeds)) for state in states)


def _replicate(state: RunState) -> WrittenReplicate:
    run_id = state.result.run_id if state.kind == "done" and state.result is not None else None
    return WrittenReplicate(state.run.arm, state.run.seed, state.identity, run_id)


def with_run_ids(written: WrittenStudy, replicates: Sequence[Replicate]) -> WrittenStudy:
    """Return what is written down with the run ids that are known now, and why runs that have none could not begin.

    Args:
        written: before.
        replicates: of arms and of pretraining, as they ended.
    """
    ended = {(run.arm, run.seed): run for run in replicates}

    def known(one: WrittenReplicate) -> WrittenReplicate:
        run = ended.get((one.arm, one.seed))
        if run is None:
            return one
        if run.result is None:
            return replace(one, reason=run.reason)
        return replace(one, run_id=run.result.run_id, reason=None)

    pretrained = tuple(map(known, written.pretrained))
    return replace(written, replicates=tuple(map(known, written.replicates)), pretrained=pretrained)


def _arm(state: ArmState, study: Study) -> WrittenArm:
    measures = state.assembly.measures
    return WrittenArm(
        name=state.arm.name,
        overrides=tuple(map(masked, state.arm.overrides)),
        levels=dict(state.arm.cell.levels) if study.factors else {},
        measures=scalars(measures),
        layers=sums_by_layer(measures),
        input_shape=state.assembly.input_shape,
    )
