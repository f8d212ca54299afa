"""Average precision and recall as COCO has them (Lin et al. 2014; its detection evaluation)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.detections import Floats, Picture

SIZES = ("all", "small", "medium", "large")
MOST_DETECTIONS = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class CocoScores:
    """COCO's numbers, from 0 to 1; nan where there is no object to find, which no mean includes.

    Attributes:
        ap: mean average precision over the classes and the overlaps 0.5, 0.55, … 0.95.
        ap50: at an overlap of 0.5 only.
        ap75: at an overlap of 0.75 only.
        ap_small: of objects of at most 32² square pixels.
        ap_medium: of objects from 32² to 96².
        ap_large: of objects of at least 96².
        ar1: mean recall over the classes and overlaps, of the best detection a picture and class.
        ar10: of the best 10.
        ar100: of the best 100, as all of the average precisions.
        ar_small: as `ar100`, of objects of at most 32² square pixels.
        ar_medium: of objects from 32² to 96².
        ar_large: of objects of at least 96².
        ap_per_class: `(K,)`, `ap` of each class.
        ap50_per_class: `(K,)`, `ap50` of each class.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    ap_per_class: Floats
    ap50_per_class: Floats


def coco_scores(pictures: Mapping[int, Picture], num_classes: int) -> CocoScores:
    """Return COCO's numbers of pictures by their id.

    Crowds are regions in which detections count for nothing. COCO knows no difficult objects: here they count as any.
    Equal scores are taken in the order of the ids, then of the detections, as by COCO's own evaluation.
    """
    precision, recall = _evaluated(pictures, num_classes)
    return CocoScores(
        ap=_mean(precision[..., 0, -1]),
        ap50=_mean(precision[0, ..., 0, -1]),
        ap75=_mean(precision[5, ..., 0, -1]),
        **{f"ap_{size}": _mean(precision[..., number, -1]) for number, size in enumerate(SIZES) if number},
        **{f"ar{most}": _mean(recall[..., 0, number]) for number, most in enumerate(MOST_DETECTIONS)},
        **{f"ar_{size}": _mean(recall[..., number, -1]) for number, size in enumerate(SIZES) if number},
        ap_per_class=np.array([_mean(precision[:, :, label, 0, -1]) for label in range(num_classes)]),
        ap50_per_class=np.array([_mean(precision[0, :, label, 0, -1]) for label in range(num_classes)]),
    )


def _evaluated(pictures: Mapping[int, Picture], num_classes: int) -> tuple[Floats, Floats]:
    """Return the precision (overlaps, recalls, K, sizes, most detections) and the recall, less the second axis.

    Minus one where there is no object to find.
    """
    if not any(len(picture.truth.labels) for picture in pictures.values()):
        shape = (10, 101, num_classes, len(SIZES), len(MOST_DETECTIONS))
        return np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0)
    # A training without boxes need not load it.
    from faster_coco_eval import COCO, COCOeval_faster  # noqa: PLC0415

    ordered = dict(sorted(pictures.items()))
    objects: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, picture in enumerate(ordered.values(), start=1):
        truth = picture.truth
        objects += _annotations(
            number, truth.boxes, truth.labels, area=truth.area, iscrowd=truth.crowd.astype(np.int64)
        )
        area = (picture.boxes[:, 2:] - picture.boxes[:, :2]).prod(axis=1)
        detections += _annotations(number, picture.boxes, picture.labels, area=area, score=picture.scores)
    evaluation = COCOeval_faster(
        *(COCO(_data_set(len(ordered), num_classes, annotations)) for annotations in (objects, detections)),
        iouType="bbox",
    )
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def _data_set(pictures: int, num_classes: int, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    # An id of 0 means to the evaluation that nothing was matched.
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {
        "images": [{"id": number} for number in range(1, pictures + 1)],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": annotations,
    }


def _annotations(picture: int, boxes: Floats, labels: NDArray[Any], **values: NDArray[Any]) -> list[dict[str, Any]]:
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    names = ("bbox", "category_id", *values)
    rows = zip(corner_and_size, labels.tolist(), *(value.tolist() for value in values.values()), strict=True)
    return [{"image_id": picture, **dict(zip(names, row, strict=True))} for row in rows]


def _mean(values: Floats) -> float:
    kept = values[values > -1]
    return float(kept.mean()) if len(kept) else float("nan")
