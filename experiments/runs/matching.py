"""Budget matching: the width or depth at which one arm has the parameters or MACs of another."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from experiments.errors import UserError
from experiments.runs.architectures import Architecture, ConfiguredArchitecture, architecture, named
from experiments.runs.configuration import nearest

if TYPE_CHECKING:
    from experiments.measures.matching import Match

Quantity = Literal["parameters", "macs"]
QUANTITIES: tuple[Quantity, ...] = ("parameters", "macs")
Dimension = Literal["width", "depth"]
TOLERANCE = 0.02
WIDTH_ARGUMENT = "width_multiplier"
WIDEST = 64  # the largest multiplier

_Cost = Callable[[Architecture], int]


@dataclass(frozen=True)
class MatchedBudget:
    """An arm at the size that was found for it.

    Attributes:
        architecture: the arm's network at that size.
        key: of the configuration, that decides the size: `model.network.width_multiplier` …
        value: the one found.
        overrides: what to add to the arm's, to have it at that size.
        quantity: what is held equal: parameters, or MACs at `input_shape`.
        by: what was varied.
        target_title: of the network that set the target; `None` where a number did.
        input_shape: `(C, H, W)` of one image.
        num_classes: number of logits of both networks.
        match: the cost found, the target and the residual.
    """

    architecture: ConfiguredArchitecture
    key: str
    value: float
    overrides: tuple[str, ...]
    quantity: Quantity
    by: Dimension
    target_title: str | None
    input_shape: tuple[int, int, int]
    num_classes: int
    match: "Match"

    @property
    def within(self) -> bool:
        """Whether the residual is within the tolerance."""
        return self.match.within

    def sentence(self) -> str:
        """Say in one line what was found, and what residual is left."""
        match = self.match
        size = "x".join(map(str, self.input_shape))
        counted = f"MACs at input {size}" if self.quantity == "macs" else f"parameters at {self.num_classes} classes"
        target = "target" if self.target_title is None else f"target {self.target_title}"
        residual = f"{match.residual:+,} ({100 * match.relative_residual:+,.2f} %)" if match.residual else "0"
        within = "within" if match.within else "outside"
        text = (
            f"{self.architecture.title}: {match.cost:,} {counted}; {target}: {match.target:,}; residual {residual}, "
            f"{within} the tolerance of {100 * match.tolerance:g} %"
        )
        if match.within:
            return text
        limits = {"smallest": "nothing smaller is possible", "largest": "nothing larger is possible"}
        return f"{text}: {limits.get(match.limit or '', f'the nearest {self.by} is this far off')}"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        match = self.match
        return {
            "quantity": self.quantity,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "by": self.by,
            "key": self.key,
            "value": self.value,
            "overrides": list(self.overrides),
            "found": match.cost,
            "target": match.target,
            "target_network": self.target_title,
            "residual": match.residual,
            "relative_residual": match.relative_residual,
            "tolerance": match.tolerance,
            "within": match.within,
            "limit": match.limit,
            "evaluations": match.evaluations,
        }


def match_budget(
    overrides: Sequence[str],
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    quantity: Quantity,
    target: int | str | Sequence[str],
    by: Dimension = "width",
    tolerance: float = TOLERANCE,
) -> MatchedBudget:
    """Find the width or the depth at which an arm comes nearest to a budget.

    The widths are multiples of 1 / (width of the widest layer at a multiplier of 1), up to 64, so that this layer
    has every whole number of channels and the others keep their proportions to it. Where none of these is within the
    tolerance, as a channel of a narrow network is a large step, the multiples of half that are tried too, or of the
    share that the network's `width_steps` says: there some layers round up a step before the others. The depths are
    those that the network's class lists. Both networks get the same images and classes; the costs are those of
    `measure`.

    Args:
        overrides: of the arm, its model a network of conf/model: `["model=plain56", …]`.
        input_shape: `(C, H, W)` of one image.
        num_classes: number of logits.
        quantity: what is to be equal.
        target: how much of it: a number, the name of a network (`resnet20`, `torchvision:resnet18`), or the overrides
            of another arm.
        by: what to vary.
        tolerance: the largest relative residual that counts as a match, from 0 to below 1. A larger one is no error:
            `within` says so.

    Raises:
        UserError: a mistake in one of these, or a network that cannot be varied so: one line that names the key.
    """
    if quantity not in QUANTITIES:
        raise UserError(f"match.{quantity}: {nearest(f'match.{quantity}', (f'match.{each}' for each in QUANTITIES))}")
    by = dimension(by)
    check_tolerance(tolerance)
    arm = architecture(overrides)
    if not isinstance(arm, ConfiguredArchitecture):
        raise UserError(f"model={arm.name}: match.by={by} varies networks of conf/model; this can only be a target")
    key = f"match.{quantity}"
    target_title = None
    if not isinstance(target, int):
        other = named(target, key=key) if isinstance(target, str) else architecture(target)
        target_title = other.title
        target = _cost(other, input_shape, num_classes, quantity, key if isinstance(target, str) else "model")
    if target < 1:
        raise UserError(f"{key}={target}: must be at least 1")
    grids = _depths(arm) if by == "depth" else _widths(arm, num_classes, input_shape[0])
    if any(item.lstrip("+").startswith(f"{grids[0].key}=") for item in overrides):
        raise UserError(f"{grids[0].key}: match.by={by} decides it; leave it out")

    def cost(network: Architecture) -> int:
        return _cost(network, input_shape, num_classes, quantity, "model")

    grid, match = _solved(grids, cost, target, tolerance)
    return MatchedBudget(
        architecture=grid.at(match.candidate),
        key=grid.key,
        value=grid.value(match.candidate),
        # A network of the user's own may take an argument that its file in conf/model leaves out.
        overrides=(f"{'' if grid.argument in arm.network else '+'}{grid.key}={grid.value(match.candidate)}",),
        quantity=quantity,
        by=by,
        target_title=target_title,
        input_shape=input_shape,
        num_classes=num_classes,
        match=match,
    )


def dimension(text: str) -> Dimension:
    """Return what is to be varied.

    Raises:
        UserError: neither width nor depth.
    """
    for known in get_args(Dimension):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"match.by={text}: {nearest(text, get_args(Dimension))}")


def check_tolerance(tolerance: float) -> None:
    """Check the largest relative residual that is to count as a match.

    Raises:
        UserError: below 0, 1 or above, or no number.
    """
    if not 0 <= tolerance < 1:
        raise UserError(f"match.tolerance={tolerance}: must be from 0 to below 1, e.g. 0.02 for 2 %")


@dataclass(frozen=True)
class _Grid:
    """Sizes that an arm can have: those with candidate / divisor as one argument of its network."""

    arm: ConfiguredArchitecture
    argument: str
    candidates: Sequence[int]
    own: int
    divisor: int | None = None

    @property
    def key(self) -> str:
        return f"model.network.{self.argument}"

    def value(self, candidate: int) -> float:
        return candidate if self.divisor is None else candidate / self.divisor

    def at(self, candidate: int) -> ConfiguredArchitecture:
        return self.arm.changed(self.argument, self.value(candidate))

    def solved(self, cost: _Cost, target: int, tolerance: float) -> "Match":
        from experiments.measures.matching import solve  # noqa: PLC0415 - start-up time

        return solve(
            lambda candidate: cost(self.at(candidate)), self.candidates, target, tolerance=tolerance, start=self.own
        )


def _widths(arm: ConfiguredArchitecture, num_classes: int, channels: int) -> list[_Grid]:
    """Return the multiples of 1 / (width of the widest layer), and of half that or what the network says instead."""
    if WIDTH_ARGUMENT not in inspect.signature(arm.factory).parameters:
        raise UserError(f"match.by=width: {_class_of(arm)} takes no {WIDTH_ARGUMENT}")
    network = arm.changed(WIDTH_ARGUMENT, 1.0).build(num_classes, channels)
    base, steps = getattr(network, "base_width", None), getattr(network, "width_steps", 2)
    if not isinstance(base, int) or base < 1:
        raise UserError(f"match.by=width: {_class_of(arm)} does not say how wide it is (attribute base_width)")
    return [
        _Grid(arm, WIDTH_ARGUMENT, range(1, WIDEST * divisor + 1), own=divisor, divisor=divisor)
        for divisor in (base, steps * base)
    ]


def _depths(arm: ConfiguredArchitecture) -> list[_Grid]:
    """Return the depths that the class of the network lists."""
    depths: Sequence[int] = getattr(arm.factory, "DEPTHS", ())
    argument: str = getattr(arm.factory, "DEPTH_ARGUMENT", "depth")
    parameter = inspect.signature(arm.factory).parameters.get(argument)
    if not depths or parameter is None:
        raise UserError(f"match.by=depth: {_class_of(arm)} lists no depths to choose from (DEPTHS); allowed: width")
    return [_Grid(arm, argument, depths, own=arm.network.get(argument, parameter.default))]


def _solved(grids: Sequence[_Grid], cost: _Cost, target: int, tolerance: float) -> tuple[_Grid, "Match"]:
    """Return the match on the first grid that has one within the tolerance; if none has, the nearest of all."""
    solved: list[tuple[_Grid, Match]] = []
    for grid in grids:
        match = grid.solved(cost, target, tolerance)
        solved.append((grid, match))
        if match.within or match.limit:
            break
    grid, match = min(solved, key=lambda pair: abs(pair[1].residual))
    return grid, replace(match, evaluations=sum(each.evaluations for _, each in solved))


def _class_of(arm: ConfiguredArchitecture) -> str:
    return f"model={arm.name} ({getattr(arm.factory, '__name__', arm.network._target_)})"


def _cost(
    network: Architecture, input_shape: tuple[int, int, int], num_classes: int, quantity: Quantity, key: str
) -> int:
    """Return what `measure` would count, and no more of it."""
    built = network.build(num_classes, input_shape[0])
    if quantity == "parameters":
        return sum(parameter.numel() for parameter in built.parameters())

    from experiments.measures.macs import count_macs  # noqa: PLC0415 - start-up time

    try:
        return count_macs(built, input_shape)
    except ValueError as error:
        raise UserError(f"{key}={network.name}: {error}") from error
