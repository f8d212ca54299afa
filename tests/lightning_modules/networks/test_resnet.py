"""ResNets and their plain twins against torchvision, the paper and published CIFAR weights."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.initialisation import initialise
from lightning_modules.networks.resnet import CifarResNet, PaddedIdentity, ResNet


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def macs(network: nn.Module, size: int) -> int:
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(1, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // 2


# torchvision's ResNet*_Weights.IMAGENET1K_V1.meta: num_params, and _ops to the printed digit.
@pytest.mark.parametrize(
    ("depth", "count", "operations"),
    [
        (18, 11_689_512, 1_814_073_344),
        (34, 21_797_672, 3_663_761_408),
        (50, 25_557_032, 4_089_184_256),
        (101, 44_549_160, 7_801_405_440),
        (152, 60_192_808, 11_513_626_624),
    ],
)
def test_parameters_macs_and_names_are_torchvisions(depth: int, count: int, operations: int) -> None:
    with torch.device("meta"):
        network = ResNet(num_classes=1000, depth=depth)
        theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    assert parameters(network) == count
    assert shapes(network) == shapes(theirs)
    assert macs(network, 224) == operations


# He et al. 2016, Table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 M parameters.
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("depth", "count", "operations"),
    [
        (8, 75_290, 12_239_488),
        (20, 269_722, 40_551_040),
        (32, 464_154, 68_862_592),
        (44, 658_586, 97_174_144),
        (56, 853_018, 125_485_696),
        (110, 1_727_962, 252_887_680),
    ],
)
def test_parameters_and_macs_of_the_cifar_networks(depth: int, count: int, operations: int, *, residual: bool) -> None:
    with torch.device("meta"):
        network = CifarResNet(num_classes=10, depth=depth, residual=residual)
    assert parameters(network) == count
    assert macs(network, 32) == operations


# He et al. 2016, Table 1: 3.8, 7.6 and 11.3 thousand million multiply-adds, computed to the digit with the stride in
# the first 1x1 convolution.
@pytest.mark.parametrize(("depth", "operations"), [(50, 3_857_973_248), (101, 7_570_194_432), (152, 11_282_415_616)])
def test_macs_are_the_papers_with_the_stride_in_the_first_convolution(depth: int, operations: int) -> None:
    with torch.device("meta"):
        network = ResNet(num_classes=1000, depth=depth, stride_in="1x1")
        theirs = ResNet(num_classes=1000, depth=depth)
    assert macs(network, 224) == operations
    assert shapes(network) == shapes(theirs)


def test_basic_blocks_have_their_stride_in_the_first_convolution_whatever_bottlenecks_do() -> None:
    with torch.device("meta"):
        assert macs(ResNet(num_classes=1000, depth=18, stride_in="1x1"), 224) == 1_814_073_344


# He et al. 2016, Identity Mappings in Deep Residual Networks: 1.7 M parameters.
def test_bottlenecks_make_resnet_164() -> None:
    with torch.device("meta"):
        network = CifarResNet(num_classes=10, depth=164, bottleneck=True, shortcut="B")
    weighted = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(weighted) == 164
    assert parameters(network) == 1_704_154
    assert network.layer3[0].conv2.stride == (2, 2)
    assert network.fc.in_features == 256


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvisions_weights_give_torchvisions_outputs(depth: int) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    network = ResNet(num_classes=1000, depth=depth)
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        for training in (True, False):  # the first pass moves the running statistics that the second uses
            expected = theirs.train(training)(images)
            assert expected.std() > 0.1
            torch.testing.assert_close(network.train(training)(images), expected)


@pytest.mark.parametrize("pool", [True, False])
def test_the_small_stem_takes_weights_of_the_usual_cifar_networks(*, pool: bool) -> None:
    theirs = torchvision.models.resnet18(weights=None, num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    if not pool:
        theirs.maxpool = nn.Identity()
    network = ResNet(num_classes=10, depth=18, stem_kernel_size=3, stem_stride=1, stem_pool=pool)
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network.eval()(images), theirs.eval()(images))


def published_cifar_form(state: dict[str, Tensor], images: Tensor, shortcut: str) -> Tensor:
    """ResNet-20 as public CIFAR repositories compute it, from names and weights alone."""

    def norm(name: str, maps: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(maps, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    maps = F.relu(norm("bn1", F.conv2d(images, state["conv1.weight"], padding=1)))
    for stage in (1, 2, 3):
        for index in range(3):
            at = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            out = F.relu(norm(f"{at}.bn1", F.conv2d(maps, state[f"{at}.conv1.weight"], stride=stride, padding=1)))
            out = norm(f"{at}.bn2", F.conv2d(out, state[f"{at}.conv2.weight"], padding=1))
            if stride == 2 and shortcut == "A":
                quarter = maps.shape[1] // 2
                maps = F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter), "constant", 0)
            elif stride == 2 and shortcut == "A-behind":  # fb.resnet.torch: a 1x1 pool, then zeros joined on
                pooled = F.avg_pool2d(maps, kernel_size=1, stride=2)
                maps = torch.cat((pooled, pooled * 0), dim=1)
            elif stride == 2:
                maps = norm(f"{at}.downsample.1", F.conv2d(maps, state[f"{at}.downsample.0.weight"], stride=2))
            maps = F.relu(out + maps)
    return F.linear(maps.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("shortcut", ["A", "A-behind", "B"])
def test_the_cifar_networks_compute_what_published_weights_expect(shortcut: str) -> None:
    torch.manual_seed(0)
    network = CifarResNet(num_classes=10, depth=20, shortcut=shortcut)
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        network.train()(images)  # moves the running statistics
        expected = published_cifar_form(network.state_dict(), images, shortcut)
        assert expected.std() > 0.1
        torch.testing.assert_close(network.eval()(images), expected)


def test_option_a_takes_every_second_pixel_and_pads_channels_on_both_sides() -> None:
    maps = torch.arange(2 * 4 * 5.0).view(1, 2, 4, 5)
    shortcut = PaddedIdentity(2, 5, stride=2)(maps)
    assert shortcut.shape == (1, 5, 2, 3)
    assert torch.equal(shortcut[0, 1:3], maps[0, :, ::2, ::2])
    assert not shortcut[0, [0, 3, 4]].any()


def test_option_a_behind_keeps_the_old_channels_in_front() -> None:
    maps = torch.arange(2 * 4 * 5.0).view(1, 2, 4, 5)
    shortcut = PaddedIdentity(2, 5, stride=2, behind=True)(maps)
    assert shortcut.shape == (1, 5, 2, 3)
    assert torch.equal(shortcut[0, :2], maps[0, :, ::2, ::2])
    assert not shortcut[0, 2:].any()


def test_option_a_adds_no_parameters_b_projects_where_the_shape_changes_c_everywhere() -> None:
    names = {}
    for option in ("A", "A-behind", "B", "C"):
        with torch.device("meta"):
            network = CifarResNet(num_classes=10, depth=20, shortcut=option)
        names[option] = {name for name, _ in network.named_parameters() if name.endswith("downsample.0.weight")}
    assert not names["A"]
    assert not names["A-behind"]
    assert names["B"] == {"layer2.0.downsample.0.weight", "layer3.0.downsample.0.weight"}
    assert len(names["C"]) == 9


def test_parameters_and_macs_at_another_width() -> None:
    # 0.3 of 16, 32 and 64 channels: 4.8, 9.6 and 19.2.
    a, b, c, n = 5, 10, 19, 3
    with torch.device("meta"):
        network = CifarResNet(num_classes=10, depth=6 * n + 2, width_multiplier=0.3)
    weights = [
        9 * (3 * a + 2 * n * a * a),
        9 * (a * b + (2 * n - 1) * b * b),
        9 * (b * c + (2 * n - 1) * c * c),
    ]
    norms = 2 * (a + 2 * n * (a + b + c))
    assert parameters(network) == sum(weights) + norms + 10 * c + 10
    assert macs(network, 32) == weights[0] * 32**2 + weights[1] * 16**2 + weights[2] * 8**2 + 10 * c


def test_option_a_at_odd_differences_of_channels() -> None:
    network = CifarResNet(num_classes=10, depth=8, width_multiplier=0.3)
    shortcuts = [module for module in network.modules() if isinstance(module, PaddedIdentity)]
    assert [(shortcut.before, shortcut.after) for shortcut in shortcuts] == [(2, 3), (4, 5)]
    network(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("network", [ResNet, CifarResNet])
def test_the_plain_twin_lacks_the_shortcuts_and_nothing_else(network: type[ResNet | CifarResNet]) -> None:
    depth = 18 if network is ResNet else 20
    with torch.device("meta"):
        residual = shapes(network(num_classes=10, depth=depth))
        plain = shapes(network(num_classes=10, depth=depth, residual=False))
    assert plain == {name: shape for name, shape in residual.items() if "downsample" not in name}


def test_the_plain_twin_is_the_stack_of_its_convolutions() -> None:
    torch.manual_seed(0)
    network = CifarResNet(num_classes=10, depth=8, residual=False).eval()
    maps = images = torch.randn(2, 3, 16, 16)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
        maps = norm(convolution(maps)).relu()
    torch.testing.assert_close(network(images), network.fc(maps.mean(dim=(2, 3))))


@pytest.mark.parametrize(
    "network",
    [
        CifarResNet(num_classes=10, depth=20),
        CifarResNet(num_classes=10, depth=20, residual=False),
        ResNet(num_classes=10, depth=18, in_channels=1),
        ResNet(num_classes=10, depth=50),
        ResNet(num_classes=10, depth=50, stride_in="1x1"),
        CifarResNet(num_classes=10, depth=20, bottleneck=True, shortcut="A-behind"),
        CifarResNet(num_classes=10, depth=20, norm="none", residual=False),
        CifarResNet(num_classes=10, depth=20, norm="none", shortcut="C"),
    ],
    ids=[
        "resnet20",
        "plain20",
        "resnet18",
        "resnet50",
        "resnet50 of the paper",
        "bottlenecks for 32 px",
        "plain20 without norm",
        "resnet20 without norm",
    ],
)
def test_every_parameter_gets_a_gradient(network: ResNet | CifarResNet) -> None:
    network(torch.randn(2, network.conv1.in_channels, 40, 40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_depth_of_bottlenecks_is_named() -> None:
    with pytest.raises(ValueError, match=r"depth=32: must be 9n \+ 2 .* 164"):
        CifarResNet(num_classes=10, depth=32, bottleneck=True)


def test_without_norm_there_are_biases_and_the_same_first_weights() -> None:
    a, b, c, n = 16, 32, 64, 3
    networks = {}
    for norm in ("batch", "none"):
        torch.manual_seed(0)
        networks[norm] = CifarResNet(num_classes=10, depth=6 * n + 2, shortcut="B", norm=norm)
        torch.manual_seed(1)
        networks[norm].apply(networks[norm].initialise)
    kernels = 9 * (3 * a + 2 * n * a * a + a * b + (2 * n - 1) * b * b + b * c + (2 * n - 1) * c * c)
    layers = a + 2 * n * (a + b + c)
    projections = a * b + b * c
    linear = 10 * c + 10
    assert parameters(networks["batch"]) == kernels + 2 * layers + projections + 2 * (b + c) + linear
    assert parameters(networks["none"]) == kernels + layers + projections + b + c + linear
    assert not any(isinstance(module, nn.BatchNorm2d) for module in networks["none"].modules())
    with_norm, without = (dict(network.named_parameters()) for network in networks.values())
    shared = [name for name in with_norm if "conv" in name or name.endswith("downsample.0.weight")]
    assert len(shared) == 1 + 2 * 3 * n + 2
    assert all(torch.equal(with_norm[name], without[name]) for name in shared)
    biases = [without[name.replace("weight", "bias")] for name in shared]
    assert not any(bias.any() for bias in biases)


def test_the_plain_network_without_norm_is_the_stack_of_its_convolutions() -> None:
    torch.manual_seed(0)
    network = CifarResNet(num_classes=10, depth=8, residual=False, norm="none").eval()
    maps = images = torch.randn(2, 3, 16, 16)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.bias)  # type: ignore[arg-type]
            maps = module(maps).relu()
    torch.testing.assert_close(network(images), network.fc(maps.mean(dim=(2, 3))))


def signals(network: CifarResNet) -> list[float]:
    """Mean square of what each block of the first stage puts out, of one image of noise."""
    found: list[float] = []
    for block in network.layer1:
        block.register_forward_hook(lambda _module, _maps, out: found.append(float(out.square().mean())))
    with torch.no_grad():
        images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        network.layer1(network.conv1(images).relu())
    return found


def test_without_norm_the_signal_of_shortcuts_grows_and_that_of_zeroed_branches_does_not() -> None:
    of = {}
    for name, (residual, zeroed) in {
        "plain": (False, False),
        "residual": (True, False),
        "zeroed": (True, True),
    }.items():
        torch.manual_seed(0)
        network = CifarResNet(
            num_classes=2, depth=32, norm="none", residual=residual, zero_init_last=zeroed, width_multiplier=4
        )
        of[name] = signals(network)
    growth = {name: found[-1] / found[0] for name, found in of.items()}
    # Four blocks, at borders a little less than in the middle.
    assert 0.2 < growth["plain"] < 2
    assert growth["residual"] > 2**4
    assert growth["zeroed"] == 1


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_zeroed_branches_leave_the_shortcuts(norm: str, *, bottleneck: bool) -> None:
    depth = 11 if bottleneck else 8
    network = CifarResNet(num_classes=10, depth=depth, norm=norm, zero_init_last=True, bottleneck=bottleneck).eval()
    images = torch.randn(2, 3, 16, 16)
    maps = network.bn1(network.conv1(images)).relu()
    for stage in (network.layer1, network.layer2, network.layer3):
        maps = stage[0].get_submodule("downsample")(maps)
    torch.testing.assert_close(network(images), network.fc(maps.mean(dim=(2, 3))))
    copy = deepcopy(network)
    initialise(copy, seed=1)
    zero = {name for name, parameter in copy.named_parameters() if name.endswith("weight") and not parameter.any()}
    last = f"{'bn' if norm == 'batch' else 'conv'}{3 if bottleneck else 2}.weight"
    assert zero == {f"layer{stage}.0.{last}" for stage in (1, 2, 3)}


def test_a_plain_network_has_no_branch_to_zero() -> None:
    with pytest.raises(ValueError, match=r"^zero_init_last=True: goes with residual=True; "):
        CifarResNet(num_classes=10, depth=8, residual=False, zero_init_last=True)


@pytest.mark.parametrize(
    ("network", "argument", "value", "message"),
    [
        (ResNet, "depth", 20, r"depth=20: must be one of 18, 34, 50, 101, 152"),
        (ResNet, "shortcut", "D", r"shortcut=D: must be one of A, A-behind, B, C"),
        (ResNet, "stem_kernel_size", 4, r"stem_kernel_size=4: must be odd and at least 1"),
        (ResNet, "stride_in", "5x5", r"stride_in=5x5: must be one of 3x3, 1x1"),
        (ResNet, "stem_stride", 0, r"stem_stride=0: must be at least 1"),
        (CifarResNet, "depth", 18, r"depth=18: must be 6n \+ 2 .* 20, 32, 44, 56 or 110"),
        (CifarResNet, "depth", 2, r"depth=2: must be 6n \+ 2"),
        (CifarResNet, "shortcut", "a", r"shortcut=a: must be one of A, A-behind, B, C"),
        (CifarResNet, "num_classes", 0, r"num_classes=0: must be at least 1"),
        (CifarResNet, "norm", "group", r"norm=group: must be one of batch, none"),
    ],
)
def test_a_bad_argument_is_named(
    network: type[ResNet | CifarResNet], argument: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(**{"num_classes": 10, argument: value})  # type: ignore[arg-type]
