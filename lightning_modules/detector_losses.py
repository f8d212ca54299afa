"""The losses of a step of each detector, from pictures, proposals and objects; draws by seed and step alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.detections import Objects
from lightning_modules.multi_task_loss import multi_task_loss
from lightning_modules.networks.fast_rcnn import FastRCNN
from lightning_modules.networks.faster_rcnn import FasterRCNN
from lightning_modules.networks.rcnn import RCNN
from lightning_modules.region_labels import label_regions
from lightning_modules.region_sampling import RegionSampler, sample_regions


class DetectorLosses(Protocol):
    """What is trained of a detector, by name; the sum is what is minimised."""

    def __call__(
        self, pictures: Sequence[Tensor], proposals: Sequence[Tensor], objects: Sequence[Objects], step: int
    ) -> dict[str, Tensor]:
        """Return the losses of a batch of B pictures.

        Args:
            pictures: B, float `(C, H, W)`, normalised.
            proposals: B, float `(N, 4)`, x1 y1 x2 y2 in pixels.
            objects: B.
            step: of the training, on which with the seed the draws depend.

        Raises:
            ValueError: a box without an area, or a label that is no class.
        """


@dataclass(frozen=True)
class RCNNLosses:
    """Fine-tuning on warped regions: cross entropy in nats, as `classification` (Girshick et al. 2014, section 2.3).

    The regions are drawn from those of the batch, as `RegionSampler` does; the paper's batch is the training set.

    Args:
        network: whose backbone is trained.
        positives: regions of objects per step; 32 in the paper.
        backgrounds: regions of background per step; 96 in the paper.
        foreground: IoU from which on a region has its object's class; 0.5 in the paper.
        seed: of the draws.
    """

    network: RCNN
    positives: int = 32
    backgrounds: int = 96
    foreground: float = 0.5
    seed: int = 0

    def __call__(
        self, pictures: Sequence[Tensor], proposals: Sequence[Tensor], objects: Sequence[Objects], step: int
    ) -> dict[str, Tensor]:
        """Return `classification`, of `positives` and `backgrounds` regions; as `DetectorLosses`.

        Raises:
            ValueError: as `DetectorLosses`, or neither a proposal nor an object in all of the batch.
        """
        classes = self.network.num_classes
        regions = [
            label_regions(boxes, true, classes, foreground=self.foreground)
            for boxes, true in zip(proposals, objects, strict=True)
        ]
        sampler = RegionSampler(
            [own.labels for own in regions],
            num_classes=classes,
            positives=self.positives,
            backgrounds=self.backgrounds,
            seed=self.seed,
        )
        drawn = sampler.batch(step)
        warped, labels = [], []
        # Each picture's regions at once.
        for number in sorted(set(drawn.pictures.tolist())):
            own = drawn.pictures == number
            boxes = regions[number].boxes
            warped.append(self.network.warping(pictures[number], boxes[drawn.regions[own].to(boxes.device)]))
            labels.append(drawn.labels[own])
        logits = self.network.region_logits(torch.cat(warped))
        return {"classification": F.cross_entropy(logits, torch.cat(labels).to(logits.device))}


@dataclass(frozen=True)
class FastRCNNLosses:
    """The multi-task loss on some regions of each picture, as `classification` and `localisation`.

    Girshick 2015, section 2.3: of two pictures 64 regions each, at most a quarter of them objects; background overlaps
    an object by 0.1 to 0.5, which stands for mining hard negatives.

    Args:
        network: what is trained.
        regions: of each picture, at most.
        positives: of these.
        foreground: IoU from which on a region has its object's class.
        background: IoU with an object from which on a region below `foreground` is background; in a picture without
            objects every region is.
        seed: of the draws.
    """

    network: FastRCNN
    regions: int = 64
    positives: int = 16
    foreground: float = 0.5
    background: float = 0.1
    seed: int = 0

    def __call__(
        self, pictures: Sequence[Tensor], proposals: Sequence[Tensor], objects: Sequence[Objects], step: int
    ) -> dict[str, Tensor]:
        """Return `classification` and `localisation`, each a mean over the regions; as `DetectorLosses`.

        Raises:
            ValueError: as `DetectorLosses`, or neither a proposal nor an object in all of the batch.
        """
        classes = self.network.num_classes
        boxes, labels, targets = [], [], []
        for number, (own, true) in enumerate(zip(proposals, objects, strict=True)):
            regions = label_regions(own, true, classes, foreground=self.foreground, background=self.background)
            if not len(regions.truths):
                regions = label_regions(own, true, classes, foreground=self.foreground)
            key = ("step", self.seed, step, number)
            chosen = sample_regions(regions.labels, classes, count=self.regions, positives=self.positives, key=key)
            boxes.append(regions.boxes[chosen])
            labels.append(regions.labels[chosen])
            nearest = regions.nearest()[1][chosen]
            towards = regions.truths[nearest] if len(regions.truths) else boxes[-1]
            targets.append(self.network.targets(boxes[-1], towards))
        if not any(map(len, boxes)):
            raise ValueError(f"{len(pictures)} pictures: none has a region of an object or of background")
        loss = multi_task_loss(self.network.predict(pictures, boxes), torch.cat(labels), torch.cat(targets))
        return loss._asdict()


@dataclass(frozen=True)
class FasterRCNNLosses:
    """torchvision's four losses; its draws of anchors and regions are torch's, from its generator.

    Args:
        network: what is trained, in training mode.
    """

    network: FasterRCNN

    def __call__(
        self,
        pictures: Sequence[Tensor],
        proposals: Sequence[Tensor],  # noqa: ARG002 - the network proposes itself
        objects: Sequence[Objects],
        step: int,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return torchvision's losses; crowds are left out, as in its training on COCO.

        Raises:
            ValueError: as `FasterRCNN.losses`.
        """
        counted = [~own.get("crowd", torch.zeros_like(own["labels"], dtype=torch.bool)).bool() for own in objects]
        boxes = [own["boxes"][kept] for own, kept in zip(objects, counted, strict=True)]
        labels = [own["labels"][kept] for own, kept in zip(objects, counted, strict=True)]
        return self.network.losses(pictures, boxes, labels)
