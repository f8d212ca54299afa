"""What is recorded to differ between the arms of a study, and what of it is a confound."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from experiments.runs.result import RunResult
from experiments.studies import recorded_facts
from experiments.studies.comparison import Replicate
from experiments.studies.confound import Confound
from experiments.studies.confounds import recorded_confounds
from experiments.studies.study import Study, checked

ARMS = {
    "a": {"overrides": ["model=conv5x5"], "role": "baseline"},
    "b": {"overrides": ["model=two_conv3x3"]},
}


def study(**fields: object) -> Study:
    given = {"question": "Which?", "arms": ARMS, "seeds": 2, "metric": "test/top1_error"}
    return checked({**given, **fields}, "")


def recorded(folder: Path, arm: str, seed: int, epochs: float = 2.0, **changed: object) -> Replicate:
    """Write down a run; `changed` are keys of its configuration (`__` for a dot), or what is recorded of it."""
    run_dir = folder / f"{arm}{seed}"
    run_dir.mkdir()
    cfg = OmegaConf.create(
        {
            "seed": seed,
            "datamodule": {"batch_size": 128, "seed": seed},
            "trainer": {
                "devices": 1,
                "num_nodes": 1,
                "accelerator": "cpu",
                "precision": "32-true",
                "deterministic": True,
                "accumulate_grad_batches": 1,
            },
        }
    )
    for key, value in changed.items():
        if "__" in key:
            OmegaConf.update(cfg, key.replace("__", "."), value)
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    provenance = {
        "command": ["whydeep", "train", f"seed={seed}"],
        "python": changed.get("python", "3.11"),
        "packages": {"torch": changed.get("torch", "2.15")},
        "processor": "x",
        "threads": changed.get("threads", 1),
        "accelerators": changed.get("accelerators", []),
        **({"processor_model": changed["model"]} if "model" in changed else {}),
    }
    (run_dir / "provenance.json").write_text(json.dumps(provenance, indent=2))
    code = {"shared": changed.get("shared", "c" * 64), f"only_{arm}": arm * 64}
    (run_dir / "identity.json").write_text(json.dumps({"data": changed.get("data", "d" * 64), "code_files": code}))
    (run_dir / "data.json").write_text(json.dumps({"split_digest": changed.get("split", str(seed) * 64)}))
    result = RunResult(run_dir, None, "i", "n", "FINISHED", seed, {}, (1, 8, 8), metrics={"spent/epochs": epochs})
    return Replicate(arm, seed, "FINISHED", result, None)


MODELS: dict[str, dict[str, Any]] = {"a": {}, "b": {"model": "model 1"}, "c": {"model": "model 17"}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"threads": 2}, "threads differs at seed 0: a 1, b 2"),
        ({"python": "3.12"}, "python differs at seed 0: a 3.11, b 3.12"),
        ({"torch": "2.16"}, "version of torch differs at seed 0: a 2.15, b 2.16"),
        ({"accelerators": ["H200"]}, "accelerators differs at seed 0: a [], b ['H200']"),
        ({"shared": "e" * 64}, "source of shared differs at seed 0: a cccccccccc, b eeeeeeeeee"),
        ({"data": "e" * 64}, "digest of the data differs at seed 0: a dddddddddd, b eeeeeeeeee"),
        ({"split": "e" * 64}, "digest of the split differs at seed 0: a 0000000000, b eeeeeeeeee"),
        ({"epochs": 1.0}, "epochs trained differs at seed 0: a 2, b 1"),
        ({"trainer__devices": [0, 3]}, "trainer.devices differs at seed 0: a 1, b 2"),
        ({"trainer__num_nodes": 2}, "trainer.num_nodes differs at seed 0: a 1, b 2"),
        ({"trainer__accelerator": "gpu"}, "trainer.accelerator differs at seed 0: a cpu, b gpu"),
        ({"trainer__precision": "bf16-mixed"}, "trainer.precision differs at seed 0: a 32-true, b bf16-mixed"),
        ({"trainer__deterministic": False}, "trainer.deterministic differs at seed 0: a True, b False"),
        ({"datamodule__batch_size": 64}, "datamodule.batch_size differs at seed 0: a 128, b 64"),
        ({"trainer__accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches differs at seed 0: a 1, b 2"),
    ],
)
def test_each_thing_that_differs_at_one_seed_is_named(
    changed: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    runs = [recorded(tmp_path, "a", 0), recorded(tmp_path, "b", 0, **changed)]  # type: ignore[arg-type]
    (confound,) = recorded_confounds(runs, study(), {})
    assert confound.sentence() == sentence
    # Declared, by the study or by the arm that has it otherwise, it is none.
    assert recorded_confounds(runs, study(declared=[confound.what]), {}) == []
    assert recorded_confounds(runs, study(), {"b": {confound.what}}) == []


def test_a_run_that_went_on_elsewhere_differs_from_one_that_did_not(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, arm, 0) for arm in "ab"]
    first = json.loads((tmp_path / "a0" / "provenance.json").read_text())
    for session, threads in ((2, 1), (10, 4)):
        (tmp_path / "b0" / f"provenance-{session}.json").write_text(json.dumps({**first, "threads": threads}))
    (confound,) = recorded_confounds(runs, study(), {})
    assert confound.sentence() == "threads differs at seed 0: a 1, b 1, then 4"


def test_two_models_of_a_processor_differ_where_both_are_recorded(tmp_path: Path) -> None:
    old, first, other = (recorded(tmp_path, arm, 0, **model) for arm, model in MODELS.items())
    (confound,) = recorded_confounds([first, other], study(), {})
    assert confound.sentence() == "processor_model differs at seed 0: b model 1, c model 17"
    assert recorded_confounds([old, other], study(), {}) == []


def test_which_of_its_devices_a_run_got_is_chance(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, arm, 0, trainer__devices=[place]) for place, arm in enumerate("ab")]
    assert recorded_confounds(runs, study(), {}) == []


def test_what_differs_between_seeds_alone_is_none(tmp_path: Path) -> None:
    """Each seed has its own split, and may have its own data: what counts is that its arms share them."""
    per_seed = {0: {"data": "0" * 64, "threads": 1}, 1: {"data": "1" * 64, "threads": 2}}
    runs = [recorded(tmp_path, arm, seed, **per_seed[seed]) for arm in "ab" for seed in (0, 1)]  # type: ignore[arg-type]
    assert recorded_confounds(runs, study(), {}) == []


def test_what_differs_at_several_seeds_is_said_once_and_at_which(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, "a", seed) for seed in range(3)]
    runs += [recorded(tmp_path, "b", seed, split=f"{9 - seed}" * 64 if seed else "0" * 64) for seed in range(3)]
    (confound,) = recorded_confounds(runs, study(), {})
    assert confound == Confound("digest of the split", {"a": "1" * 10, "b": "8" * 10}, 1)


@pytest.mark.parametrize(
    ("own", "confounds"),
    [
        ("datamodule", 0),
        ("datamodule.root", 0),
        ("datamodule.few_samples", 1),
        ("datamodule.num_workers", 2),
        ("datamodule.batch_size", 2),
    ],
)
def test_an_arm_that_asks_for_other_data_has_declared_what_follows(own: str, confounds: int, tmp_path: Path) -> None:
    runs = [recorded(tmp_path, "a", 0), recorded(tmp_path, "b", 0, data="e" * 64, split="f" * 64)]
    assert len(recorded_confounds(runs, study(), {"b": {own}})) == confounds
    assert len(recorded_confounds(runs, study(declared=[own]), {})) == confounds


@pytest.mark.parametrize(
    ("name", "content"),
    [("provenance.json", "{"), ("identity.json", "null"), ("identity.json", "[]"), ("data.json", "null")],
)
def test_a_run_whose_record_cannot_be_read_is_left_out(name: str, content: str, tmp_path: Path) -> None:
    runs = [recorded(tmp_path, arm, 0, threads=place) for place, arm in enumerate("ab")]
    (tmp_path / "b0" / name).write_text(content)
    assert recorded_confounds(runs, study(), {}) == []


def test_of_many_seeds_each_kind_of_record_is_read_once(tmp_path: Path) -> None:
    """Reading thousands of configurations one by one would take minutes."""
    runs = [recorded(tmp_path, arm, seed) for arm in "ab" for seed in range(20)]
    for read in (recorded_facts._executed, recorded_facts._surroundings):
        read.cache_clear()
    assert recorded_confounds(runs, study(), {}) == []
    assert [read.cache_info().misses for read in (recorded_facts._executed, recorded_facts._surroundings)] == [1, 1]
