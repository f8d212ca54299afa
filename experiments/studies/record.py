"""The report of a study in MLflow: a run of its own, which holds the files and says the answer."""

from experiments.studies import wording
from experiments.studies.comparison import Comparison
from experiments.studies.report import Report
from experiments.tracking.delivery import Delivery
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import FinalStatus
from experiments.tracking.tracker import open_run

STUDY_TAG = "whydeep.study"


def record_report(name: str, comparison: Comparison, report: Report, options: TrackingOptions) -> Delivery:
    """Send the files of `report`, and the answer as the description; the same study keeps its MLflow run.

    Args:
        name: of the study.
        comparison: what came out.
        report: lies in the directory that records the MLflow run.
        options: where to.

    Returns:
        What the store has and what it lacks.

    Raises:
        UserError: another process writes the report of the same study.
    """
    tracker = open_run(report.html.parent, options, name=f"study {name}", tags={STUDY_TAG: name})
    answers = [
        f"**{wording.contrast_answer(contrast, comparison.metric)}**\n"
        f"{wording.contrast_numbers(contrast, comparison.metric)}."
        for contrast in comparison.contrasts
    ]
    tracker.description("\n\n".join([*answers, wording.correction_note(comparison)]).strip())
    for file in (report.html, report.markdown, report.figure):
        if file.exists():
            tracker.artifact(file)
    missing = sum(replicate.status != "FINISHED" for replicate in comparison.replicates)
    reason = f"{missing} of {len(comparison.replicates)} runs are missing" if missing else None
    return tracker.finish(_status(comparison), reason)


def _status(comparison: Comparison) -> FinalStatus:
    states = {replicate.status for replicate in comparison.replicates}
    if "KILLED" in states:
        return "KILLED"
    return "FINISHED" if states == {"FINISHED"} else "FAILED"
