"""Claims that are edited after runs were recorded stand so beside their verdicts; no run is trained here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from experiments import report as report_command
from experiments import study as command
from experiments.benchmarks.large_study import large_study
from experiments.runs.result import RunResult, Status
from experiments.studies import block, conduct, membership, pages, report, study_file
from experiments.studies.at_hand import gather_at_hand
from experiments.studies.claimed_later import edited
from experiments.studies.conduct import Conduct
from experiments.studies.gather import Gathered
from experiments.studies.prepared import prepare
from experiments.studies.state import remember
from experiments.studies.study import Study, checked
from experiments.studies.written import read_written

LOWER = {"contrast": "wide - narrow", "is": "lower"}
HIGHER = {**LOWER, "is": "higher"}
CHANGED = "claim error was changed after runs were recorded"
TURNED = f"{CHANGED}: is lower → higher"
BACK = f"{CHANGED}: is higher → lower"
HEADING = "Not all of this was claimed before anything ran:"
SEEDS = 2

Claims = Mapping[str, Mapping[str, object]]


def content(claims: Claims, metric: str = "test/top1_error") -> dict[str, object]:
    return {
        "question": "Which?",
        "arms": {
            "narrow": {"overrides": ["model.network.widths=[4,4]"], "role": "baseline"},
            "wide": {"overrides": ["model.network.widths=[6,6]"]},
        },
        "seeds": SEEDS,
        "metric": metric,
        "claims": claims,
        "overrides": [
            "model=conv5x5",
            "datamodule=digits",
            "datamodule.image_size=8",
            "datamodule.few_samples=4",
            "effective_field_images=0",
            "trainer.max_epochs=1",
        ],
    }


def asked(claims: Claims, metric: str = "test/top1_error") -> Study:
    return checked(content(claims, metric), "")


def lines(then: Claims, now: Claims) -> list[str]:
    return list(edited(asked(then), asked(now)))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"error": HIGHER}, [TURNED]),
        (
            {"error": {**LOWER, "margin": 0.5}},
            [f"{CHANGED}: margin 0 → 0.5"],
        ),
        (
            {"error": {"contrast": "narrow - wide", "is": "equivalent", "margin": 1.0}},
            [f"{CHANGED}: contrast wide - narrow → narrow - wide, is lower → equivalent, margin 0 → 1"],
        ),
        (
            {"error": LOWER, "loss": {**LOWER, "on": "test/loss"}},
            ["claim loss was added after runs were recorded: wide - narrow in loss: lower"],
        ),
        ({}, ["claim error was removed after runs were recorded: wide - narrow in top-1 error: lower"]),
        # The same, said otherwise.
        ({"error": {**LOWER, "on": "test/top1_error", "margin": 0.0}}, []),
        ({"error": {**LOWER, "better": "higher"}}, []),
        ({"other_name": LOWER}, []),
    ],
)
def test_each_claim_that_differs_is_one_line(now: Claims, told: list[str]) -> None:
    assert lines({"error": LOWER}, now) == told


def test_another_metric_is_another_claim() -> None:
    then, now = asked({"error": LOWER}), asked({"error": LOWER}, "test/loss")
    assert list(edited(then, now)) == [f"{CHANGED}: on test/top1_error → test/loss"]


def conducted(claims: Claims, runs_dir: Path, seeds: int | list[int] = SEEDS) -> Conduct:
    study, overrides = asked(claims).with_seeds(seeds), [f"runs_dir={runs_dir}"]
    return Conduct(study, prepare(study, "toy", overrides), "toy", "laptop", overrides, ["whydeep", "study", "toy"])


def begun(one: Conduct) -> None:
    """Write down what an execution writes before its first run."""
    folder = one.runs_dir / "toy"
    remember(one.states, folder)
    one.written.write(folder / "study")


def finished(one: Conduct, status: Status = "FINISHED") -> None:
    """Leave results as the study's runs do."""
    for state in one.states:
        for run in state.replicates:
            run.run_dir.mkdir(parents=True, exist_ok=True)
            metrics = {"test/top1_error": float(run.run.seed + len(state.arm.name))}
            name, seed = run.run_dir.name, run.run.seed
            RunResult(run.run_dir, None, run.identity, name, status, seed, {}, (3, 8, 8), metrics).write()


def test_before_a_run_has_finished_claims_are_edited_freely(tmp_path: Path) -> None:
    assert conducted({"error": LOWER}, tmp_path).written.claimed_later == ()
    begun(first := conducted({"error": LOWER}, tmp_path))
    assert conducted({"error": HIGHER}, tmp_path).written.claimed_later == ()
    finished(first, "FAILED")
    assert conducted({"error": HIGHER}, tmp_path).written.claimed_later == ()


def test_every_edit_that_was_executed_stays(tmp_path: Path) -> None:
    begun(first := conducted({"error": LOWER}, tmp_path))
    finished(first)
    assert conducted({"error": LOWER}, tmp_path).written.claimed_later == ()
    begun(conducted({"error": HIGHER}, tmp_path))
    assert conducted({"error": HIGHER}, tmp_path).written.claimed_later == (TURNED,)
    begun(conducted({"error": LOWER}, tmp_path))
    begun(conducted({"error": HIGHER}, tmp_path))
    assert conducted({"error": HIGHER}, tmp_path).written.claimed_later == (TURNED, BACK)
    assert read_written(tmp_path / "toy" / "study" / "study.json").claimed_later == (TURNED, BACK)


def test_what_was_only_planned_leaves_no_trace(tmp_path: Path) -> None:
    begun(first := conducted({"error": LOWER}, tmp_path))
    finished(first)
    assert conducted({"error": HIGHER}, tmp_path).written.claimed_later == (TURNED,)
    assert conducted({"error": LOWER}, tmp_path).written.claimed_later == ()


def test_runs_of_other_seeds_have_been_seen_too(tmp_path: Path) -> None:
    begun(first := conducted({"error": LOWER}, tmp_path))
    finished(first)
    assert conducted({"error": HIGHER}, tmp_path, [7, 8]).written.claimed_later == (TURNED,)


def test_a_study_json_that_was_written_before_is_read(tmp_path: Path) -> None:
    file = large_study(2, 2).write(tmp_path)
    file.write_text(file.read_text().replace(' "claimed_later": [],\n', ""))
    assert "claimed_later" not in file.read_text()
    assert read_written(file).claimed_later == ()
    told = replace(large_study(2, 2), claimed_later=(TURNED, BACK))
    assert read_written(told.write(tmp_path)) == told


def gathered(*told: str) -> Gathered:
    return gather_at_hand(replace(large_study(2, 2), claimed_later=told), [])


def texts(study: Gathered, folder: Path) -> list[str]:
    files = report.write_report(folder, study, {}, formats=("html", "md")).files.values()
    page = pages.study_page(study, {}, run_ids={}, experiment_id=None, figure=None, charts=None)
    return [*(file.read_text(encoding="utf-8") for file in files), block.block(study, {}), page]


def test_report_block_and_page_say_it(tmp_path: Path) -> None:
    for text in texts(gathered(TURNED, BACK), tmp_path):
        assert HEADING in text
        assert TURNED in text
        assert BACK in text


def test_where_nothing_was_claimed_later_nothing_is_said(tmp_path: Path) -> None:
    for text in texts(gathered(), tmp_path):
        assert HEADING not in text


@pytest.fixture
def whydeep_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs `whydeep study toy` with some claims, in this process; it returns what it prints."""
    monkeypatch.setattr(study_file, "STUDIES", tmp_path / "conf")
    # Runs that were not trained have no journals to send.
    monkeypatch.setattr(conduct, "settle", lambda result, _: result)
    (tmp_path / "conf").mkdir()

    def said(claims: Claims, *arguments: str) -> str:
        (tmp_path / "conf" / "toy.yaml").write_text(yaml.safe_dump({"study": content(claims)}), encoding="utf-8")
        assert command.main(["toy", f"runs_dir={tmp_path / 'runs'}", *arguments]) == 0
        return capsys.readouterr().out

    return said


def test_plan_and_execution_say_it_and_everything_that_lasts(
    whydeep_study: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = tmp_path / "runs"
    finished(conducted({"error": LOWER}, runs_dir))
    assert "after runs were recorded" not in whydeep_study({"error": LOWER})
    assert whydeep_study({"error": HIGHER}, "plan=true").count(f"notice: {TURNED}\n") == 1
    # At the end of the plan that every execution begins with, and at the end of all.
    assert whydeep_study({"error": HIGHER}).count(f"notice: {TURNED}\n") == 2
    assert whydeep_study({"error": HIGHER}).count(f"notice: {TURNED}\n") == 2
    assert TURNED in (runs_dir / "toy" / "study" / "report.html").read_text(encoding="utf-8")
    client = MlflowClient(f"sqlite:///{runs_dir / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'toy'")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{membership.KIND_TAG}` = 'study'")
    assert TURNED in run.data.tags["mlflow.note.content"]
    assert report_command.main(["toy", f"runs_dir={runs_dir}", "format=md", f"to={tmp_path}"]) == 0
    assert f"notice: {TURNED}\n" in capsys.readouterr().out
    assert TURNED in (tmp_path / "report.md").read_text(encoding="utf-8")
