"""Parameters, MACs and receptive fields of the same networks, by these measures and by other tools, side by side.

python -m experiments.benchmarks.peers [repeats=5]

Other tools are no dependencies; those that are not installed are said to be so. `uv pip install --no-deps` with the
names below brings them: torchinfo; fvcore iopath yacs tabulate portalocker termcolor; torchscan; torchlens graphviz.
Every tool gets the networks in turn, one thread, in one process; the time is that of the processor, imports left out.
A number that is not the true one stands with its difference from it; `-` is what a tool does not say. Some count other
things on purpose: torchinfo the additions of biases, fvcore and torchscan batch norm.
"""

import contextlib
import importlib
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from experiments.benchmarks.counts import counts_of
from experiments.errors import UserError
from experiments.measures.network import measure

Pair = tuple[int, int]


class Upsampled(nn.Module):
    """A convolution of stride 2, its transpose, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1, bias=False)
        self.last = nn.Conv2d(8, 8, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8, H, W)."""
        out: Tensor = self.last(F.relu(self.up(F.relu(self.down(x)))))
        return out


class Functional(nn.Module):
    """A weight of its own, functional operators, a module that is called twice, a skip, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.twice = nn.Conv2d(8, 8, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 16, H / 2, W / 2)."""
        x = F.max_pool2d(F.relu(F.conv2d(x, self.weight, padding=1)), 2)
        return torch.cat([self.twice(F.relu(self.twice(x))) + x, x], 1)


def asymmetric() -> nn.Module:
    """Return kernels of 1x7, 7x1 and 3x5 pixels one after the other."""
    kernels = ((1, 7), (7, 1), (3, 5))
    return nn.Sequential(*(nn.Conv2d(3, 3, kernel, bias=False) for kernel in kernels))


def dilated() -> nn.Module:
    """Return dilated convolutions around a pool in ceil mode."""
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return nn.Sequential(nn.Conv2d(3, 8, 3, dilation=2, bias=False), pool, nn.Conv2d(8, 8, 3, dilation=4, bias=False))


@dataclass(frozen=True)
class Case:
    """A network with its true numbers.

    `field` is the receptive field (y, x) of the module `at` ("": of the output). Those of torchvision's networks are
    torchvision's published parameters and MACs and the numeric ground truth of the tests; those of the small ones were
    worked out by hand.
    """

    name: str
    build: Callable[[], nn.Module]
    side: int
    parameters: int
    macs: int
    field: Pair
    at: str = ""


def _torchvision(name: str, **arguments: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = models.get_model(name, weights=None, **arguments)
            return network

    return build


CASES = (
    Case("vgg16", _torchvision("vgg16"), 224, 138_357_544, 15_470_264_320, (212, 212), "features.30"),
    Case(
        "googlenet",
        _torchvision("googlenet", init_weights=False, aux_logits=False),
        *(224, 6_624_904, 1_498_376_192, (379, 379), "inception5b"),
    ),
    Case("resnet50", _torchvision("resnet50"), 224, 25_557_032, 4_089_184_256, (427, 427), "layer4"),
    Case(
        "inception_v3",
        _torchvision("inception_v3", init_weights=False, aux_logits=True),
        *(299, 27_161_264, 5_713_216_096, (1311, 1311), "Mixed_7c"),
    ),
    Case(
        "fcn_resnet50",
        _torchvision("fcn_resnet50", weights_backbone=None, aux_loss=True),
        *(520, 35_322_218, 152_716_512_000, (443, 443), "classifier"),
    ),
    # 16 · 3 · 9 · 32² + 16 · 8 · 16 · 32² + 8 · 8 · 9 · 64²; three pixels of the last are three before the transpose.
    Case("upsampled", Upsampled, 64, 3_056, 4_898_816, (7, 7)),
    # 3 · 3 · (7 · 64 · 58 + 7 · 58 · 58 + 15 · 56 · 54); 1 + 6 + 2 pixels along y, 7 + 4 along x.
    Case("asymmetric", asymmetric, 64, 261, 854_028, (9, 11)),
    # 8 · 3 · 9 · 60² + 8 · 8 · 9 · 22²: 60 pixels after the first, 30 after the pool, 22 after the last.
    Case("dilated", dilated, 64, 792, 1_056_384, (23, 23)),
    # 8 · 3 · 9 · 64² + 2 · 8 · 8 · 9 · 32²: 3, 4 after the pool, 8 and 12 after each call of the second.
    Case("functional", Functional, 64, 792, 2_064_384, (12, 12)),
)


@dataclass(frozen=True)
class Answer:
    """What a tool says of a network; None for what it does not say."""

    parameters: int | None = None
    macs: int | None = None
    field: Pair | None = None


Tool = Callable[[nn.Module, Case], Answer]


def whydeep(network: nn.Module, case: Case) -> Answer:
    """These measures."""
    measures = measure(network, (3, case.side, case.side))
    y, x = measures.at(case.at).receptive_field
    return Answer(measures.parameters, measures.macs, None if y is None or x is None else (y, x))


def torch_flop_counter(network: nn.Module, case: Case) -> Answer:
    """Torch's own counter of operations, two for each multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(_image(case))
    return Answer(macs=counter.get_total_flops() // 2)


def torch_flop_counter_on_meta(network: nn.Module, case: Case) -> Answer:
    """The same without numbers, on the meta device."""
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in network.state_dict().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        functional_call(network, shapes, (torch.empty(1, 3, case.side, case.side, device="meta"),))
    return Answer(macs=counter.get_total_flops() // 2)


def torchinfo(network: nn.Module, case: Case) -> Answer:
    """The summary of torchinfo."""
    tool: Any = importlib.import_module("torchinfo")
    summary = tool.summary(network, (1, 3, case.side, case.side), verbose=0)
    return Answer(summary.total_params, summary.total_mult_adds)


def fvcore(network: nn.Module, case: Case) -> Answer:
    """The counters of fvcore, which call multiply-accumulates flops."""
    tool: Any = importlib.import_module("fvcore.nn")
    analysis = tool.FlopCountAnalysis(network, _image(case))
    analysis.unsupported_ops_warnings(enabled=False)
    analysis.uncalled_modules_warnings(enabled=False)
    return Answer(tool.parameter_count(network)[""], int(analysis.total()))


def torchscan(network: nn.Module, case: Case) -> Answer:
    """The crawl of torchscan; from version 0.2.0 on it adds up no receptive fields."""
    tool: Any = importlib.import_module("torchscan")
    totals = tool.crawl_module(network, (3, case.side, case.side))["totals"]
    return Answer(totals["parameters"]["value"], totals["macs"]["value"])


def torchlens(network: nn.Module, case: Case) -> Answer:
    """The receptive fields of TorchLens, from a trace of a forward pass."""
    tool: Any = importlib.import_module("torchlens")
    trace = tool.trace(network, _image(case))
    view = (trace[case.at] if case.at else trace[-2]).receptive_field
    size = view.size
    return Answer(field=None if size is None else (int(size[0]), int(size[1])))


# The tool, and the package that it comes from.
TOOLS: dict[str, tuple[Tool, str]] = {
    "whydeep": (whydeep, "torch"),
    "torch FlopCounter": (torch_flop_counter, "torch"),
    "torch FlopCounter, no data": (torch_flop_counter_on_meta, "torch"),
    "torchinfo": (torchinfo, "torchinfo"),
    "fvcore": (fvcore, "fvcore"),
    "torchscan": (torchscan, "torchscan"),
    "TorchLens": (torchlens, "torchlens"),
}


def _image(case: Case) -> Tensor:
    return torch.randn(1, 3, case.side, case.side, generator=torch.Generator().manual_seed(0))


def ask(tool: Tool, network: nn.Module, case: Case) -> tuple[Answer | str, float]:
    """Return what a tool says of a network, or the name of the error that it ends with, and its processor seconds."""
    silence = io.StringIO()
    began = time.process_time()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer: Answer | str = tool(network, case)
    except Exception as error:  # noqa: BLE001 - that a tool fails, and by what, is a result
        answer = type(error).__name__
    return answer, time.process_time() - began


def row(case: Case, name: str, answer: Answer | str, seconds: list[float]) -> str:
    """Return one line of the table."""
    if isinstance(answer, str):
        cells = [f"fails: {answer}", "", ""]
    else:
        cells = [
            _against(answer.parameters, case.parameters),
            _against(answer.macs, case.macs),
            _field_against(answer.field, case.field),
        ]
    spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"
    return "| " + " | ".join([case.name, name, *cells, spread]) + " |"


def _against(said: int | None, truth: int) -> str:
    if said is None:
        return "-"
    return "right" if said == truth else f"{said:,} ({(said - truth) / truth:+.1%})"


def _field_against(said: Pair | None, truth: Pair) -> str:
    if said is None:
        return "-"
    return "right" if said == truth else f"{said[0]} x {said[1]}"


def main(argv: list[str]) -> int:
    """Print the table, in Markdown.

    Raises:
        UserError: an unknown key, or a value that is no number.
    """
    (repeats,) = counts_of(argv, {"repeats": 5})
    torch.set_num_threads(1)
    installed: dict[str, Tool] = {}
    for name, (tool, package) in TOOLS.items():
        try:
            print(f"{name}: {package} {version(package)}")
            installed[name] = tool
        except PackageNotFoundError:
            print(f"{name}: not installed; `uv pip install --no-deps {package}`, see the head of this file")
    print("\n| network | tool | parameters | MACs | receptive field | seconds, median (spread) |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        network = case.build().eval()
        answers: dict[str, Answer | str] = {}
        seconds: dict[str, list[float]] = {name: [] for name in installed}
        for _ in range(repeats + 1):
            for name, tool in installed.items():
                answers[name], took = ask(tool, network, case)
                seconds[name].append(took)
        truth = f"**{case.parameters:,}** | **{case.macs:,}** | **{case.field[0]} x {case.field[1]}**"
        print(f"| **{case.name}** at {case.side} px | **truth** | {truth} | |", flush=True)
        for name, answer in answers.items():
            print(row(case, name, answer, seconds[name][1:]), flush=True)  # the first is a warm-up
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
