"""A study is read back from MLflow alone, whoever ran its runs, finished or not."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.large_study import NAME
from experiments.errors import UserError
from experiments.studies import membership
from experiments.studies.curves import chosen_for_curves
from experiments.studies.gather import gather
from experiments.studies.judging import judged
from experiments.studies.membership import AS_WRITTEN, STUDY_TAG
from experiments.studies.reaching import Need, needs
from tests.experiments.studies.stored import WRITTEN, copy, gathered, make, rows, run_id_of, search_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture
def runs_dir(made: Path, tmp_path: Path) -> Path:
    """A store of its own, as it was made."""
    copy(made, tmp_path)
    return tmp_path


def test_numbers_measures_and_curves_come_from_the_store(runs_dir: Path) -> None:
    found = gathered(runs_dir)
    assert found.written == WRITTEN
    with rows(runs_dir) as connection:
        values = dict(
            connection.execute(
                "select r.name, m.value from latest_metrics m join runs r using (run_uuid) where m.key = ?",
                ("test/top1_error",),
            )
        )
    for arm in found.comparison.arms:
        assert arm.by_seed == {seed: values[f"{arm.name} seed {seed}"] for seed in range(3)}
        assert arm.measures == WRITTEN.arm(arm.name).measures
        assert arm.input_shape == (3, 32, 32)
    assert len(found.curves.by_run) == 6
    assert {len(points) for points in found.curves.by_run.values()} == {10}
    assert found.comparison.replicates[0].command == ("whydeep", "train", "model=arm00", "seed=0")
    assert [environment.runs for environment in found.environments] == [6]


def test_what_is_missing_is_said(runs_dir: Path) -> None:
    with rows(runs_dir) as connection:
        connection.execute("update runs set lifecycle_stage = 'deleted' where name = 'arm00 seed 1'")
        connection.execute("update runs set status = 'RUNNING' where name = 'arm01 seed 0'")
        connection.execute("update runs set status = 'FAILED' where name = 'arm01 seed 2'")
        failed = run_id_of(runs_dir, "arm01 seed 2")
        connection.execute(
            "insert into tags (key, value, run_uuid) values ('whydeep.reason', 'it broke', ?)", (failed,)
        )
    base, other = gathered(runs_dir).comparison.arms
    told = {(run.arm, run.seed): (run.status, run.reason) for run in (*base.missing, *other.missing)}
    assert told == {
        ("arm00", 1): ("NOT RUN", "not run yet"),
        ("arm01", 0): ("RUNNING", "running, or its process died without a word"),
        ("arm01", 2): ("FAILED", "it broke"),
    }
    assert (base.n, other.n) == (2, 1)


@pytest.mark.parametrize("kind", ["run", "pretraining"])
def test_a_run_that_died_before_its_identity_was_known_is_found_by_its_label(kind: str, runs_dir: Path) -> None:
    died = run_id_of(runs_dir, "arm00 seed 1")
    label = (
        membership.replicate_label(NAME, AS_WRITTEN, "arm00", 1, "key")
        if kind == "run"
        else membership.pretraining_label(NAME, AS_WRITTEN, "pretraining.more", 1, "key")
    )
    with rows(runs_dir) as connection:
        connection.execute("delete from tags where run_uuid = ?", (died,))
        connection.execute("update runs set status = 'FAILED' where run_uuid = ?", (died,))
        for key, value in {**label.tags, "whydeep.reason": "no such data"}.items():
            connection.execute("insert into tags (key, value, run_uuid) values (?, ?, ?)", (key, value, died))
        (artifacts,) = connection.execute("select artifact_uri from runs where name = ?", (NAME,)).fetchone()
    file = Path(artifacts) / "study.json"
    before = file.read_text(encoding="utf-8")
    content = json.loads(before)
    content["pretraining"] = [{**content["arms"][0], "name": "pretraining.more"}]
    content["pretrained"] = [{"arm": "pretraining.more", "seed": 1, "identity": "f" * 64}]
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        found = gathered(runs_dir)
    finally:
        file.write_text(before, encoding="utf-8")
    every = (*found.pretrained, *found.comparison.replicates)
    (only,) = [run for run in every if run.result is not None and run.result.run_id == died]
    assert (only.arm, only.seed, only.status, only.reason) == (
        "arm00" if kind == "run" else "pretraining.more",
        1,
        "FAILED",
        "no such data",
    )


def test_a_run_of_another_study_is_found_by_its_run_id(runs_dir: Path) -> None:
    elsewhere = run_id_of(runs_dir, "arm00 seed 1")
    with rows(runs_dir) as connection:
        connection.execute("update tags set value = 'other' where key = ? and run_uuid = ?", (STUDY_TAG, elsewhere))
        (artifacts,) = connection.execute("select artifact_uri from runs where name = ?", (NAME,)).fetchone()
    assert gathered(runs_dir).comparison.arm("arm00").n == 2
    file = Path(artifacts) / "study.json"
    before = file.read_text(encoding="utf-8")
    content = json.loads(before)
    next(one for one in content["replicates"] if (one["arm"], one["seed"]) == ("arm00", 1))["run_id"] = elsewhere
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        arm = gathered(runs_dir).comparison.arm("arm00")
    finally:
        file.write_text(before, encoding="utf-8")
    assert {run.seed: run.label for run in arm.counted}[1] == elsewhere


def test_of_several_attempts_at_a_run_the_finished_one_counts(runs_dir: Path) -> None:
    good = run_id_of(runs_dir, "arm00 seed 1")
    with rows(runs_dir) as connection:
        for place, start in (("a" * 32, 1), ("f" * 32, 2_000_000_000_000)):
            for table, columns in (("runs", "*"), ("tags", "*")):
                copied = connection.execute(f"select {columns} from {table} where run_uuid = ?", (good,)).fetchall()  # noqa: S608
                for row in copied:
                    values = [place if value == good else value for value in row]
                    connection.execute(f"insert into {table} values ({', '.join('?' for _ in values)})", values)  # noqa: S608
            connection.execute("update runs set status = 'KILLED', start_time = ? where run_uuid = ?", (start, place))
    assert {run.seed: run.label for run in gathered(runs_dir).comparison.arm("arm00").counted}[1] == good


def test_numbers_that_are_none_do_not_count(runs_dir: Path) -> None:
    lost = run_id_of(runs_dir, "arm00 seed 1")
    with rows(runs_dir) as connection:
        connection.execute(
            "update latest_metrics set is_nan = 1, value = 0 where key = 'test/top1_error' and run_uuid = ?", (lost,)
        )
    arm = gathered(runs_dir).comparison.arm("arm00")
    assert arm.by_seed.keys() == {0, 2}
    assert arm.missing[0].reason == "test/top1_error is nan"


def test_of_a_step_that_was_recorded_twice_the_last_value_counts(runs_dir: Path) -> None:
    run_id = run_id_of(runs_dir, "arm00 seed 1")
    with rows(runs_dir) as connection:
        connection.execute(
            "insert into metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, 0, ?)",
            ("val/top1_error", -1.0, 1_990_000_000_000, 500, run_id),
        )
    points = gathered(runs_dir).curves.by_run[run_id]
    assert dict(points)[500] == -1.0
    assert np.all(np.diff([step for step, _ in points]) > 0)


def test_a_claim_on_epochs_has_all_that_it_counts(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen_for_curves, "__defaults__", (None, 1))  # of many runs few curves are drawn
    with rows(runs_dir) as connection:
        (artifacts,) = connection.execute("select artifact_uri from runs where name = ?", (NAME,)).fetchone()
        for (run_id,) in connection.execute("select distinct run_uuid from latest_metrics").fetchall():
            for key, value in (("spent/epochs", 20.0), ("spent/steps", 1000.0)):
                columns = "(key, value, timestamp, step, is_nan, run_uuid)"
                row = (key, value, 1, 0, 0, run_id)
                connection.execute(f"insert into latest_metrics {columns} values (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
    file = Path(artifacts) / "study.json"
    before = file.read_text(encoding="utf-8")
    assert len(gathered(runs_dir).curves.by_run) == 4
    content = json.loads(before)
    claim = {"contrast": "arm01 - arm00", "reach": 100.0, "over": "epochs", "is": "lower"}
    file.write_text(json.dumps({**content, "study": {**content["study"], "claims": {"it": claim}}}), encoding="utf-8")
    try:
        found = gathered(runs_dir)
    finally:
        file.write_text(before, encoding="utf-8")
    study = found.written.study
    reached = needs(study, study.claims["it"], found.comparison.replicates, found.curves)
    assert reached == {arm: dict.fromkeys(range(3), Need(2, 2)) for arm in ("arm00", "arm01")}
    assert [verdict.effect.n for verdict in judged(found).values() if verdict.effect] == [3]


@pytest.mark.parametrize(
    ("name", "varied", "said"),
    [
        ("larg", AS_WRITTEN, "larg: no such study is recorded; did you mean 'large'? allowed: large"),
        ("large", "scale=toy", "large: not recorded scale=toy; recorded: as written"),
    ],
)
def test_an_unknown_study_is_one_line(runs_dir: Path, name: str, varied: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        gather(search_of(runs_dir), name, varied)
    assert str(refused.value) == said


def test_of_two_runs_of_one_study_the_later_is_the_whole(runs_dir: Path) -> None:
    first = gathered(runs_dir).study_run
    assert first is not None
    with rows(runs_dir) as connection:
        (columns, began) = (
            [row[1] for row in connection.execute("pragma table_info(runs)")],
            connection.execute("select start_time from runs where run_uuid = ?", (first.run_id,)).fetchone()[0],
        )
        for run_id, later in (("f" * 32, 1000), ("0" * 32, -1000)):
            own = {"run_uuid": f"'{run_id}'", "start_time": str(began + later)}
            chosen = ", ".join(own.get(column, column) for column in columns)
            connection.execute(f"insert into runs select {chosen} from runs where run_uuid = ?", (first.run_id,))  # noqa: S608 - names of ours
            connection.execute(
                "insert into tags (key, value, run_uuid) select key, value, ? from tags where run_uuid = ?",
                (run_id, first.run_id),
            )
    found = gathered(runs_dir).study_run
    assert found is not None
    assert found.run_id == "f" * 32
