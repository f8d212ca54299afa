"""What MLflow's pages say of a study and of its arms: descriptions in Markdown, with an artifact as the figure."""

from collections.abc import Mapping
from urllib.parse import urlencode

from experiments.studies import wording
from experiments.studies.claims_said import Judged, said
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.gather import Gathered
from experiments.studies.report import confounds_said, unfinished


def study_page(
    gathered: Gathered,
    verdicts: Mapping[str, Judged],
    *,
    run_ids: Mapping[str, str | None],
    experiment_id: str | None,
    figure: str | None,
    charts: str | None,
) -> str:
    """Return the description of a study's run: question, verdicts, table, figure.

    Args:
        gathered: the study and what became of it.
        verdicts: by the name of the claim.
        run_ids: of the arms by name, and of the study by `""`; `None` where the store has not answered.
        experiment_id: of the experiment that they lie in.
        figure: name of the figure among the artifacts of the study's run.
        charts: address of the study's charts.
    """
    study, comparison = gathered.written.study, gathered.comparison
    # The page folds up what comes after the first lines: these are the question and its answer.
    lines = [f"#### {study.question}"]
    if missing := unfinished(comparison.replicates):
        lines.append(f"**Unfinished:** {missing}.")
    if confounds := confounds_said(gathered.written.confounds):
        lines.append(f"**Confounds, which differ between the arms undeclared:** {'; '.join(confounds)}.")
    if later := gathered.written.claimed_later:
        lines.append(f"**Not all of this was claimed before anything ran:** {'; '.join(later)}.")
    for verdict in said(study.claims, verdicts, comparison.metric):
        name = f"{verdict.name}: " if verdict.name else ""
        found = "; ".join(filter(None, (verdict.numbers, verdict.reason)))
        lines.append(f"**{verdict.outcome.capitalize()}** — {name}{verdict.claim}: {found}.")
    if not verdicts:
        lines += [
            f"**{wording.contrast_answer(contrast, comparison.metric)}** "
            f"{wording.contrast_numbers(contrast, comparison.metric)}."
            for contrast in comparison.contrasts
        ]
    if study.source:
        lines.append(study.source)
    lines.append(_table(comparison, run_ids, experiment_id))
    if figure is not None and run_ids.get("") is not None:
        lines.append(f"![{wording.titled(comparison.metric)}]({artifact_address(str(run_ids['']), figure)})")
    links = [f"[Charts of this study]({charts})"] if charts else []
    lines.append("; ".join([*links, "the whole report is `report.html` among the artifacts"]) + ".")
    return "\n\n".join(lines)


def arm_page(arm: ArmSummary, comparison: Comparison) -> str:
    """Return the description of an arm's run: its error, n, and main measures."""
    role = " (baseline)" if arm.is_baseline else ""
    error = f"{wording.titled(comparison.metric)} {wording.with_interval(arm.metric)}"
    told = [f"**{arm.name}**{role}: {error}, n = {wording.count(arm)}"]
    if arm.measures:
        told.append(
            f"{wording.parameters(arm)} parameters, {wording.macs(arm, comparison)} "
            f"{wording.macs_title(comparison)}, receptive field {wording.receptive_field(arm)}"
        )
    return "\n\n".join(told)


def artifact_address(run_id: str, path: str) -> str:
    """The address of an artifact, as an image in a description must have it: relative to that of the pages."""
    return f"get-artifact?{urlencode({'path': path, 'run_uuid': run_id})}"


def _table(comparison: Comparison, run_ids: Mapping[str, str | None], experiment_id: str | None) -> str:
    macs = wording.macs_title(comparison)
    lines = [
        f"| arm | {wording.titled(comparison.metric)} | parameters | {macs} | receptive field | n |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for arm in comparison.arms:
        run_id = run_ids.get(arm.name)
        name = arm.name
        if run_id is not None and experiment_id is not None:
            name = f"[{arm.name}](#/experiments/{experiment_id}/runs/{run_id})"
        lines.append(
            f"| {name}{' (baseline)' if arm.is_baseline else ''} | {wording.with_interval(arm.metric)} "
            f"| {wording.parameters(arm)} | {wording.macs(arm, comparison)} | {wording.receptive_field(arm)} "
            f"| {wording.count(arm)} |"
        )
    return "\n".join(lines)
