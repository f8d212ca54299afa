"""A configuration from a store names what it may, whatever its text looks like."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.errors import UserError
from experiments.runs.allowed import check_allowed
from experiments.runs.configuration import CONFIG_DIR, compose


@pytest.mark.parametrize("model", [file.stem for file in sorted((CONFIG_DIR / "model").glob("*.yaml"))])
def test_every_shipped_model_may_come_back(model: str) -> None:
    check_allowed(compose([f"model={model}", "augmentation=full"]))


@pytest.mark.parametrize("group", ["datamodule", "augmentation", "optimizer", "scheduler", "trainer", "tracking"])
def test_every_other_shipped_option_may_come_back(group: str) -> None:
    for file in sorted((CONFIG_DIR / group).glob("*.yaml")):
        check_allowed(compose([f"{group}={file.stem}"]))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "lightning_modules.networks.vgg.torch.hub.load",
        "lightning_modules.networks.vgg.torch.load",
        "lightning_modules.networks.vgg.Sequence",
        "datamodules.image_folder.os.remove",
        "torch.optim.sgd.torch.load",
        "torch.optimistic.Anything",
        "lightning_modules.networks.vgg.VGG.apply",
        "lightning_modules.networks.vgg",
        "lightning_modules.networks.nowhere.VGG",
        "experiments.tracking.store.mlflow.run",
        "",
    ],
)
def test_what_a_package_imports_is_not_its_own(target: str) -> None:
    cfg = OmegaConf.create({"model": {"network": {"_target_": target}}})
    with pytest.raises(UserError, match=r"model\.network\._target_=.*: a recorded configuration may name only"):
        check_allowed(cfg)


def test_targets_in_lists_are_found(tmp_path: Path) -> None:
    marker = tmp_path / "run"
    cfg = OmegaConf.create({"augmentation": {"transforms": [{"p": 1}, {"_target_": "os.mkdir", "path": str(marker)}]}})
    with pytest.raises(UserError, match=r"augmentation\.transforms\[1\]\._target_=os\.mkdir"):
        check_allowed(cfg)
    assert not marker.exists()
