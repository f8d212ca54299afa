"""False detections are told apart by what is wrong with them."""

import pytest

from lightning_modules.detection_errors import FalsePositive
from tests.lightning_modules.detection_cases import detections, objects, scores


def test_false_detections_are_told_apart() -> None:
    true = objects((0, 0, 10, 10, 0), (100, 0, 110, 10, 1))
    found = detections(
        (0, 0, 10, 10, 0.9, 0),  # true
        (0, 0, 10, 9, 0.8, 0),  # a second one of it
        (0, 0, 10, 2, 0.7, 0),  # badly placed
        (100, 0, 110, 10, 0.6, 0),  # where an object of another class is
        (100, 0, 110, 0.9, 0.5, 0),  # hardly touches it
        (300, 0, 310, 10, 0.4, 0),
        (0, 0, 10, 10, 0.3, 1),
    )
    errors = scores({0: (found, true)}, 2).errors
    assert [FalsePositive(kind).name for kind in errors.kinds[0]] == [
        *2 * ["LOCALISATION"],
        "CLASS",
        *2 * ["BACKGROUND"],
    ]
    assert errors.counts(100).tolist() == [[2, 1, 2], [0, 1, 0]]
    assert errors.counts(3).tolist() == [[2, 1, 0], [0, 1, 0]]
    assert errors.counts().tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match=r"^top=0: must be at least 1$"):
        errors.counts(0)
