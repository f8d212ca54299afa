"""The presets of conf/, as scenes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from datamodules.scenes.composing import Scenes, scenes_of

CONF = Path(__file__).parents[3] / "conf" / "datamodule"
PRESETS = sorted(path.stem for path in CONF.glob("scenes*.yaml"))
SCENES = dict[str, Scenes]


def configured(preset: str) -> DictConfig:
    base, own = OmegaConf.load(CONF / "scenes.yaml"), OmegaConf.load(CONF / f"{preset}.yaml")
    merged = OmegaConf.merge(base, own)
    assert isinstance(merged, DictConfig)
    return merged


@pytest.fixture
def scenes() -> Callable[..., SCENES]:
    """The scenes of each split under a preset, some of its knobs changed."""

    def make(preset: str, seed: int = 0, **knobs: object) -> SCENES:
        cfg = configured(preset)
        return scenes_of(
            cfg.rule,
            {**OmegaConf.to_container(cfg.knobs), **knobs},  # type: ignore[dict-item]
            OmegaConf.to_container(cfg.test_knobs),  # type: ignore[arg-type]
            seed=seed,
            image_size=cfg.image_size,
        )

    return make


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    """Each preset in turn."""
    return str(request.param)
