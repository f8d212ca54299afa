"""Identity: what changes it, and what does not."""

from pathlib import Path

import pytest
import torch

from experiments.runs.configuration import compose
from experiments.runs.identity import identify, identities, ingredients, with_weights_digest

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
        "model.freeze=trunk",
        "model.frozen_batch_norm=adapt",
        "model.trunk_lr_factor=0.2",
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


def test_a_key_map_counts_by_its_content(tmp_path: Path) -> None:
    weights, one, other = tmp_path / "weights.pt", tmp_path / "one.yaml", tmp_path / "other.yaml"
    torch.save({"conv1.weight": torch.ones(2, 2)}, weights)
    one.write_text("a: b")
    other.write_text("a: b")
    before = digest(f"model.weights={weights}", f"model.key_map={one}")
    assert before == digest(f"model.weights={weights}", f"model.key_map={other}")
    assert before != digest(f"model.weights={weights}")
    one.write_text("a: c")
    assert before != digest(f"model.weights={weights}", f"model.key_map={one}")


def test_weights_count_by_their_values(tmp_path: Path) -> None:
    def saved(name: str, value: float, **beside: object) -> str:
        torch.save({"state_dict": {"conv1.weight": torch.full((2, 2), value)}, **beside}, tmp_path / name)
        return f"model.weights={tmp_path / name}"

    before = digest(saved("one.pt", 1.0, seconds=3.0))
    assert before == digest(saved("other.ckpt", 1.0, seconds=4.0))
    assert before != digest()
    assert before != digest(saved("one.pt", 2.0, seconds=3.0))


def test_the_recorded_digest_of_weights_stands_for_them(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.ones(2, 2)}, tmp_path / "weights.pt")
    asked = compose([f"model.weights={tmp_path / 'weights.pt'}"])
    recorded = with_weights_digest(asked)
    recorded.model.weights = "run:0123456789abcdef"
    assert identify(recorded, DATA) == identify(asked, DATA)
    assert ingredients(recorded) == ingredients(with_weights_digest(asked))


def test_other_data_change_it() -> None:
    assert digest(data="e" * 64) != digest()


def test_many_seeds_at_once_have_the_identities_that_they_have_one_by_one() -> None:
    at_once = identities(compose(["seed=5"]), [0, 7], DATA, keys=["seed", "datamodule.seed"], shares=2)
    assert at_once == {seed: identify(compose([f"seed={seed}"]), DATA, shares=2) for seed in (0, 7)}
    assert at_once[0] != at_once[7]
