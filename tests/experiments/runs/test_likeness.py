"""What identical, equivalent and different mean, in numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.errors import UserError
from experiments.runs.likeness import (
    Spread,
    compare,
    compare_numbers,
    compare_weights,
    interval_of,
    margin_of,
)
from experiments.runs.rerun import Disagreement
from experiments.runs.result import RunResult
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions

PICTURES = 400


def make_run(
    run_dir: Path, *, error: float = 10.0, losses: tuple[float, ...] = (2.0, 1.5), weight: float = 0.25
) -> RunResult:
    """Write what `compare` reads of a run: a journal, a result, a table of the test, a checkpoint."""
    tracker = open_run(run_dir, TrackingOptions(runs_dir=str(run_dir.parent), deliver=False), name="run", tags={})
    for step, loss in enumerate(losses):
        tracker.metrics({"train/loss": loss, "time/epoch_seconds": float(np.random.default_rng().random())}, step=step)
    tracker.metrics({"test/top1_error": error}, step=len(losses))
    tracker.finish("FINISHED")
    metrics = {"test/top1_error": error, "train/loss": losses[-1], "time/train_seconds": 1.0}
    result = RunResult(run_dir, None, "identity", run_dir.name, "FINISHED", 0, {}, (1, 8, 8), metrics)
    result.write()
    wrong = round(PICTURES * error / 100)
    (run_dir / "test_classes.json").write_text(json.dumps({"confusion": [[PICTURES - wrong, wrong], [0, 0]]}))
    (run_dir / "checkpoints").mkdir()
    torch.save({"state_dict": {"fc.weight": torch.full((2, 3), weight)}}, run_dir / "checkpoints" / "best.ckpt")
    return result


def test_identical_is_to_the_bit_and_leaves_out_times(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    alike = compare(tmp_path / "a", tmp_path / "b")
    assert alike.answer == "identical"
    assert (alike.numbers.equal, alike.numbers.total) == (3, 3)
    assert [name for name, _, _ in alike.rows] == ["test/top1_error", "train/loss"]


@pytest.mark.parametrize(
    "change", [{"losses": (np.nextafter(2.0, 3), 1.5)}, {"weight": np.nextafter(0.25, 1, dtype="f")}]
)
def test_the_last_bit_of_a_metric_or_of_a_weight_is_no_identity(tmp_path: Path, change: dict[str, object]) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", **change)  # type: ignore[arg-type]
    likeness = compare(tmp_path / "a", tmp_path / "b")
    assert likeness.answer == "equivalent"
    if "losses" in change:
        assert likeness.numbers.first == "train/loss at step 0: 2.0 → 2.0000000000000004"
    else:
        assert likeness.weights is not None
        assert (likeness.weights.equal, likeness.weights.furthest) == (0, "fc.weight")


def test_a_step_that_only_one_run_has_is_a_difference_but_a_new_metric_is_none(tmp_path: Path) -> None:
    before, after = make_run(tmp_path / "a"), make_run(tmp_path / "b", losses=(2.0, 1.5, 1.5))
    assert compare_numbers(before, after).first == "train/loss at step 2: nothing → 1.5"
    other = make_run(tmp_path / "c")
    tracker = open_run(tmp_path / "c", TrackingOptions(deliver=False), name="run", tags={})
    tracker.metrics({"val/new_measure": 1.0}, step=0)
    tracker.finish("FINISHED")
    assert compare_numbers(before, other).first is None


def test_a_result_that_moved_further_than_it_is_known_is_different(tmp_path: Path) -> None:
    make_run(tmp_path / "a", error=10.0)
    make_run(tmp_path / "b", error=20.0)
    assert compare(tmp_path / "a", tmp_path / "b").answer == "different"
    assert compare(tmp_path / "a", tmp_path / "b", spread=Spread(9.0, 5)).answer == "equivalent"


def test_without_a_checkpoint_the_metrics_alone_are_compared(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    (tmp_path / "a" / "checkpoints" / "best.ckpt").unlink()
    likeness = compare(tmp_path / "a", tmp_path / "b")
    assert (likeness.answer, likeness.weights) == ("identical", None)


def test_weights_are_compared_bit_by_bit(tmp_path: Path) -> None:
    def save(name: str, **tensors: torch.Tensor) -> Path:
        torch.save({"state_dict": {"layer.weight": torch.zeros(2, 2), **tensors}}, tmp_path / name)
        return tmp_path / name

    nan, count = torch.tensor([[math.nan]]), torch.tensor(3)
    one = save("a", nan=nan, count=count, zero=torch.zeros(1), gone=torch.zeros(1))
    other = save("b", nan=nan, count=count, zero=-torch.zeros(1))
    same = compare_weights(one, one)
    assert same is not None
    assert (same.equal, same.total, same.furthest) == (5, 5, None)
    unlike = compare_weights(one, other)
    assert unlike is not None
    assert (unlike.equal, unlike.total, unlike.furthest, unlike.distance) == (3, 5, "gone", math.inf)


def test_only_a_finished_run_is_compared(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    content = json.loads((tmp_path / "a" / "result.json").read_text())
    (tmp_path / "a" / "result.json").write_text(json.dumps(content | {"status": "KILLED", "reason": "stopped"}))
    with pytest.raises(UserError, match=r"run=a: is KILLED \(stopped\); only a finished run"):
        compare(tmp_path / "a", tmp_path / "a")


def test_the_margin_is_what_two_recordings_differ_by() -> None:
    random = np.random.default_rng(0)
    recordings = 100 * random.binomial(1000, 0.1, size=(2, 20_000)) / 1000
    margin = margin_of(10.0, 1000, None)
    assert np.mean(np.abs(recordings[0] - recordings[1]) > margin.points) == pytest.approx(0.05, abs=0.01)
    seeds = recordings + random.normal(0, 2, recordings.shape)
    wider = margin_of(10.0, 1000, Spread(2.0, 5))
    assert np.mean(np.abs(seeds[0] - seeds[1]) > wider.points) == pytest.approx(0.05, abs=0.01)


def test_no_errors_at_all_are_not_taken_for_certainty() -> None:
    assert margin_of(0.0, 359, None).points > 100 / 359


@pytest.mark.parametrize("pictures", [359, 2000])
@pytest.mark.parametrize("paired", [True, False])
def test_networks_that_differ_by_the_margin_pass_for_equivalent_in_at_most_one_of_twenty_cases(
    pictures: int, paired: bool
) -> None:
    random, rate = np.random.default_rng(1), 0.1
    margin = margin_of(100 * rate, pictures, None).points
    shared = rate - 0.03  # of the pictures that both are wrong about
    cells = [shared, 0.03, 0.03 + margin / 100, 1 - shared - 0.06 - margin / 100]
    draws = random.multinomial(pictures, cells, size=4000)
    passed = 0
    for both, recorded_alone, now_alone, _ in draws:
        before, after = (100 * (both + alone) / pictures for alone in (recorded_alone, now_alone))
        counted = Disagreement(pictures=pictures, recorded_alone=int(recorded_alone), now_alone=int(now_alone))
        passed += interval_of(before, after, pictures, counted if paired else None).within(margin)
    assert passed / len(draws) <= 0.06


def test_networks_that_answer_alike_are_equivalent() -> None:
    counted = Disagreement(pictures=359, recorded_alone=1, now_alone=1)
    assert interval_of(2.0, 2.0, 359, counted).within(margin_of(2.0, 359, None).points)


def test_a_spread_needs_three_seeds() -> None:
    assert Spread.of([1.0, 2.0]) is None
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(1.0, 3)
