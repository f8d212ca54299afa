"""Pictures with detections and objects, written by hand or drawn, for tests of what is measured on them."""

import torch
from torch import Tensor

from lightning_modules.average_precision import AveragePrecision, DetectionScores
from lightning_modules.detections import Objects
from lightning_modules.networks.boxes import Detections

Case = dict[int, tuple[Detections, Objects]]


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Make detections of (x1, y1, x2, y2, score, label)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return {"boxes": table[:, :4], "scores": table[:, 4], "labels": table[:, 5].long()}


def objects(*rows: tuple[float, float, float, float, int], **flags: list[bool]) -> Objects:
    """Make objects of (x1, y1, x2, y2, label)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
    made: Objects = {"boxes": table[:, :4], "labels": table[:, 4].long()}
    if "crowd" in flags:
        made["crowd"] = torch.tensor(flags["crowd"])
    if "difficult" in flags:
        made["difficult"] = torch.tensor(flags["difficult"])
    return made


def gathered(case: Case, num_classes: int) -> AveragePrecision:
    metric = AveragePrecision(num_classes)
    for picture, (found, true) in case.items():
        metric.update([picture], [found], [true])
    return metric


def scores(case: Case, num_classes: int = 1) -> DetectionScores:
    return gathered(case, num_classes).compute()


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    """Make boxes with sides from 2 to 250 px, so that every size of COCO occurs."""
    corner = torch.rand(count, 2, generator=generator) * 200
    size = 2 * 125 ** torch.rand(count, 2, generator=generator).sqrt()
    return torch.cat([corner, corner + size], dim=1)


def random_case(seed: int, *, pictures: int = 20, num_classes: int = 5, ties: bool = True) -> Case:
    """Make pictures, some empty, of which the last class never occurs; detections near objects and elsewhere."""
    generator = torch.Generator().manual_seed(seed)

    def number(most: int) -> int:
        return int(torch.randint(most + 1, (1,), generator=generator))

    case: Case = {}
    for picture in range(pictures):
        count = number(8) * (picture % 5 > 0)
        boxes = random_boxes(count, generator)
        labels = torch.randint(num_classes - 1, (count,), generator=generator)
        true: Objects = {"boxes": boxes, "labels": labels, "crowd": torch.rand(count, generator=generator) < 0.15}
        if picture % 2:
            true["area"] = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) * torch.rand(count, generator=generator)
        near = boxes.repeat(3, 1)
        shift = torch.randn(len(near), 2, generator=generator).repeat(1, 2) * 0.12
        near = near + shift * (near[:, 2:] - near[:, :2]).repeat(1, 2)
        # More than the hundred of one class that COCO looks at.
        many = picture % 7 == 0
        elsewhere = random_boxes(150 if many else number(10), generator)
        likely = torch.randint(num_classes, (len(elsewhere),), generator=generator) * (not many)
        found = torch.cat([near, elsewhere]) if picture % 6 else near[:0]
        likely = torch.cat([labels.repeat(3), likely])
        confidence = torch.rand(len(found), generator=generator)
        case[picture] = (
            {
                "boxes": found,
                "scores": (confidence * 20).round() / 20 if ties else confidence,
                "labels": likely[: len(found)],
            },
            true,
        )
    return case
