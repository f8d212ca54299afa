"""Machines and regressors of a network, fitted in one pass over the pictures."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.box_regressor_training import BoxRegressorTraining, RidgeRegression
from lightning_modules.detections import Objects
from lightning_modules.networks.box_regression import BoxRegressors
from lightning_modules.networks.linear_svms import LinearSVMs
from lightning_modules.networks.rcnn import RCNN
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.rcnn_fitting import fit_rcnn
from lightning_modules.region_labels import label_regions
from lightning_modules.svm_training import SVMTraining, train_svms

Picture = tuple[Tensor, Tensor, Objects]


def rcnn(**settings: Any) -> RCNN:  # noqa: ANN401 - as the settings are
    torch.manual_seed(0)
    backbone = CifarResNet(num_classes=3, depth=8, width_multiplier=0.25)
    return RCNN(backbone, num_classes=2, warped_size=12, context=1, map_size=3, **settings)


def pictures(count: int = 6) -> list[Picture]:
    """Make pictures of a bright and a dark square on grey noise, and boxes around them and elsewhere; one is empty."""
    generator = torch.Generator().manual_seed(0)
    made: list[Picture] = []
    for number in range(count):
        corner = torch.randint(0, 12, (2, 2), generator=generator) + torch.tensor([[0], [18]])
        truths = torch.cat([corner, corner + 10], dim=1).float()
        picture = 0.3 * torch.randn(3, 40, 40, generator=generator)
        for (x1, y1, x2, y2), value in zip(truths.int().tolist(), (2.0, -2.0), strict=True):
            picture[:, y1:y2, x1:x2] += value
        near = truths.repeat(4, 1) + torch.randint(-2, 3, (8, 4), generator=generator)
        elsewhere = torch.randint(0, 24, (12, 2), generator=generator).float()
        proposals = torch.cat([near, torch.cat([elsewhere, elsewhere + 12], dim=1)])
        if number == 2:
            truths = truths[:0]
        made.append((picture, proposals, {"boxes": truths, "labels": torch.arange(2)[: len(truths)]}))
    return made


def test_each_part_is_fitted_to_the_features_of_evaluation_mode() -> None:
    network = rcnn(classifier="svm").train()
    network.backbone.get_submodule("layer1").eval()
    state = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    report = fit_rcnn(network, iter(pictures()), regression=RidgeRegression(penalty=10.0))
    assert report.svms is not None
    assert report.svms.positives == (5, 5)
    assert report.pairs is not None
    assert min(report.pairs) > 5
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.backbone.state_dict().items())
    assert network.backbone.training
    assert not network.backbone.get_submodule("layer1").training

    network.eval()
    regions = [label_regions(proposals, objects, 2) for _, proposals, objects in pictures()]
    with torch.no_grad():
        found = [network.region_features(given[0], own.boxes) for given, own in zip(pictures(), regions, strict=True)]
    machines, boxes = LinearSVMs(2, 16), BoxRegressors(2, 16 * 9)
    train_svms(machines, [(own.features, labelled) for own, labelled in zip(found, regions, strict=True)])
    training = BoxRegressorTraining(2, RidgeRegression(penalty=10.0))
    for own, labelled in zip(found, regions, strict=True):
        training.add(own.maps, labelled)
    training.fit(boxes)
    assert network.svms is not None
    assert network.box_regressors is not None
    assert machines.weight.any()
    assert torch.equal(network.svms.weight, machines.weight)
    assert torch.equal(network.box_regressors.weight, boxes.weight)


def test_machines_find_the_squares_that_they_were_fitted_to() -> None:
    network = rcnn(classifier="svm", box_regression=False)
    assert fit_rcnn(network, pictures(20), svm_training=SVMTraining(cost=0.1)).pairs is None
    network.eval()
    right = 0
    for picture, proposals, objects in pictures(20):
        if not len(objects["labels"]):
            continue
        with torch.no_grad():
            found = network([picture], [torch.cat([objects["boxes"], proposals])])[0]
        best = found["boxes"][found["labels"] == 0][:1]
        right += bool(len(best)) and bool(((best - objects["boxes"][0]).abs() <= 2).all())
    assert right >= 15


def test_a_network_without_either_is_left_alone() -> None:
    given = iter(pictures(1))
    report = fit_rcnn(rcnn(box_regression=False), given)
    assert report.svms is None
    assert report.pairs is None
    assert next(given, None) is not None
