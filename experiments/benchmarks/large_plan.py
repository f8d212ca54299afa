"""How long a study of ten thousand runs takes to plan: `python -m experiments.benchmarks.large_plan`.

Two hundred arms of a small network, fifty seeds each. CPU and wall seconds of this process, imports left out. Nothing
is trained but the few steps of each arm's probe, and nothing is written outside of a temporary folder.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from experiments.benchmarks.large_study import timed
from experiments.runs.chatter import quiet
from experiments.studies.conduct import Conduct
from experiments.studies.execution import jobs_of
from experiments.studies.prepared import prepare
from experiments.studies.study import AS_WRITTEN, Study, checked

NAME = "large"
SMALL = ("datamodule=digits", "datamodule.image_size=8", "datamodule.few_samples=4", "model.network.widths=[4,4]")
Made = TypeVar("Made")


def large_study(arms: int, seeds: int) -> Study:
    """Return a study of so many arms and seeds, which differ in their weight decay."""
    own = {f"arm{number:03d}": ["model=conv5x5", f"optimizer.weight_decay={number}e-6"] for number in range(arms)}
    return checked(
        {
            "question": "How long does a large study take to plan?",
            "arms": {
                name: {"overrides": overrides, **({"role": "baseline"} if name == "arm000" else {})}
                for name, overrides in own.items()
            },
            "seeds": seeds,
            "metric": "test/top1_error",
            "overrides": list(SMALL),
        },
        "",
    )


def time_plan(arms: int, seeds: int, runs_dir: Path) -> list[tuple[str, float, float]]:
    """Time the parts of a plan: name, CPU and wall seconds of each."""
    rows: list[tuple[str, float, float]] = []

    def part(name: str, work: Callable[[], Made]) -> Made:
        made: list[Made] = []
        rows.append((name, *timed(lambda: made.append(work()))))
        return made[0]

    overrides = [f"runs_dir={runs_dir}"]
    study = part("check the study", lambda: large_study(arms, seeds))
    planned = part("compose its arms", lambda: prepare(study, NAME, overrides))
    conduct = part("look at its runs", lambda: Conduct(study, planned, NAME, AS_WRITTEN, overrides, ["whydeep"]))
    part("probe and print", lambda: conduct.print_plan(Console(file=io.StringIO(), width=120), 1))
    runs = [one.run for state in conduct.states for one in state.replicates]
    part("make the jobs", lambda: jobs_of(runs, runs_dir / "jobs"))
    return rows


def main() -> int:
    """Print the times; return 0."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--arms", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=50)
    given = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        rows = time_plan(given.arms, given.seeds, Path(folder) / "runs")
    for name, cpu, wall in [*rows, ("plan", sum(row[1] for row in rows), sum(row[2] for row in rows))]:
        print(f"{name:<20} {cpu:6.2f} s CPU {wall:6.2f} s wall")
    return 0


if __name__ == "__main__":
    sys.exit(main())
