"""A study whose arms start from runs of its own is run again: whole, under one of its seeds, and one run of an arm."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.runs.replicates import recorded_spread
from experiments.runs.reproduction import Request, reproduce
from experiments.studies.conduct import Answer, Conduct
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.made_of import MadeOf, here_made, made_differences
from experiments.studies.prepared import prepare
from experiments.studies.reproduction import StudyRequest, reproduce_study
from experiments.studies.study import checked

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")

STUDY = checked(
    {
        "question": "Does it help to have seen more?",
        "pretraining": {"more": ["datamodule.few_samples=20"]},
        "arms": {
            "scratch": {"overrides": ["model.freeze=none"], "role": "baseline"},
            "tuned": {"overrides": ["model.weights=pretraining:more"]},
        },
        "seeds": [3, 4],
        "metric": "test/top1_error",
        "overrides": [
            "model=conv5x5",
            "model.network.widths=[4,4]",
            "datamodule=digits",
            "datamodule.image_size=8",
            "datamodule.few_samples=4",
            "effective_field_images=0",
            "trainer.max_epochs=1",
        ],
    },
    "",
)
HERE = ExecutionOptions("here", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of the runs; nothing is drawn in this module, which is most of what a toy run costs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("experiments.runs.record._save", lambda *_: None)
        yield tmp_path_factory.mktemp("study") / "runs"


@pytest.fixture(scope="module")
def answer(place: Path) -> Answer:
    overrides = [f"runs_dir={place}"]
    arms = prepare(STUDY, "more", overrides)
    return Conduct(STUDY, arms, "more", "laptop", overrides, ["whydeep", "study"]).run(HERE)


def arm_run(place: Path, seed: int) -> Path:
    return next(file.parent for file in place.glob(f"*-seed{seed}-*/weights.json"))


def test_its_runs_are_trained_again_from_a_pretraining_of_their_own(place: Path, answer: Answer) -> None:
    assert answer.complete
    request = StudyRequest("more", "laptop", [4], (), None, place, HERE, ("whydeep", "reproduce"))
    found = reproduce_study(request)
    assert found.likeness is not None
    # The pretraining was recorded under both seeds, and is compared with that of its own.
    assert (found.likeness.answer, found.likeness.first) == ("identical", None)
    assert (found.runs, found.own) == (2, 0)
    (again,) = (place / "reproductions").iterdir()
    assert len(list(again.glob("*-seed4-*/result.json"))) == 3


def test_a_run_of_an_arm_is_run_again_from_the_recorded_weights(place: Path, answer: Answer) -> None:
    assert answer.complete
    found = reproduce(Request(arm_run(place, 3), place, progress=False))
    assert (found.answer, found.first) == ("identical", None)


def test_runs_that_start_from_the_same_pretraining_under_other_seeds_are_replicates(
    place: Path, answer: Answer, tmp_path: Path
) -> None:
    assert answer.complete
    own = arm_run(place, 3)
    errors: list[list[float]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("experiments.runs.replicates.Spread.of", lambda values: errors.append(list(values)))
        recorded_spread(place, own)
        # Without the run that it started from nobody knows what that was.
        moved = tmp_path / own.name
        moved.symlink_to(own)
        recorded_spread(place, moved)
    assert [len(each) for each in errors] == [2, 1]


def test_another_pretraining_is_told_by_what_it_is_made_of(answer: Answer) -> None:
    made = here_made(answer.gathered, {})
    assert sorted(made) == ["pretraining.more", "scratch", "tuned"]
    assert [made[name].pretrained for name in sorted(made)] == [False, False, True]
    then = {**made, "tuned": _from_other_weights(made["tuned"])}
    code = {module: digest for each in made.values() for module, digest in each.code.items()}
    assert made_differences(then, code, made, whole=True) == []
    longer = dict(made["pretraining.more"].configuration)
    longer["trainer"] = {**longer["trainer"], "max_epochs": 7}
    then["pretraining.more"] = replace(made["pretraining.more"], configuration=longer)
    (only,) = made_differences(then, code, made, whole=True)
    assert str(only) == "configuration: pretraining.more: trainer.max_epochs 7 → 1"
    # Of a record that does not know it, the weights are what differs.
    del then["pretraining.more"]
    (only,) = made_differences(then, code, made, whole=True)
    assert only.name == "tuned: model.weights"


def _from_other_weights(made: MadeOf) -> MadeOf:
    model = {**made.configuration["model"], "weights": "f" * 64}
    return replace(made, configuration={**made.configuration, "model": model}, digest="e" * 64)


def test_pretraining_has_rows_of_its_own_in_the_report(answer: Answer) -> None:
    assert [(run.arm, run.seed, run.status) for run in answer.gathered.pretrained] == [
        ("pretraining.more", 3, "FINISHED"),
        ("pretraining.more", 4, "FINISHED"),
    ]
    page, text = answer.report.html.read_text(), answer.report.files["md"].read_text()
    for run in answer.gathered.pretrained:
        assert run.label in page
        assert f"| more | {run.seed} | " in text
    assert "summed over 6 runs" in text
    assert "6 runs at commit" in text or "6 runs outside" in text
