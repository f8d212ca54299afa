"""Warped regions: coordinates lead there and back, and the pixels are where the coordinates say."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.networks.region_warping import RegionWarping

DRAWS = 200


def random_boxes(count: int, generator: torch.Generator, *, smallest: float = 0.1, largest: float = 500.0) -> Tensor:
    """Make boxes of every size and aspect ratio, some of them beyond any picture."""
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 800 - 200
    size = smallest * (largest / smallest) ** torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([corner, corner + size], dim=1)


def cases() -> Iterator[tuple[RegionWarping, Tensor, torch.Generator]]:
    """Make sizes, contexts from none to nearly all, and boxes, of as many seeds as `DRAWS`."""
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        size = int(torch.randint(1, 300, (1,), generator=generator))
        context = int(torch.randint((size + 1) // 2, (1,), generator=generator))
        yield RegionWarping(size, context), random_boxes(10, generator), generator


def test_points_and_boxes_of_the_picture_come_back_from_the_region() -> None:
    for warping, boxes, generator in cases():
        points = torch.rand(10, 7, 2, generator=generator, dtype=torch.float64) * 1000 - 300
        torch.testing.assert_close(warping.out_of(boxes, warping.into(boxes, points)), points, rtol=0, atol=1e-9)
        others = random_boxes(70, generator).reshape(10, 7, 4)
        torch.testing.assert_close(warping.out_of(boxes, warping.into(boxes, others)), others, rtol=0, atol=1e-9)


def test_points_and_boxes_of_the_region_come_back_from_the_picture() -> None:
    for warping, boxes, generator in cases():
        for sides in (2, 4):
            there = torch.rand(10, 7, sides, generator=generator, dtype=torch.float64) * warping.size
            # A pixel of the region may be far less than one of the picture, whose rounding is then seen there.
            scale = warping.size / (boxes[:, 2:] - boxes[:, :2]).amin()
            back = warping.into(boxes, warping.out_of(boxes, there))
            torch.testing.assert_close(back, there, rtol=0, atol=1e-12 * (1 + 1000 * float(scale)))


def test_a_box_fills_the_region_but_for_the_context() -> None:
    for warping, boxes, _ in cases():
        inner = torch.tensor([[warping.context] * 2 + [warping.size - warping.context] * 2], dtype=torch.float64)
        torch.testing.assert_close(warping.into(boxes, boxes[:, None]), inner.expand(10, 1, 4), rtol=0, atol=1e-6)
        whole = torch.tensor([[0, 0, warping.size, warping.size]], dtype=torch.float64).expand(10, 1, 4)
        around = warping.with_context(boxes)
        torch.testing.assert_close(warping.into(boxes, around[:, None]), whole, rtol=0, atol=1e-6)
        torch.testing.assert_close(warping.out_of(boxes, whole), around[:, None], rtol=1e-9, atol=1e-9)


def test_the_papers_region_has_sixteen_pixels_of_context() -> None:
    # Of 227 pixels 195 are the box: 16 pixels around are 16 / 195 of its sides.
    around = RegionWarping().with_context(torch.tensor([[100.0, 100.0, 295.0, 490.0]], dtype=torch.float64))
    torch.testing.assert_close(around, torch.tensor([[84.0, 68.0, 311.0, 522.0]], dtype=torch.float64))


def coordinates_as_picture(height: int, width: int) -> Tensor:
    """Make a picture of two channels, whose pixels say where their centres are: x and y."""
    x = torch.arange(width, dtype=torch.float64) + 0.5
    y = torch.arange(height, dtype=torch.float64) + 0.5
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def test_each_pixel_shows_the_place_that_its_coordinates_lead_to() -> None:
    picture = coordinates_as_picture(90, 120)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        size = int(torch.randint(9, 40, (1,), generator=generator))
        warping = RegionWarping(size, size // 5)
        corner = torch.rand(6, 2, generator=generator, dtype=torch.float64) * 20 + 30
        boxes = torch.cat([corner, corner + 1 + 20 * torch.rand(6, 2, generator=generator, dtype=torch.float64)], dim=1)
        warped = warping(picture, boxes)
        centres = coordinates_as_picture(size, size).flatten(1).T.expand(6, -1, -1)
        expected = warping.out_of(boxes, centres).transpose(1, 2).reshape(6, 2, size, size)
        # Bilinear samples of a ramp are exact, so long as nothing of the region is outside the picture.
        torch.testing.assert_close(warped, expected, rtol=0, atol=1e-9)


def sampled(picture: Tensor, warping: RegionWarping, boxes: Tensor) -> Tensor:
    """Sample bilinearly by torch's own function, zero outside the picture."""
    height, width = picture.shape[1:]
    centres = coordinates_as_picture(warping.size, warping.size).flatten(1).T.expand(len(boxes), -1, -1)
    places = warping.out_of(boxes, centres).reshape(len(boxes), warping.size, warping.size, 2)
    grid = places / torch.tensor([width, height]) * 2 - 1
    return F.grid_sample(picture.expand(len(boxes), -1, -1, -1), grid, padding_mode="zeros", align_corners=False)


def test_the_pixels_are_bilinear_samples_and_the_mean_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(3, 40, 60, generator=generator, dtype=torch.float64)
    boxes = random_boxes(60, generator, smallest=2.0, largest=90.0) % torch.tensor([90.0, 90.0, 1e9, 1e9])
    boxes = torch.cat([boxes[:, :2] - 20, boxes[:, :2] - 20 + 2 + 70 * torch.rand(60, 2, generator=generator)], dim=1)
    warping = RegionWarping(23, 4)
    warped = warping(picture, boxes)
    assert (warped == 0).any(), "none of these regions reaches beyond the picture"
    torch.testing.assert_close(warped, sampled(picture, warping, boxes), rtol=0, atol=1e-9)


def test_far_outside_the_picture_there_is_only_the_mean() -> None:
    assert not RegionWarping(9, 2)(torch.ones(3, 20, 20), torch.tensor([[40.0, 5.0, 60.0, 9.0]])).any()


def test_a_region_does_not_depend_on_the_others() -> None:
    generator = torch.Generator().manual_seed(1)
    picture, boxes = torch.randn(3, 30, 50, generator=generator), random_boxes(5, generator).float() / 10
    warping = RegionWarping(12, 1)
    alone = torch.cat([warping(picture, box[None]) for box in boxes])
    assert torch.equal(warping(picture, boxes), alone)
    assert warping(picture, boxes[:0]).shape == (0, 3, 12, 12)


def test_without_context_a_whole_picture_is_itself() -> None:
    picture = torch.randn(3, 14, 14, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(RegionWarping(14, 0)(picture, torch.tensor([[0.0, 0.0, 14.0, 14.0]]))[0], picture)


@pytest.mark.parametrize(("size", "context"), [(0, 0), (10, -1), (10, 5), (32, 16)])
def test_a_region_without_room_for_its_box_is_refused(size: int, context: int) -> None:
    with pytest.raises(ValueError, match=r"must be at least"):
        RegionWarping(size, context)


def test_boxes_and_coordinates_that_are_none_are_refused() -> None:
    warping = RegionWarping(9, 1)
    flat = torch.tensor([[1.0, 2.0, 3.0, 2.0]])
    said = r"boxes\[0\]=\(1, 2, 3, 2\): must be x1 < x2 and y1 < y2"
    with pytest.raises(ValueError, match=said):
        warping(torch.zeros(3, 9, 9), flat)
    with pytest.raises(ValueError, match=said):
        warping.into(flat, torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match=said):
        warping.with_context(flat)
    with pytest.raises(ValueError, match=r"coordinates of shape \(1, 2\): must be \(1, P, 2\) or \(1, P, 4\)"):
        warping.into(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"picture of shape \(1, 3, 9, 9\): must be \(C, H, W\)"):
        warping(torch.zeros(1, 3, 9, 9), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
