"""The presets of conf/, as scenes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from datamodules.scenes.composing import Scenes, scenes_of

CONF = Path(__file__).parents[3] / "conf" / "datamodule"
# Scenes for detection are configured by themselves.
PRESETS = sorted(path.stem for path in CONF.glob("scenes*.yaml") if path.stem != "scenes_detection")
SCENES = dict[str, Scenes]


def configured(preset: str) -> dict[str, Any]:
    merged = OmegaConf.merge(OmegaConf.load(CONF / "scenes.yaml"), OmegaConf.load(CONF / f"{preset}.yaml"))
    # Its folder and its seed are those of a run.
    content = OmegaConf.to_container(merged, resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


@pytest.fixture
def configuration() -> Callable[[str], dict[str, Any]]:
    """A preset's settings."""
    return configured


@pytest.fixture
def scenes() -> Callable[..., SCENES]:
    """The scenes of each split under a preset, some of its knobs changed."""

    def make(preset: str, seed: int = 0, **knobs: object) -> SCENES:
        cfg = configured(preset)
        changed = {**cfg["knobs"], **knobs}
        return scenes_of(cfg["rule"], changed, cfg["test_knobs"], seed=seed, image_size=cfg["image_size"])

    return make


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    """Each preset in turn."""
    return str(request.param)
