"""Configurations composed quickly are those that Hydra composes."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs import composition
from experiments.runs.composition import compose_quickly
from experiments.runs.configuration import CONFIG_DIR, ROOT, compose, without_hydra
from experiments.runs.options import COMPONENTS

DIGITS = ["datamodule=digits", "datamodule.image_size=8", "model=conv5x5"]


def by_hydra(overrides: list[str], folder: Path = CONFIG_DIR, root: str = ROOT) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        cfg = hydra_compose(root, overrides, return_hydra_config=True)
        return without_hydra(cfg, cfg.hydra.runtime.choices)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [*DIGITS, "seed=4"],
        [*DIGITS, "model.network.widths=[4,4]", "optimizer=adamw", "optimizer.lr=1e-4", "scheduler=constant"],
        ["seed=7", "data_dir=/elsewhere", "datamodule=cifar10", "augmentation=flip_crop"],
        ["+optimizer.dampening=0", "++trainer.max_time='00:00:01:00'", "ema_decay=0.99"],
        ["runs_dir='a, b'", "experiment='x=y'", "data_dir=${runs_dir}"],
        # A later one changes what an earlier one has set; a value that is a mapping is merged.
        ["model.network={depth: 8}", "model.network.depth=14", "+extra={a: 1}", "+extra={b: 2}"],
        ["hydra.run.dir=elsewhere", "seed=1"],
    ],
)
def test_the_same_keys_values_and_order_as_hydra(overrides: list[str]) -> None:
    quick = compose_quickly(CONFIG_DIR, ROOT, overrides)
    assert quick is not None
    assert OmegaConf.to_yaml(composition.resolved(quick)) == OmegaConf.to_yaml(by_hydra(overrides))


@pytest.mark.parametrize("overrides", [["~optimizer.momentum"], ["optimizer.lr=1,2"], ["+optimizer.lr=1"]])
def test_what_is_not_simple_is_left_to_hydra(overrides: list[str]) -> None:
    assert compose_quickly(CONFIG_DIR, ROOT, overrides) is None


def test_what_hydra_refuses_is_refused() -> None:
    for override in ("optimizer.lrr=1", "model=none_such", "seed=${nope}", "optimizer@other=sgd", "a=[1"):
        with pytest.raises(UserError):
            compose([override])


def test_choices_are_those_of_the_run_not_of_a_package_nor_of_hydra() -> None:
    cfg = compose([*DIGITS, "+model@teacher=resnet20", "hydra/launcher=basic"])
    assert cfg.teacher.network._target_ != cfg.model.network._target_
    assert cfg.choices.keys() == set(COMPONENTS)
    assert (cfg.choices.model, cfg.choices.datamodule) == ("conv5x5", "digits")


def test_options_are_read_once_however_many_values_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []

    def counted(root: str, overrides: list[str], **kwargs: bool) -> DictConfig:
        read.append(overrides)
        return hydra_compose(root, overrides, **kwargs)

    monkeypatch.setattr(composition, "hydra_compose", counted)
    composition._options.cache_clear()
    rates = [compose([*DIGITS, f"optimizer.lr={rate}", f"seed={seed}"]) for rate in (0.1, 0.2) for seed in range(3)]
    assert read == [["datamodule=digits", "model=conv5x5"]]
    assert [(cfg.optimizer.lr, cfg.seed) for cfg in rates] == [(rate, seed) for rate in (0.1, 0.2) for seed in range(3)]


def test_what_was_composed_may_be_changed_and_a_changed_file_counts(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text("a: 1\n")
    first = compose_quickly(tmp_path, "root", ["a=2"])
    assert first is not None
    first.a = 5
    assert compose_quickly(tmp_path, "root", []) == {"a": 1, "choices": {}}
    (tmp_path / "root.yaml").write_text("a: 1\nb: 2\n")
    assert compose_quickly(tmp_path, "root", []) == {"a": 1, "b": 2, "choices": {}}
