"""GoogLeNet against torchvision and the paper's Table 1."""

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.googlenet import BasicConv2d

from lightning_modules.networks.googlenet import GoogLeNet, GoogLeNetLogits


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def papers_form(**options: bool) -> GoogLeNet:
    return GoogLeNet(
        num_classes=1000, kernel_size_5x5=5, last_pool_kernel_size=3, batch_norm=False, dropout=0.4, **options
    )


# torchvision's GoogLeNet_Weights.IMAGENET1K_V1.meta["num_params"] counts no auxiliary heads.
@pytest.mark.parametrize(("aux_heads", "count"), [(False, 6_624_904), (True, 13_004_888)])
def test_parameters_and_names_are_torchvisions(*, aux_heads: bool, count: int) -> None:
    with torch.device("meta"):
        network = GoogLeNet(num_classes=1000, aux_heads=aux_heads)
        theirs = torchvision.models.GoogLeNet(aux_logits=aux_heads, init_weights=False)
    assert parameters(network) == count
    expected = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == expected


def test_the_papers_form_has_the_operations_of_table_1() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        papers_form().eval()(torch.empty(1, 3, 224, 224))
    counts = counter.get_flop_counts()
    # Column "ops", in millions. 5a is printed as 54, which its own row of channels contradicts.
    table = {"3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5a": 51, "5b": 71}
    for name, millions in table.items():
        operations = sum(counts[f"GoogLeNet.inception{name}"].values()) / 2
        assert operations == pytest.approx(millions * 1e6, rel=0.01), name


def test_the_papers_form_has_a_bias_and_no_norm_per_convolution() -> None:
    with torch.device("meta"):
        network = papers_form(aux_heads=True)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert parameters(network) == 13_378_280
    assert sum(parameter.numel() for name, parameter in network.named_parameters() if "aux" not in name) == 6_998_552
    # 57 convolutions, the last layer, and three in each auxiliary head
    assert len([name for name, _ in network.named_parameters() if name.endswith("bias")]) == 57 + 1 + 2 * 3


def test_torchvisions_weights_give_torchvisions_outputs_and_auxiliary_outputs() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.GoogLeNet(aux_logits=True, init_weights=False)
    network = GoogLeNet(num_classes=1000, aux_heads=True)
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(4, 3, 75, 75)
    with torch.no_grad():
        torch.manual_seed(1)  # of dropout
        expected = theirs.train()(images)
        torch.manual_seed(1)
        answers = network.train()(images)
        assert isinstance(answers, GoogLeNetLogits)
        assert min(logits.std() for logits in answers) > 0.01
        torch.testing.assert_close(answers.logits, expected.logits)
        torch.testing.assert_close(answers.aux1, expected.aux_logits1)
        torch.testing.assert_close(answers.aux2, expected.aux_logits2)
        torch.testing.assert_close(network.eval()(images), theirs.eval()(images))


def test_the_small_form_takes_weights_of_the_usual_cifar_network() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.GoogLeNet(num_classes=10, aux_logits=False, init_weights=False, dropout=0.0)
    theirs.conv1 = BasicConv2d(3, 192, kernel_size=3, padding=1)
    theirs.maxpool1 = theirs.conv2 = theirs.conv3 = theirs.maxpool2 = nn.Identity()
    theirs.maxpool3 = theirs.maxpool4 = nn.MaxPool2d(3, stride=2, padding=1)
    network = GoogLeNet(num_classes=10, small_images=True, last_pool_kernel_size=3, dropout=0.0)
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for training in (True, False):
            torch.testing.assert_close(network.train(training)(images), theirs.train(training)(images))


def test_branches_are_rounded_one_by_one_and_then_concatenated() -> None:
    with torch.device("meta"):
        network = GoogLeNet(num_classes=10, width_multiplier=0.3)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    # 3a: 0.3 of 64, 128, 32 and 32 channels are 19.2, 38.4, 9.6 and 9.6.
    assert shapes["inception3b.branch1.conv.weight"] == (38, 19 + 38 + 10 + 10, 1, 1)
    # 4.8 of 57.6 channels
    assert shapes["inception3a.branch3.0.conv.weight"] == (5, 58, 1, 1)
    # 5b: 115.2, 115.2, 38.4 and 38.4
    assert shapes["fc.weight"] == (10, 115 + 115 + 38 + 38)


@pytest.mark.parametrize("small_images", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_gets_a_gradient_at_32_pixels(*, small_images: bool, batch_norm: bool) -> None:
    torch.manual_seed(0)
    network = GoogLeNet(num_classes=10, in_channels=1, aux_heads=True, small_images=small_images, batch_norm=batch_norm)
    answers = network.train()(torch.randn(2, 1, 32, 32))
    assert isinstance(answers, GoogLeNetLogits)
    total: Tensor = sum((logits.square().sum() for logits in answers), torch.zeros(()))
    torch.autograd.backward(total)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_auxiliary_heads_answer_in_training_only() -> None:
    images = torch.empty(2, 3, 32, 32, device="meta")
    with torch.device("meta"):
        network = GoogLeNet(num_classes=10, aux_heads=True)
        assert [logits.shape for logits in network.train()(images)] == [(2, 10)] * 3
        assert network.eval()(images).shape == (2, 10)
        assert GoogLeNet(num_classes=10).train()(images).shape == (2, 10)


@pytest.mark.parametrize("last_pool_kernel_size", [2, 3])
@pytest.mark.parametrize("small_images", [False, True])
def test_too_small_images_are_refused_and_no_others(last_pool_kernel_size: int, *, small_images: bool) -> None:
    with torch.device("meta"):
        network = GoogLeNet(
            num_classes=10, last_pool_kernel_size=last_pool_kernel_size, small_images=small_images
        ).eval()
        least = network.minimum_size
        assert network(torch.empty(1, 3, least, least)).shape == (1, 10)
        with pytest.raises(ValueError, match=f"image_size={least - 1}x{least}: .* at least {least}x{least} pixels"):
            network(torch.empty(1, 3, least - 1, least))
        network.minimum_size = 0
        with pytest.raises(RuntimeError):
            network(torch.empty(1, 3, least - 1, least - 1))


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("kernel_size_5x5", 4, r"kernel_size_5x5=4: must be odd and at least 1"),
        ("last_pool_kernel_size", 4, r"last_pool_kernel_size=4: must be one of 2, 3"),
        ("in_channels", 0, r"in_channels=0: must be at least 1"),
        ("aux_dropout", -0.1, r"aux_dropout=-0.1: must be from 0 to 1"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GoogLeNet(**{"num_classes": 10, argument: value})  # type: ignore[arg-type]
