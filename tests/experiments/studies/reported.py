"""A small comparison with made-up numbers, and what a report of it is made of."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runs.result import RunResult
from experiments.studies.claim import Claim
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.curves import Curves
from experiments.studies.environments import Environment, Origin
from experiments.studies.gather import Gathered
from experiments.studies.intervals import Estimate, estimate
from experiments.studies.study import Study
from experiments.studies.study_parts import Arm
from experiments.studies.written import WrittenArm, WrittenReplicate, WrittenStudy

METRIC = "test/top1_error"
ARMS = ("conv5x5", "two_conv3x3")
COMMAND = ["whydeep", "demo", "trainer.max_epochs=3"]
RUN_IDS = [f"{arm:02d}{seed:02d}" + "0123456789abcdef0123456789ab" for arm in range(2) for seed in range(3)]


def replicate(arm: int, seed: int, *, run_id: str | None) -> Replicate:
    costs = {"parameters": 78_250.0 - 20_000 * arm, "macs": 2.1e6 - 6e5 * arm, "receptive_field": 34.0}
    metrics = {METRIC: 1.0 + arm + 0.25 * seed, "time/train_seconds": 4.0}
    result = RunResult(
        run_dir=Path("runs") / f"{arm}-{seed}",
        run_id=run_id,
        identity=f"{arm}{seed}" * 32,
        name="run",
        status="FINISHED",
        seed=seed,
        choices={},
        input_shape=(1, 8, 8),
        metrics=metrics,
        measures=costs,
    )
    return Replicate(ARMS[arm], seed, "FINISHED", result, None, ("whydeep", "train", f"model={ARMS[arm]}"))


def comparison(*, lost: str | None = None) -> Comparison:
    """Three seeds of two arms; with `lost` the last replicate failed for that reason."""
    runs = [replicate(arm, seed, run_id=RUN_IDS[3 * arm + seed]) for arm in range(2) for seed in range(3)]
    if lost is not None:
        runs[-1] = Replicate(ARMS[1], 2, "FAILED", None, lost, ("whydeep", "train", "seed=2"))
    return compare(ARMS, ARMS[0], METRIC, runs)


def curves(compared: Comparison) -> Curves:
    steps = [18 * epoch for epoch in range(1, 9)]
    by_run = {
        run.label: [(step, 90 / step + run.seed) for step in steps] for arm in compared.arms for run in arm.counted
    }
    return Curves("val/top1_error", by_run)


def study(question: str = "Do two 3x3 layers replace one 5x5?", claims: dict[str, Claim] | None = None) -> Study:
    arms = {name: Arm(overrides=[f"model={name}"], role="baseline" if name == ARMS[0] else None) for name in ARMS}
    return Study(question=question, source="A paper", arms=arms, seeds=[0, 1, 2], metric=METRIC, claims=claims or {})


def gathered(compared: Comparison, asked: Study | None = None) -> Gathered:
    """What a report is made of, with made-up curves and one environment."""
    written = WrittenStudy(
        name="demo",
        variation="as written",
        command=tuple(COMMAND),
        study=asked or study(),
        arms=tuple(WrittenArm(name, ("a=1", f"model={name}")) for name in ARMS),
        replicates=tuple(WrittenReplicate(run.arm, run.seed, "id") for run in compared.replicates),
    )
    origin = Origin("c0ffee", uncommitted=True, packages="abc", hardware="x, 2 threads")
    environment = Environment(origin, "Python 3.11.7, torch 2.15.0", {}, frozenset({"id"}))
    return Gathered(written, compared, curves(compared), (environment,))


@dataclass(frozen=True)
class Decided:
    claim: str
    outcome: str
    effect: Estimate | None
    p_value: float | None
    adjusted: float | None
    reason: str
    left_out: tuple[int, ...] = ()


CLAIM = Claim.model_validate({"contrast": "two_conv3x3 - conv5x5", "is": "not_worse", "margin": 1.0})
REFUTED = Decided("same", "refuted", estimate([1.0, 1.2, 1.1]), 0.5, 0.75, "the whole interval is above 1")
