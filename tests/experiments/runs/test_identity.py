"""Identity: what changes it, and what does not."""

from pathlib import Path

import pytest

from experiments.runs.configuration import compose
from experiments.runs.identity import identify, identities

DATA = "d" * 64


def digest(*overrides: str, data: str = DATA) -> str:
    return identify(compose(overrides), data).digest


def test_the_same_run_has_the_same_identity() -> None:
    assert digest("seed=1") == digest("seed=1")


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model=resnet32",
        "optimizer.lr=0.2",
        "trainer.max_epochs=3",
        "datamodule.batch_size=64",
        "trainer.accumulate_grad_batches=2",
        "trainer.precision=64-true",
        "ema_decay=0.9",
    ],
)
def test_what_decides_the_result_changes_it(override: str) -> None:
    assert digest(override) != digest()


@pytest.mark.parametrize(
    "override",
    [
        "runs_dir=/elsewhere",
        "data_dir=/elsewhere",
        "datamodule.num_workers=4",
        "trainer.devices=2",
        "trainer.accelerator=auto",
        "trainer.deterministic=false",
        "resume=never",
        "rerun=true",
        "experiment=other",
        "tracking.flush_seconds=1",
    ],
)
def test_how_it_is_executed_does_not(override: str) -> None:
    assert digest(override) == digest()


@pytest.mark.parametrize("key", ["model.weights", "model.key_map"])
def test_files_count_by_their_content(key: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    one.write_bytes(b"a")
    other.write_bytes(b"a")
    before = digest(f"{key}={one}")
    assert before == digest(f"{key}={other}")
    assert before != digest()
    one.write_bytes(b"b")
    assert before != digest(f"{key}={one}")


def test_other_data_change_it() -> None:
    assert digest(data="e" * 64) != digest()


def test_many_seeds_at_once_have_the_identities_that_they_have_one_by_one() -> None:
    at_once = identities(compose(["seed=5"]), [0, 7], DATA, keys=["seed", "datamodule.seed"], shares=2)
    assert at_once == {seed: identify(compose([f"seed={seed}"]), DATA, shares=2) for seed in (0, 7)}
    assert at_once[0] != at_once[7]
