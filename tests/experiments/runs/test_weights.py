"""Weights from elsewhere: names, order, heads, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from datamodules.normalisation import Normalisation
from experiments.errors import UserError
from experiments.runs.checkpoints import StateDict, published
from experiments.runs.weights import copy_weights, load_weights
from lightning_modules.networks.googlenet import GoogLeNet


class Small(nn.Module):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.head = nn.Linear(5, classes)


def network(classes: int = 4, channels: int = 3) -> Small:
    return Small(classes, channels)


def saved(folder: Path, content: object) -> str:
    path = folder / "weights.pt"
    torch.save(content, path)
    return str(path)


def same(left: nn.Module, right: nn.Module) -> bool:
    theirs = right.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in left.state_dict().items())


def test_names_are_mapped_by_a_file(tmp_path: Path) -> None:
    source, target = network(), network()
    state = {name.replace("head", "linear").replace("conv", "stem.0"): t for name, t in source.state_dict().items()}
    rules = tmp_path / "map.yaml"
    rules.write_text("'^linear\\.': 'head.'\n'^stem\\.0\\.': 'conv.'\n")
    load_weights(target, saved(tmp_path, state), key_map=str(rules))
    assert same(target, source)


def test_tensors_are_paired_by_order_and_shape(tmp_path: Path) -> None:
    source, target = network(), network()
    state = {f"layer{number}": tensor for number, tensor in enumerate(source.state_dict().values()) if tensor.dim()}
    load_weights(target, saved(tmp_path, state), key_map="auto")
    assert same(target, source)


def test_a_head_for_other_classes_stays_new_only_when_asked(tmp_path: Path) -> None:
    source, target = network(classes=9), network()
    head = target.head.weight.clone()
    path = saved(tmp_path, source.state_dict())
    with pytest.raises(UserError, match=r"'head\.weight' is \(9, 5\), the network's is \(4, 5\)"):
        load_weights(target, path, key_map=None)
    copied = copy_weights(target, StateDict(source.state_dict()), path, key_map=None, new_head=True)
    assert str(copied) == (
        "copied 7 tensors, skipped 2 (head.weight 9x5, head.bias 9), newly initialised 2 (head.weight 4x5, head.bias 4)"
    )
    assert torch.equal(target.conv.weight, source.conv.weight)
    assert torch.equal(target.head.weight, head)


def test_pictures_of_other_channels_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, network(channels=3).state_dict())
    with pytest.raises(UserError, match="was trained on pictures of 3 channels, these have 1"):
        load_weights(network(channels=1), path, key_map=None)


def test_missing_tensors_are_named_and_nothing_is_copied(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["norm.weight"]
    target = network()
    before = target.conv.weight.clone()
    with pytest.raises(UserError, match=r"lacks 'norm\.weight' \(1 tensors"):
        load_weights(target, saved(tmp_path, state), key_map=None)
    assert torch.equal(target.conv.weight, before)


def test_a_missing_head_is_refused_without_a_new_one(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in network().state_dict().items() if not name.startswith("head")}
    with pytest.raises(UserError, match=r"lacks 'head\.weight'"):
        load_weights(network(), saved(tmp_path, state), key_map=None)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint file"):
        load_weights(network(), str(tmp_path / "none.pt"), key_map=None)
    with pytest.raises(UserError, match=r"key_map=.*no such file"):
        load_weights(network(), saved(tmp_path, network().state_dict()), key_map=str(tmp_path / "none.yaml"))


def test_what_was_copied_and_what_was_left_out_is_said(tmp_path: Path) -> None:
    source, target = network(), network()
    strange = {"criterion.weight": torch.ones(4), "total_ops": torch.zeros(1), "epoch": 3}
    copied = load_weights(target, saved(tmp_path, {**source.state_dict(), **strange}), key_map=None)
    assert same(target, source)
    assert str(copied) == "copied 9 tensors, left out epoch, criterion.weight, total_ops"
    many = {f"layer{number}.total_ops": torch.zeros(1) for number in range(6)}
    copied = load_weights(target, saved(tmp_path, {**source.state_dict(), **many}), key_map="auto")
    assert str(copied).endswith("layer2.total_ops, layer3.total_ops and 2 more")
    assert copied.left_out == tuple(many)


def test_safetensors_are_loaded(tmp_path: Path) -> None:
    source, target = network(), network()
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    load_weights(target, str(tmp_path / "model.safetensors"), key_map="auto")
    assert same(target, source)


def test_a_head_for_other_classes_stays_new_where_names_differ_too() -> None:
    source, target = network(classes=9), network()
    head = target.head.weight.clone()
    state = {name.replace("head", "linear"): tensor for name, tensor in source.state_dict().items()}
    copy_weights(target, StateDict(state), "weights", key_map="auto", new_head=True)
    assert torch.equal(target.conv.weight, source.conv.weight)
    assert torch.equal(target.head.weight, head)


def test_a_part_is_copied_whatever_the_rest_is_like() -> None:
    source, target = network(), network()
    state = {**source.state_dict(), "more.weight": torch.zeros(3, 5)}
    state["head.weight"] = torch.zeros(9, 6)
    del state["norm.bias"]
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    part = frozenset({"conv.weight", "conv.bias"})
    copied = copy_weights(target, StateDict(state), "weights", key_map=None, part=part)
    after = target.state_dict()
    assert torch.equal(after["conv.weight"], state["conv.weight"])
    assert all(torch.equal(after[name], before[name]) for name in after.keys() - part)
    assert {tensor.name for tensor in copied.copied} == part
    assert ("more.weight", (3, 5)) in copied.skipped
    assert ("head.weight", (9, 6)) in copied.skipped
    assert {tensor.name for tensor in copied.new} == set(after) - part - {"norm.num_batches_tracked"}
    with pytest.raises(UserError, match=r"lacks 'norm\.bias' \(1 tensors"):
        copy_weights(target, StateDict(state), "weights", key_map=None, part=part | {"norm.bias"})


@pytest.mark.parametrize("key_map", [None, "auto"])
def test_names_that_agree_at_other_shapes_are_refused(tmp_path: Path, key_map: str | None) -> None:
    state = network().state_dict()
    state["norm.bias"] = torch.zeros(6)
    with pytest.raises(UserError, match=r"'norm\.bias' is \(6,\), the network's is \(5,\)"):
        load_weights(network(), saved(tmp_path, state), key_map=key_map)


def test_torchvisions_googlenet_with_auxiliary_heads_gives_torchvisions_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    # As torchvision builds its published GoogLeNet: the file has the auxiliary heads, the inputs are scaled inside.
    theirs = models.googlenet(num_classes=1000, aux_logits=True, transform_input=True, init_weights=False).eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = models.GoogLeNet_Weights.IMAGENET1K_V1.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2])
    network = GoogLeNet(num_classes=1000).eval()
    copied = copy_weights(network, published("googlenet", "IMAGENET1K_V1", "weights"), "weights", key_map=None)
    assert len(copied.left_out) == len([name for name in theirs.state_dict() if name.startswith("aux")]) > 0
    pictures = torch.rand(2, 3, 64, 64)
    imagenet, half = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), Normalisation((0.5,) * 3, (0.5,) * 3)
    with torch.no_grad():
        expected = theirs(imagenet(pictures * 255))
        assert expected.std() > 0
        torch.testing.assert_close(network(half(pictures * 255)), expected, atol=1e-4, rtol=1e-4)
