"""What is looked at in a network before and after its training, beside what can be known without weights."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.measures.effective import EffectiveField, effective_field
from experiments.measures.effective_drawing import draw_effective_field
from experiments.measures.filters import LayerSelectivity, filter_selectivity, first_filters
from experiments.measures.filters_drawing import draw_first_filters, draw_selectivity
from experiments.measures.gradient_flow import GradientFlowRecord
from experiments.measures.latency import FEWEST, Latency, time_forward
from experiments.measures.linearity import Linearity, linearity
from experiments.runs.build import Assembly

_log = logging.getLogger(__name__)
FILE = "inspection.json"
GRADIENT_FLOW_FILE = "gradient_flow.json"
LATENCY_SECONDS = 1.0

_Measure = TypeVar("_Measure")


@dataclass(frozen=True)
class Inspection:
    """A network as its weights are now.

    Attributes:
        effective: the effective receptive field of its last map, over pictures of the training split; None where it is
            not asked for or cannot be had.
        selectivity: how much the kernels of each convolution look like edges.
        linearity: how far it is from one affine map, over such pictures; None likewise.
    """

    effective: EffectiveField | None
    selectivity: list[LayerSelectivity]
    linearity: Linearity | None = None

    def scalars(self) -> dict[str, float]:
        """Return the numbers that runs are compared by; what is not known is left out.

        The first layer's orientation selectivity is its coherence above chance: (coherence - chance) / (1 - chance).
        """
        numbers: dict[str, float | None] = {} if self.effective is None else dict(self.effective.totals())
        if self.selectivity:
            numbers["first_layer_orientation_selectivity"] = self.selectivity[0].adjusted
        if self.linearity is not None:
            numbers |= self.linearity.totals()
        return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON takes them."""
        return {**self.scalars(), "orientation_selectivity": [layer.as_dict() for layer in self.selectivity]}


def inspect(assembly: Assembly) -> Inspection:
    """Look at the network of a run as it is now; it is left as it was found."""
    network, options = assembly.network, assembly.options
    return Inspection(
        _over_pictures(effective_field, assembly, options.effective_field_images, "effective receptive field"),
        filter_selectivity(network, assembly.measures),
        _over_pictures(linearity, assembly, options.linearity_images, "linearity"),
    )


def _over_pictures(
    measure: Callable[[nn.Module, Tensor], _Measure], assembly: Assembly, count: int, name: str
) -> _Measure | None:
    """Measure the network over the first pictures of the training split, `(N, C, H, W)`; of none of them nothing."""
    if not count:
        return None
    datamodule = assembly.datamodule
    some = [int(index) for index in datamodule.split.train[:count]]
    images = datamodule.normalise(datamodule.augmented(some, epoch=0)[0])
    try:
        return measure(assembly.network, images)
    except (ValueError, RuntimeError) as error:
        # A measure that a network has not is no reason to lose its run.
        _log.warning("no %s: %s", name, error)
        return None


def latency(assembly: Assembly) -> Latency | None:
    """Time forward passes of the run's network for a second, or for as many as have quartiles.

    After the test, that is on the CPU: Lightning has moved the weights there. None where it is not asked for, or where
    the passes need more memory than there is.
    """
    if not (batch := assembly.options.latency_batch):
        return None
    shape = assembly.input_shape
    try:
        return time_forward(assembly.network, shape, batch=batch, seconds=LATENCY_SECONDS, fewest=FEWEST)
    except (MemoryError, RuntimeError) as error:
        # As above: the run has been trained and tested.
        _log.warning("no latency: %s", error)
        return None


def latency_scalars(found: Latency) -> dict[str, float]:
    """Return the metrics of timed forward passes."""
    first, third = found.quartiles or (None, None)
    numbers = {"": found.median, "_first_quartile": first, "_third_quartile": third}
    return {f"time/latency{name}_seconds": value for name, value in numbers.items() if value is not None}


def write(run_dir: Path, before: Inspection, after: Inspection) -> Path:
    """Write both inspections into the run's directory; return the file."""
    content = {"initial": before.as_dict(), "trained": after.as_dict()}
    (run_dir / FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return run_dir / FILE


def write_gradient_flow(run_dir: Path, record: GradientFlowRecord) -> None:
    """Write the gradient flow of a training into the run's directory, if there is any."""
    if record.steps:
        (run_dir / GRADIENT_FLOW_FILE).write_text(json.dumps(record.as_dict()) + "\n", encoding="utf-8")


def read_gradient_flow(run_dir: Path) -> GradientFlowRecord | None:
    """Read the gradient flow that was written into the run's directory; None where there is none."""
    try:
        content = json.loads((run_dir / GRADIENT_FLOW_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return GradientFlowRecord.from_dict(content)


def pictures(assembly: Assembly, before: Inspection, after: Inspection) -> dict[str, Figure]:
    """Return what there is to see, by the name of the file."""
    found: dict[str, Figure] = {}
    if (filters := first_filters(assembly.network, assembly.measures)) is not None:
        found["filters.png"] = draw_first_filters(filters.numpy())
    if after.selectivity:
        found["orientation_selectivity.png"] = draw_selectivity(after.selectivity, "after training")
    if before.effective is not None and after.effective is not None:
        found["effective_field.png"] = draw_effective_field(before.effective, after.effective)
    return found
