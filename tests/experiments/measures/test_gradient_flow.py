"""Gradient norms are those by hand, in forward order; measuring them changes nothing; the pictures show them all."""

import io
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colors
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from experiments.measures.gradient_flow import (
    GradientFlowRecord,
    Norms,
    gradient_norms,
    initial_gradient_flow,
    layer_norms,
    weighted_layers,
)
from experiments.measures.gradient_flow_drawing import (
    NONE,
    NOT_FINITE,
    ZERO,
    draw_gradient_flow,
    draw_gradient_profiles,
)
from experiments.measures.network import measure
from lightning_modules.networks.resnet import CifarResNet


class Chain(nn.Module):
    """Called from `first` to `last`, registered the other way round, with a layer that has no part."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)
        self.unused = nn.Linear(5, 5)
        self.norm = nn.BatchNorm1d(3)
        self.first = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4) → (N, 2)."""
        out: Tensor = self.last(self.norm(self.first(x)))
        return out


class Noisy(nn.Module):
    """Dropout, running statistics, and a counter that forward replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 10)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 10)."""
        self.calls = self.calls + 1
        out: Tensor = self.fc(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))
        return out


def test_norms_are_those_by_hand() -> None:
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(1, 1)
    network = nn.Sequential(first, second)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0]]))
        second.weight.fill_(5.0)
    network(torch.tensor([[3.0, 4.0]])).sum().backward()
    # 5 (x1 + 2 x2): by the first weights 5 (3, 4), by the second 3 + 8.
    assert gradient_norms(network) == {"0": 25.0, "1": 11.0}


def test_weights_are_kernels_and_matrices_and_a_shared_one_is_counted_once() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), shared, shared)
    assert {name: [tuple(w.shape) for w in weights] for name, weights in weighted_layers(network).items()} == {
        "0": [(4, 3, 3, 3)],
        "3": [(4, 4)],
    }
    attention = weighted_layers(nn.MultiheadAttention(4, 2))
    assert {name: len(weights) for name, weights in attention.items()} == {"": 1, "out_proj": 1}
    assert len(weighted_layers(nn.LSTM(3, 4, num_layers=2))[""]) == 4


def test_a_computed_weight_belongs_to_its_layer() -> None:
    network = nn.Sequential(nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)), nn.ReLU()))
    layers = weighted_layers(network)
    assert list(layers) == ["0.0"]
    network(torch.ones(1, 3)).sum().backward()
    joint = torch.cat([weight.grad.flatten() for weight in layers["0.0"] if weight.grad is not None]).norm()
    assert gradient_norms(network)["0.0"] == pytest.approx(float(joint), rel=1e-6)


def test_layers_are_in_the_order_of_the_calls_and_others_after_their_neighbour() -> None:
    assert list(weighted_layers(Chain())) == ["last", "unused", "first"]
    assert list(weighted_layers(Chain(), ["", "first", "norm", "last", "first"])) == ["first", "last", "unused"]
    record = initial_gradient_flow(Chain(), torch.randn(8, 4), lambda out: out.square().sum())
    assert record.layers == ("first", "last", "unused")
    assert math.isnan(record.norms[2, 0])
    network = CifarResNet(num_classes=10, depth=20)
    calls = [layer.name for layer in measure(network, (3, 32, 32)).layers]
    assert list(weighted_layers(network, calls)) == list(weighted_layers(network))


def test_no_weighted_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="no weighted layer"):
        weighted_layers(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_nothing_zero_tiny_and_not_finite_are_told_apart() -> None:
    inf = torch.tensor([1.0, torch.inf])
    norms = layer_norms([[None], [torch.zeros(3)], [torch.tensor([3e-25, 4e-25])], [inf], [torch.tensor([torch.nan])]])
    assert math.isnan(norms[0])
    assert norms[1] == 0
    assert norms[2] == pytest.approx(5e-25, rel=1e-6, abs=0)
    assert norms[3:].tolist() == [math.inf, math.inf]
    assert np.isnan(layer_norms([[None], []])).all()


def test_half_precision_does_not_overflow_and_several_tensors_are_one_layer() -> None:
    large = torch.full((4,), 60000.0, dtype=torch.float16)
    assert layer_norms([[large], [torch.tensor([3.0]), None, torch.tensor([[4.0]])]]).tolist() == [120000.0, 5.0]


def test_sparse_gradients_are_added_up() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1, 1, 3])).sum().backward()
    assert gradient_norms(embedding)[""] == pytest.approx(math.sqrt(2 * 2**2 + 2 * 1))


def test_the_initial_flow_is_that_of_a_backward_pass_in_training_mode() -> None:
    network = Chain()
    images = torch.randn(8, 4)
    record = initial_gradient_flow(network.eval(), images, lambda out: out.square().sum())
    network.train()(images).square().sum().backward()
    expected = gradient_norms(network, ["first", "last"])
    np.testing.assert_allclose(record.norms[:, 0], list(expected.values()), rtol=1e-6)
    weights = [getattr(network, name).weight.norm().item() for name in ("first", "last", "unused")]
    np.testing.assert_allclose(record.weight_norms[:, 0], weights, rtol=1e-6)
    np.testing.assert_allclose(record.relative[:2], (record.norms / record.weight_norms)[:2])
    assert record.steps == (0,)


def test_the_initial_flow_changes_nothing() -> None:
    network = Noisy()
    network.norm.eval()
    network.conv.weight.grad = gradient = torch.ones_like(network.conv.weight)
    network.fc.weight.requires_grad = False
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    buffers = {name: id(buffer) for name, buffer in network.named_buffers()}
    modes = [module.training for module in network.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        record = initial_gradient_flow(network, images, lambda out: F.cross_entropy(out, torch.arange(4)))

    assert record.norms[0, 0] > 0
    assert math.isnan(record.norms[1, 0])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert {name: id(buffer) for name, buffer in network.named_buffers()} == buffers
    assert [module.training for module in network.modules()] == modes
    assert network.conv.weight.grad is gradient
    assert bool((gradient == 1).all())
    assert network.fc.weight.grad is None
    assert not network.fc.weight.requires_grad


def test_the_initial_flow_depends_on_its_seed_alone() -> None:
    network, images = Noisy(), torch.randn(4, 3, 8, 8)

    def norms(seed: int) -> list[float]:
        torch.rand(1)
        record = initial_gradient_flow(network, images, lambda out: out.square().sum(), seed=seed)
        return [float(norm) for norm in record.norms[:, 0]]

    assert norms(0) == norms(0)
    assert norms(0) != norms(1)


def test_a_loss_that_depends_on_no_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="does not depend on any weight"):
        initial_gradient_flow(Chain(), torch.randn(8, 4), lambda out: out.detach().sum())
    with pytest.raises(ValueError, match="does not depend on any weight"):
        initial_gradient_flow(Chain().requires_grad_(requires_grad=False), torch.randn(8, 4), lambda out: out.sum())


def test_depth_lets_gradients_grow_in_plain_networks_and_not_in_residual_ones() -> None:
    # In a plain network batch normalisation lets the gradient grow from layer to layer towards the input (Yang et al.
    # 2019, "A mean field theory of batch normalization"), shortcuts keep it.
    images, labels = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    growth = {}
    for residual in (False, True):
        torch.manual_seed(0)
        network = CifarResNet(num_classes=10, depth=44, residual=residual)
        record = initial_gradient_flow(network, images, lambda logits: F.cross_entropy(logits, labels))
        growth[residual] = record.norms[0, 0] / record.norms[-2, 0]
    assert growth[False] > 50
    assert growth[True] < 20


def record_of(norms: Any) -> GradientFlowRecord:  # noqa: ANN401 - whatever numpy takes
    values = np.array(norms, dtype=np.float64)
    layers, steps = values.shape
    return GradientFlowRecord(
        tuple(f"layer{index}" for index in range(layers)), tuple(range(0, 10 * steps, 10)), values, values + 1
    )


def test_a_record_survives_json_to_the_bit() -> None:
    record = record_of([[0.1 + 0.2, 0.0, math.nan], [1e-300, math.inf, 2 / 3]])
    text = json.dumps(record.as_dict(), allow_nan=False)
    again = GradientFlowRecord.from_dict(json.loads(text))
    assert (again.layers, again.steps) == (record.layers, record.steps)
    assert again.norms.tobytes() == record.norms.tobytes()
    assert again.weight_norms.tobytes() == record.weight_norms.tobytes()
    empty = GradientFlowRecord.from_dict(record_of(np.zeros((2, 0))).as_dict())
    assert empty.norms.shape == (2, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": None}, "no record of a gradient flow"),
        ({"gradient_norms": [[1.0], [1.0, 2.0]]}, "no record of a gradient flow"),
        ({"weight_norms": [["much", 1.0]] * 2}, "no record of a gradient flow"),
        ({"weight_norms": [[1.0, 2.0]]}, r"weight_norms of shape \(1, 2\): must be \(2, 2\)"),
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, Any], said: str) -> None:
    content = record_of([[1.0, 2.0], [3.0, 4.0]]).as_dict()
    with pytest.raises(ValueError, match=said):
        GradientFlowRecord.from_dict(content | change)


@pytest.mark.filterwarnings("error")
def test_weights_that_are_zero_or_not_finite_have_no_ratio() -> None:
    weights = np.array([[0.0], [4.0], [math.inf], [math.nan]])
    record = GradientFlowRecord(tuple("abcd"), (0,), np.array([[1.0], [1.0], [math.inf], [1.0]]), weights)
    np.testing.assert_array_equal(record.relative, [[np.nan], [0.25], [np.nan], [np.nan]])
    assert not any("front" in name for name in record.totals())


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def drawn(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="png", dpi=50)


def cells(mesh: ScalarMappable, masked: float) -> Norms:
    """Return the values of a map's cells, `masked` where it shows none."""
    filled: Norms = np.ma.filled(np.ma.asarray(mesh.get_array()).astype(float), masked)
    return filled


@pytest.mark.filterwarnings("error")
def test_the_map_shows_every_layer_at_every_step_with_the_input_at_the_top() -> None:
    figure = draw_gradient_flow(record_of([[1.0, 10.0], [0.0, math.inf], [math.nan, 100.0]]))
    drawn(figure)
    axes = figure.axes[0]
    mesh, *marks = axes.collections
    np.testing.assert_array_equal(cells(mesh, -1), [[1, 10], [-1, -1], [-1, 100]])
    shown = {colors.to_hex(mark.cmap(0)): cells(mark, 0).tolist() for mark in marks}
    assert shown == {
        colors.to_hex(ZERO): [[0, 0], [1, 0], [0, 0]],
        colors.to_hex(NOT_FINITE): [[0, 0], [0, 1], [0, 0]],
        colors.to_hex(NONE): [[0, 0], [0, 0], [1, 0]],
    }
    assert {"zero", "not finite", "no gradient", "L2 norm of the gradient"} <= set(words(figure).splitlines())
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert [label.get_text() for label in axes.get_yticklabels()] == ["layer0", "layer1", "layer2"]


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        ((0, 5), [0, 5]),
        ((3,), [3]),
        ((0, 10, 20, 30), [0, 10, 20, 30]),
        (tuple(range(0, 100, 5)), [*range(0, 100, 10)]),
    ],
)
def test_ticks_are_steps_that_were_taken(steps: tuple[int, ...], ticks: list[int]) -> None:
    norms = np.ones((2, len(steps)))
    figure = draw_gradient_flow(GradientFlowRecord(("a", "b"), steps, norms, norms))
    drawn(figure)
    assert figure.axes[0].get_xticks().tolist() == ticks


def test_few_numbers_say_how_the_gradient_flows() -> None:
    norms = np.array([[1.0, 6.0], [5.0, math.inf], [4.0, 2.0]])
    record = GradientFlowRecord(("a", "b", "c"), (0, 7), norms, np.full((3, 2), 4.0))
    assert record.totals() == {
        "initial_first_to_last": 0.25,
        "last_first_to_last": 3.0,
        "initial_first_layer_relative": 0.25,
        "last_first_layer_relative": 1.5,
    }
    for value in (0.0, math.inf, math.nan):
        norms[-1, -1] = value
        assert "last_first_to_last" not in record.totals()
    assert record_of(np.zeros((2, 0))).totals() == {}


@pytest.mark.filterwarnings("error")
def test_the_front_of_the_hidden_layers_is_compared_with_their_back() -> None:
    ends, middle = [99.0] * 4, [7.0] * 4
    norms = np.array([ends, [3.0, 1.0, 0.0, math.inf], [4.0, math.nan, 0.0, 1.0], middle, middle, [0.0] * 4])
    norms = np.vstack([norms, [[1.0, 4.0, 2.0, 1.0]], [ends]])
    weight_norms = np.full(norms.shape, 2.0)
    weight_norms[5] = 0.0  # begins as zero, and learns nothing
    record = GradientFlowRecord(tuple("abcdefgh"), (0, 10, 20, 30), norms, weight_norms)
    # Of six hidden layers two and two: 5 per √8 against 1 per 2; then 1 per 2 against 4 per 2; nothing; no number.
    first = (5 / math.sqrt(8)) / (1 / 2)
    np.testing.assert_allclose(record.front_to_back, [first, 1 / 4, 0.0, math.nan])
    totals = record.totals()
    assert totals["initial_front_to_back"] == pytest.approx(first)
    assert totals["median_front_to_back"] == pytest.approx(1 / 4)
    assert "last_front_to_back" not in totals


@pytest.mark.filterwarnings("error")
def test_one_hidden_layer_has_no_front_and_back() -> None:
    record = GradientFlowRecord(("a", "b", "c"), (0,), np.ones((3, 1)), np.ones((3, 1)))
    assert not any("front_to_back" in name for name in record.totals())
    two = GradientFlowRecord(tuple("abcd"), (0,), np.array([[9.0], [1.0], [2.0], [9.0]]), np.ones((4, 1)))
    assert two.front_to_back.tolist() == [0.5]


@pytest.mark.filterwarnings("error")
def test_the_map_of_ratios_says_so_and_a_healthy_one_has_no_legend() -> None:
    record = record_of([[1.0, 3.0]])
    figure = draw_gradient_flow(record, relative=True)
    drawn(figure)
    np.testing.assert_array_equal(cells(figure.axes[0].collections[0], -1).ravel(), [0.5, 0.75])
    assert "norm of the gradient / norm of the weights" in words(figure)
    assert not figure.legends


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [np.ones((1, 1)), np.full((3, 2), np.nan), np.zeros((1, 3)), np.full((110, 7), 0.5)])
def test_the_map_is_drawn_of_anything(values: Norms) -> None:
    drawn(draw_gradient_flow(record_of(values)))


@pytest.mark.parametrize("layers", [2, 20, 45, 46, 56, 110, 152])
def test_names_of_layers_do_not_overlap_and_include_first_and_last(layers: int) -> None:
    figure = draw_gradient_flow(record_of(np.ones((layers, 3))))
    drawn(figure)
    labels = figure.axes[0].get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert all(upper.y0 >= lower.y1 - 1.5 for upper, lower in pairwise(boxes))
    assert (labels[0].get_text(), labels[-1].get_text()) == ("layer0", f"layer{layers - 1}")
    assert len(labels) >= min(layers, 23)


@pytest.mark.filterwarnings("error")
def test_profiles_are_a_line_per_network_told_apart_without_colour() -> None:
    records = {"plain": record_of([[1.0, 2.0], [0.0, 3.0], [4.0, 5.0]]), "residual": record_of([[1.0, 1.0]] * 2)}
    figure = draw_gradient_profiles(records)
    drawn(figure)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, np.nan, 4])
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3])
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()
    assert "at initialisation" in words(figure)
    later = draw_gradient_profiles(records, step=10)
    np.testing.assert_array_equal(later.axes[0].lines[0].get_ydata(), [2, 3, 5])
    assert "after 10 steps" in words(later)


def test_pictures_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no step"):
        draw_gradient_flow(record_of(np.zeros((2, 0))))
    with pytest.raises(ValueError, match="no gradient flow"):
        draw_gradient_profiles({})
    with pytest.raises(ValueError, match=r"step=5: not recorded of a; recorded are 0, 10$"):
        draw_gradient_profiles({"a": record_of([[1.0, 2.0]])}, step=5)
