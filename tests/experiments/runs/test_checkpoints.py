"""Reading checkpoints of others: where the weights are found in them, and that nothing in them is ever run."""

import argparse
import collections
import os
import pathlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.checkpoints import ADMITTED, Inert, StateDict, empty_dict, published, read_checkpoint

WEIGHTS = {"conv.weight": torch.arange(54.0).view(2, 3, 3, 3), "conv.bias": torch.ones(2)}


def saved(folder: Path, content: object, **how: bool) -> Path:
    path = folder / "checkpoint.pt"
    torch.save(content, path, **how)
    return path


def read(path: Path) -> StateDict:
    return read_checkpoint(path, f"checkpoint={path.name}")


def same(tensors: dict[str, Tensor]) -> bool:
    return list(tensors) == list(WEIGHTS) and all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(lr=0.1, milestones=[100, 150], out=pathlib.Path("runs"))},
        {"acc": np.float64(91.2), "error": np.float32(8.8), "epoch": np.int64(3), "best": np.bool_(1)},
        {"history": np.arange(6.0).reshape(2, 3), "kind": np.float32},
        {"log": collections.defaultdict(list, loss=[2.3, 1.9])},
        {"out": pathlib.PurePosixPath("runs/1"), "from": pathlib.PureWindowsPath("C:/runs")},
        {"best_prec1": torch.tensor(91.25), "seen": torch.tensor([1.0, 2.0])},
    ],
)
def test_plain_values_beside_the_weights_do_no_harm(tmp_path: Path, beside: dict[str, Any], *, legacy: bool) -> None:
    path = saved(tmp_path, {"net": WEIGHTS, **beside}, _use_new_zipfile_serialization=not legacy)
    assert same(read(path).tensors)


def test_files_written_with_numpy_1_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, {"net": WEIGHTS, "acc": np.float64(91.2)}, _use_new_zipfile_serialization=False)
    today = path.read_bytes()
    assert b"cnumpy._core.multiarray\n" in today
    path.write_bytes(today.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert same(read(path).tensors)


class Runs:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def traps(mark: Path) -> dict[str, Runs]:
    """Return what makes the file `mark` when unpickled, by the name that a pickle has for the function it calls."""
    return {
        "posix.system": Runs(os.system, f"touch {mark}"),
        "commands.Popen": Runs(subprocess.Popen, ["touch", str(mark)]),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "io.open": Runs(open, str(mark), "w"),
        "getattr": Runs(pathlib.Path.touch, mark),
        "numpy.save": Runs(np.save, str(mark), [1]),
        "torch.serialization.save": Runs(torch.save, 1, str(mark)),
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", list(traps(Path())))
@pytest.mark.parametrize(
    "place",
    [
        lambda trap: trap,
        lambda trap: {"net": WEIGHTS, "args": trap},
        lambda trap: {"net": WEIGHTS, "args": argparse.Namespace(lr=trap)},
        lambda trap: {"net": WEIGHTS, "history": np.array([trap, None])},
        lambda trap: {"net": WEIGHTS, "log": collections.defaultdict(list, {"a": trap})},
        lambda trap: {"net": collections.OrderedDict(WEIGHTS, trap=trap)},
    ],
    ids=["alone", "beside", "in a Namespace", "in an array", "in a defaultdict", "among the weights"],
)
def test_code_is_refused_by_name_and_never_run(
    tmp_path: Path, name: str, place: Callable[[Runs], object], *, legacy: bool
) -> None:
    mark = tmp_path / "it ran"
    path = saved(tmp_path, place(traps(mark)[name]), _use_new_zipfile_serialization=not legacy)
    mark.unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"checkpoint=checkpoint\.pt: holds \S+, which could run code") as refused:
        read(path)
    assert f"holds {name}," in str(refused.value)
    assert not mark.exists()


def test_what_is_admitted_is_two_stand_ins_that_keep_nothing() -> None:
    assert set(ADMITTED.values()) == {Inert, empty_dict}
    inert = Inert("touch", ["file"])
    inert.__setstate__({"attribute": 1})
    assert not vars(inert)
    assert empty_dict(list) == {}
    assert type(empty_dict(list)) is dict


def test_pickles_cannot_reach_the_real_classes_through_the_admitted_names(tmp_path: Path) -> None:
    # A real Path would be one; torch keeps a list of what it was allowed, which must be as short afterwards as before.
    before = torch.serialization.get_safe_globals()
    values = (pathlib.Path("x"), argparse.Namespace(a=1), np.float64(1), np.arange(3), np.dtype("f4"), int, dict)
    path = saved(tmp_path, {"values": {f"{number}": value for number, value in enumerate(values)}})
    with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in ADMITTED.items()]):
        content = torch.load(path, weights_only=True)["values"].values()
    assert all(value is Inert or type(value) is Inert for value in content)
    with pytest.raises(UserError, match="holds no state dict"):
        read(path)
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_whole_modules_and_archives_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds torch\.nn\.modules\.linear\.Linear, which could run code"):
        read(saved(tmp_path, {"net": nn.Linear(2, 2), "acc": 1}))
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "checkpoint.pt"))  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match="an archive of TorchScript"):
        read(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_damaged_files_are_one_line(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path, WEIGHTS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^checkpoint=checkpoint\.pt: not a checkpoint of torch, or a damaged one$"):
        read(path)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tensors = read(tmp_path / "model.safetensors").tensors
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("damage", ["empty", "header", "truncated", "header too long", "a pickle"])
def test_damaged_safetensors_are_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "header": whole[:8] + b"{" * 20 + whole[28:],
            "truncated": whole[:-4],
            "header too long": (2**62).to_bytes(8, "little") + whole[8:],
            "a pickle": saved(tmp_path, WEIGHTS).read_bytes(),
        }[damage]
    )
    with pytest.raises(UserError, match=r"^checkpoint=model\.safetensors: not a file of safetensors") as refused:
        read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "state_dict_ema": {**WEIGHTS, "conv.bias": torch.zeros(2)}},
        {"model": {"state_dict": WEIGHTS}},
        {"weights": WEIGHTS, "epoch": 1},
        {"weights": WEIGHTS, "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2, 3)}}, "param_groups": []}},
        {"result": {"best": {"params": WEIGHTS, "acc": torch.tensor(0.9)}}},
        {"state_dict": 3, "params": WEIGHTS},
    ],
)
def test_the_state_dict_is_found(tmp_path: Path, content: object) -> None:
    assert same(read(saved(tmp_path, content)).tensors)


def test_tensors_of_any_name_are_found(tmp_path: Path) -> None:
    content = {"layer0": torch.ones(2, 2), "gamma": torch.ones(2)}
    assert list(read(saved(tmp_path, {"params": content})).tensors) == ["layer0", "gamma"]


def test_what_stands_beside_tensors_is_left_out_by_name(tmp_path: Path) -> None:
    found = read(saved(tmp_path, {**WEIGHTS, "epoch": 3, "name": "vgg"}))
    assert same(found.tensors)
    assert found.left_out == ("epoch", "name")


def test_two_state_dicts_are_not_guessed_between(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds several state dicts \(generator, critic\.params\); save the wanted"):
        read(saved(tmp_path, {"generator": WEIGHTS, "critic": {"params": WEIGHTS}}))


@pytest.mark.parametrize("content", ["text", [WEIGHTS], {"epoch": 3}, {}, {"best": torch.tensor(3.0)}])
def test_what_holds_no_weights_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(UserError, match="holds no state dict; expected names with tensors"):
        read(saved(tmp_path, content))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint=none\.pt: no such checkpoint file"):
        read(tmp_path / "none.pt")


def test_published_weights_are_named_as_torchvision_does() -> None:
    with pytest.raises(UserError, match=r"^w: torchvision publishes none for 'resnet20'"):
        published("resnet20", "IMAGENET1K_V1", "w")
    with pytest.raises(UserError, match=r"^w: unknown; did you mean 'IMAGENET1K_V1'"):
        published("googlenet", "IMAGENET1K_V3", "w")
