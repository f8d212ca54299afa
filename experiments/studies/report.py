"""The report of a study: one HTML file that needs nothing else, the same as Markdown and LaTeX tables, the figure."""

import functools
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from experiments.runs.pages import inline_svg, page_environment
from experiments.studies import membership, wording
from experiments.studies.claims_said import Judged, said
from experiments.studies.comparison import Replicate
from experiments.studies.confound import Confound
from experiments.studies.effect_rows import claimed_effects
from experiments.studies.effects_said import effects_said
from experiments.studies.figures import Panel, comparison_figure, panel_figure, panels
from experiments.studies.gather import Gathered
from experiments.studies.held import held_equal, training_said
from experiments.studies.pretrained import PREFIX
from experiments.studies.reached_said import HOW, needs_said
from experiments.studies.reaching_figure import need_panels
from experiments.studies.written import FILE

DOTS_PER_INCH = 200
FORMATS = ("html", "md", "tex", "png")
SHOWN_CONFOUNDS = 12
SHORT_REASON = 120  # characters
MOST_REASONS = 5  # of one arm in the table of arms; all stand at its runs
OPEN_RUNS = 60  # up to here every run stands in the open; beyond, the runs of an arm are folded up


@dataclass(frozen=True)
class Report:
    """The files of a report, by format; a figure only where there are runs to draw.

    `drawings` are those of the page, as the template takes them: they are most of what a report costs.
    """

    folder: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    drawings: Sequence[Mapping[str, object]] = ()

    @property
    def html(self) -> Path:
        """The page."""
        return self.files["html"]


def write_report(
    folder: Path,
    gathered: Gathered,
    verdicts: Mapping[str, Judged],
    *,
    formats: Sequence[str] = FORMATS,
    address: str | None = None,
) -> Report:
    """Write `report.html`, `report.md`, `report.tex` and `comparison.png`, or some of them, into `folder`.

    Args:
        folder: made when it is not there.
        gathered: the study and what became of it.
        verdicts: by the name of the claim.
        formats: which files.
        address: of an MLflow server whose pages the run ids link to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison = gathered.comparison
    drawn = _panels(gathered, verdicts)
    context = report_context(gathered, verdicts, address)
    files: dict[str, Path] = {}
    drawings: list[dict[str, object]] = []
    figure = folder / "comparison.png"
    if "png" in formats:
        figure.unlink(missing_ok=True)
        if drawn:
            comparison_figure(gathered.written.study.question, comparison, drawn).savefig(figure, dpi=DOTS_PER_INCH)
            files["png"] = figure
    context["figure"] = figure.name if figure.exists() else None
    if "html" in formats:
        context["figures"] = drawings = [_inline(panel, gathered) for panel in drawn]
        files["html"] = _write(folder / "report.html", render("report.html.jinja", context))
    for kind in ("md", "tex"):
        if kind in formats:
            files[kind] = _write(folder / f"report.{kind}", render(f"report.{kind}.jinja", context))
    return Report(folder, files, drawings)


def report_section(
    gathered: Gathered,
    verdicts: Mapping[str, Judged],
    *,
    level: int,
    drawings: Sequence[Mapping[str, object]] = (),
    address: str | None = None,
) -> Markup:
    """Return the report as a part of a larger page, where its anchors begin with the study's name.

    Args:
        gathered: the study and what became of it.
        verdicts: by the name of the claim.
        level: of its heading; those of its sections are one below.
        drawings: of its `Report`, where it has been written before; else they are drawn.
        address: of an MLflow server whose pages the run ids link to.
    """
    context = report_context(gathered, verdicts, address)
    context["figures"] = drawings or [_inline(panel, gathered) for panel in _panels(gathered, verdicts)]
    context |= {"level": level, "prefix": f"{gathered.written.name}-"}
    return Markup(render("report_body.html.jinja", context))  # noqa: S704 - rendered with its values escaped


def report_context(gathered: Gathered, verdicts: Mapping[str, Judged], address: str | None = None) -> dict[str, object]:
    """Return what the templates are rendered with."""
    written, comparison = gathered.written, gathered.comparison
    experiment = gathered.study_run.experiment_id if gathered.study_run else None
    return {
        "name": written.name,
        "variation": "" if written.variation == membership.AS_WRITTEN else written.variation,
        "study": written.study,
        "written": written,
        "comparison": comparison,
        "verdicts": said(written.study.claims, verdicts, comparison.metric),
        "needs": needs_said(gathered),
        "effects": effects_said(written.study, comparison),
        "command": shlex.join(written.command),
        "environments": gathered.environments,
        "pretrained": gathered.pretrained,
        "unfinished": unfinished(comparison.replicates),
        "held": held_equal(written),
        "training": training_said(gathered),
        "confounds": confounds_said(written.confounds),
        "claimed_later": written.claimed_later,
        "most_reasons": MOST_REASONS,
        "open_runs": len(comparison.replicates) <= OPEN_RUNS,
        "pages": f"{address}/#/experiments/{experiment}/runs/" if address and experiment else None,
        "study_run": gathered.study_run,
        "arm_runs": gathered.arm_runs or {},
        "level": 1,
        "prefix": "",
        "when": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def confounds_said(confounds: Sequence[Confound]) -> list[str]:
    """Say the first `SHOWN_CONFOUNDS` of them, a line each, and how many more there are."""
    more = len(confounds) - SHOWN_CONFOUNDS
    said = [confound.sentence() for confound in confounds[:SHOWN_CONFOUNDS]]
    return [*said, f"and {more} more, which `{FILE}` lists"] if more > 0 else said


def unfinished(replicates: Sequence[Replicate]) -> str:
    """Say how many runs are missing, and in which state; nothing where none is."""
    missing = [run.status.lower() for run in replicates if run.status != "FINISHED"]
    if not missing:
        return ""
    kinds = ", ".join(f"{missing.count(kind)} {kind}" for kind in sorted(set(missing)))
    return f"{len(missing)} of {len(replicates)} runs are missing ({kinds})"


@dataclass(frozen=True)
class Missing:
    """Runs that an arm lacks for one reason.

    Attributes:
        status: what became of them, in small letters.
        reason: why, whole.
        runs: of one arm.
    """

    status: str
    reason: str
    runs: Sequence[Replicate]

    @property
    def in_short(self) -> str:
        """The reason, cut where it would fill the page."""
        return textwrap.shorten(self.reason, SHORT_REASON, placeholder=" …")


def by_reason(runs: Sequence[Replicate]) -> list[Missing]:
    """Put the runs together that are missing for the same reason, in the order of their seeds."""
    found: dict[tuple[str, str], list[Replicate]] = {}
    for run in runs:
        found.setdefault((run.status.lower(), run.reason or ""), []).append(run)
    return [Missing(status, reason, own) for (status, reason), own in found.items()]


def render(template: str, context: Mapping[str, object]) -> str:
    """Render one of the templates beside this file."""
    return _environment().get_template(template).render(context)


@functools.cache
def _environment() -> Environment:
    """Return what renders the templates; made once, since it keeps what it has compiled."""
    environment = page_environment(Path(__file__).parent)
    environment.globals |= {"say": wording, "how_needs_are_said": HOW}
    environment.filters["command"] = shlex.join
    environment.filters["cell"] = lambda text: " ".join(str(text).replace("|", "\\|").split())
    environment.filters["tex"] = _tex
    environment.filters["anchor"] = lambda run: f"run-{run.arm}-{run.seed}"
    environment.filters["by_reason"] = by_reason
    environment.filters["pretraining"] = lambda name: name.removeprefix(PREFIX)
    environment.filters["short"] = _short
    environment.filters["capitalised"] = lambda text: text[:1].upper() + text[1:]
    return environment


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _panels(gathered: Gathered, verdicts: Mapping[str, Judged]) -> list[Panel]:
    rows = claimed_effects(gathered.comparison, gathered.written.study.claims, verdicts)
    return [*panels(gathered.comparison, gathered.curves, rows), *need_panels(needs_said(gathered))]


def _inline(panel: Panel, gathered: Gathered) -> dict[str, object]:
    figure = panel_figure(panel, gathered.comparison)
    return {
        "svg": inline_svg(figure, f"{gathered.written.name}-{panel.name}", panel.caption),
        "caption": panel.caption,
        "size": "full" if panel.is_wide else "wide",
    }


def _short(run: Replicate) -> str:
    """Name a run by the first eight characters of its id, or by its seed where it has none."""
    if run.result is None:
        return f"seed {run.seed}"
    kind, _, digits = run.label.rpartition(" ")
    return f"{kind} {digits[:8]}".strip()


_TEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "−": r"\ensuremath{-}",
    "≤": r"\ensuremath{\le}",
    ">": r"\ensuremath{>}",
}


def _tex(text: object) -> str:
    """Write text as LaTeX does."""
    return "".join(_TEX.get(character, character) for character in " ".join(str(text).split()))
