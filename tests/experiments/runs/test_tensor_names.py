"""Bringing a checkpoint's names to a network's: what pairs, what is refused, what is left out."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.tensor_names import paired, read_rules, renamed, without_strangers
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.networks.vgg import VGG


def resnet(**arguments: object) -> CifarResNet:
    with torch.device("meta"):
        return CifarResNet(**{"num_classes": 10, "depth": 8, **arguments})  # type: ignore[arg-type]


def state(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


def same_by(mapped: dict[str, Tensor], theirs: dict[str, Tensor], names: dict[str, str]) -> bool:
    """Whether the network's name `ours` got the checkpoint's tensor `theirs`, for all `names`."""
    return all(mapped[ours] is theirs[their] for ours, their in names.items())


@pytest.mark.parametrize(
    "prefix", ["module.", "network.", "model.", "net.", "module.network.", "model.module.", "_orig_mod."]
)
def test_the_prefixes_of_wrappers_are_dropped(prefix: str) -> None:
    own = state(resnet())
    assert list(renamed({prefix + name: tensor for name, tensor in own.items()}, own, (), "w")) == list(own)


def test_wrappers_inside_a_network_are_dropped() -> None:
    with torch.device("meta"):
        own = state(VGG(num_classes=10, depth=11))
    theirs = {name.replace("features.", "features.module."): tensor for name, tensor in own.items()}
    assert list(renamed(theirs, own, (), "w")) == list(own)


def test_rules_see_names_without_wrappers_and_before_holders(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("'^model\\.0\\.': 'conv1.'\n'^linear\\.': 'fc.'\n")
    rules = read_rules(tmp_path / "map.yaml")
    own = state(resnet())
    theirs = {"module.model.0.weight": own["conv1.weight"], "module.linear.bias": own["fc.bias"]}
    assert list(renamed(theirs, own, rules, "w")) == ["conv1.weight", "fc.bias"]


def test_two_tensors_of_one_name_are_refused() -> None:
    own = state(resnet())
    with pytest.raises(UserError, match=r"^w: 'net\.fc\.bias' and another tensor both become 'fc\.bias'"):
        renamed({"model.fc.bias": own["fc.bias"], "net.fc.bias": own["fc.bias"]}, own, (), "w")


def test_names_that_agree_pair_in_any_order() -> None:
    network = resnet()
    own = state(network)
    theirs = {f"module.{name}": own[name] for name in sorted(own) if not name.endswith("num_batches_tracked")}
    mapped = paired(theirs, network, "w")
    assert same_by(mapped, theirs, {name: f"module.{name}" for name in own if f"module.{name}" in theirs})


def test_other_names_pair_by_order() -> None:
    network = resnet()
    theirs = {name.replace("fc.", "linear."): tensor for name, tensor in network.state_dict().items()}
    mapped = paired(theirs, network, "w")
    assert same_by(mapped, theirs, {"fc.weight": "linear.weight", "fc.bias": "linear.bias", "bn1.bias": "bn1.bias"})


def test_other_names_in_alphabetical_order_are_refused() -> None:
    network = resnet()
    theirs = {name.replace("fc.", "linear."): tensor for name, tensor in sorted(network.state_dict().items())}
    with pytest.raises(UserError, match=r"^w: 'bn1\.bias' \(16,\) stands where the network has 'conv1\.weight'"):
        paired(theirs, network, "w")
    # The same with nothing but one shape, where only the names can tell.
    convolutions = nn.Sequential(OrderedDict((f"conv{n}", nn.Conv2d(4, 4, 3, bias=False)) for n in range(12)))
    names = sorted(convolutions.state_dict())
    assert names[2] == "conv10.weight"
    shuffled = {name.replace("conv11", "last"): torch.zeros(4, 4, 3, 3) for name in names}
    with pytest.raises(
        UserError, match=r"'conv10\.weight' .* has 'conv2\.weight' .* another order: if only that, give a key_map"
    ):
        paired(shuffled, convolutions, "w")
    alphabetical = {name.replace("conv9", "conv99"): torch.zeros(4, 4, 3, 3) for name in names}
    with pytest.raises(
        UserError, match=r"'conv10\.weight' .* has 'conv2\.weight' .* in alphabetical order, as in safe"
    ):
        paired(alphabetical, convolutions, "w")


@pytest.mark.parametrize(("there", "here"), [("weight", "bias"), ("running_mean", "running_var")])
def test_roles_are_never_swapped(there: str, here: str) -> None:
    network = resnet()
    swap = {there: here, here: there}
    theirs = {}
    for name, tensor in network.state_dict().items():
        module, _, role = name.rpartition(".")
        renamed_role = swap.get(role, role) if tensor.dim() == 1 and "fc" not in name else role
        theirs[f"{module.replace('bn', 'norm')}.{renamed_role}"] = tensor
    with pytest.raises(UserError, match=r"'norm1\.\w+' \(16,\) stands where the network has 'bn1\.\w+' \(16,\)"):
        paired(theirs, network, "w")


class PreActivation(nn.Module):
    """Batch norm before each convolution (He et al. 2016, Identity Mappings): the tensors of its twin, other values."""

    def __init__(self, names: tuple[str, str], last: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, bias=False)
        for stage, (before, width) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            block = nn.Sequential(
                OrderedDict(
                    [
                        (names[0], nn.BatchNorm2d(before)),
                        ("conv1", nn.Conv2d(before, width, 3, bias=False)),
                        (names[1], nn.BatchNorm2d(width)),
                        ("conv2", nn.Conv2d(width, width, 3, bias=False)),
                    ]
                )
            )
            setattr(self, f"layer{stage}", nn.Sequential(block))
        setattr(self, last, nn.BatchNorm2d(64))
        self.fc = nn.Linear(64, 10)


@pytest.mark.parametrize("last", ["bn", "bn1"])
def test_a_pre_activation_network_is_not_taken_for_its_twin(last: str) -> None:
    network, other = resnet(), PreActivation(("bn1", "bn2"), last)
    shapes = [tensor.shape for tensor in other.state_dict().values()]
    assert shapes == [tensor.shape for tensor in network.state_dict().values()]
    if last == "bn":
        with pytest.raises(UserError, match=r"'layer1\.0\.bn1\.weight' .* has 'bn1\.weight' .* another order"):
            paired(state(other), network, "w")
    else:  # the names agree: that they stand at other shapes is for load_weights to say
        assert paired(state(other), network, "w")["layer2.0.bn1.weight"].shape != (32,)


def test_shifted_numbers_pair_while_they_count_up() -> None:
    with torch.device("meta"):
        network = VGG(num_classes=10, depth=11, batch_norm=True, pooled_size=1, head_widths=[])
    theirs = {}
    for name, tensor in network.state_dict().items():
        part, number, role = name.split(".")
        # As with a dropout in front of the second convolution and of everything behind it.
        theirs[f"{part}.{int(number) + (int(number) > 3)}.{role}"] = tensor
    assert set(theirs) & set(network.state_dict()) != set(theirs)
    mapped = paired(theirs, network, "w")
    assert same_by(mapped, theirs, {"features.4.weight": "features.5.weight", "features.0.weight": "features.0.weight"})


def test_a_network_that_ends_early_or_late_is_named_where_it_does() -> None:
    network = resnet()
    theirs = {f"my.{name}": tensor for name, tensor in network.state_dict().items()}
    with pytest.raises(
        UserError, match=r"^w: 'late\.weight' \(3,\) stands where .* has nothing \(38 tensors there, 37 "
    ):
        paired({**theirs, "late.weight": torch.zeros(3)}, network, "w")
    del theirs["my.fc.bias"]
    with pytest.raises(UserError, match=r"^w: nothing stands where the network has 'fc\.bias' \(10,\) \(36 tensors"):
        paired(theirs, network, "w")


def test_another_head_pairs_only_where_it_may_differ() -> None:
    network = resnet()
    theirs = {name.replace("fc.", "linear."): tensor for name, tensor in resnet(num_classes=100).state_dict().items()}
    with pytest.raises(UserError, match="it was trained for 100 classes, this data set has 10"):
        paired(theirs, network, "w")
    mapped = paired(theirs, network, "w", other_head=frozenset({"fc.weight", "fc.bias"}))
    assert mapped["fc.weight"] is theirs["linear.weight"]


def test_profiler_counts_losses_and_heads_not_built_are_left_out() -> None:
    with torch.device("meta"):
        network = GoogLeNet(num_classes=10, small_images=True)
        theirs = state(GoogLeNet(num_classes=10, small_images=True, aux_heads=True))
    own = len(network.state_dict())
    strange = {
        "total_ops": torch.zeros(1),
        "conv1.conv.total_params": torch.zeros(1),
        "criterion.weight": torch.ones(10),
    }
    kept, left_out = without_strangers({**theirs, **strange}, network)
    assert list(kept) == list(network.state_dict())
    assert {name.split(".")[0] for name in left_out} == {"aux1", "aux2", "total_ops", "conv1", "criterion"}
    assert len(left_out) == len(theirs) - own + 3


def test_heads_of_the_network_are_kept() -> None:
    with torch.device("meta"):
        network = GoogLeNet(num_classes=10, small_images=True, aux_heads=True)
    kept, left_out = without_strangers(
        {f"module.{name}": tensor for name, tensor in network.state_dict().items()}, network
    )
    assert len(kept) == len(network.state_dict())
    assert not left_out
