"""What R-CNN learns after its backbone: support vector machines and box regressors, in one pass over the pictures."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.box_regressor_training import BoxRegressorTraining, RidgeRegression
from lightning_modules.detections import Objects
from lightning_modules.networks.rcnn import RCNN
from lightning_modules.region_labels import LabelledRegions, label_regions
from lightning_modules.svm_training import SVMReport, SVMTraining, train_svms


@dataclass(frozen=True, eq=False)
class FitReport:
    """What was fitted to what.

    Attributes:
        svms: `None` where the softmax classifies.
        pairs: of region and object, of each class; `None` without box regression.
    """

    svms: SVMReport | None
    pairs: tuple[int, ...] | None


@torch.no_grad()
def fit_rcnn(
    network: RCNN,
    pictures: Iterable[tuple[Tensor, Tensor, Objects]],
    *,
    svm_training: SVMTraining | None = None,
    regression: RidgeRegression | None = None,
) -> FitReport:
    """Fit the support vector machines and the box regressors of a fine-tuned network, those that it has.

    Each picture goes through the network once. The features that the machines read are kept in memory, D numbers a
    region; of the maps, those of regions near an object. Where that is too much, `train_svms` takes any store of
    features.

    Args:
        network: in any mode; its features are those of evaluation mode, and the mode is left as it was.
        pictures: float `(C, H, W)`, normalised; its proposals `(N, 4)`; its objects.
        svm_training: how the machines are trained.
        regression: how the regressors are fitted.

    Raises:
        ValueError: as `label_regions`, `RegionWarping`, `train_svms` and `BoxRegressorTraining.add`.
    """
    if network.svms is None and network.box_regressors is None:
        return FitReport(None, None)
    kept: list[tuple[Tensor, LabelledRegions]] = []
    pairs = BoxRegressorTraining(network.num_classes, regression)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        for picture, proposals, objects in pictures:
            regions = label_regions(proposals, objects, network.num_classes)
            found = network.region_features(picture, regions.boxes)
            if network.svms is not None:
                kept.append((found.features.cpu(), regions))
            if network.box_regressors is not None:
                pairs.add(found.maps, regions)
    finally:
        for module, mode in modes:
            module.training = mode
    return FitReport(
        svms=None if network.svms is None else train_svms(network.svms, kept, svm_training),
        pairs=None if network.box_regressors is None else pairs.fit(network.box_regressors),
    )
