"""Print the layers of a network, its parameters, MACs and receptive fields, without training it.

whydeep describe model=resnet20 input=32
whydeep describe model=resnet20 model.network.depth=32 input=64x48 json=resnet32.json
whydeep describe model=plain56 match.macs=resnet20 match.by=width
whydeep describe model=torchvision:resnet50 input=224 picture=resnet50.png

keys:
  model=NAME           one of conf/model, with any of its keys as model.network.KEY=VALUE;
                       or torchvision:NAME, any network of torchvision
  input=N | HxW        pixels of the image; 224 for torchvision's networks, otherwise the data set's
  num_classes=N        1000 for images of at least 112 pixels, otherwise 10
  in_channels=3        channels of the image
  match.macs=NAME | N  first give the network as many MACs as that network has (one of conf/model, or
                       torchvision:NAME), or as that number; exit code 1 if it cannot be had within the tolerance
  match.parameters=NAME | N
                       the same with parameters
  match.by=width       what to change for it: width (all channels alike) or depth
  match.tolerance=0.02 largest residual, as a share of the target
  json=FILE            also write all numbers there
  picture=FILE         also draw how the receptive field grows (.png, .svg or .pdf)
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import split_arguments
from experiments.errors import UserError
from experiments.runs.architectures import Architecture, architecture
from experiments.runs.configuration import nearest
from experiments.runs.matching import (
    QUANTITIES,
    TOLERANCE,
    MatchedBudget,
    Quantity,
    check_tolerance,
    dimension,
    match_budget,
)

if TYPE_CHECKING:
    from experiments.measures.network import NetworkMeasures

KEYS = {
    "input": None,
    "num_classes": None,
    "in_channels": "3",
    "match.parameters": None,
    "match.macs": None,
    "match.by": None,
    "match.tolerance": None,
    "json": None,
    "picture": None,
}
# Images from here on are taken for photographs such as ImageNet's, smaller ones for CIFAR's.
LARGE_IMAGE = 112
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
NOT_MET = 1  # exit code


@dataclass(frozen=True)
class Request:
    """For which image `(C, H, W)` and how many classes to describe a network, and how these were chosen."""

    input_shape: tuple[int, int, int]
    num_classes: int
    remark: str


def main(argv: Sequence[str]) -> int:
    """Describe one network; return the exit code: 1 if a budget was asked for and not met.

    Raises:
        UserError: a mistake in what was asked.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, overrides = split_arguments(argv, KEYS)
    for name, suffixes in (("json", (".json",)), ("picture", PICTURE_SUFFIXES)):
        if (file := keys[name]) is not None:
            _check_file(name, Path(file), suffixes)
    budget = _budget(keys)
    _check_overrides(overrides)
    described = architecture(overrides)
    request = _request(described, keys)
    matched = None if budget is None else budget(overrides, request.input_shape, request.num_classes)
    if matched is not None:
        described = matched.architecture

    # Seconds that --help and mistakes save.
    from experiments.measures.network import measure  # noqa: PLC0415
    from experiments.measures.table import print_measures  # noqa: PLC0415

    network = described.build(request.num_classes, request.input_shape[0])
    try:
        measures = measure(network, request.input_shape)
    except ValueError as error:
        raise UserError(f"model={described.name}: {error}") from error
    if matched is not None:
        print(matched.sentence())
    print_measures(measures, described.title, request.remark)
    if (file := keys["json"]) is not None:
        content = {"model": described.name, "num_classes": request.num_classes, **measures.as_dict()}
        content |= {} if matched is None else {"match": matched.as_dict()}
        _written(Path(file), lambda path: path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8"))
    if (file := keys["picture"]) is not None:
        _draw(measures, Path(file))
    return 0 if matched is None or matched.within else NOT_MET


def _draw(measures: "NetworkMeasures", file: Path) -> None:
    from experiments.measures.drawing import draw_receptive_fields  # noqa: PLC0415

    try:
        figure = draw_receptive_fields(measures)
    except ValueError as error:
        raise UserError(f"picture={file}: {error}") from error
    _written(file, lambda path: figure.savefig(path, dpi=150))


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse settings of a run that make no difference to its network or its images."""
    for item in overrides:
        key = item.lstrip("+~").partition("=")[0]
        if re.split(r"[.@]", key, maxsplit=1)[0] not in ("model", "datamodule"):
            raise UserError(f"{item}: not a key of describe; {nearest(key, ['model', *KEYS])}")


def _request(described: Architecture, keys: Mapping[str, str | None]) -> Request:
    given = keys["input"]
    height, width = (described.image_size, described.image_size) if given is None else _size(given)
    channels = _count("in_channels", keys["in_channels"] or "")
    assumed = 1000 if min(height, width) >= LARGE_IMAGE else 10
    num_classes = assumed if keys["num_classes"] is None else _count("num_classes", keys["num_classes"])
    remarks = [] if given is not None else [f"input={height}x{width}"]
    remarks += [] if keys["num_classes"] is not None else [f"num_classes={num_classes}"]
    remark = f"assumed: {', '.join(remarks)}" if remarks else ""
    return Request((channels, height, width), num_classes, remark)


def _budget(keys: Mapping[str, str | None]) -> Callable[..., MatchedBudget] | None:
    """Return `match_budget` with what was asked, as far as it can be checked before anything is built."""
    asked: list[Quantity] = [quantity for quantity in QUANTITIES if keys[f"match.{quantity}"] is not None]
    if not asked:
        for key in ("match.by", "match.tolerance"):
            if keys[key] is not None:
                raise UserError(f"{key}={keys[key]}: nothing to match; say what with match.macs or match.parameters")
        return None
    if len(asked) > 1:
        both = " and ".join(f"match.{quantity}" for quantity in asked)
        raise UserError(f"{both}: only one of them can be held equal; leave the other out")
    (quantity,) = asked
    share = keys["match.tolerance"]
    try:
        tolerance = TOLERANCE if share is None else float(share)
    except ValueError as error:
        raise UserError(f"match.tolerance={share}: must be a number, e.g. 0.02 for 2 %") from error
    check_tolerance(tolerance)
    return partial(
        match_budget,
        quantity=quantity,
        target=_target(f"match.{quantity}", keys[f"match.{quantity}"] or ""),
        by=dimension(keys["match.by"] or "width"),
        tolerance=tolerance,
    )


def _target(key: str, text: str) -> int | str:
    if re.fullmatch(r"\d{1,18}|\d{1,3}(,\d{3}){1,5}", text, re.ASCII) and int(text.replace(",", "")) > 0:
        return int(text.replace(",", ""))
    if re.match(r"[-+.]?\d", text):
        raise UserError(f"{key}={text}: must be the name of a network or a whole number from 1 to 10^18")
    return text


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().replace("\u00d7", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):  # noqa: PLR2004 - H and W
        raise UserError(f"input={text}: must be N or HxW in pixels, e.g. 32 or 224x192")
    return int(sides[0]), int(sides[-1])


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{key}={text}: must be a whole number of at least 1")
    return int(text)


def _check_file(key: str, file: Path, suffixes: tuple[str, ...]) -> None:
    if file.suffix.lower() not in suffixes:
        raise UserError(f"{key}={file}: must end in {' or '.join(suffixes)}")
    if not file.absolute().parent.is_dir():
        raise UserError(f"{key}={file}: the folder {file.parent} does not exist")


def _written(file: Path, write: Callable[[Path], object]) -> None:
    try:
        write(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from error
    print(f"wrote {file}")
