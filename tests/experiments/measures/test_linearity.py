"""Linear networks of known rank, and nonlinear ones whose Jacobians can be written down."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from experiments.measures import linearity as module_under_test
from experiments.measures.linearity import linearity

IMAGES = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def linear_stack(units: Sequence[int], activation: type[nn.Module] = nn.Identity) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(units):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(
    ("units", "rank"), [((32, 5), 5), ((32, 3, 5), 3), ((32, 16, 2, 16, 5), 2), ((32, 40, 40, 7), 7)]
)
def test_a_linear_network_has_the_rank_of_its_narrowest_layer_at_any_depth(units: Sequence[int], rank: int) -> None:
    found = linearity(linear_stack(units), IMAGES)
    assert (found.images, found.outputs) == (6, units[-1])
    assert found.jacobian_variation < 1e-12
    assert found.affine_residual < 1e-12
    assert found.ranks == (rank,) * 6
    assert found.joint_rank == rank
    assert found.totals()["jacobian_rank"] == rank


def test_convolutions_average_pools_and_batch_norm_are_affine() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    network(torch.randn(16, 2, 4, 4) + 3)  # moves the running statistics
    found = linearity(network.eval(), IMAGES)
    assert found.jacobian_variation < 1e-12
    assert found.affine_residual < 1e-12
    assert found.joint_rank == 4


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
def test_an_activation_between_the_layers_makes_a_network_of_other_jacobians(activation: type[nn.Module]) -> None:
    found = linearity(linear_stack((32, 16, 5), activation), IMAGES)
    assert found.jacobian_variation > 0.1
    assert found.affine_residual > 0.1
    assert found.ranks == (5,) * 6
    # Six images know more than five dimensions between them; all pass through sixteen units.
    assert found.joint_rank == 16


class Squares(nn.Module):
    """The Jacobian at x is diagonal, 2 x."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).square()


def test_the_numbers_are_those_of_a_calculation_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 1e-4]])
    found = linearity(Squares(), images)
    # Jacobians diag(2, 0), diag(6, 0), diag(4, 2e-4): mean diag(4, …).
    assert found.jacobian_variation == pytest.approx(math.sqrt((4 + 4) / (4 + 36 + 16)), rel=1e-6)
    # Outputs 1, 9, 4 around their mean 14/3; the map says 4 (x - 2): -4, 4, 0.
    moved = [1 - 14 / 3, 9 - 14 / 3, 4 - 14 / 3]
    left = [moved[0] + 4, moved[1] - 4, moved[2]]
    expected = math.sqrt(sum(value**2 for value in left) / sum(value**2 for value in moved))
    assert found.affine_residual == pytest.approx(expected, rel=1e-6)
    # 2e-4 is below a thousandth of 4.
    assert found.ranks == (1, 1, 1)
    assert found.joint_rank == 1


def test_images_in_one_region_of_a_rectifier_show_an_affine_map() -> None:
    found = linearity(nn.Sequential(nn.Flatten(), nn.ReLU()), IMAGES.abs() + 1)
    assert found.jacobian_variation == 0
    assert found.affine_residual < 1e-12
    found = linearity(nn.Sequential(nn.Flatten(), nn.ReLU()), IMAGES)
    assert found.jacobian_variation > 0.5


def test_unrelated_jacobians_vary_by_the_root_of_1_less_1_over_n() -> None:
    images = torch.eye(4) + 0.0
    found = linearity(Squares(), images)
    assert found.jacobian_variation == pytest.approx(math.sqrt(3 / 4))
    assert found.joint_rank == 4


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten())
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, state = IMAGES.clone(), torch.get_rng_state()
    with torch.no_grad():
        found = linearity(network, images)
    assert found == linearity(network, images)
    assert network.training
    assert all(parameter.grad is None and parameter.dtype == torch.float32 for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(images, IMAGES)
    assert torch.equal(state, torch.get_rng_state())


class Detached(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.detach()


def test_what_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = linear_stack((32, 5))
    with pytest.raises(
        ValueError, match=r"^images=torch.float32 \(1, 2, 4, 4\): must be floating point and 2 at least$"
    ):
        linearity(network, IMAGES[:1])
    with pytest.raises(ValueError, match=r"^images=torch.int64 "):
        linearity(network, IMAGES.long())
    with pytest.raises(ValueError, match="puts out nothing for each image"):
        linearity(Detached(), IMAGES)
    with pytest.raises(ValueError, match="is zero at every image"):
        linearity(nn.ReLU(), -IMAGES.abs())
    with pytest.raises(ValueError, match="is not finite"):
        linearity(nn.Sequential(nn.ReLU(), Squares()), IMAGES * math.inf)
    monkeypatch.setattr(module_under_test, "MOST_ELEMENTS", 100)
    with pytest.raises(ValueError, match=r"^Jacobians of 6x5x32 = 960 numbers are too many: "):
        linearity(network, IMAGES)


def test_outputs_that_never_move_have_no_residual() -> None:
    found = linearity(Squares(), torch.tensor([[1.0], [-1.0]]))
    assert math.isnan(found.affine_residual)
    assert found.jacobian_variation == 1
