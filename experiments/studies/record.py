"""A study in MLflow: its own run and one of each arm, between which and their replicates the tags of `membership` tie.

These runs are recorded like all others, into journals first: while the store is away the study goes on, and what it
lacks is sent later. Replicates name the run of their arm by its key, so that none waits for the store either.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from experiments.runs.label import PARENT_TAG, Label
from experiments.studies import membership, pages
from experiments.studies.claims_said import Judged
from experiments.studies.comparison import ArmSummary, Comparison, Replicate
from experiments.studies.gather import Gathered
from experiments.studies.report import Report, unfinished
from experiments.studies.written import WrittenArm, WrittenStudy
from experiments.tracking.delivery import Delivery
from experiments.tracking.locks import holder
from experiments.tracking.opening import BusyError, open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.parents import parent_by_key
from experiments.tracking.records import FinalStatus
from experiments.tracking.search import Search
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError
from experiments.tracking.study_charts import study_link, study_view
from experiments.tracking.tracker import RunTracker

MEAN, LOW, HIGH = "mean", "low", "high"
"""Of an arm's runs, before the metric's name: `mean/test/top1_error`."""

PAGE_FIGURE, PAGE_WIDTH = "page.png", 720
WAIT_SECONDS = 15.0  # for a store that is being made; a study goes on without an answer


class StudyRuns:
    """The runs in MLflow of a study and its arms, while the study runs. Made by `open_study`; `finish` ends them."""

    def __init__(
        self, written: WrittenStudy, options: TrackingOptions, study: RunTracker, arms: Mapping[str, RunTracker]
    ) -> None:
        self.written = written
        self._options = options
        self._study = study
        self._arms = arms

    @property
    def folder(self) -> Path:
        """The directory of the study's run, where its report must be written."""
        return self._study.run_dir

    @property
    def run_id(self) -> str | None:
        """Of the study's run; `None` until the store has answered."""
        return self._study.run_id

    def label(self, arm: str, seed: int) -> Label:
        """What a replicate is called in MLflow, and its tags."""
        key = self._arms[arm].key
        return membership.replicate_label(self.written.name, self.written.variation, arm, seed, key)

    def pretraining_label(self, name: str, seed: int) -> Label:
        """What a run that arms start from is called in MLflow, and its tags."""
        return membership.pretraining_label(self.written.name, self.written.variation, name, seed, self._study.key)

    def update(self, written: WrittenStudy) -> None:
        """Write down what is known of the study now, such as the run ids of runs that had finished before."""
        self.written = written
        self._study.artifact(written.write(self.folder))

    def wait(self, seconds: float = WAIT_SECONDS) -> bool:
        """Wait until the store has the runs of the study and its arms; return whether it has."""
        end = time.monotonic() + seconds
        for tracker in (self._study, *self._arms.values()):
            if tracker.wait_for_run_id(max(0.0, end - time.monotonic())) is None:
                return False
        return True

    @property
    def link(self) -> str | None:
        """The address of the study's charts below that of the MLflow pages; `None` until the store has answered."""
        experiment = self._study.experiment_id
        return None if experiment is None else study_link(experiment, self.written.name, self.written.variation)

    def finish(self, gathered: Gathered, verdicts: Mapping[str, Judged], report: Report) -> Delivery:
        """Record what came out, and end the runs of the study and its arms.

        Args:
            gathered: the study and what became of it.
            verdicts: by the name of the claim.
            report: its files lie in `folder`.

        Returns:
            What the store has of the study's run and what it lacks.
        """
        comparison = gathered.comparison
        for arm in comparison.arms:
            tracker = self._arms[arm.name]
            tracker.metrics(arm_metrics(arm, comparison.metric), step=arm.n)
            tracker.description(pages.arm_page(arm, comparison))
            tracker.finish(_status(arm.replicates), unfinished(arm.replicates) or None)
        self._study.metrics(_counts(comparison), step=0)
        self._study.artifact(self.written.write(self.folder))
        for file in report.files.values():
            self._study.artifact(file)
        figure = self._page_figure(report)
        self._study.description(
            pages.study_page(
                gathered,
                verdicts,
                run_ids={"": self._study.run_id, **{name: tracker.run_id for name, tracker in self._arms.items()}},
                experiment_id=self._study.experiment_id,
                figure=figure,
                charts=self.link,
            )
        )
        delivery = self._study.finish(_status(comparison.replicates), unfinished(comparison.replicates) or None)
        if self._options.deliver and not delivery.pending:
            self._complete(comparison)
        return delivery

    def _page_figure(self, report: Report) -> str | None:
        """Record the figure as large as a description shows it, which knows no other size; return its name."""
        if "png" not in report.files:
            return None
        with Image.open(report.files["png"]) as figure:
            figure.thumbnail((PAGE_WIDTH, figure.height))
            figure.convert("RGB").save(self.folder / PAGE_FIGURE, optimize=True)
        self._study.artifact(self.folder / PAGE_FIGURE)
        return PAGE_FIGURE

    def _complete(self, comparison: Comparison) -> None:
        """Write the study's view, and tie to it the runs that had finished before; the study is whole without both."""
        store = Store(self._options.destination(), self._options.timeout_seconds)
        try:
            if (experiment := self._study.experiment_id) is not None:
                factors = [f"factor.{name}" for name in next(iter(self.written.arms)).levels] or ["arm"]
                key, value = study_view(
                    self.written.name,
                    self.written.variation,
                    comparison.metric,
                    parameters=factors,
                    mean=f"{MEAN}/{comparison.metric}",
                )
                store.tag_experiment(experiment, key, value)
            self._adopt(store, comparison)
        except (StoreAwayError, RefusedError, RunGoneError):
            return

    def _adopt(self, store: Store, comparison: Comparison) -> None:
        """Tag runs of other studies, and nest those that nest nowhere."""
        ids = {
            run.result.run_id: run.arm
            for run in comparison.replicates
            if run.result is not None and run.result.run_id is not None
        }
        tag = f"{membership.STUDY_TAG}.{self.written.name}"
        wanted = [membership.STUDY_TAG, membership.VARIATION_TAG, PARENT_TAG, tag]
        for run in Search(store).named(list(ids), wanted_tags=wanted):
            own = run.tags.get(membership.STUDY_TAG), run.tags.get(membership.VARIATION_TAG)
            if own == (self.written.name, self.written.variation) or run.tags.get(tag) == ids[run.run_id]:
                continue
            tags = {tag: ids[run.run_id]}
            parent = self._arms[ids[run.run_id]].run_id
            if PARENT_TAG not in run.tags and parent is not None and run.experiment_id == self._study.experiment_id:
                tags[PARENT_TAG] = parent
            store.tag_run(run.run_id, tags)


def open_study(written: WrittenStudy, runs_dir: Path, options: TrackingOptions) -> StudyRuns:
    """Begin, or continue, to record a study: its run and those of its arms, before any replicate starts.

    Returns at once; `StudyRuns.wait` waits for the store.

    Args:
        written: the study, its arms with their measures, all of its runs.
        runs_dir: of all runs.
        options: where to.

    Raises:
        UserError: another process runs the same study, or the store's address cannot be used.
    """
    folder = membership.study_folder(runs_dir, written.name, written.variation)
    varied = "" if written.variation == membership.AS_WRITTEN else f" ({written.variation})"
    tags = membership.study_tags("study", written.name, written.variation)
    try:
        study = open_run(folder / "study", options, name=f"{written.name}{varied}", tags=tags)
    except BusyError as busy:
        who = holder(folder / "study") or "another process"
        raise BusyError(
            f"study {written.name}{varied}: {who} executes it already; wait until that one has ended"
        ) from busy
    if study.session == 1:  # one that is continued keeps the answer that it had
        study.description(written.study.question)
    # A study goes on under its run with more seeds or arms: parameters never change in MLflow, tags do.
    counts = {"arms": len(written.arms), "seeds": len(written.study.seeds), "metric": written.study.metric}
    study.tags({f"whydeep.{name}": str(value) for name, value in counts.items()})
    arms = {arm.name: _open_arm(folder, arm, written, options, study.key) for arm in written.arms}
    runs = StudyRuns(written, options, study, arms)
    runs.update(written)
    return runs


def _open_arm(
    folder: Path, arm: WrittenArm, written: WrittenStudy, options: TrackingOptions, study_key: str
) -> RunTracker:
    tags = membership.study_tags("arm", written.name, written.variation, arm.name)
    tags[PARENT_TAG] = parent_by_key(study_key)
    # An arm's few records go in the same calls as their like: often enough to be seen, seldom enough to cost nothing.
    calm = replace(options, interval_seconds=max(options.interval_seconds, 30.0))
    tracker = open_run(folder / f"arm-{arm.name}", calm, name=arm.name, tags=tags)
    tracker.params({"arm": arm.name, **{f"factor.{name}": level for name, level in arm.levels.items()}})
    tracker.metrics({f"measure/{name}": value for name, value in arm.measures.items()}, step=0)
    return tracker


def arm_metrics(arm: ArmSummary, metric: str) -> dict[str, float]:
    """Return what an arm's run records: mean and interval of the metric, and the number of runs."""
    values: dict[str, float] = {"runs": float(arm.n)}
    if arm.metric is not None:
        values[f"{MEAN}/{metric}"] = arm.metric.mean
        if arm.metric.low is not None and arm.metric.high is not None:
            values |= {f"{LOW}/{metric}": arm.metric.low, f"{HIGH}/{metric}": arm.metric.high}
    return values


def _counts(comparison: Comparison) -> dict[str, float]:
    statuses = [run.status for run in comparison.replicates]
    return {
        "runs": float(statuses.count("FINISHED")),
        "runs_missing": float(len(statuses) - statuses.count("FINISHED")),
    }


def _status(replicates: Sequence[Replicate]) -> FinalStatus:
    states = {run.status for run in replicates}
    if "KILLED" in states:
        return "KILLED"
    return "FINISHED" if states <= {"FINISHED"} else "FAILED"
