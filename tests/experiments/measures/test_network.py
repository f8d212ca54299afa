"""What `measure` says of a network as a whole, and that it leaves the network alone."""

import json
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from experiments.measures.network import measure
from experiments.measures.reach import Status
from experiments.measures.table import totals
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.small import Small, lenet


def test_layers_are_listed_in_the_order_of_the_calls_with_functional_operators() -> None:
    measures = measure(Small(), (3, 33, 17))
    block = [
        ("block.conv1", "Conv2d"),
        ("block.conv2", "Conv2d"),
        ("block", "relu"),
        ("block", "mul"),
        ("block", "add"),
    ]
    stem = [("stem.0", "Conv2d"), ("stem.1", "BatchNorm2d"), ("stem.2", "Dropout")]
    assert [(layer.name, layer.kind) for layer in measures.layers] == [
        *stem,
        *block,
        *block,
        ("", "mean"),
        ("fc", "Linear"),
    ]
    assert [part.name for part in measures.blocks] == ["stem", "block", "block", ""]


def test_every_number_of_a_layer() -> None:
    measures = measure(Small(), (3, 33, 17))
    stem, fc = measures.at("stem.0"), measures.at("fc")
    assert (stem.output_shape, stem.parameters, stem.macs) == ((4, 16, 8), 112, 27 * 4 * 16 * 8)
    assert (stem.receptive_field, stem.padding, stem.depth) == ((3, 3), (0, 0), 1)
    assert stem.stride == (Fraction(2), Fraction(2))
    assert stem.activations == 4 * 16 * 8
    assert (fc.output_shape, fc.parameters, fc.macs, fc.status) == ((10,), 50, 40, Status.WHOLE_IMAGE)
    assert fc.reason == "network: mean over the whole map"
    assert measures.depth == fc.depth == 6
    assert measures.receptive_field == (3 + 2 * 4, 3 + 2 * 12)
    assert measures.field.shortest_path == (3, 3)
    assert measures.padding == (4, 12)


def test_a_block_that_is_called_twice_counts_its_parameters_once_and_its_macs_twice() -> None:
    first, second = [part for part in measure(Small(), (3, 33, 17)).blocks if part.name == "block"]
    assert (first.parameters, second.parameters) == (148 + 84 + 4, 0)
    assert first.macs == second.macs == (4 * 9 * 4 + 4 * 5 * 4) * 16 * 8
    assert second.receptive_field == (11, 27)


def test_totals_include_what_is_not_called() -> None:
    network = Small()
    network.unused.requires_grad_(requires_grad=False)
    measures = measure(network, (3, 33, 17))
    assert measures.parameters == sum(item.numel() for item in network.parameters())
    assert measures.trainable_parameters == measures.parameters - 56
    assert measures.weight_bytes == 4 * measures.parameters
    assert measures.parameters - sum(layer.parameters for layer in measures.layers) == 56
    assert measures.macs == sum(layer.macs for layer in measures.layers)
    assert measures.totals()["receptive_field"] == 27


def test_tied_weights_are_counted_once() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    network[1].weight = network[0].weight
    measures = measure(network, (4, 9, 9))
    assert measures.parameters == sum(layer.parameters for layer in measures.layers) == 144 + 8


def test_the_network_is_left_as_it_was() -> None:
    network = Small().double()
    network.stem.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    identities = [id(parameter) for parameter in network.parameters()]
    training = [module.training for module in network.modules()]
    random_state = torch.get_rng_state()
    measure(network, (3, 33, 17))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [id(parameter) for parameter in network.parameters()] == identities
    assert [module.training for module in network.modules()] == training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.device.type == "cpu" and parameter.requires_grad for parameter in network.parameters())


def test_parameters_on_the_meta_device_and_constants_on_the_cpu() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.shift = torch.full((3, 1, 1), 0.5)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(x - self.shift)
            return out

    with torch.device("meta"):
        weightless = Shifted()
    weightless.shift = torch.full((3, 1, 1), 0.5)
    assert measure(weightless, (3, 8, 8)) == measure(Shifted(), (3, 8, 8))


def test_a_network_of_one_operator() -> None:
    measures = measure(nn.Conv2d(1, 2, (1, 7), padding=(0, 3)), (1, 9, 9))
    (layer,) = measures.layers
    assert (layer.kind, layer.parameters, layer.receptive_field) == ("conv", 16, (1, 7))


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_resnets_see_28n_minus_3_pixels(depth: int) -> None:
    # He et al. 2016, section 4.2: 6n + 2 layers; the plain twin sees as far.
    n = (depth - 2) // 6
    for residual in (True, False):
        measures = measure(CifarResNet(num_classes=10, depth=depth, residual=residual), (3, 32, 32))
        assert measures.receptive_field == (28 * n - 3, 28 * n - 3)
        assert measures.stride == (Fraction(4), Fraction(4))
        assert measures.padding == (14 * n - 2, 14 * n - 2)
        assert measures.field.shortest_path == ((3, 3) if residual else measures.receptive_field)
        assert measures.depth == depth


@pytest.mark.parametrize(("depth", "macs"), [(20, 40551040), (32, 68862592), (56, 125485696), (110, 252887680)])
def test_macs_of_cifar_resnets(depth: int, macs: int) -> None:
    assert measure(CifarResNet(num_classes=10, depth=depth), (3, 32, 32)).macs == macs


def test_a_flattened_map_is_the_last_map() -> None:
    measures = measure(lenet(), (1, 32, 32))
    assert (measures.receptive_field, measures.status) == ((16, 16), Status.EXACT)
    assert measures.stride == (Fraction(4), Fraction(4))
    assert measures.layers[-1].reason == "5: linear over the whole map"
    assert measures.layers[-2].status is Status.EXACT


def test_pooling_by_a_kernel_as_large_as_the_map_is_global_pooling() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(4, 2))
    measures = measure(network, (1, 8, 8))
    assert measures.receptive_field == (3, 3)
    assert measures.at("1").receptive_field == (10, 10)


def test_an_output_without_the_input_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    with pytest.raises(ValueError, match="does not depend on its input"):
        measure(Constant(), (1, 8, 8))


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(KeyError, match="layer9"):
        measure(lenet(), (1, 32, 32)).at("layer9")


def test_measures_survive_json() -> None:
    measures = measure(Small(), (3, 33, 17))
    content = json.loads(json.dumps(measures.as_dict()))
    assert content["field"]["size"] == [11, 27]
    assert content["field"]["stride"] == [2, 2]
    assert content["layers"][0]["field"]["status"] == "exact"
    assert len(content["layers"]) == len(measures.layers)
    assert asdict(measures)["macs"] == content["macs"]


def test_torch_imports_no_compiler_for_the_usual_classifiers() -> None:
    code = """
import sys
from experiments.measures.network import measure
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet
for network in (CifarResNet(num_classes=10), GoogLeNet(num_classes=10, small_images=True)):
    measure(network, (3, 32, 32), training=True)
    measure(network, (3, 32, 32))
print(sorted({"torch._dynamo", "torch._inductor"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_deterministic_mode_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear"))
    expected = measure(network, (1, 8, 8))
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        assert measure(network, (1, 8, 8)) == expected
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=False)


def test_inference_mode_changes_nothing() -> None:
    expected = measure(Small(), (3, 33, 17))
    with torch.inference_mode():
        assert measure(Small(), (3, 33, 17)) == expected


class Remembering(nn.Module):
    """Keeps of every forward pass what it can be kept in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.passes: Tensor
        self.register_buffer("passes", torch.zeros(1))
        self.calls = 0
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H - 2, W - 2)."""
        self.calls += 1
        self.cache = self.last = x
        self.passes = self.passes + 1
        self.norm = nn.BatchNorm2d(4, affine=False)
        out: Tensor = self.norm(self.conv(x))
        return out


def test_what_a_forward_pass_keeps_in_attributes_is_undone() -> None:
    network = Remembering()
    measure(network, (3, 8, 8))
    assert (network.calls, network.cache, hasattr(network, "last")) == (0, None, False)
    assert network.passes.device.type == "cpu"
    assert [name for name, _ in network.named_children()] == ["conv"]
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4, 6, 6)
    assert network.cache is not None


def test_why_it_is_not_known_what_training_keeps_is_said() -> None:
    class WithoutTraining(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("is for evaluation alone\nand more of this")
            return x

    measures = measure(WithoutTraining(), (3, 8, 8))
    assert (measures.saved_bytes, measures.saved_reason) == (None, "is for evaluation alone")
    assert "what training keeps for the backward pass is not known: is for evaluation alone" in totals(measures, "it")
    assert measure(nn.ReLU(), (3, 8, 8)).saved_reason is None
