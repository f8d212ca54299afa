"""The report of a comparison: one HTML file that needs nothing else, the same as Markdown, and the figure."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from experiments.runs.pages import inline_svg, page_environment
from experiments.studies import wording
from experiments.studies.comparison import Comparison, Replicate
from experiments.studies.figures import Curves, comparison_figure, panel_figure, panels
from experiments.studies.study import Study
from experiments.tracking.journal import read_metrics

DOTS_PER_INCH = 200
# Packages whose versions can change a number of the report; all of them are in each run's provenance.
TOLD_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "albumentations", "numpy")


@dataclass(frozen=True)
class Report:
    """The files of a report."""

    html: Path
    markdown: Path
    figure: Path


def write_report(folder: Path, name: str, study: Study, comparison: Comparison, command: Sequence[str]) -> Report:
    """Write `report.html`, `report.md` and `comparison.png` into `folder`.

    Args:
        folder: made when it is not there.
        name: of the study.
        study: what was asked.
        comparison: what came out; runs that recorded curves are read from their directories.
        command: the command line that makes the same report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curves = read_curves(comparison)
    report = Report(folder / "report.html", folder / "report.md", folder / "comparison.png")
    if curves:
        comparison_figure(study.question, comparison, curves).savefig(report.figure, dpi=DOTS_PER_INCH)
    else:
        report.figure.unlink(missing_ok=True)
    context = _context(name, study, comparison, command)
    figures = [
        {
            "svg": inline_svg(panel_figure(panel, comparison), f"{name}-{panel.name}", panel.caption),
            "caption": panel.caption,
            "wide": panel.width > 4,  # noqa: PLR2004 - half a page or a third
        }
        for panel in (panels(comparison, curves) if curves else ())
    ]
    report.html.write_text(_render("report.html.jinja", {**context, "figures": figures}), encoding="utf-8")
    context["figure"] = report.figure.name if curves else None
    report.markdown.write_text(_render("report.md.jinja", context), encoding="utf-8")
    return report


def read_curves(comparison: Comparison) -> Curves:
    """Return what each counted replicate recorded while training, from its directory."""
    counted = [replicate for arm in comparison.arms for replicate in arm.counted]
    return [(run, read_metrics(run.result.run_dir)) for run in counted if run.result is not None]


def _context(name: str, study: Study, comparison: Comparison, command: Sequence[str]) -> dict[str, object]:
    return {
        "name": name,
        "study": study,
        "comparison": comparison,
        "command": shlex.join(command),
        "environments": _environments(comparison),
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _render(template: str, context: Mapping[str, object]) -> str:
    environment = page_environment(Path(__file__).parent)
    environment.globals["say"] = wording
    environment.filters["command"] = shlex.join
    environment.filters["cell"] = lambda text: " ".join(str(text).replace("|", "\\|").split())
    environment.filters["anchor"] = lambda run: f"run-{run.arm}-{run.seed}"
    environment.filters["short"] = _short
    return environment.get_template(template).render(context)


def _short(run: Replicate) -> str:
    """Name a run by the first eight characters of its id, or by its seed where it has none."""
    if run.result is None:
        return f"seed {run.seed}"
    kind, _, digits = run.label.rpartition(" ")
    return f"{kind} {digits[:8]}".strip()


def _environments(comparison: Comparison) -> list[dict[str, object]]:
    """Return the different origins of the runs, as their provenance tells them, each with the runs it stands for."""
    found: dict[str, dict[str, object]] = {}
    for run in comparison.replicates:
        if run.result is None:
            continue
        try:
            recorded = json.loads((run.result.run_dir / "provenance.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        packages = recorded.get("packages", {})
        origin = {
            "commit": recorded.get("commit") or "no git checkout",
            "uncommitted": (run.result.run_dir / "uncommitted.diff").exists(),
            "versions": ", ".join(
                [f"Python {recorded.get('python')}", *(f"{p} {packages[p]}" for p in TOLD_PACKAGES if p in packages)]
            ),
            "hardware": f"{recorded.get('processor')}, {recorded.get('threads')} threads"
            + "".join(f", {device}" for device in recorded.get("accelerators", ())),
        }
        entry = found.setdefault(json.dumps(origin), {**origin, "runs": []})
        runs = entry["runs"]
        if isinstance(runs, list):
            runs.append(run)
    return list(found.values())
