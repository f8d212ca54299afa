"""Composing: what is chosen, and one line for whatever is wrong."""

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, compose, load, nearest


def test_the_default_run_is_whole() -> None:
    cfg = compose([])
    assert cfg.choices.model == "resnet20"
    assert cfg.choices.datamodule == "digits"
    assert cfg.datamodule.seed == cfg.seed == 0
    assert "hydra" not in cfg


def test_an_override_reaches_what_refers_to_it() -> None:
    cfg = compose(["seed=7", "data_dir=/elsewhere", "datamodule=cifar10"])
    assert cfg.datamodule.seed == 7
    assert cfg.datamodule.root == "/elsewhere"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=2", "trainer.max_epoch: unknown key; did you mean 'trainer.max_epochs'?"),
        ("model=resnt20", "model=resnt20: no such option; did you mean 'resnet20'?"),
        ("modle=resnet20", "modle: unknown key; did you mean 'model'?"),
        ("model.network.dept=3", "model.network.dept: unknown key; did you mean 'model.network.depth'?"),
        ("seed", "seed: not of the form key=value"),
        ("--sed=3", "--sed=3: unknown flag"),
        ("trainer.max_epochs=[1", "trainer.max_epochs=[1: cannot be read"),
        ("seed=0,1", "seed=0,1: several values; add -m"),
        ("trainer=cpu,gpu", "trainer=cpu,gpu: several values; add -m"),
        ("seed=${nope}", "seed: refers to 'nope', which does not exist"),
        ("+model=resnet20", "+model=resnet20: that group has a choice already"),
        ("++model=vgg11", "++model=vgg11: an option is chosen without '++'; write model=vgg11"),
        ("~optimizer.momentun", "optimizer.momentun: unknown key; did you mean 'optimizer.momentum'?"),
        ("~optimizer.momentum=3", "~optimizer.momentum=3: its value is 0.9; ~optimizer.momentum takes it away"),
        ("~model=vgg11", "~model=vgg11: that option is not chosen"),
        ("~qqq", "qqq: unknown key; allowed: "),
        ("seed.deep=3", "seed.deep: unknown key"),
        ("hydra.nonsense=1", "hydra.nonsense: unknown key"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_option_of_every_group_opens_with_what_it_is() -> None:
    files = sorted(CONFIG_DIR.rglob("*.yaml"))
    assert len(files) > 40
    for file in files:
        first = file.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# "), file
        assert len(first) > 10, file


def test_a_recorded_configuration_holds_no_interpolations(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("seed: ${oc.env:HOME}\n")
    with pytest.raises(UserError, match="interpolation"):
        load(file)


@pytest.mark.parametrize("content", ["- a\n", "a: [\n"])
def test_what_is_no_configuration_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        load(file)


def test_the_nearest_spelling_is_offered_only_when_near() -> None:
    assert nearest("trainr", ["trainer", "model"]) == "did you mean 'trainer'? allowed: model, trainer"
    assert nearest("xyz", ["trainer", "model"]) == "allowed: model, trainer"
