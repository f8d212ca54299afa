"""The measures of one layer, in numbers that people read: pixels, elements, multiply-accumulates."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from experiments.measures.propagation import Known
from experiments.measures.reach import Reach, Status
from experiments.measures.trace import Step


@dataclass(frozen=True)
class Field:
    """A receptive field, in pixels of the input, per axis (y, x); None where it is not known or has no meaning.

    Attributes:
        size: pixels from the first to the last that can reach a unit far from every border, padding included; the
            largest where units differ. Where these read nothing but the holes of a transposed convolution, that of
            units at a border, which shows something else.
        stride: how far the window moves from one unit to the next; a fraction after upsampling.
        padding: how far the window of unit 0 begins before the image (Araujo et al. 2019).
        start: the centre of the window of unit 0, 0 being the middle of the first pixel: unit i is centred on
            `start` + i · `stride` where all windows are of one size; a fraction where it lies between pixels.
        shortest_path: size along the path through the network that widens it least, padding included. Paths through an
            operator that puts all positions together (the scale of squeeze and excitation, the keys of attention)
            have none and are left out; None where all paths are such, or where it is not told which is the shortest
            (`reason` says why). What it has inside the image at this input size is part of `size`; only where that is
            exact, all of it is, as `size` is cut at the image otherwise.
        aligned: whether the windows along all paths through the network have the same centres (Araujo et al. 2019);
            None where their centres depend on the size of the input.
        window: the first and the last pixel of the centre unit's window, padding included; None where it depends on the
            size of the input.
        visible: the first and the last pixel of the image that the centre unit sees at this input size; None also
            where that is only bounded, after a join with a map in which some units see nothing but padding.
        status: exact; whole image (every unit sees all that the input size lets it see); bound (at most this, at this
            input size); unsupported.
        reason: what the status comes from: the layer and its operator; and where it is not told which path is the
            shortest, why.
    """

    size: tuple[int | None, int | None]
    stride: tuple[Fraction | None, Fraction | None]
    padding: tuple[int | None, int | None]
    start: tuple[Fraction | None, Fraction | None]
    shortest_path: tuple[int | None, int | None]
    aligned: tuple[bool | None, bool | None]
    window: tuple[tuple[int, int] | None, tuple[int, int] | None]
    visible: tuple[tuple[int, int] | None, tuple[int, int] | None]
    status: Status
    reason: str | None

    @property
    def visible_size(self) -> tuple[int | None, int | None]:
        """Pixels of the image that the centre unit sees at this input size, from the first to the last."""
        y, x = (None if ends is None else ends[1] - ends[0] + 1 for ends in self.visible)
        return y, x


class HasField:
    """What has a receptive field, whose numbers it gives under their usual names."""

    field: Field

    @property
    def receptive_field(self) -> tuple[int | None, int | None]:
        """Size of the receptive field per axis (y, x), in input pixels."""
        return self.field.size

    @property
    def stride(self) -> tuple[Fraction | None, Fraction | None]:
        """Input pixels between neighbouring units, per axis (y, x)."""
        return self.field.stride

    @property
    def padding(self) -> tuple[int | None, int | None]:
        """Input pixels by which the window of unit 0 begins before the image, per axis (y, x)."""
        return self.field.padding

    @property
    def status(self) -> Status:
        """How the receptive field is known."""
        return self.field.status

    @property
    def reason(self) -> str | None:
        """What the status comes from."""
        return self.field.reason


@dataclass(frozen=True)
class LayerMeasures(HasField):
    """One call of a layer: a module without modules inside, or an operator called by one that has some.

    Attributes:
        name: of the module, as in `named_modules`; of an operator, that of the module that calls it.
        kind: the class of the module, or the operator's name.
        output_shape: of one image's output, without the batch dimension: `(C, H, W)`.
        parameters: elements of the parameters that this call is the first to use.
        macs: multiply-accumulates of convolutions and matrix products for one image of the stated size.
        activations: elements that these put out.
        depth: weighted layers on the longest chain from the input to here.
        field: the receptive field of the output.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activations: int
    depth: int
    field: Field


def layer_measures(step: Step) -> LayerMeasures:
    """Return what is known of one step of a forward pass."""
    return LayerMeasures(
        name=step.name,
        kind=step.kind,
        output_shape=step.shape[1:],
        parameters=step.parameters,
        macs=step.macs,
        activations=step.activations,
        depth=step.known.depth,
        field=field_of(step.known),
    )


def field_of(known: Known) -> Field:
    """Return the receptive field of a tensor in numbers."""
    if known.sight is None:
        no = (None, None)
        return Field(no, no, no, no, no, no, no, no, Status.UNSUPPORTED, known.lost)
    y, x = known.sight.of_single_units().reaches
    worst = max((y, x), key=lambda reach: _WORST.index(reach.status))
    return Field(
        size=(_size(y), _size(x)),
        stride=(_stride(y), _stride(x)),
        padding=(_padding(y), _padding(x)),
        start=(_start(y), _start(x)),
        shortest_path=(_shortest(y), _shortest(x)),
        aligned=(_aligned(y), _aligned(x)),
        window=(_window(y), _window(x)),
        visible=(_visible(y), _visible(x)),
        status=worst.status,
        reason="; ".join(dict.fromkeys(filter(None, (worst.reason, y.untold, x.untold)))) or None,
    )


_WORST: Sequence[Status] = (Status.EXACT, Status.WHOLE_IMAGE, Status.BOUND, Status.UNSUPPORTED)


def _size(reach: Reach) -> int:
    if reach.widest is not None and reach.widest.sizes.any():
        return int(reach.widest.sizes.max())
    first, last = reach.seen
    sizes = np.maximum(last - first + 1, 0)
    if reach.widest is not None:
        return int(sizes.max())  # of what a border repeats, mirrors or wraps around
    if reach.status is Status.BOUND:
        return int(sizes.max())
    # That of the centre unit, or of the nearest one beside the holes that a transposed convolution leaves.
    seeing = np.flatnonzero(sizes)
    return int(sizes[seeing[np.abs(seeing - len(sizes) // 2).argmin()]]) if len(seeing) else 0


def _stride(reach: Reach) -> Fraction | None:
    if reach.widest is None or reach.units is None:
        return None
    return Fraction(reach.widest.shift, len(reach.widest.first))


def _padding(reach: Reach) -> int | None:
    if reach.widest is None or reach.units is None or reach.widest.sizes[0] == 0:
        return None
    return -int(reach.widest.first[0])


def _start(reach: Reach) -> Fraction | None:
    if reach.widest is None or reach.units is None or reach.widest.sizes[0] == 0:
        return None
    return Fraction(int(reach.widest.first[0] + reach.widest.last[0]), 2)


def _shortest(reach: Reach) -> int | None:
    if not reach.shortest:
        return None
    sizes = np.concatenate([path.sizes for path in reach.shortest])
    if (sizes > 0).any():
        return int(sizes[sizes > 0].min())
    # Of the paths of units at a border, which alone see anything, it is not known which is the shortest.
    return None if _size(reach) else 0


def _aligned(reach: Reach) -> bool | None:
    return None if reach.widest is None else reach.aligned


def _window(reach: Reach) -> tuple[int, int] | None:
    if reach.widest is None:
        return None
    first, last = reach.widest.at(np.array([(reach.units or 1) // 2]))
    return (int(first[0]), int(last[0])) if first[0] <= last[0] else None


def _visible(reach: Reach) -> tuple[int, int] | None:
    if not reach.seen_exactly:
        return None
    first, last = reach.seen
    centre = len(first) // 2
    return (int(first[centre]), int(last[centre])) if first[centre] <= last[centre] else None
