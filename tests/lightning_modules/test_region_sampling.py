"""Which regions a training step sees: the paper's shares, uniformly, by seed and step alone."""

import pytest
import torch
from torch import Tensor

from lightning_modules.region_labels import IGNORED
from lightning_modules.region_sampling import RegionSampler, sample_regions

BACKGROUND = 4


def labels(pictures: int = 12, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(0, 40, (pictures,), generator=generator).tolist()
    return [torch.randint(IGNORED, BACKGROUND + 1, (size,), generator=generator) for size in sizes]


def test_a_step_is_a_quarter_objects_and_the_rest_background() -> None:
    given = labels()
    for step in range(20):
        batch = RegionSampler(given, num_classes=BACKGROUND).batch(step)
        own = torch.stack([given[picture][region] for picture, region in zip(*batch[:2], strict=True)])
        assert torch.equal(batch.labels, own)
        assert ((own[:32] >= 0) & (own[:32] < BACKGROUND)).all()
        assert (own[32:] == BACKGROUND).all()
        assert len(own) == 128


def test_draws_depend_on_seed_and_step_alone() -> None:
    sampler = RegionSampler(labels(), num_classes=BACKGROUND, seed=5)
    later = sampler.batch(7)
    sampler.batch(0)
    again = RegionSampler(labels(), num_classes=BACKGROUND, seed=5).batch(7)
    assert all(torch.equal(one, other) for one, other in zip(later, again, strict=True))
    assert not torch.equal(later.regions, sampler.batch(8).regions)
    assert not torch.equal(later.regions, RegionSampler(labels(), num_classes=BACKGROUND, seed=6).batch(7).regions)


def test_every_region_of_a_kind_is_as_likely() -> None:
    given = labels()
    counts = [torch.zeros(len(own)) for own in given]
    sampler = RegionSampler(given, num_classes=BACKGROUND, positives=40, backgrounds=40)
    for step in range(400):
        batch = sampler.batch(step)
        for picture, region in zip(batch.pictures.tolist(), batch.regions.tolist(), strict=True):
            counts[picture][region] += 1
    flat, kinds = torch.cat(counts), torch.cat(given)
    assert not flat[kinds == IGNORED].any()
    for kind in (kinds == BACKGROUND, (kinds != BACKGROUND) & (kinds != IGNORED)):
        expected = 16_000 / int(kind.sum())
        # Of 16,000 draws; the bound is of five standard deviations.
        assert (flat[kind] - expected).abs().max() < 5 * expected**0.5


def test_one_positive_comes_as_often_as_many_would() -> None:
    batch = RegionSampler([torch.tensor([BACKGROUND, 2, BACKGROUND])], num_classes=BACKGROUND).batch(0)
    assert batch.regions[:32].tolist() == [1] * 32
    assert set(batch.regions[32:].tolist()) == {0, 2}


@pytest.mark.parametrize("kind", [2, BACKGROUND])
def test_where_one_kind_is_missing_the_other_takes_its_place(kind: int) -> None:
    batch = RegionSampler([torch.tensor([kind, IGNORED]), torch.tensor([kind])], num_classes=BACKGROUND).batch(0)
    assert batch.labels.tolist() == [kind] * 128
    assert set(batch.pictures.tolist()) == {0, 1}
    assert set(batch.regions.tolist()) == {0}


@pytest.mark.parametrize("given", [[], [torch.tensor([IGNORED])]])
def test_pictures_without_any_region_are_refused(given: list[Tensor]) -> None:
    with pytest.raises(ValueError, match=rf"{len(given)} pictures: none has a region of an object or of background"):
        RegionSampler(given, num_classes=BACKGROUND)


def test_counts_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"positives=0, backgrounds=0: must be at least 0, one of them above"):
        RegionSampler([torch.tensor([1])], num_classes=BACKGROUND, positives=0, backgrounds=0)


def test_of_one_picture_no_region_comes_twice() -> None:
    given = torch.tensor([BACKGROUND] * 30 + [0, 1, 2] * 5 + [IGNORED] * 20)
    chosen = sample_regions(given, BACKGROUND, count=20, positives=8, key=(3, 1, 17))
    assert len(set(chosen.tolist())) == 20
    assert (given[chosen[:8]] < BACKGROUND).all()
    assert (given[chosen[8:]] == BACKGROUND).all()
    assert torch.equal(chosen, sample_regions(given, BACKGROUND, count=20, positives=8, key=(3, 1, 17)))
    assert not torch.equal(chosen, sample_regions(given, BACKGROUND, count=20, positives=8, key=(3, 2, 17)))


def test_background_makes_up_for_missing_positives_and_few_regions_are_all() -> None:
    given = torch.tensor([BACKGROUND] * 6 + [2])
    assert given[sample_regions(given, BACKGROUND, count=5, positives=3, key=(0,))].tolist() == [2] + [BACKGROUND] * 4
    assert sorted(sample_regions(given, BACKGROUND, key=(0,)).tolist()) == list(range(7))
    assert sample_regions(given[:0], BACKGROUND, key=(0,)).tolist() == []
