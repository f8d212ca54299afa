"""COCO's numbers are those of its own evaluation."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.lightning_modules.detection_cases import (
    Case,
    random_case,
    scores,
)


def coco_reference(case: Case, num_classes: int) -> tuple[list[float], list[float]]:
    """Return COCO's twelve numbers and the average precision of each class, by COCO's own evaluation."""
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for picture, (given, truth) in case.items():
        for index, (box, label) in enumerate(zip(truth["boxes"].double(), truth["labels"].tolist(), strict=True)):
            size = box[2:] - box[:2]
            area = truth["area"][index] if "area" in truth else size.prod()
            crowd = int(truth["crowd"][index]) if "crowd" in truth else 0
            true.append(
                {
                    "id": len(true) + 1,
                    "image_id": picture,
                    "category_id": label,
                    "bbox": [*box[:2].tolist(), *size.tolist()],
                    "area": float(area),
                    "iscrowd": crowd,
                }
            )
        rows = zip(given["boxes"].double(), given["scores"].tolist(), given["labels"].tolist(), strict=True)
        found += [
            {
                "image_id": picture,
                "category_id": label,
                "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                "score": score,
            }
            for box, score, label in rows
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO()
        truths.dataset = {
            "info": {},
            "images": [{"id": picture} for picture in case],
            "categories": [{"id": label} for label in range(num_classes)],
            "annotations": true,
        }
        truths.createIndex()
        evaluation = COCOeval(truths, truths.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]
    per_class = [precision[:, :, label, 0, -1] for label in range(num_classes)]
    means = [float(values[values > -1].mean()) if (values > -1).any() else -1.0 for values in per_class]
    return evaluation.stats.tolist(), means


COCO_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_cocos_numbers_are_those_of_its_own_evaluation(seed: int, ties: bool) -> None:
    case = random_case(seed, ties=ties)
    expected, per_class = coco_reference(case, 5)
    measured = scores(case, 5).coco
    numbers = [vars(measured)[name] for name in COCO_NAMES]
    np.testing.assert_allclose(numbers, expected, atol=1e-6)
    assert all(0 < number < 1 for number in expected[:5])
    # Small, medium and large objects do occur.
    assert min(expected) >= 0
    np.testing.assert_allclose(np.nan_to_num(measured.ap_per_class, nan=-1.0), per_class, atol=1e-6)
    assert np.isnan(measured.ap_per_class[-1])
    assert measured.ap50_per_class[:-1].mean() == pytest.approx(measured.ap50, abs=1e-12)
