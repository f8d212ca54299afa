"""The runs of a study in MLflow: nested, named, described; and nothing is lost while the store is away."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments import sync
from experiments.errors import UserError
from experiments.runs.label import Label
from experiments.runs.result import RunResult
from experiments.studies.at_hand import gather_at_hand
from experiments.studies.comparison import Replicate
from experiments.studies.gather import gather
from experiments.studies.membership import AS_WRITTEN, study_folder, variation
from experiments.studies.record import StudyRuns, open_study
from experiments.studies.report import write_report
from experiments.studies.writing_down import with_run_ids
from experiments.studies.written import WrittenStudy, read_written
from experiments.tracking.locks import RunLock
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.search import Search
from experiments.tracking.store import Store
from experiments.tracking.tracker import RunTracker
from tests.experiments.studies.stored import WRITTEN

METRIC = "test/top1_error"


def options(runs_dir: Path, uri: str | None = None) -> TrackingOptions:
    return TrackingOptions(runs_dir=str(runs_dir), uri=uri, flush_seconds=20.0 if uri is None else 0.2)


def replicate(tracker: RunTracker, arm: str, seed: int, identity: str) -> Replicate:
    """Record a run as training would, and return what became of it."""
    error = 1.0 + seed + (arm == "arm01")
    tracker.tags({"whydeep.identity": identity})
    tracker.metrics({METRIC: error, "time/train_seconds": 1.0}, step=0)
    tracker.metrics({"val/top1_error": 2 * error}, step=5)
    tracker.finish("FINISHED")
    result = RunResult(
        tracker.run_dir, tracker.run_id, identity, tracker.name, "FINISHED", seed, {}, (3, 32, 32), {METRIC: error}
    )
    return Replicate(arm, seed, "FINISHED", result, None)


def run_all(
    recorded: StudyRuns, where: TrackingOptions, labels: dict[tuple[str, int], Label] | None = None
) -> list[Replicate]:
    replicates = []
    for one in recorded.written.replicates:
        label = (labels or {}).get((one.arm, one.seed)) or recorded.label(one.arm, one.seed)
        folder = Path(where.runs_dir) / f"run-{one.arm}-{one.seed}"
        tracker = open_run(folder, where, name=str(label.name), tags=label.tags)
        replicates.append(replicate(tracker, one.arm, one.seed, one.identity))
    return replicates


def finish(recorded: StudyRuns, replicates: list[Replicate]) -> int:
    recorded.update(with_run_ids(recorded.written, replicates))
    found = gather_at_hand(recorded.written, replicates)
    return recorded.finish(found, {}, write_report(recorded.folder, found, {}, formats=["html", "png"])).pending


def nesting(client: MlflowClient) -> dict[str, str | None]:
    """The name of each run's parent, by the run's own."""
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()])
    names = {run.info.run_id: run.info.run_name for run in runs}
    return {run.info.run_name: names.get(run.data.tags.get("mlflow.parentRunId", "")) for run in runs}


NESTED = {
    "large": None,
    "arm00": "large",
    "arm01": "large",
    **{f"{arm} seed {seed}": arm for arm in ("arm00", "arm01") for seed in range(3)},
}


def test_a_study_nests_says_its_answer_and_is_read_back(tmp_path: Path) -> None:
    where = options(tmp_path)
    recorded = open_study(WRITTEN, tmp_path, where)
    assert recorded.wait(60.0)
    replicates = run_all(recorded, where)
    assert finish(recorded, replicates) == 0

    store = Store(where.destination(), 10.0)
    client = store.client
    assert nesting(client) == NESTED
    study = client.get_run(str(recorded.run_id))
    assert study.info.status == "FINISHED"
    note = study.data.tags["mlflow.note.content"]
    assert "How long does a large study take?" in note
    assert "arm01 - arm00: +1.00 points" in note
    assert f"![top-1 error (%)](get-artifact?path=page.png&run_uuid={recorded.run_id})" in note
    names = {found.path for found in client.list_artifacts(study.info.run_id)}
    assert names == {"study.json", "report.html", "comparison.png", "page.png"}
    (arm_id,) = re.findall(r"\[arm01\]\(#/experiments/\d+/runs/(\w+)\)", note)
    arm = client.get_run(arm_id)
    assert arm.data.metrics["mean/test/top1_error"] == 3.0
    assert arm.data.metrics["low/test/top1_error"] < 3.0 < arm.data.metrics["high/test/top1_error"]
    assert arm.data.metrics["measure/macs"] == 2e6
    assert arm.data.params == {"arm": "arm01"}

    assert recorded.link is not None
    view = re.findall(r"viewStateShareKey=([\w-]+)", recorded.link)[0]
    tags = client.get_experiment(study.info.experiment_id).tags
    assert json.loads(tags[f"mlflow.sharedViewState.{view}"])["name"] == "Study large"

    read = gather(Search(store), WRITTEN.name, AS_WRITTEN)
    at_hand = gather_at_hand(recorded.written, replicates)
    assert [arm.by_seed for arm in read.comparison.arms] == [arm.by_seed for arm in at_hand.comparison.arms]
    assert {run: list(points) for run, points in read.curves.by_run.items()} == at_hand.curves.by_run


def test_the_same_study_keeps_its_run_and_takes_in_runs_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = options(tmp_path)
    first = open_study(WRITTEN, tmp_path, where)
    first.wait(60.0)
    plain = {("arm00", 0): Label("alone"), ("arm00", 1): Label("of another", {"whydeep.study": "other"})}
    replicates = run_all(first, where, plain)
    finish(first, replicates)
    fewer = replace(WRITTEN, study=WRITTEN.study.with_seeds(2))
    with caplog.at_level("WARNING"):
        second = open_study(fewer, tmp_path, where)
    assert caplog.messages == []
    second.wait(60.0)
    assert second.run_id == first.run_id
    assert finish(second, replicates) == 0

    client = Store(where.destination(), 10.0).client
    study = client.get_run(str(second.run_id)).data
    assert {name: study.tags[f"whydeep.{name}"] for name in ("arms", "seeds", "metric")} == {
        "arms": "2",
        "seeds": "2",
        "metric": METRIC,
    }
    assert study.params == {}
    runs = {run.info.run_name: run for run in client.search_runs(["1"])}
    assert len(runs) == 9
    assert nesting(client)["alone"] == "arm00"
    assert runs["alone"].data.tags["whydeep.study.large"] == "arm00"
    assert runs["of another"].data.tags["whydeep.study"] == "other"
    assert "whydeep.study.large" not in runs["arm01 seed 0"].data.tags
    read = gather(Search(Store(where.destination(), 10.0)), WRITTEN.name, AS_WRITTEN)
    assert read.comparison.arm("arm00").n == 3


def test_while_the_store_is_away_the_study_goes_on_and_sync_sends_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = options(tmp_path, "http://127.0.0.1:9")
    recorded = open_study(WRITTEN, tmp_path, where)
    assert not recorded.wait(0.1)
    assert recorded.link is None
    assert finish(recorded, run_all(recorded, where)) > 0
    assert (recorded.folder / "report.html").exists()

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert sync.main([f"runs_dir={tmp_path}", f"uri={store}"]) == 0
    capsys.readouterr()
    here = Store(options(tmp_path).destination(), 10.0)
    assert nesting(here.client) == NESTED
    read = gather(Search(here), WRITTEN.name, AS_WRITTEN)
    assert [arm.n for arm in read.comparison.arms] == [3, 3]


def test_what_is_written_down_is_read_as_it_was(tmp_path: Path) -> None:
    assert read_written(WRITTEN.write(tmp_path)) == WRITTEN
    assert isinstance(read_written(tmp_path / "study.json"), WrittenStudy)


def test_a_variation_is_what_changes_the_runs() -> None:
    assert (
        variation([])
        == variation(["runs_dir=x", "tracking.uri=y", "+trainer.devices=2", "tracking=server"])
        == AS_WRITTEN
    )
    assert variation(["optimizer.lr=0.1", "model=a", "rerun=true"], "toy") == "scale=toy model=a optimizer.lr=0.1"
    assert study_folder(Path("runs"), "s", AS_WRITTEN) == Path("runs/s")
    assert re.fullmatch(r"runs/s-[0-9a-f]{6}", str(study_folder(Path("runs"), "s", "a=1")))


def test_a_study_that_another_process_executes_is_said_to_be_one(tmp_path: Path) -> None:
    lock = RunLock(_made(study_folder(tmp_path, WRITTEN.name, WRITTEN.variation) / "study"))
    with pytest.raises(UserError, match=rf"^study {WRITTEN.name}: {os.getpid()}@\S+ executes it already; wait until"):
        open_study(WRITTEN, tmp_path, options(tmp_path))
    lock.release()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
