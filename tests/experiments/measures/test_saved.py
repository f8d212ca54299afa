"""The memory that autograd keeps, against what it keeps of a real forward pass."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from experiments.measures.network import measure
from experiments.measures.saved import saved_for_backward
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.networks.vgg import VGG

Build = Callable[[], nn.Module]


def kept(network: nn.Module, images: int, side: int) -> int:
    """Return the bytes that autograd keeps of a forward pass over numbers, parameters and buffers aside."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    storages: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        storages.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    network.train()
    with saved_tensors_hooks(note, lambda tensor: tensor):
        network(torch.randn(images, 3, side, side))
    return sum(tensor.untyped_storage().nbytes() for pointer, tensor in storages.items() if pointer not in own)


class Functional(nn.Module):
    """Operators without modules: a mask, an index, a skip, a product of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, H / 2, W / 2)."""
        y = F.dropout(F.silu(self.conv(x)), 0.5, self.training)
        pooled = F.max_pool2d(y * x + self.conv(y), 2)
        return pooled * torch.sigmoid(pooled.mean((2, 3), keepdim=True))


class Attending(nn.Module):
    """Attention over the 64 positions of a map, as `form` has it of queries, keys, values `(N, 4, 64, 4)`."""

    def __init__(self, form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.form = form
        self.embed = nn.Conv2d(3, 3 * 16, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) → (N, 4, 64, 4)."""
        maps = self.embed(x).unflatten(1, (3, 4, 4)).flatten(4)
        query, key, value = (part.mT.contiguous() for part in maps.unbind(1))
        return self.form(query, key, value)


attend: Callable[..., Tensor] = F.scaled_dot_product_attention
FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "plain": attend,
    "channels before heads": lambda q, k, v: attend(
        *(item.transpose(1, 2).contiguous().transpose(1, 2) for item in (q, k, v))
    ),
    "channels apart": lambda q, k, v: attend(*(item.mT.contiguous().mT for item in (q, k, v))),
    "causal": lambda q, k, v: attend(q, k, v, is_causal=True),
    "dropout": lambda q, k, v: attend(q, k, v, dropout_p=0.1),
    "a bias from the image": lambda q, k, v: attend(q, k, v, q.mean((1, 3))[:, None, None]),
    "a mask": lambda q, k, v: attend(q, k, v, torch.ones(64, 64, dtype=torch.bool, device=q.device).tril()),
    "a mask for every image": lambda q, k, v: attend(q, k, v, torch.ones_like(q[..., :1], dtype=torch.bool).mT),
    "without heads": lambda q, k, v: attend(q[:, 0], k[:, 0], v[:, 0]),
    "wider values": lambda q, k, v: attend(q, k, torch.cat([v, v], -1)),
    "few heads of keys": lambda q, k, v: attend(q, k[:, :2], v[:, :2], enable_gqa=True),
    "put together again": lambda q, k, v: torch.sin(attend(q, k, v).transpose(1, 2).reshape(len(q), 64, 16)),
}


class Encoder(nn.Module):
    """torch's own modules of attention."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, dropout, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 4, dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, H · W / 16, 16)."""
        y = self.layer(self.embed(x).flatten(2).transpose(1, 2))
        weighted: Tensor = self.attention(y, y, y, need_weights=True)[0]
        alone: Tensor = self.attention(y, y, y, need_weights=False)[0]
        return weighted + alone


@pytest.mark.parametrize("form", FORMS)
def test_attention_keeps_what_the_kernel_keeps_that_torch_would_choose(form: str) -> None:
    network = Attending(FORMS[form])
    per_image = (kept(network, 6, 32) - kept(network, 2, 32)) / 4
    assert saved_for_backward(network, (3, 32, 32)).size == per_image


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_of_modules_keeps_what_their_kernel_keeps(dropout: float) -> None:
    network = Encoder(dropout)
    per_image = (kept(network, 6, 32) - kept(network, 2, 32)) / 4
    assert saved_for_backward(network, (3, 32, 32)).size == per_image


def test_attention_without_numbers_is_torchs_own_again_afterwards() -> None:
    saved_for_backward(Attending(attend), (3, 32, 32))
    query = torch.empty(1, 1, 4, 4, device="meta", requires_grad=True)
    assert "Flash" not in F.scaled_dot_product_attention(query, query, query).grad_fn.name()  # type: ignore[union-attr]


def test_images_so_large_that_a_batch_of_them_cannot_be_counted() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    side = 100_000
    assert saved_for_backward(network, (3, side, side)).size == 4 * side * side * (3 + 8 + 8)


@pytest.mark.parametrize(
    "build",
    [
        lambda: CifarResNet(depth=20, num_classes=10),
        lambda: CifarResNet(depth=20, num_classes=10, residual=False),
        lambda: VGG(depth=11, num_classes=10, pooled_size=1, head_widths=[32]),
        lambda: GoogLeNet(num_classes=10, aux_heads=True, small_images=True),
        lambda: torchvision.models.mobilenet_v3_small(weights=None),
        lambda: torchvision.models.densenet121(weights=None),
        lambda: torchvision.models.swin_t(weights=None),
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=10),
        Functional,
    ],
    ids=["resnet20", "plain20", "vgg11", "googlenet", "mobilenet_v3", "densenet121", "swin_t", "vit", "functional"],
)
def test_bytes_are_those_of_a_real_pass(build: Build) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = build()
    side = 32
    per_image = (kept(network, 6, side) - kept(network, 2, side)) / 4
    assert saved_for_backward(network, (3, side, side)).size == per_image


def test_a_convolution_keeps_its_input_and_a_pool_its_indices() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1)
    assert saved_for_backward(conv, (3, 10, 10)).elements == 3 * 10 * 10
    both = saved_for_backward(nn.Sequential(conv, nn.MaxPool2d(2)), (3, 10, 10))
    assert both.elements == 3 * 10 * 10 + 8 * 10 * 10 + 8 * 5 * 5
    assert both.size == 4 * (3 * 10 * 10 + 8 * 10 * 10) + 8 * (8 * 5 * 5)


def test_the_network_is_left_as_it_was() -> None:
    network = CifarResNet(depth=8, num_classes=10).eval()
    network.conv1.weight.requires_grad = False
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    saved_for_backward(network, (3, 32, 32))
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not network.conv1.weight.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_what_wants_targets_in_training_mode_is_measured_without() -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model("fcn_resnet50", weights=None, weights_backbone=None)

    class WantsTargets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise ValueError("targets should not be none when in training mode")
            answer: Tensor = self.body(x)["out"]
            return answer

    measures = measure(WantsTargets(), (3, 64, 64))
    assert measures.saved_bytes is None
    assert measures.totals()["saved_bytes"] is None
    assert measures.receptive_field == (451, 451)
