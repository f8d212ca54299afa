"""The studies that come with the project: what they claim of untrained networks holds at each of their scales."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig

from experiments.runs.build import build_network, measure_network
from experiments.runs.record import scalars
from experiments.studies.answers import answer
from experiments.studies.claim import Claim
from experiments.studies.measured import sums_by_layer
from experiments.studies.plan import PlannedArm, plan_arms
from experiments.studies.study_file import STUDIES, read_study
from experiments.studies.study_parts import LAPTOP

CHANNELS_AND_CLASSES = {
    "digits": (1, 10),
    "cifar10": (3, 10),
    "scenes": (3, 8),
    "scenes_facing": (3, 2),
    "scenes_narrow": (3, 8),
    "scenes_relation": (3, 4),
    "scenes_texture_conflict": (3, 4),
}


@dataclass(frozen=True)
class Measured:
    """An arm's network, measured without its data."""

    name: str
    measures: dict[str, float]
    layers: dict[str, dict[str, float]]


def measured(arm: PlannedArm) -> Measured:
    channels, classes = CHANNELS_AND_CLASSES[arm.cfg.choices.datamodule]
    size = arm.cfg.datamodule.image_size
    found = measure_network(arm.cfg, build_network(arm.cfg, classes, channels), (channels, size, size))
    return Measured(arm.name, scalars(found), sums_by_layer(found))


def without_data(cfg: DictConfig) -> SimpleNamespace:
    channels, classes = CHANNELS_AND_CLASSES[cfg.choices.datamodule]
    spec = SimpleNamespace(channels=channels, num_classes=classes, image_size=cfg.datamodule.image_size)
    return SimpleNamespace(spec=spec)


def on_measure(claim: Claim) -> bool:
    return (claim.on or "").startswith("measure/")


def scales() -> Iterator[tuple[str, str]]:
    for file in sorted(STUDIES.glob("*.yaml")):
        study = read_study(file.stem)
        # Others have nothing to be checked, and a budget cannot be met before the data are there.
        if any(on_measure(claim) for claim in study.claims.values()):
            for scale in (LAPTOP, *study.scales):
                yield file.stem, scale


@pytest.mark.parametrize(("name", "scale"), list(scales()))
def test_claims_on_measures_hold_at_every_scale(name: str, scale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.runs.build.build_datamodule", without_data)  # a budget asks for it
    study = read_study(name).at_scale(scale)
    # Equal samples leave networks as they are, and would need the data.
    arms = plan_arms(study, with_budget=study.budget.equal != "samples")
    verdicts = answer(study, [measured(arm) for arm in arms], [])
    on_measures = {claim for claim, stated in study.claims.items() if (stated.on or "").startswith("measure/")}
    found = {verdict.claim: verdict.outcome for verdict in verdicts if verdict.claim in on_measures}
    assert found == dict.fromkeys(on_measures, "supported")
