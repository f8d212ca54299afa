"""A study from its plan to its answer: what is missing is run, what came out is judged, recorded and reported."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from experiments.runs.place import check_place, tracking_options
from experiments.runs.result import RunResult
from experiments.runs.settle import settle
from experiments.studies import membership
from experiments.studies.answers import check_measures, power_sentences
from experiments.studies.at_hand import gather_at_hand
from experiments.studies.board import board_of
from experiments.studies.claimed_later import claimed_later
from experiments.studies.comparison import Outcome, Replicate
from experiments.studies.confound import Confound
from experiments.studies.confounds import all_confounds, check_declared, planned_confounds
from experiments.studies.execution import execute_all, jobs_of, not_executed
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.forecast import Forecast, forecast, minutes
from experiments.studies.gather import Gathered
from experiments.studies.judging import judged
from experiments.studies.plan import PlannedArm
from experiments.studies.plan_table import print_plan
from experiments.studies.pretraining import (
    check_starts,
    ended,
    look_at_pretraining,
    needed,
    pretrain,
    settled,
    started,
)
from experiments.studies.record import open_study
from experiments.studies.report import FORMATS, Report, write_report
from experiments.studies.state import ArmState, RunState, look, look_again, remember
from experiments.studies.study import Study
from experiments.studies.table import print_answer
from experiments.studies.verdict import Verdict
from experiments.studies.writing_down import with_run_ids, write_down
from experiments.studies.written import WrittenStudy
from experiments.tracking.credentials import masked
from experiments.tracking.delivery import Delivery
from experiments.tracking.options import TrackingOptions


def _settled(run: Replicate, options: TrackingOptions) -> Outcome | None:
    return settle(run.result, options) if isinstance(run.result, RunResult) else run.result


@dataclass(frozen=True)
class Answer:
    """What came out of a study.

    Attributes:
        gathered: the study and what became of its runs.
        verdicts: on its claims, by their names.
        report: its files; none where the study was stopped.
        delivery: what MLflow has of the study's run.
        link: the address of the study's charts below that of the MLflow pages; `None` until the store has answered.
        stopped_by: the signal that ended the study before its time.
    """

    gathered: Gathered
    verdicts: Mapping[str, Verdict]
    report: Report
    delivery: Delivery
    link: str | None
    stopped_by: int | None

    @property
    def complete(self) -> bool:
        """Whether every run finished."""
        return all(replicate.status == "FINISHED" for replicate in self.gathered.comparison.replicates)

    def print(self, console: Console) -> None:
        """Print the table, the verdicts, and where the report lies."""
        print_answer(console, self.gathered, self.verdicts)
        for confound in self.gathered.written.confounds:
            console.print(Text(f"confound: {confound.sentence()}", style="bold red"))
        if "html" in self.report.files:
            print(f"\nreport: {self.report.html}")
        if "png" in self.report.files:
            print(f"figure: {self.report.files['png']}")
        if self.delivery.pending:
            print(
                f"{self.report.folder}: not all of it is in MLflow yet ({self.delivery.error}); "
                "`whydeep sync` sends the rest"
            )
        if self.link:
            print(f"charts: {self.link}  (below the address that whydeep ui prints)")


class Conduct:
    """One execution of a study.

    Args:
        study: what is asked, at its scale and with its seeds.
        arms: of the study, as it was prepared.
        name: of the study.
        scale: at which it runs.
        overrides: for all arms, from the command line.
        command: the command line, for the record.
        reproduction: what it is called where it reproduces a study that was recorded: it is told apart by that.

    Raises:
        UserError: an arm or a claim that cannot be; nothing has been written.
    """

    def __init__(
        self,
        study: Study,
        arms: Sequence[PlannedArm],
        name: str,
        scale: str,
        overrides: Sequence[str],
        command: Sequence[str],
        *,
        reproduction: str | None = None,
    ) -> None:
        self.study = study
        self._forecasts: list[Forecast] | None = None
        self._cfg = arms[0].cfg
        self.runs_dir = Path(self._cfg.runs_dir)
        self.title = name
        varied = membership.variation([*map(masked, overrides)], scale, reproduction)
        if varied != membership.AS_WRITTEN:
            self.title = f"{name} ({varied})"
        self._folder = membership.study_folder(self.runs_dir, name, varied)
        membership.check_folder(self._folder, name, varied)
        for arm in arms:
            check_place(arm.cfg)
        check_declared(arms, study.declared)
        self._pretraining = look_at_pretraining(arms, study.seeds, self._folder)
        arms = started(arms, self._pretraining)
        self.states = look(arms, study.seeds, self._folder)
        check_starts(self.states, self._pretraining)
        self._arms = arms
        self._planned_confounds = planned_confounds(arms, study.declared)
        written = write_down(name, varied, study, self.states, [*map(masked, command)], self._pretraining)
        self._written = replace(
            written,
            confounds=tuple(self._planned_confounds),
            claimed_later=claimed_later(study, self._folder, self.states, self.runs_dir),
        )
        check_measures(study, self._written.arms)

    @property
    def tracking(self) -> TrackingOptions:
        """Where and how its runs are recorded."""
        return tracking_options(self._cfg)

    @property
    def confounds(self) -> Sequence[Confound]:
        """What differs between its arms undeclared, as far as their configurations show it."""
        return self._planned_confounds

    @property
    def written(self) -> WrittenStudy:
        """The study as it is written down before it runs."""
        return self._written

    @property
    def pretraining(self) -> list[ArmState]:
        """The runs that its arms start from, without those that nothing starts from any more."""
        return needed(self._pretraining, self.states)

    @property
    def in_all(self) -> list[ArmState]:
        """Its arms, and before them what they start from."""
        return [*self.pretraining, *self.states]

    def forecasts(self, tell: Callable[[str], None] = lambda _: None) -> list[Forecast]:
        """Forecast one more run of each of them all, once; `tell` gets the name of each arm that is timed for it."""
        if self._forecasts is None:
            self._forecasts = [forecast(state, tell) for state in self.in_all]
        return self._forecasts

    def minutes(self, workers: int) -> float:
        """Return how long the runs that are missing take, so many at a time."""
        return minutes(self.in_all, self.forecasts(), workers)

    def print_plan(self, console: Console, workers: int) -> None:
        """Print what would be run, what it takes, and what could be shown."""
        print_plan(
            console,
            self.title,
            self.study,
            self.in_all,
            self.forecasts(),
            self._planned_confounds,
            power_sentences(self.study, self._done()),
            workers=workers,
        )

    def run(self, options: ExecutionOptions) -> Answer:
        """Run what is missing by now, and answer."""
        self._pretraining = look_again(self._pretraining, self._folder)
        self.states = look_again(self.states, self._folder)
        remember(self.in_all, self._folder)
        tracking = self.tracking
        recorded = open_study(self._written, self.runs_dir, tracking)
        if tracking.deliver:
            recorded.wait()
        waiting = [one.run for one in self._in_order() if one.kind != "done"]
        progress = sys.stderr.isatty()
        known = settled(self._pretraining, tracking)
        before = pretrain(
            self.pretraining,
            options,
            self._folder / "jobs",
            self.study.metric,
            lambda run: recorded.pretraining_label(run.arm, run.seed),
            progress=progress,
        )
        pretrained = ended(self._pretraining, [*known, *before.replicates])
        if before.replicates:
            # One that was not continued but begun anew lies in another folder than it was planned in.
            anew = {arm.name: arm for arm in started(self._arms, look_again(self._pretraining, self._folder))}
            waiting = [replace(run, planned=anew[run.arm]) for run in waiting]
        jobs = jobs_of(waiting, self._folder / "jobs", lambda run: recorded.label(run.arm, run.seed))
        if before.stopped_by is None:
            board = board_of(jobs, self.study.metric, options.workers)
            execution = execute_all(jobs, options, board, progress=progress)
        else:
            execution = not_executed(jobs, before.stopped_by)
        # Of runs that were done before, the store may lack the end.
        done = [replace(run, result=_settled(run, tracking)) for run in self._done()]
        by_place = {(run.arm, run.seed): run for run in (*done, *execution.replicates)}
        replicates = [by_place[one.run.arm, one.run.seed] for one in self._in_order()]
        confounds = all_confounds(self._planned_confounds, replicates, self.study, self._arms)
        written = with_run_ids(self._written, [*replicates, *pretrained])
        recorded.update(replace(written, confounds=confounds))
        gathered = gather_at_hand(recorded.written, replicates, pretrained)
        verdicts = judged(gathered)
        # Who stops a study does not wait for its pictures; `whydeep report` draws what there is.
        formats = FORMATS if execution.stopped_by is None else ()
        report = write_report(recorded.folder, gathered, verdicts, formats=formats)
        delivery = recorded.finish(gathered, verdicts, report)
        return Answer(
            gathered,
            verdicts,
            report,
            delivery,
            recorded.link,
            execution.stopped_by,
        )

    def _in_order(self) -> list[RunState]:
        """Return the runs seed by seed, so that what is stopped early holds whole pairs."""
        return [state.replicates[place] for place in range(len(self.study.seeds)) for state in self.states]

    def _done(self) -> list[Replicate]:
        return [
            Replicate(one.run.arm, one.run.seed, "FINISHED", one.result, None, tuple(one.run.command))
            for one in self._in_order()
            if one.kind == "done"
        ]
