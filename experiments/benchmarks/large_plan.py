"""How long the plan of ten thousand replicates takes, and going on with such a study; `large_study` prints it.

The runs are not trained: folders as real ones leave them are written under the identities that the plan finds.
"""

import io
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from experiments.runs import record
from experiments.runs.chatter import quiet
from experiments.runs.execute import identity_of
from experiments.runs.provenance import collect
from experiments.runs.result import RunResult
from experiments.studies import membership
from experiments.studies.conduct import Conduct
from experiments.studies.execution import jobs_of
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.prepared import prepare
from experiments.studies.state import ArmState, remember
from experiments.studies.study import Study
from experiments.studies.study_parts import LAPTOP
from experiments.tracking.card import CardFile, RunCard
from experiments.tracking.journal import FILE_NAME as JOURNAL
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import Ended, Metrics, Opened, Record, encode

SMALL = ("model=conv5x5", "datamodule.image_size=8", "effective_field_images=0", "optimizer.lr=0.05")
EDITED = "optimizer.weight_decay=0.01"
POINTS, OTHERS = 200, 30  # lines of a run's journal, and metrics of its result that no plan reads
START = 1_790_000_000.0  # seconds since the epoch
Timed = Callable[[Callable[[], object]], tuple[float, float]]


def planned_study(arms: int, seeds: int, overrides: Sequence[str] = ()) -> Study:
    """Return a study of so many arms and seeds that can be planned."""
    return Study.model_validate(
        {
            "question": "How long does a large study take?",
            "arms": {
                f"arm{number:02d}": {
                    "overrides": [f"model.network.widths=[{4 + number},8]"],
                    **({} if number else {"role": "baseline"}),
                }
                for number in range(arms)
            },
            "seeds": seeds,
            "metric": "test/top1_error",
            "overrides": [*SMALL, *overrides],
        }
    )


def time_plan(
    runs_dir: Path, name: str, arms: int, seeds: int, *, timed: Timed, run_id: Callable[[str, int], str]
) -> Iterator[tuple[str, float, float]]:
    """Time what `whydeep study` does around its runs; yield name, CPU and wall seconds of each part.

    Args:
        runs_dir: of the runs, whose store has those of `run_id`.
        name: of the study.
        arms: how many.
        seeds: how many of each arm.
        timed: returns the CPU and wall seconds of what it is given.
        run_id: in the store, of an arm's replicate.
    """
    quiet()
    folder = membership.study_folder(runs_dir, name, membership.AS_WRITTEN)
    for left in (folder, runs_dir / "aside", *runs_dir.glob("conv5x5-*")):
        shutil.rmtree(left, ignore_errors=True)
    study, last = planned_study(arms, seeds), list[Conduct]()

    def plan(what: Study) -> Callable[[], None]:
        def printed() -> None:
            overrides = [f"runs_dir={runs_dir}"]
            prepared = prepare(what, name, overrides)
            last[:] = [Conduct(what, prepared, name, LAPTOP, overrides, ["whydeep"])]
            last[0].print_plan(Console(file=io.StringIO(), width=120), workers=1)

        return printed

    plan(study)()
    remember(last[0].states, folder)
    for state in last[0].states:
        _leave_runs(state, runs_dir, run_id)
    yield "plan, all done", *timed(plan(study))
    half = [one.run_dir for state in last[0].states for one in state.replicates[seeds // 2 :]]
    yield "plan, all stale", *timed(plan(planned_study(arms, seeds, [EDITED])))
    aside = runs_dir / "aside"
    aside.mkdir(exist_ok=True)
    for run_dir in half:
        run_dir.rename(aside / run_dir.name)
    yield "plan, half done", *timed(plan(study))
    to_do = [one.run for state in last[0].states for one in state.replicates if one.kind == "to do"]
    yield "jobs of the others", *timed(lambda: jobs_of(to_do, folder / "jobs"))
    for run_dir in half:
        (aside / run_dir.name).rename(run_dir)
    plan(study)()
    yield "go on, all done", *timed(lambda: last[0].run(ExecutionOptions()))


def _leave_runs(state: ArmState, runs_dir: Path, run_id: Callable[[str, int], str]) -> None:
    """Write the folders of an arm's runs, as finished ones leave them."""
    template = runs_dir / "template"
    record.write_inputs(template, state.assembly, identity_of(state.assembly), collect([]))
    opened = Opened(START, "0" * 32, "run", "large", 1, "1@host")
    points = (Metrics(START + step, step, {"train/loss": 1 / (1 + step)}) for step in range(POINTS))
    told: list[Record] = [opened, *points, Ended(START + 9, "FINISHED", None)]
    (template / JOURNAL).write_bytes(b"".join(map(encode, told)))
    configuration = (template / record.CONFIG_FILE).read_text(encoding="utf-8")
    shared = [file for file in template.iterdir() if file.name != record.CONFIG_FILE]
    options = TrackingOptions(runs_dir=str(runs_dir)).destination()
    for one in state.replicates:
        seed, run_dir = one.run.seed, one.run_dir
        run_dir.mkdir()
        for file in shared:
            (run_dir / file.name).hardlink_to(file)
        own = re.sub(r"(?m)^( *seed): \d+$", rf"\1: {seed}", configuration)
        (run_dir / record.CONFIG_FILE).write_text(own, encoding="utf-8")
        card = RunCard(
            key=run_id(state.arm.name, seed),
            name=run_dir.name,
            experiment="large",
            status="FINISHED",
            uri=options.shown_uri,
            run_id=run_id(state.arm.name, seed),
            sent=(run_dir / JOURNAL).stat().st_size,
        )
        CardFile(run_dir, card).update()
        metrics = {"test/top1_error": 5.0 + seed % 7, "time/train_seconds": 8.0}
        RunResult(
            run_dir,
            card.run_id,
            one.identity,
            run_dir.name,
            "FINISHED",
            seed,
            {},
            state.assembly.input_shape,
            metrics={**metrics, **{f"other/metric{place}": 0.5 for place in range(OTHERS)}},
            measures=record.scalars(state.assembly.measures),
        ).write()
    shutil.rmtree(template)
