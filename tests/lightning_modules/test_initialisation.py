"""Initial weights are functions of seed, module name and shape alone."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.initialisation import initialise
from lightning_modules.networks.filter_stack import FilterStack
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet, ResNet


def weights(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    initialise(network, seed)
    return network.state_dict()


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))


def test_one_seed_gives_one_set_of_weights_whatever_was_drawn_before() -> None:
    first = weights(layers())
    torch.rand(7)
    second = layers()
    torch.rand(7)
    for name, tensor in weights(second).items():
        assert torch.equal(tensor, first[name]), name


def test_another_seed_and_another_name_give_other_weights() -> None:
    zero, one = weights(layers()), weights(layers(), seed=1)
    assert not torch.equal(zero["0.weight"], one["0.weight"])
    assert not torch.equal(zero["2.weight"], zero["3.weight"])


def test_arms_share_the_weights_of_equal_names_and_shapes() -> None:
    short, long = weights(CifarResNet(num_classes=10, depth=20)), weights(CifarResNet(num_classes=10, depth=32))
    assert short.keys() < long.keys()
    for name, tensor in short.items():
        assert torch.equal(tensor, long[name]), name


@pytest.mark.parametrize(("network", "depth"), [(ResNet, 18), (CifarResNet, 20)])
def test_a_plain_twin_starts_with_the_weights_of_its_residual_network(
    network: type[ResNet | CifarResNet], depth: int
) -> None:
    residual = weights(network(num_classes=10, depth=depth))
    plain = weights(network(num_classes=10, depth=depth, residual=False))
    for name, tensor in plain.items():
        assert torch.equal(tensor, residual[name]), name


def test_another_shape_leaves_the_other_layers_alone() -> None:
    ten, five = (weights(FilterStack(num_classes=classes)) for classes in (10, 5))
    assert ten["fc.weight"].shape != five["fc.weight"].shape
    assert all(torch.equal(five[name], tensor) for name, tensor in ten.items() if not name.startswith("fc."))


def test_the_global_generator_is_left_alone() -> None:
    network = layers()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    initialise(network, 0)
    assert torch.equal(torch.rand(3), expected)


def test_the_networks_scheme_is_used() -> None:
    # Variance 2 / fan-in (He et al. 2015); torch's own would be 1 / (3 fan-in).
    network = GoogLeNet(num_classes=10)
    initialise(network, 0)
    convolution = network.inception3a.branch2[1]
    weight = convolution.conv.weight  # type: ignore[union-attr]
    assert isinstance(weight, Tensor)
    assert weight.var().item() == pytest.approx(2 / weight[0].numel(), rel=0.02)


def test_a_network_inside_another_keeps_its_scheme() -> None:
    alone = weights(FilterStack(num_classes=10))
    inside = weights(nn.ModuleDict({"trunk": FilterStack(num_classes=10), "head": nn.Linear(10, 2)}))
    weight, other = alone["stem.0.weight"], inside["trunk.stem.0.weight"]
    assert other.var().item() == pytest.approx(2 / weight[0].numel(), rel=0.2)
    assert not torch.equal(weight, other)  # another name


class Handled(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.inner = Scaled(0.0)
        self.value = value

    def initialise(self, module: nn.Module) -> None:
        if isinstance(module, Scaled):
            nn.init.constant_(module.scale, self.value)


class Scaled(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((2,), value))

    def initialise(self, module: nn.Module) -> None:
        raise AssertionError(f"the outer module initialises {module}")


def test_the_outermost_scheme_decides() -> None:
    assert torch.equal(weights(Handled(7.0))["inner.scale"], torch.full((2,), 7.0))


def test_what_nothing_initialises_keeps_its_value() -> None:
    class Unhandled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.full((3,), 4.0))
            self.linear = nn.Linear(3, 3)

    network = Unhandled()
    before = network.linear.weight.clone()
    initialise(network, 0)
    assert torch.equal(network.token, torch.full((3,), 4.0))
    assert not torch.equal(network.linear.weight, before)


def test_running_statistics_start_anew() -> None:
    network = layers()
    network(torch.randn(4, 3, 9, 9))
    state = weights(network)
    assert not state["1.running_mean"].any()
    assert int(state["1.num_batches_tracked"]) == 0


def test_a_network_on_the_meta_device_is_left_alone() -> None:
    with torch.device("meta"):
        network = CifarResNet(num_classes=10)
    initialise(network, 0)
    assert all(parameter.is_meta for parameter in network.parameters())
