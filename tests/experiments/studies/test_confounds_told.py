"""Confounds stand wherever a study's answer stands: the plan, `study.json`, the report, the page in MLflow."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from experiments.benchmarks.large_study import large_study
from experiments.studies import membership, pages, report
from experiments.studies.at_hand import gather_at_hand
from experiments.studies.conduct import Answer, Conduct
from experiments.studies.confound import Confound
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.gather import Gathered
from experiments.studies.prepared import prepare
from experiments.studies.study import checked
from experiments.studies.written import WrittenStudy, read_written

TOLD = "threads differs at seed 1: arm 0 1, arm 1 2"
HEADING = "Confounds, which differ between the arms undeclared:"
TOY = {
    "question": "Which?",
    "arms": {
        "plain": {"overrides": ["model=vgg11_small"], "role": "baseline"},
        "norm": {"overrides": ["model=vgg11_small_bn"]},
    },
    "seeds": 1,
    "metric": "test/top1_error",
    "overrides": [
        "datamodule=digits",
        "datamodule.few_samples=2",
        "model.network.width_multiplier=0.1",
        "effective_field_images=0",
        "trainer.max_epochs=1",
        "optimizer.lr=${model.suggested_lr}",
    ],
}


def written(confounds: int) -> WrittenStudy:
    found = [Confound("threads", {"arm 0": "1", "arm 1": "2"}, 1)]
    found += [Confound(f"version of package{number}", {"arm 0": "1", "arm 1": "2"}) for number in range(confounds - 1)]
    return replace(large_study(2, 2), confounds=tuple(found[:confounds]))


def gathered(confounds: int) -> Gathered:
    return gather_at_hand(written(confounds), [])


def page(study: Gathered) -> str:
    return pages.study_page(study, {}, run_ids={}, experiment_id=None, figure=None, charts=None)


def test_study_json_keeps_them(tmp_path: Path) -> None:
    study = written(3)
    assert read_written(study.write(tmp_path)).confounds == study.confounds


def test_a_study_that_was_written_down_before_them_has_none(tmp_path: Path) -> None:
    file = written(0).write(tmp_path)
    file.write_text(file.read_text().replace(' "confounds": [],\n', ""))
    assert "confounds" not in file.read_text()
    assert read_written(file).confounds == ()


def test_the_report_and_the_page_say_each(tmp_path: Path) -> None:
    found = report.write_report(tmp_path, gathered(2), {}, formats=("html", "md"))
    for text in (*(file.read_text() for file in found.files.values()), page(gathered(2))):
        assert HEADING in text
        assert TOLD in text
        assert "version of package0 differs: arm 0 1, arm 1 2" in text


def test_where_there_are_none_nothing_is_said(tmp_path: Path) -> None:
    found = report.write_report(tmp_path, gathered(0), {}, formats=("html", "md"))
    for text in (*(file.read_text() for file in found.files.values()), page(gathered(0))):
        assert "onfound" not in text


def test_of_very_many_the_first_are_said_and_how_many_more(tmp_path: Path) -> None:
    found = report.write_report(tmp_path, gathered(report.SHOWN_CONFOUNDS + 5), {}, formats=("md",))
    text = found.files["md"].read_text()
    assert text.count("differs") == report.SHOWN_CONFOUNDS
    assert "- and 5 more, which `study.json` lists" in text


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    folder = tmp_path_factory.mktemp("study")
    study, overrides = checked(TOY, ""), [f"runs_dir={folder}"]
    arms = prepare(study, "toy", overrides)
    conduct = Conduct(study, arms, "toy", "laptop", overrides, ["whydeep", "study", "toy"])
    return conduct.run(ExecutionOptions("here", 1))


def test_a_study_that_ran_tells_them_everywhere(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    told = "optimizer.lr differs: plain 0.01, norm 0.05"
    folder = answer.report.folder
    assert [confound.sentence() for confound in read_written(folder / "study.json").confounds] == [told]
    assert told in (folder / "report.html").read_text()
    answer.print(Console(width=200))
    assert f"confound: {told}" in capsys.readouterr().out
    (database,) = [above / "mlflow.db" for above in folder.parents if (above / "mlflow.db").is_file()]
    client = MlflowClient(f"sqlite:///{database}")
    (experiment,) = client.search_experiments(filter_string="name = 'toy'")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{membership.KIND_TAG}` = 'study'")
    assert told in run.data.tags["mlflow.note.content"]
