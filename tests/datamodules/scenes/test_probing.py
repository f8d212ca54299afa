"""Pictures for probes: balanced labels that the pictures show, and that their mean colour does not."""

import hashlib

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.scenes.probing import KINDS, ORIENTATIONS, probe_pictures
from datamodules.scenes.scene import SHAPES, TEXTURES
from experiments.measures.probes import probe_error

DIGESTS = {"edge": "3a24b663c3f896b4", "texture": "d8260d416e7a2bb9", "shape": "5ead0a7c111af712"}


@pytest.mark.parametrize(("kind", "names"), [("edge", ORIENTATIONS), ("texture", TEXTURES), ("shape", SHAPES)])
def test_every_label_as_often_as_any_other(kind: str, names: tuple[str, ...]) -> None:
    found = probe_pictures(kind, 48, 16)
    assert found.names == names
    assert found.pictures.shape == (48, 3, 16, 16)
    assert np.bincount(found.labels[:24]).tolist() == [24 // len(names)] * len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_everywhere(kind: str) -> None:
    found = probe_pictures(kind, 40, 32)
    assert hashlib.sha256(found.pictures.tobytes()).hexdigest()[:16] == DIGESTS[kind]
    np.testing.assert_array_equal(probe_pictures(kind, 10, 32).pictures, found.pictures[:10])


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_colour_does_not_tell_the_label(kind: str) -> None:
    found = probe_pictures(kind, 4000, 16)
    means = found.pictures.astype(np.float64).mean(axis=(2, 3)) / 255
    grey = means.mean(axis=1, keepdims=True)
    features = np.concatenate([means, means**2, grey, grey**2, np.abs(means - grey)], axis=1)
    error = probe_error(features[:2000], found.labels[:2000], features[2000:], found.labels[2000:])
    chance = 100 * (1 - 1 / len(found.names))
    # Four standard errors of what is drawn by chance.
    assert error > chance - 4 * 100 * np.sqrt((chance / 100) * (1 - chance / 100) / 2000)


def test_an_edge_runs_across_its_orientation() -> None:
    found = probe_pictures("edge", 200, 33)
    light = found.pictures.astype(np.float64)
    down, across = np.gradient(light, axis=2), np.gradient(light, axis=3)
    # The direction of the gradient, of twice the angle: both signs of contrast are one orientation.
    angle = np.arctan2((2 * across * down).sum((1, 2, 3)), (across**2 - down**2).sum((1, 2, 3))) / 2
    expected = np.radians([float(found.names[label]) for label in found.labels])
    assert np.abs(np.sin(angle - expected)).max() < np.sin(np.radians(5))
    rises = (across * np.cos(expected)[:, None, None, None] + down * np.sin(expected)[:, None, None, None]).sum(
        (1, 2, 3)
    )
    assert 70 < (rises > 0).sum() < 130


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="kind=colour: must be one of edge, texture, shape"):
        probe_pictures("colour", 8, 16)
    with pytest.raises(DataError, match="count=8, size=4: must be at least 1 and 8"):
        probe_pictures("edge", 8, 4)
