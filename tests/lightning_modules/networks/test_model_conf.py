"""What the opening comment of each file in conf/model says of the network is so."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

CONF = Path(__file__).parents[3] / "conf"
OPTIONS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SAYS = re.compile(r"^# .*: ([\d,]+) parameters at (\d+) classes$")


@pytest.mark.parametrize("option", OPTIONS)
def test_the_comment_counts_the_parameters(option: str) -> None:
    comment = (CONF / "model" / f"{option}.yaml").read_text(encoding="utf-8").splitlines()[0]
    said = SAYS.match(comment)
    assert said is not None, comment
    with initialize_config_dir(str(CONF), version_base="1.3"):
        arguments = dict(compose(f"model/{option}").model.network)
    module, _, name = arguments.pop("_target_").rpartition(".")
    with torch.device("meta"):
        network = getattr(importlib.import_module(module), name)(num_classes=int(said[2]), **arguments)
    assert f"{sum(parameter.numel() for parameter in network.parameters()):,}" == said[1]
