"""Operators one by one: what every unit really sees is what the gradient of that unit touches."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measures.layers import field_of
from experiments.measures.network import NetworkMeasures, measure
from experiments.measures.reach import Status
from experiments.measures.trace import Trace

HEIGHT, WIDTH = 21, 18


class Functional(nn.Module):
    """A network of one function, with a 3 × 3 convolution of ones over one channel to use in it."""

    def __init__(self, function: Callable[[Tensor, "Functional"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.weight = nn.Parameter(torch.ones(1, 1, 3, 5))
        nn.init.ones_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → whatever the function makes of it."""
        out: Tensor = self.function(x, self)
        return out


def _squeeze_excite(x: Tensor, net: Functional) -> Tensor:
    out: Tensor = x * net.conv(x).mean((2, 3), keepdim=True)
    return out


def _attention(x: Tensor, _: Functional) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(tokens, tokens, tokens)
    return mixed.transpose(1, 2).reshape(x.shape)


def _in_place(x: Tensor, net: Functional) -> Tensor:
    y = net.conv(x)
    y += F.pad(x, (2, -2))
    return F.relu(y, inplace=True)


def _channels_last(x: Tensor, net: Functional) -> Tensor:
    y = net.conv(x).permute(0, 2, 3, 1)
    return F.linear(y, torch.ones(2, 1, dtype=x.dtype)).permute(0, 3, 1, 2)


def _twice(x: Tensor, net: Functional) -> Tensor:
    y: Tensor = net.conv(net.conv(x))
    return y


def _halves(x: Tensor, net: Functional) -> Tensor:
    left, right = torch.cat([x, net.conv(x)], 1).chunk(2, 1)
    return left * 2 + right.mean(1, keepdim=True)


# Positive weights, no activation functions that cut: the gradient touches what can be reached.
MAPS: dict[str, Callable[[Tensor, Functional], Tensor]] = {
    "conv 3x5 with a raw parameter": lambda x, net: F.conv2d(x, net.weight, stride=(2, 1), padding=(0, 2)),
    "adaptive pooling 21 -> 5": lambda x, net: F.adaptive_avg_pool2d(net.conv(x), (5, 4)),
    "adaptive pooling that upsamples": lambda x, net: F.adaptive_avg_pool2d(net.conv(x), (25, 18)),
    "adaptive pooling 21 -> 7": lambda x, net: net.conv(F.adaptive_avg_pool2d(x, (7, 6))),
    "nearest to a size": lambda x, net: net.conv(F.interpolate(x, size=(29, 31))),
    "nearest-exact to a size": lambda x, net: net.conv(F.interpolate(x, size=(13, 31), mode="nearest-exact")),
    "bilinear to a size": lambda x, net: net.conv(F.interpolate(x, size=(32, 27), mode="bilinear")),
    "bilinear with aligned corners": lambda x, net: net.conv(
        F.interpolate(x, size=(41, 30), mode="bilinear", align_corners=True)
    ),
    "bilinear down": lambda x, net: net.conv(F.interpolate(x, scale_factor=0.5, mode="bilinear")),
    "bicubic": lambda x, net: net.conv(F.interpolate(x, size=(30, 25), mode="bicubic")),
    "pixel unshuffle": lambda x, net: F.pixel_unshuffle(net.conv(x[:, :, :20]), 2).sum(1, keepdim=True),
    "roll": lambda x, net: net.conv(torch.roll(x, (3, -2), (2, 3))),
    "flip": lambda x, net: net.conv(x.flip(3)[:, :, 2:]),
    "reflection padding": lambda x, net: net.conv(F.pad(x, (4, 1, 2, 3), mode="reflect")),
    "replication padding": lambda x, net: net.conv(F.pad(x, (4, 1, 2, 3), mode="replicate")),
    "crop from the end": lambda x, net: net.conv(x)[:, :, :-3, 4:],
    "every second pixel": lambda x, net: net.conv(net.conv(x)[:, :, ::2, 1::2]),
    "a module called twice": _twice,
    "in place": _in_place,
    "channels last": _channels_last,
    "squeeze and excite": _squeeze_excite,
    "chunks of channels": _halves,
    "flattened and back": lambda x, net: net.conv(x).flatten(1).view(1, 1, HEIGHT, WIDTH),
    "einsum over channels": lambda x, net: torch.einsum("nchw,oc->nohw", net.conv(x), net.weight[0, 0, :, :1]),
    "unbind and stack": lambda x, net: torch.stack(net.conv(x).unbind(1), 1),
    "expanded constant": lambda x, net: net.conv(x) + torch.zeros(4, 1, HEIGHT, WIDTH, dtype=x.dtype),
    "response normalisation over channels": lambda x, net: F.local_response_norm(net.conv(x), 3),
    "attention": _attention,
}


@pytest.mark.parametrize("name", MAPS)
def test_every_unit_of_a_map_sees_what_its_gradient_touches(name: str) -> None:
    network = Functional(MAPS[name]).double()
    trace = Trace(network, torch.empty(1, 1, HEIGHT, WIDTH, dtype=torch.float64, device="meta"))
    trace.run()
    assert trace.output is not None
    assert trace.output.sight is not None, trace.output.lost
    seen = [reach.seen for reach in trace.output.sight.reaches]
    image = torch.rand(1, 1, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    out = network(image)
    for index in range(max(out.shape[2:])):
        unit = tuple(min(index, side - 1) for side in out.shape[2:])
        (gradient,) = torch.autograd.grad(out[0, :, unit[0], unit[1]].sum(), image, retain_graph=True)
        for axis, pixels in enumerate(gradient[0, 0].nonzero(as_tuple=True)):
            first, last = (int(extent[min(unit[axis], len(extent) - 1)]) for extent in seen[axis])
            assert (first, last) == (int(pixels.min()), int(pixels.max())), f"unit {unit}, axis {axis}"


HEADS: dict[str, Callable[[Tensor, Functional], Tensor]] = {
    "adaptive pooling to one": lambda x, net: F.adaptive_max_pool2d(net.conv(x), 1).flatten(1),
    "mean": lambda x, net: net.conv(x).mean((2, 3)),
    "flatten and linear": lambda x, net: F.linear(net.conv(x).flatten(1), torch.ones(2, HEIGHT * WIDTH)),
    "sum over one axis, then the other": lambda x, net: net.conv(x).sum(3).amax(2),
    "instance norm": lambda x, net: F.instance_norm(net.conv(x)),
    "group norm": lambda x, net: F.group_norm(net.conv(x), 1),
    "layer norm over the map": lambda x, net: F.layer_norm(net.conv(x), [HEIGHT, WIDTH]),
    "batch norm by the batch": lambda x, net: F.batch_norm(net.conv(x), None, None, training=True),
    "softmax over positions": lambda x, net: F.softmax(net.conv(x).flatten(2), -1).view(x.shape),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_meets_all_positions_sees_the_whole_image(name: str) -> None:
    network = Functional(HEADS[name])
    last = measure(network, (1, HEIGHT, WIDTH)).layers[-1]
    assert last.status is Status.WHOLE_IMAGE
    assert last.receptive_field == (HEIGHT, WIDTH)
    assert last.stride == (None, None)
    assert last.reason is not None


def _written_slice(x: Tensor, net: Functional) -> Tensor:
    canvas = torch.zeros_like(x)
    canvas[:, :, 1:] = net.conv(x)[:, :, :-1]
    return canvas * 2


UNKNOWN: dict[str, tuple[Callable[[Tensor, Functional], Tensor], str]] = {
    "unfold": (lambda x, net: F.unfold(net.conv(x), 3), "im2col"),
    "grid sample": (lambda x, net: F.grid_sample(net.conv(x), torch.zeros(1, 4, 4, 2), align_corners=False), "grid"),
    "fft": (lambda x, net: torch.fft.rfft2(net.conv(x)).abs(), "fft"),
    "gather": (lambda x, net: net.conv(x).gather(3, torch.zeros(1, 1, 4, 4, dtype=torch.long)), "gather"),
    "antialias": (lambda x, net: F.interpolate(net.conv(x), size=9, mode="bilinear", antialias=True), "_aa"),
    "fancy index": (lambda x, net: net.conv(x)[:, :, torch.arange(3)], "index"),
    "weights computed from the image": (lambda x, net: F.conv2d(x, net.conv(x)[:, :, :3, :3]), "weights"),
    "a write into a slice": (_written_slice, "part of a tensor"),
    "an image and its transpose": (lambda x, net: net.conv(x[..., :9, :9]) + x[..., :9, :9].mT, "dimensions"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_understood_is_unknown_from_there_on(name: str) -> None:
    function, operator = UNKNOWN[name]
    measures = measure(nn.Sequential(Functional(function), nn.ReLU()), (1, HEIGHT, WIDTH))
    last = measures.layers[-1]
    assert last.kind == "ReLU"
    assert last.status is Status.UNSUPPORTED
    assert last.receptive_field == last.stride == last.padding == (None, None)
    assert operator in str(last.reason)
    assert measures.status is Status.UNSUPPORTED
    assert next(layer for layer in measures.layers if layer.name == "0.conv").status is Status.EXACT


BOUNDS: dict[str, Callable[[Tensor, Functional], Tensor]] = {
    "windows": lambda x, net: net.conv(x).view(1, 1, 7, 3, WIDTH).amax(3),
    "end to end": lambda x, net: torch.cat([net.conv(x), x], 2),
    "different strides": lambda x, net: net.conv(x)[:, :, :10, :9] + x[:, :, 1::2, ::2],
    "one position for all": lambda x, net: net.conv(x) + x[:, :, 4:5, 5:6],
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_holds_for_every_unit(name: str) -> None:
    network = Functional(BOUNDS[name])
    field = measure(network, (1, HEIGHT, WIDTH)).layers[-1].field
    assert field.status is Status.BOUND
    image = torch.rand(1, 1, HEIGHT, WIDTH, requires_grad=True)
    out = network(image)
    for unit in ((0, 0), (2, 3), (6, 8)):
        (gradient,) = torch.autograd.grad(out[0, 0, unit[0], unit[1]], image, retain_graph=True)
        for axis, pixels in enumerate(gradient[0, 0].nonzero(as_tuple=True)):
            size = field.size[axis]
            assert size is not None
            assert int(pixels.max() - pixels.min()) + 1 <= size


def measured(function: Callable[[Tensor, Functional], Tensor]) -> NetworkMeasures:
    """Measure a function of a 32-pixel image."""
    return measure(Functional(function), (1, 32, 32))


def test_strides_of_upsampled_maps_are_fractions() -> None:
    field = measured(lambda x, net: F.interpolate(net.conv(x), scale_factor=2)).field
    assert [str(stride) for stride in field.stride] == ["1/2", "1/2"]
    assert (field.size, field.padding) == ((3, 3), (1, 1))


def test_adaptive_pooling_says_that_it_depends_on_the_input_size() -> None:
    last = measured(lambda x, net: F.adaptive_avg_pool2d(net.conv(x), 4)).layers[-1]
    assert (last.status, last.receptive_field) == (Status.EXACT, (10, 10))
    assert last.stride == (Fraction(8), Fraction(8))
    assert "at this input size" in str(last.reason)


def test_global_paths_leave_the_shortest_path() -> None:
    field = measured(_squeeze_excite).field
    assert field.status is Status.WHOLE_IMAGE
    assert field.shortest_path == (1, 1)


def test_the_centre_unit_is_clipped_to_the_image() -> None:
    network = nn.Sequential(*(nn.Conv2d(1, 1, 7, padding=3, dilation=1) for _ in range(8)))
    field = measure(network, (1, 32, 20)).field
    assert field.size == (49, 49)
    assert field.visible == ((0, 31), (0, 19))
    assert field.visible_size == (32, 20)
    assert field.start == (Fraction(0), Fraction(0))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "start"),
    [(3, 1, 1, 0), (3, 2, 0, 1), (4, 2, 1, Fraction(1, 2)), (1, 3, 0, 0), (7, 4, 3, 0), (3, 1, 2, -1)],
)
def test_unit_0_is_centred_on_the_start(kernel: int, stride: int, padding: int, start: Fraction) -> None:
    measures = measure(nn.Sequential(nn.Conv2d(1, 1, kernel, stride, padding), nn.ReLU()), (1, 32, 20))
    assert measures.field.start == (start, start)
    assert measures.totals()["padding"] == padding
    assert measures.totals()["aligned"] == 1.0
    assert measures.totals()["visible_field"] == kernel


def test_a_single_position_has_a_window_and_no_stride() -> None:
    trace = Trace(Functional(lambda x, net: net.conv(x)[:, :, 10]), torch.empty(1, 1, 32, 32, device="meta"))
    trace.run()
    assert trace.output is not None
    field = field_of(trace.output)
    assert field.size == (3, 3)
    assert field.stride == (None, Fraction(1))
    assert field.visible == ((9, 11), (15, 17))
