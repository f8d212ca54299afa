"""That measuring a deep network stays cheap, in counts that do not depend on the machine."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

import experiments.measures
from experiments.measures.network import measure

SHAPE = (3, 224, 224)
MEASURES = str(Path(experiments.measures.__file__).parent)


class Operators(TorchDispatchMode):
    """Counts the operators that run, and the numbers that they put out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.numbers = 0

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operator."""
        out = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and not tensor.is_meta:
                self.numbers += tensor.numel()
        return out


def counted_calls(work: Callable[[], object]) -> int:
    """Return how many functions of the measures `work` calls."""
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(MEASURES)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_two_passes_without_numbers_are_all_that_resnet152_takes() -> None:
    network = models.resnet152(weights=None)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    passes = []
    network.register_forward_pre_hook(lambda *_: passes.append(1))
    with Operators() as operators:
        assert measure(network, SHAPE).depth == 152
    # The layers, and what autograd keeps of them.
    assert len(passes) == 2
    assert operators.calls["convolution"] == 2 * convolutions == 2 * 155
    assert operators.numbers == 0
    with Operators() as operators:
        network.conv1(torch.zeros(1, 3, 8, 8))
    assert operators.numbers > 0


def test_what_is_done_for_a_layer_does_not_grow_with_the_layers_before() -> None:
    calls = {}
    for name in ("resnet50", "resnet101", "resnet152"):
        with torch.device("meta"):
            network = models.get_model(name, weights=None)
        measure(network, SHAPE)  # what only the first time takes
        calls[name] = counted_calls(partial(measure, network, SHAPE))
    # Each has 17 blocks more than the one before.
    added, further = calls["resnet101"] - calls["resnet50"], calls["resnet152"] - calls["resnet101"]
    assert further == pytest.approx(added, rel=0.02)
    assert added > 17
