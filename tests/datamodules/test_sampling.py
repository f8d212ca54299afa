"""The order of samples: per epoch, per process, after an interruption."""

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.randomness import permutation
from datamodules.sampling import EvaluationSampler, TrainingSampler

SAMPLES = np.arange(1000, 1103)


def epochs(sampler: TrainingSampler, count: int = 1) -> list[list[list[int]]]:
    orders = []
    for epoch in range(count):
        sampler.set_epoch(epoch)
        orders.append([request.indices.tolist() for request in sampler])
    return orders


def test_permutation_is_the_recorded_one() -> None:
    # A changed order means that recorded runs cannot be reproduced any more.
    assert permutation(10, "order", 0, 0).tolist() == [0, 8, 1, 6, 7, 3, 4, 2, 5, 9]
    assert sorted(permutation(1000, "x")) == list(range(1000))


def test_an_epoch_shows_each_sample_at_most_once_in_whole_batches() -> None:
    sampler = TrainingSampler(SAMPLES, batch_size=10, seed=0)
    (batches,) = epochs(sampler)
    assert len(batches) == len(sampler) == 10
    assert {len(batch) for batch in batches} == {10}
    seen = [index for batch in batches for index in batch]
    assert len(set(seen)) == 100
    assert set(seen) <= set(SAMPLES.tolist())


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first = epochs(TrainingSampler(SAMPLES, batch_size=10, seed=0), 3)
    again = epochs(TrainingSampler(SAMPLES, batch_size=10, seed=0), 3)
    other = epochs(TrainingSampler(SAMPLES, batch_size=10, seed=1), 3)
    assert first == again
    assert first[0] != first[1] != first[2]
    assert first[0] != other[0]
    late = TrainingSampler(SAMPLES, batch_size=10, seed=0)
    late.set_epoch(2)
    assert [request.indices.tolist() for request in late] == first[2]
    assert {request.epoch for request in late} == {2}


@pytest.mark.parametrize("world_size", [2, 5])
def test_shares_of_all_processes_make_up_the_batches_of_one(world_size: int) -> None:
    (alone,) = epochs(TrainingSampler(SAMPLES, batch_size=10, seed=3))
    shares = [
        epochs(TrainingSampler(SAMPLES, batch_size=10, seed=3, rank=rank, world_size=world_size))[0]
        for rank in range(world_size)
    ]
    for number, batch in enumerate(alone):
        assert sorted(index for share in shares for index in share[number]) == sorted(batch)
        assert {len(share[number]) for share in shares} == {10 // world_size}


def test_an_interrupted_epoch_goes_on_where_it_was() -> None:
    whole = TrainingSampler(SAMPLES, batch_size=10, seed=0)
    rest = TrainingSampler(SAMPLES, batch_size=10, seed=0, position=lambda: 7)
    assert epochs(rest)[0] == epochs(whole)[0][7:]
    assert len(rest) == 10


def test_a_split_smaller_than_a_batch_is_one_batch() -> None:
    (batches,) = epochs(TrainingSampler(SAMPLES[:6], batch_size=128, seed=0))
    assert [sorted(batch) for batch in batches] == [SAMPLES[:6].tolist()]


@pytest.mark.parametrize(
    ("batch_size", "samples", "message"),
    [
        (10, 103, "batch_size=10: must be a multiple of the 4 processes that share it"),
        (128, 103, "batch_size=128: the 103 training samples are one batch, which 4 processes cannot share evenly"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(batch_size: int, samples: int, message: str) -> None:
    with pytest.raises(DataError) as caught:
        TrainingSampler(SAMPLES[:samples], batch_size=batch_size, seed=0, world_size=4)
    assert str(caught.value) == message


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 1000])
def test_evaluation_counts_every_sample_once(world_size: int, batch_size: int) -> None:
    seen = []
    for rank in range(world_size):
        sampler = EvaluationSampler(SAMPLES, batch_size=batch_size, rank=rank, world_size=world_size)
        batches = [request.indices.tolist() for request in sampler]
        assert len(batches) == len(sampler)
        assert all(batches)
        seen += [index for batch in batches for index in batch]
    assert sorted(seen) == SAMPLES.tolist()


def test_evaluation_needs_a_sample_per_process() -> None:
    with pytest.raises(DataError, match=r"^2 samples to evaluate cannot be shared between 3 processes$"):
        EvaluationSampler(SAMPLES[:2], batch_size=6, world_size=3)
