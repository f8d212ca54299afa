"""Measures in training mode, where batch norm and auxiliary heads differ from evaluation."""

from torch import nn

from experiments.measures.network import measure
from experiments.measures.reach import Status
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet


def test_batch_norm_sees_the_whole_image_in_training_mode_only() -> None:
    network = CifarResNet(depth=20, num_classes=10)
    evaluation, training = (measure(network, (3, 32, 32), training=mode) for mode in (False, True))
    assert evaluation.status is Status.EXACT
    assert training.status is Status.WHOLE_IMAGE
    assert training.reason == "bn1: batch_norm over the whole map"
    assert training.receptive_field == (32, 32)
    assert training.at("conv1").receptive_field == (3, 3)
    # One image's numbers, however many images it takes to run batch norm.
    assert training.macs == evaluation.macs == 40_551_040
    assert training.activations == evaluation.activations
    assert [part.output_shape for part in training.layers] == [part.output_shape for part in evaluation.layers]


def test_without_batch_norm_both_modes_see_the_same() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.Dropout(), nn.MaxPool2d(3))
    evaluation, training = (measure(network, (3, 40, 40), training=mode) for mode in (False, True))
    assert training.field == evaluation.field
    assert training.status is Status.EXACT


def test_auxiliary_heads_cost_in_training_mode_only() -> None:
    network = GoogLeNet(num_classes=10, aux_heads=True, small_images=True)
    evaluation, training = (measure(network, (3, 32, 32), training=mode) for mode in (False, True))
    assert training.macs > evaluation.macs
    assert sum(part.parameters for part in training.layers) == training.parameters == evaluation.parameters
    assert sum(part.parameters for part in evaluation.layers) < evaluation.parameters
    assert all(not module.training for module in network.eval().modules())


def test_a_map_of_one_pixel_is_taken_in_training_mode() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4))
    assert measure(network, (3, 8, 8), training=True).macs == 4 * 3 * 8 * 8
