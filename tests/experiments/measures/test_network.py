"""What `measure` says of a network as a whole, and that it leaves the network alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.measures.forward import NumbersNeededError, smallest_input
from experiments.measures.macs import count_macs
from experiments.measures.network import measure
from experiments.measures.reach import Status
from experiments.measures.table import totals
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.small import Small


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


def test_a_refused_input_leaves_the_network_as_it_was() -> None:
    network = Small()
    with pytest.raises(ValueError, match="too small"):
        measure(network, (3, 2, 17))
    assert network.training
    assert network.stem[0].weight.device.type == "cpu"
    assert network(torch.ones(2, 3, 9, 9)).shape == (2, 10)


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


def lenet() -> nn.Sequential:
    """Return a network that takes images of one size only, as its classifier is as wide as one map."""
    convolutions = [nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(400, 10))


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


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 28, 28), "input 28x28 is too small for this network: the smallest square image is 32x32"),
        ((1, 64, 64), r"input 64x64 is too large for this network \(5 takes 400 features, not 2704\)"),
        ((3, 32, 32), r"does not take images of 3 channels \(0 takes 1 channels, not 3\)"),
        ((1, 0, 32), r"input_shape=\(1, 0, 32\): must be"),
        ((1, 32), r"input_shape=\(1, 32\): must be"),
        ((1, 32.0, 32), r"must be \(C, H, W\), three whole numbers"),
    ],
)
def test_what_a_network_cannot_take_is_said_in_one_line(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measure(lenet(), shape)
    assert "\n" not in str(caught.value)


def test_smallest_input_of_networks_that_take_only_some_sizes() -> None:
    assert smallest_input(lenet(), 1) == 32
    multiple = nn.Sequential(nn.PixelUnshuffle(8), nn.Conv2d(64, 4, 3))
    assert smallest_input(multiple, 1) == 24
    with pytest.raises(ValueError, match="takes no image of 2 channels"):
        smallest_input(lenet(), 2)
    wrong = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(7, 2))
    with pytest.raises(ValueError, match="takes no square image of 1 channels up to 65 pixels a side"):
        smallest_input(wrong, 1)


def test_few_passes_are_spent_on_the_text_of_an_error() -> None:
    passes = 0

    class Particular(nn.Module):
        """Takes images of one size, and says no to larger ones in words of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 9)

        def forward(self, x: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            x = self.conv(x)
            if x.shape[-1] != 1000:
                raise RuntimeError("only images of 1008 pixels")
            return x

    with pytest.raises(ValueError, match="input 8x8 is too small for this network") as caught:
        measure(Particular(), (1, 8, 8))
    assert "smallest" not in str(caught.value)
    assert passes < 80
    assert measure(Particular(), (1, 1008, 1008)).receptive_field == (9, 9)


def test_a_network_that_decides_by_values_is_refused() -> None:
    class Deciding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(NumbersNeededError, match="decides by the values of a tensor"):
        measure(Deciding(), (1, 8, 8))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("measuring", [measure, count_macs])
def test_torchscript_is_refused_by_name(measuring: Callable[..., object]) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    with pytest.raises(ValueError, match=r"^the network is TorchScript, which runs out of sight"):
        measuring(scripted, (1, 8, 8))
    with pytest.raises(ValueError, match=r"^its module 1 is TorchScript"):
        measuring(nn.Sequential(nn.ReLU(), scripted), (1, 8, 8))


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


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (None, "must be a torch.nn.Module, not a NoneType"),
        (lambda x: x, "must be a torch.nn.Module, not a function"),
        (nn.Identity, "must be a torch.nn.Module, not the class Identity"),
        (nn.DataParallel(nn.Identity()), "measure its .module"),
    ],
)
def test_what_is_no_network_is_refused_in_words(network: nn.Module, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        measure(network, (3, 8, 8))


def test_lazy_layers_have_no_shape_yet() -> None:
    with pytest.raises(ValueError, match=r"^1.weight: has no shape before the first batch; call the network once"):
        measure(nn.Sequential(nn.ReLU(), nn.LazyConv2d(8, 3)), (3, 8, 8))


@pytest.mark.parametrize(
    "shape", [32, None, "abc", (3, 32), (1, 3, 32, 32), (3, 32.0, 32), (True, 32, 32), (3, 0, 32), (3, 10**12, 10)]
)
def test_what_is_no_input_shape_is_refused_in_words(shape: Any) -> None:  # noqa: ANN401 - of any type
    with pytest.raises(ValueError, match=r"must be \(C, H, W\), three whole numbers from 1 to 1,000,000"):
        measure(nn.Conv2d(3, 8, 3), shape)


def test_numbers_of_numpy_are_numbers() -> None:
    measures = measure(nn.Conv2d(3, 8, 3), tuple(np.array([3, 32, 16])))
    assert measures.input_shape == (3, 32, 16)
    assert all(type(size) is int for size in measures.input_shape)


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


def test_an_input_that_cannot_be_followed_for_want_of_memory_is_not_the_networks_fault() -> None:
    class Exhausting(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise MemoryError("unable to allocate 7 TiB")

    with pytest.raises(ValueError, match="input 8x8 is too large for the memory of this machine"):
        measure(Exhausting(), (3, 8, 8))
