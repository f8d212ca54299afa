"""Networks of many kinds, in small, unit by unit against numeric gradients: exact, or a status says otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint
from torchvision.ops import FrozenBatchNorm2d, SqueezeExcitation, deform_conv2d, roi_align

from experiments.benchmarks.comparison import compare_seen, compare_windows
from experiments.measures.network import measure
from experiments.measures.reach import Status

CHANNELS = 2


class Network(nn.Module):
    """A forward pass with the modules, or parameters, that it uses."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401 - a tensor, or several in a dictionary
        """(N, 2, H, W) → whatever the function makes of it."""
        return self.function(self, x)


def conv(
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    channels: tuple[int, int] = (2, 2),
    **more: Any,  # noqa: ANN401 - of Conv2d
) -> nn.Conv2d:
    """Return a convolution that keeps the size of its map but for the stride, unless told otherwise."""
    more.setdefault("padding", dilation * (kernel - 1) // 2)
    return nn.Conv2d(*channels, kernel, stride, dilation=dilation, **more)


def _feature_pyramid(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    fine = net.a(x)
    middle = net.b(fine)
    coarse = net.c(middle)
    middle = net.side(middle) + F.interpolate(coarse, size=middle.shape[-2:], mode="nearest")
    return net.out(net.side(fine) + F.interpolate(middle, size=fine.shape[-2:], mode="nearest"))


def _u_net(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    first = net.a(x)
    second = net.b(F.max_pool2d(first, 2))
    up = net.d(torch.cat([second, net.up(net.c(F.max_pool2d(second, 2)))], 1))
    return net.e(torch.cat([first, F.interpolate(up, scale_factor=2, mode="bilinear")], 1))


def _u_net_without_padding(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    first = net.a(x)
    up = net.up(net.b(F.max_pool2d(first, 2)))
    top, left = (first.shape[2] - up.shape[2]) // 2, (first.shape[3] - up.shape[3]) // 2
    return net.c(torch.cat([first[:, :, top : top + up.shape[2], left : left + up.shape[3]], up], 1))


def _high_resolution(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    high = net.a(x)
    low = net.b(high)
    fused = high + F.interpolate(net.c(low), scale_factor=2, mode="bilinear", align_corners=False)
    low = low + net.b(fused)
    return fused + F.interpolate(low, scale_factor=2, mode="nearest")


def _dense(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    features = [x]
    for block in net.blocks:
        features.append(block(torch.cat(features, 1)))
    return net.out(torch.cat(features, 1))


def _inception(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True, count_include_pad=False)
    return net.out(torch.cat([net.a(x), net.tall(net.wide(x)), pooled], 1))


def _splits(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    first, *others = net.a(x).chunk(4, 1)
    outs = [first]
    for part in others:
        outs.append(net.b(part + outs[-1]))
    return net.out(torch.cat(outs, 1))


def _split_attention(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    left, right = net.a(x).chunk(2, 1)
    pooled = (left + right).mean((2, 3), keepdim=True)
    weights = torch.softmax(torch.stack([net.b(pooled), net.c(pooled)], 1), 1)
    return left * weights[:, 0] + right * weights[:, 1]


def _convnext(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    y = net.norm(net.a(x).permute(0, 2, 3, 1))
    return x + net.scale[:, None, None] * net.fc(F.gelu(net.fc(y))).permute(0, 3, 1, 2)


def _hourglass(net: Any, x: Tensor, depth: int = 2) -> Any:  # noqa: ANN401 - a network of any parts
    low = net.b(F.max_pool2d(x, 2))
    low = net.b(_hourglass(net, low, depth - 1) if depth > 1 else low)
    return net.a(x) + F.interpolate(low, scale_factor=2)


def _super_resolution(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    head = net.a(x)
    y = head
    for block in net.blocks:
        y = y + 0.1 * block(y)
    return net.out(F.pixel_shuffle(net.up(y + head), 2))


def _gated_dilated(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    total = torch.zeros(())
    for block in net.blocks:
        hidden = torch.tanh(block(x)) * torch.sigmoid(block(x))
        x, total = x + hidden, total + hidden
    return total


def _pooled_pyramid(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    sizes = [(side, side) for side in (2, 3, 5)]
    pooled = [F.interpolate(net.a(F.adaptive_avg_pool2d(x, size)), size=x.shape[-2:]) for size in sizes]
    return net.out(torch.cat([x, *pooled], 1))


def _coordinates(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    rows = torch.linspace(0, 1, x.shape[2], dtype=x.dtype).view(1, 1, -1, 1).expand(1, 1, *x.shape[2:])
    return net.a(torch.cat([x, rows], 1))


def _wavelet(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    low, high = x[..., ::2, ::2] + x[..., 1::2, ::2], x[..., ::2, ::2] - x[..., ::2, 1::2]
    y: Tensor = net.a(torch.cat([low, high], 1))
    return torch.stack([y, 2 * y], -1).flatten(3)


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - as torch calls it
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x * x

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:  # noqa: ANN401 - as torch calls it
        return 2 * tangents[0] * ctx.saved_tensors[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401 - as torch calls it
        return 2 * gradients[0] * ctx.saved_tensors[0]


def _blocks(*dilations: int) -> nn.ModuleList:
    return nn.ModuleList(conv(dilation=dilation) for dilation in dilations)


def _deconv(kernel: int, stride: int, **more: Any) -> nn.ConvTranspose2d:  # noqa: ANN401 - of ConvTranspose2d
    return nn.ConvTranspose2d(CHANNELS, CHANNELS, kernel, stride, **more)


_DENSE = [nn.Sequential(nn.BatchNorm2d(2 * n), nn.ReLU(), conv(channels=(2 * n, 2))) for n in (1, 2, 3)]
_TALL, _WIDE = nn.Conv2d(2, 2, (7, 1), padding=(3, 0)), nn.Conv2d(2, 2, (1, 7), padding=(0, 3))
_U = {
    "a": conv(),
    "b": conv(),
    "c": conv(),
    "up": _deconv(2, 2),
    "d": conv(channels=(4, 2)),
    "e": conv(channels=(4, 2)),
}
_VALID = {"a": conv(padding=0), "b": conv(padding=0), "up": _deconv(2, 2), "c": conv(channels=(4, 2), padding=0)}
_PYRAMID = {"a": conv(stride=2), "b": conv(stride=2), "c": conv(stride=2), "side": conv(1), "out": conv()}
_CONVNEXT: dict[str, nn.Module | nn.Parameter] = {
    "a": conv(7, groups=2),
    "norm": nn.LayerNorm(2),
    "fc": nn.Linear(2, 2),
    "scale": nn.Parameter(torch.ones(2)),
}

EXACT: dict[str, nn.Module] = {
    "feature pyramid": Network(_feature_pyramid, **_PYRAMID),
    "U-Net": Network(_u_net, **_U),
    "U-Net without padding": Network(_u_net_without_padding, **_VALID),
    "high resolution": Network(_high_resolution, a=conv(), b=conv(stride=2), c=conv(1)),
    "dense block": Network(_dense, blocks=nn.ModuleList(_DENSE), out=conv(1, channels=(8, 2))),
    "inception": Network(_inception, a=conv(1), tall=_TALL, wide=_WIDE, out=conv(1, channels=(6, 2))),
    "splits that feed each other": Network(_splits, a=conv(channels=(2, 8)), b=conv(), out=conv(1, channels=(8, 2))),
    "ConvNeXt block": Network(_convnext, **_CONVNEXT),
    "large separable kernels": Network(lambda net, x: net.b(net.a(x)) + net.a(net.b(x)), a=_TALL, b=_WIDE),
    "hourglass": Network(_hourglass, a=conv(), b=conv()),
    "super-resolution": Network(
        _super_resolution, a=conv(), blocks=_blocks(1, 1), up=conv(channels=(2, 8)), out=conv()
    ),
    "gated dilated": Network(_gated_dilated, blocks=_blocks(1, 2, 4)),
    "dilated pyramid": Network(
        lambda net, x: net.out(torch.cat([block(x) for block in net.blocks], 1)),
        blocks=_blocks(1, 3, 12),
        out=conv(1, channels=(6, 2)),
    ),
    "large kernel attention": Network(
        lambda net, x: x * net.b(net.a(x)), a=conv(5, groups=2), b=conv(7, dilation=3, groups=2)
    ),
    "pooled pyramid": Network(_pooled_pyramid, a=conv(1), out=conv(channels=(8, 2))),
    "coordinates": Network(_coordinates, a=conv(channels=(3, 2))),
    "wavelet": Network(_wavelet, a=conv(channels=(4, 2))),
    "flipped and back": Network(lambda net, x: net.a(x) + net.a(x.flip(3)).flip(3), a=conv()),
    "custom autograd function": Network(lambda net, x: net.a(_Square.apply(x)), a=conv()),
    "recomputed in the backward pass": Network(lambda net, x: checkpoint(net.a, x, use_reentrant=False), a=conv(5)),
    "a dictionary": Network(lambda net, x: {"out": net.a(x), "aux": net.a(net.a(x))}["out"], a=conv()),
    "normalised weights": nn.Sequential(weight_norm(conv()), nn.ReLU(), conv(5)),
    "frozen statistics": nn.Sequential(conv(), FrozenBatchNorm2d(2), nn.PReLU(2), conv()),
    "strides larger than kernels": nn.Sequential(conv(1, 2), conv(2, 3, padding=1), _deconv(2, 5), conv()),
    "autoencoder": nn.Sequential(
        conv(4, 2), conv(4, 2), _deconv(4, 2, padding=1), _deconv(3, 2, padding=1, output_padding=1)
    ),
    "ceil mode": nn.Sequential(
        nn.MaxPool2d(3, 2, ceil_mode=True), conv(), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
    ),
    "power-average pooling": nn.Sequential(nn.LPPool2d(2, 3, 2), conv()),
    "mirrored borders": nn.Sequential(nn.ReflectionPad2d(4), conv(5, 2, padding=0), nn.ReplicationPad2d(2), conv()),
    "wrapped borders": nn.Sequential(conv(padding_mode="circular"), conv(5, 2, padding_mode="circular"), conv()),
    "wrapped to one side": Network(lambda net, x: net.a(F.pad(x, (3, 1, 0, 2), "circular")), a=conv()),
    "shuffled channels": nn.Sequential(conv(channels=(2, 4)), nn.ChannelShuffle(2), conv(groups=2, channels=(4, 2))),
    "pixels unshuffled": nn.Sequential(nn.PixelUnshuffle(2), conv(channels=(8, 8)), nn.PixelShuffle(2), conv()),
    "rolled": Network(lambda net, x: net.a(torch.roll(net.a(x), (3, -2), (2, 3))), a=conv()),
}
SHAPE = (CHANNELS, 32, 24)


@pytest.mark.parametrize("name", EXACT)
def test_every_unit_sees_what_its_gradient_touches(name: str) -> None:
    comparison = compare_seen(EXACT[name], SHAPE, most_units=150)
    assert comparison.mismatches == ()
    assert comparison.status is Status.EXACT
    assert comparison.units >= 30


@pytest.mark.parametrize("name", EXACT)
def test_size_stride_and_padding_are_those_of_units_far_from_every_border(name: str) -> None:
    comparison = compare_windows(EXACT[name], SHAPE)
    assert comparison.mismatches == ()
    assert comparison.units >= 2


def _non_local(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    queries, keys, values = (part(x).flatten(2) for part in (net.a, net.b, net.c))
    weights = torch.softmax(queries.transpose(1, 2) @ keys, -1)
    return x + (weights @ values.transpose(1, 2)).transpose(1, 2).view_as(x)


def _mixer(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    patches = net.a(x)
    y = patches.flatten(2)
    y = y + net.tokens(y)
    return (y + net.fc(y.transpose(1, 2)).transpose(1, 2)).view_as(patches)


def _transformer(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    patches: Tensor = net.a(x)
    return net.encoder(patches.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(patches.shape)


def _strips(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    rows, columns = net.tall(x.mean(3, keepdim=True)), net.wide(x.mean(2, keepdim=True))
    return x * torch.sigmoid(rows.expand_as(x) + columns.expand_as(x))


def _atrous(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    pooled = F.interpolate(net.a(F.adaptive_avg_pool2d(x, 1)), size=x.shape[-2:], mode="bilinear")
    return torch.cat([pooled, *(block(x) for block in net.blocks)], 1)


def _style(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    out: Tensor = net.a(
        F.interpolate(F.relu(F.instance_norm(net.a(F.pad(x, (4, 4, 4, 4), "reflect")))), scale_factor=2)
    )
    return out


_TRANSFORMER = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

WHOLE: dict[str, nn.Module] = {
    "squeeze and excite": SqueezeExcitation(2, 1),
    "split attention": Network(_split_attention, a=conv(channels=(2, 4)), b=conv(1), c=conv(1)),
    "non-local": Network(_non_local, a=conv(1), b=conv(1), c=conv(1)),
    "mixer": Network(_mixer, a=conv(4, 4, padding=0), tokens=nn.Linear(6, 6), fc=nn.Linear(2, 2)),
    "transformer": Network(_transformer, a=conv(4, 4, channels=(2, 4), padding=0), encoder=_TRANSFORMER),
    "strip pooling": Network(_strips, tall=_TALL, wide=_WIDE),
    "atrous pyramid with pooling": Network(_atrous, a=conv(1), blocks=_blocks(1, 2, 6)),
    "style transfer": Network(_style, a=conv()),
    "group normalisation": nn.Sequential(conv(), nn.GroupNorm(2, 2), conv()),
    "batch normalisation without statistics": nn.Sequential(conv(), nn.BatchNorm2d(2, track_running_stats=False)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_joins_all_positions_sees_the_whole_image(name: str) -> None:
    comparison = compare_seen(WHOLE[name], (CHANNELS, 12, 8), most_units=100)
    assert comparison.mismatches == ()
    assert comparison.status is Status.WHOLE_IMAGE
    assert measure(WHOLE[name], (CHANNELS, 12, 8)).reason is not None


def _windows(_: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    count, channels, height, width = x.shape
    tokens = x.view(count, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, channels)
    tokens = torch.softmax(tokens @ tokens.transpose(1, 2), -1) @ tokens
    back = tokens.view(count, height // 4, width // 4, 4, 4, channels).permute(0, 5, 1, 3, 2, 4)
    return back.reshape(x.shape)


def _recurrent_rows(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    count, channels, height, width = x.shape
    rows = net.rows(x.permute(0, 2, 3, 1).reshape(count * height, width, channels))[0]
    return rows.reshape(count, height, width, -1).permute(0, 3, 1, 2)


BOUND: dict[str, nn.Module] = {
    "attention in windows": Network(_windows),
    "recurrent along rows": Network(_recurrent_rows, rows=nn.LSTM(2, 2, batch_first=True)),
    "gated recurrent, both ways": Network(_recurrent_rows, rows=nn.GRU(2, 2, batch_first=True, bidirectional=True)),
    "pyramid of sizes that do not double": Network(
        lambda net, x: net.a(x) + F.interpolate(net.b(x), size=x.shape[-2:], mode="bilinear"),
        a=conv(),
        b=conv(stride=2, padding=0),
    ),
}


@pytest.mark.parametrize("name", BOUND)
def test_bounds_hold(name: str) -> None:
    comparison = compare_seen(BOUND[name], (CHANNELS, 12, 8), most_units=100)
    assert comparison.mismatches == ()
    assert comparison.status is Status.BOUND
    assert comparison.units > 0


def _shifted(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    y = torch.zeros_like(x)
    y[:, :1, :, 1:], y[:, 1:] = x[:, :1, :, :-1], x[:, 1:]
    return net.a(y)


def _wrapped(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    y = F.pad(x, (1, 1))
    y[..., 0], y[..., -1] = x[..., -1], x[..., 0]
    return net.a(y)


def _unpooled(net: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    y, indices = F.max_pool2d(net.a(x), 2, return_indices=True)
    return F.max_unpool2d(y, indices, [2, 2])


def _sampled(_: Any, x: Tensor) -> Any:  # noqa: ANN401 - a network of any parts
    grid = F.affine_grid(torch.eye(2, 3)[None], list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


UNSUPPORTED: dict[str, tuple[nn.Module, str]] = {
    "sampled at a grid": (Network(_sampled), "grid_sampler_2d"),
    "deformable": (
        Network(
            lambda net, x: deform_conv2d(x, net.a(x), net.b.weight, padding=1), a=conv(1, channels=(2, 18)), b=conv()
        ),
        "torchvision::deform_conv2d",
    ),
    "regions": (Network(lambda _, x: roi_align(x, torch.tensor([[0.0, 0, 0, 4, 4]]), 3)), "torchvision::roi_align"),
    "Fourier transform": (Network(lambda _, x: torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:])), "fft_r2c"),
    "unfolded": (Network(lambda net, x: (F.unfold(x, 3, padding=1) * net.a.bias[0]).sum(1), a=conv()), "im2col"),
    "weights made of the image": (
        Network(lambda net, x: F.conv2d(x, net.b.weight * net.a(x).mean(), padding=1), a=conv(), b=conv()),
        "conv with weights that depend on the image",
    ),
    "shifted by slices": (Network(_shifted, a=conv()), "copy_ into a part of a tensor"),
    "unpooled": (Network(_unpooled, a=conv()), "max_unpool2d"),
    "wrapped around by hand": (Network(_wrapped, a=conv()), "copy_ into a part of a tensor"),
}


def test_a_map_that_would_be_wrapped_twice_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="wrapping around more than once"):
        measure(Network(lambda net, x: net.a(F.pad(x, (9, 0, 0, 0), mode="circular")), a=conv()), (CHANNELS, 12, 8))


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_understood_is_named(name: str) -> None:
    network, operator = UNSUPPORTED[name]
    measures = measure(network, (CHANNELS, 12, 8))
    assert (measures.status, measures.receptive_field) == (Status.UNSUPPORTED, (None, None))
    assert operator in str(measures.reason)
