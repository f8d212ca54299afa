"""Weights from elsewhere: names, order, heads, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.runs.weights import load_weights


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


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}, lambda s: {"model": dict(s)}])
def test_a_state_dict_is_found_where_scripts_put_it(tmp_path: Path, wrap: object) -> None:
    source, target = network(), network()
    assert callable(wrap)
    load_weights(target, saved(tmp_path, wrap(source.state_dict())), key_map=None)
    assert same(target, source)


@pytest.mark.parametrize("prefix", ["module.", "network.", "module.network.", "_orig_mod."])
def test_the_prefixes_of_wrappers_are_dropped(tmp_path: Path, prefix: str) -> None:
    source, target = network(), network()
    state = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    load_weights(target, saved(tmp_path, state), key_map=None)
    assert same(target, source)


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


def test_another_order_is_not_guessed(tmp_path: Path) -> None:
    state = dict(reversed(network().state_dict().items()))
    with pytest.raises(UserError, match=r"stands where the network has 'conv\.weight'"):
        load_weights(network(), saved(tmp_path, state), key_map="auto")


def test_a_head_for_other_classes_stays_new_only_when_asked(tmp_path: Path) -> None:
    source, target = network(classes=9), network()
    head = target.head.weight.clone()
    path = saved(tmp_path, source.state_dict())
    with pytest.raises(UserError, match=r"'head\.weight' is \(9, 5\), the network's is \(4, 5\)"):
        load_weights(target, path, key_map=None)
    load_weights(target, path, key_map=None, new_head=True)
    assert torch.equal(target.conv.weight, source.conv.weight)
    assert torch.equal(target.head.weight, head)


def test_pictures_of_other_channels_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, network(channels=3).state_dict())
    with pytest.raises(UserError, match="was trained on pictures of 3 channels, these have 1"):
        load_weights(network(channels=1), path, key_map=None, new_head=True)


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


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from a checkpoint ran",))


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="not a checkpoint of torch, or one that holds more than tensors"):
        load_weights(network(), saved(tmp_path, {"state_dict": Trap()}), key_map=None)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["text", {"epoch": 3}, {}])
def test_what_holds_no_weights_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(UserError, match="holds no state dict"):
        load_weights(network(), saved(tmp_path, content), key_map=None)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint file"):
        load_weights(network(), str(tmp_path / "none.pt"), key_map=None)
    with pytest.raises(UserError, match=r"key_map=.*no such file"):
        load_weights(network(), saved(tmp_path, network().state_dict()), key_map=str(tmp_path / "none.yaml"))
