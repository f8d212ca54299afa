"""The benchmark of planning times the parts of a plan of a real study."""

from pathlib import Path

from experiments.benchmarks.large_plan import large_study, time_plan


def test_every_part_of_a_plan_is_timed_and_nothing_is_trained(tmp_path: Path) -> None:
    rows = time_plan(2, 5, tmp_path / "runs")
    assert [row[0] for row in rows] == [
        "check the study",
        "compose its arms",
        "look at its runs",
        "probe and print",
        "make the jobs",
    ]
    assert not list(tmp_path.glob("runs/*/result.json"))


def test_its_arms_differ() -> None:
    study = large_study(30, 50)
    assert len({tuple(arm.overrides) for arm in study.arms.values()}) == 30
    assert len(study.seeds) == 50
