"""Arms that start from runs of the study's own: planned before these have run, trained after them, led back to them."""

import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from experiments.errors import UserError
from experiments.runs.callbacks import EpochTimes
from experiments.runs.configuration import compose
from experiments.runs.identity import identify
from experiments.runs.result import RunResult
from experiments.studies.conduct import Answer, Conduct
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.prepared import prepare
from experiments.studies.study import Study, checked
from experiments.tracking.card import read_card
from experiments.tracking.opening import open_run

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")

COMMON = [
    "model=conv5x5",
    "model.network.widths=[4,4]",
    "datamodule=digits",
    "datamodule.image_size=8",
    "datamodule.few_samples=4",
    "effective_field_images=0",
    "trainer.max_epochs=1",
]
START = "model.weights=pretraining:more"
ARMS = {
    "scratch": {"overrides": ["model.freeze=none"], "role": "baseline"},
    "tuned": {"overrides": [START]},
    "frozen": {"overrides": [START, "model.freeze=trunk"]},
}
MORE = ["datamodule.few_samples=20", "trainer.max_epochs=2"]


def study(**changed: Any) -> Study:  # noqa: ANN401 - parts of a study
    asked = {
        "question": "Does it help to have seen more?",
        "pretraining": {"more": MORE},
        "arms": ARMS,
        "seeds": [3],
        "metric": "test/top1_error",
        "overrides": COMMON,
    }
    return checked({**asked, **changed}, "")


def conduct(folder: Path, of: Study, *more: str) -> Conduct:
    overrides = [f"runs_dir={folder / 'runs'}", "tracking.deliver=false", *more]
    return Conduct(of, prepare(of, "more", overrides), "more", "laptop", overrides, ["whydeep", "study"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def planned(place: Path) -> Conduct:
    return conduct(place, study())


@pytest.fixture(scope="module")
def answer(planned: Conduct) -> Answer:
    return planned.run(ExecutionOptions("here", 1))


def test_all_runs_are_planned_before_any_has_run(planned: Conduct, answer: Answer) -> None:
    (before,) = planned.pretraining
    assert before.arm.name == "pretraining.more"
    assert before.count("to do") == 1
    assert [state.count("to do") for state in planned.states] == [1, 1, 1]
    # They were run as what they had been planned as.
    ended = {run.arm: run.result for run in answer.gathered.comparison.replicates}
    for state in planned.states:
        result = ended[state.arm.name]
        assert result is not None
        assert result.identity == state.replicates[0].identity


def test_arms_start_from_the_run_of_their_seed(place: Path, planned: Conduct, answer: Answer) -> None:
    assert answer.complete
    source = planned.pretraining[0].replicates[0].run_dir
    assert (source / "result.json").is_file()
    assert len(list((place / "runs").glob("*/result.json"))) == 4
    told = {
        state.arm.name: json.loads(file.read_text())
        for state in planned.states
        if (file := state.replicates[0].run_dir / "weights.json").is_file()
    }
    key = json.loads((source / "tracking.json").read_text())["key"]
    assert {name: content["run_id"] for name, content in told.items()} == {"tuned": key, "frozen": key}
    assert told["tuned"]["digest"] == told["frozen"]["digest"]


def test_nothing_of_it_is_run_twice(place: Path, answer: Answer) -> None:
    assert answer.complete
    again = conduct(place, study())
    assert [state.count("done") for state in (*again.pretraining, *again.states)] == [1, 1, 1, 1]
    assert again.minutes(1) == 0


def copied(place: Path, folder: Path) -> Path:
    """Return a folder with a copy of the study as it was run."""
    shutil.copytree(place / "runs", folder / "runs")
    return folder


def test_one_that_was_killed_before_the_store_knew_of_its_end_is_ended(
    place: Path, answer: Answer, tmp_path: Path
) -> None:
    assert answer.complete
    again = conduct(copied(place, tmp_path), study())
    run_dir = again.pretraining[0].replicates[0].run_dir
    tracker = open_run(run_dir, again.tracking, name="more", tags={})
    tracker.flush()
    tracker._close()
    before = read_card(run_dir)
    assert before is not None
    assert before.status == "RUNNING"
    assert again.run(ExecutionOptions("here", 1)).complete
    after = read_card(run_dir)
    assert after is not None
    assert after.status == "FINISHED"


def test_one_that_was_stopped_goes_on_with_the_same_command(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer.complete
    told = EpochTimes.on_train_epoch_end

    def ctrl_c(self: EpochTimes, *arguments: Any) -> None:  # noqa: ANN401 - Lightning's
        told(self, *arguments)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(EpochTimes, "on_train_epoch_end", ctrl_c)
        stopped = conduct(tmp_path, study()).run(ExecutionOptions("here", 1))
    assert stopped.stopped_by == signal.SIGINT
    (run,) = stopped.gathered.pretrained
    assert (run.status, run.reason) == ("KILLED", "stopped by SIGINT")
    arms = stopped.gathered.comparison.replicates
    assert {(one.status, one.reason) for one in arms} == {("NOT RUN", "stopped before its turn")}
    again = conduct(tmp_path, study())
    (one,) = again.pretraining[0].replicates
    assert one.kind == "interrupted"
    ended = again.run(ExecutionOptions("here", 1))
    assert ended.complete
    assert (one.run_dir / "provenance-2.json").exists(), "continued, not begun anew"
    # As if nothing had been.
    errors = [run.result.metrics["test/loss"] for run in ended.gathered.comparison.replicates if run.result]
    assert errors == [run.result.metrics["test/loss"] for run in answer.gathered.comparison.replicates if run.result]


def test_arms_find_a_pretraining_that_was_not_continued_but_begun_anew(
    place: Path, answer: Answer, tmp_path: Path
) -> None:
    assert answer.complete
    done = conduct(copied(place, tmp_path), study())
    source = done.pretraining[0].replicates[0].run_dir
    killed = source / "result.json"
    killed.write_text(killed.read_text().replace('"FINISHED"', '"KILLED"'))
    shutil.rmtree(source / "checkpoints")
    shutil.rmtree(done.states[1].replicates[0].run_dir)
    anew = conduct(tmp_path, study(), "resume=never")
    assert [state.count("done") for state in (*anew.pretraining, *anew.states)] == [0, 1, 0, 1]
    assert anew.run(ExecutionOptions("here", 1)).complete
    assert RunResult.read(source.with_name(f"{source.name}-2")) is not None


def test_a_damaged_result_is_told_with_what_to_do_and_costs_nothing(
    place: Path, answer: Answer, tmp_path: Path
) -> None:
    assert answer.complete
    done = conduct(copied(place, tmp_path), study())
    one = done.states[0].replicates[0]
    assert one.result is not None
    damaged = one.run_dir / "result.json"
    damaged.write_text("{")
    with pytest.raises(UserError, match=r"result\.json: not .*; remove this file: the run goes on from its checkpoint"):
        conduct(tmp_path, study())
    damaged.unlink()
    # What only says how it came about stops nothing.
    (done.states[1].replicates[0].run_dir / "config.yaml").write_text("a: [")
    again = conduct(tmp_path, study())
    assert [state.count("interrupted") for state in again.states] == [1, 0, 0]
    assert again.run(ExecutionOptions("here", 1)).complete
    found = RunResult.read(one.run_dir)
    assert found is not None
    errors = {name: value for name, value in one.result.metrics.items() if not name.startswith("time/")}
    assert {name: value for name, value in found.metrics.items() if not name.startswith("time/")} == errors


def test_no_pretraining_is_trained_of_which_all_arms_are_done(place: Path, answer: Answer, tmp_path: Path) -> None:
    assert answer.complete
    done = conduct(copied(place, tmp_path), study())
    source = done.pretraining[0].replicates[0].run_dir
    shutil.rmtree(source)
    again = conduct(tmp_path, study())
    assert [state.arm.name for state in again.in_all] == list(ARMS)
    assert again.minutes(1) == 0
    console = Console(width=200, record=True, file=io.StringIO())
    again.print_plan(console, 1)
    assert "3 runs (3 arms, 1 seed, equal epochs): 3 done" in console.export_text()
    assert again.run(ExecutionOptions("here", 1)).complete
    assert not source.exists()
    # Of more seeds, those that an arm still has to be trained under.
    more = conduct(tmp_path, study(seeds=[3, 4]))
    assert [one.run.seed for one in more.pretraining[0].replicates] == [4]
    shutil.rmtree(done.states[2].replicates[0].run_dir)
    more = conduct(tmp_path, study(seeds=[3, 4]))
    assert [one.run.seed for one in more.pretraining[0].replicates] == [3, 4]


def test_another_pretraining_makes_other_runs(place: Path, answer: Answer) -> None:
    assert answer.complete
    other = conduct(place, study(pretraining={"more": [*MORE[:1], "trainer.max_epochs=3"]}))
    assert [state.count("done") for state in (*other.pretraining, *other.states)] == [0, 1, 0, 0]
    # What has become stale, and why, is said of these as of all runs.
    assert "model.weights" in other.states[1].replicates[0].why
    assert "trainer.max_epochs" in other.pretraining[0].replicates[0].why


def test_its_command_makes_the_same_run_alone(planned: Conduct, answer: Answer) -> None:
    assert answer.complete
    run = planned.states[1].replicates[0]
    overrides = [override for override in run.run.overrides if not override.startswith("experiment=")]
    alone = identify(compose(overrides), planned.states[1].assembly.datamodule.digest)
    assert alone.digest == run.identity
    assert run.run.command[2:] == list(run.run.overrides)


def test_nothing_differs_unsaid(planned: Conduct) -> None:
    assert planned.written.confounds == ()


def test_weights_that_will_not_fit_are_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^arm tuned: override model\.weights=pretraining:more: '\S+' is \(6, 6, 5, 5\)"
    ):
        conduct(tmp_path, study(pretraining={"more": ["model.network.widths=[6,6]"]}))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pretraining": {}}, r"arm tuned: model\.weights=pretraining:more: no such pretraining"),
        ({"pretraining": {"more": MORE, "less": []}}, r"pretraining: no arm starts from 'less'"),
        ({"pretraining": {"more": ["seed=3"]}}, r"^pretraining\.more: 'seed=3' is set for each run"),
        ({"pretraining": {"more": [*MORE, MORE[0]]}}, r"^pretraining\.more: 'datamodule\.few_samples' is set twice"),
    ],
)
def test_mistakes(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        study(**changed)


def test_no_arm_is_called_as_the_pretraining_is() -> None:
    factors: dict[str, dict[str, list[str]]] = {
        "pretraining": {"off": [], "on": []},
        "samples": {"few": [], "more": ["datamodule.few_samples=8"]},
    }
    named = {"question": "?", "seeds": 1, "metric": "test/loss", "factors": factors, "overrides": COMMON}
    assert "pretraining.more" in checked(named, "").arm_names
    factors["pretraining"]["on"] = [START]
    with pytest.raises(UserError, match=r"arm pretraining\.few: 'pretraining\.' begins .*; rename the arm"):
        checked({**named, "pretraining": {"more": MORE}}, "")


def test_a_scale_has_a_pretraining_of_its_own() -> None:
    scaled = study(scales={"toy": {"pretraining": {"more": ["trainer.max_epochs=1"]}}}).at_scale("toy")
    assert scaled.pretraining == {"more": ["trainer.max_epochs=1"]}
    with pytest.raises(UserError, match=r"scales\.toy\.pretraining\.les: .*allowed: more"):
        study(pretraining={"more": MORE}, scales={"toy": {"pretraining": {"les": []}}}).at_scale("toy")
