"""Splits: stratified, disjoint, nested, recorded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.splits import Parts, Split, stratified_split

NAMES = ("ant", "bee", "cat")


def split(labels: np.ndarray, **changes: object) -> Split:
    settings = {"val_fraction": 0.2, "seed": 0, "class_names": NAMES, **changes}
    return stratified_split(labels, Parts(train=np.arange(len(labels))), **settings)  # type: ignore[arg-type]


@pytest.fixture
def labels() -> np.ndarray:
    return np.tile([0, 1, 2, 1, 2, 2, 2], 50)


def test_parts_are_disjoint_and_complete(labels: np.ndarray) -> None:
    parts = split(labels)
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(together) == list(range(350))
    assert all((np.diff(part) > 0).all() for part in (parts.train, parts.val, parts.test))


def test_every_class_keeps_its_share(labels: np.ndarray) -> None:
    parts = split(labels)
    assert np.bincount(labels[parts.test]).tolist() == [10, 20, 40]
    assert np.bincount(labels[parts.val]).tolist() == [8, 16, 32]
    assert np.bincount(labels[parts.train]).tolist() == [32, 64, 128]


def test_the_seed_alone_decides(labels: np.ndarray) -> None:
    assert split(labels).digest == split(labels).digest
    assert split(labels).digest != split(labels, seed=1).digest
    assert split(labels).val.tolist() != split(labels, seed=1).val.tolist()


def test_digest_is_that_of_the_recorded_algorithm(labels: np.ndarray) -> None:
    # A changed digest means that recorded runs cannot be reproduced any more.
    assert split(labels).digest == "36ba7954eca9463cf496583ddcad139e5662e096e6993286f4209a1c1f9d5594"


def test_digest_tells_parts_apart() -> None:
    def of(*parts: list[int]) -> str:
        return Split(*(np.asarray(part, dtype=np.int64) for part in parts)).digest

    assert len({of([1, 2], [3], [4]), of([1], [2, 3], [4]), of([1, 2], [4], [3]), of([1, 2, 3, 4], [], [])}) == 4


def test_few_samples_are_nested_and_leave_the_other_parts(labels: np.ndarray) -> None:
    whole, few, fewer = split(labels), split(labels, few_samples=20), split(labels, few_samples=5)
    assert np.bincount(labels[few.train]).tolist() == [20, 20, 20]
    assert np.bincount(labels[fewer.train]).tolist() == [5, 5, 5]
    assert set(fewer.train) < set(few.train) < set(whole.train)
    for part in (few, fewer):
        assert part.val.tolist() == whole.val.tolist()
        assert part.test.tolist() == whole.test.tolist()


def test_too_many_few_samples_name_class_and_limit(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^few_samples=33: class 'ant' has 32 training samples; at most 32"):
        split(labels, few_samples=33)


def test_too_many_few_samples_name_the_smallest_class() -> None:
    labels = np.repeat([0, 1, 2], [30, 10, 20])
    with pytest.raises(DataError, match=rf"class {NAMES[1]!r} has 6 training samples; at most 6"):
        split(labels, few_samples=50)


def test_parts_of_the_data_set_are_kept_whatever_the_seed(labels: np.ndarray) -> None:
    test = np.arange(300, 350)
    for seed in (0, 1):
        parts = stratified_split(
            labels, Parts(train=np.arange(300), test=test), val_fraction=0.1, seed=seed, class_names=NAMES
        )
        assert parts.test.tolist() == test.tolist()
        assert not set(parts.val) & set(test)


def test_a_class_of_one_sample_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"^class 'cat' has 1 sample\(s\) left"):
        split(np.asarray([0] * 10 + [1] * 10 + [2]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(3, 40), min_size=3, max_size=3), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_no_class_ever_vanishes_from_a_part(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat([0, 1, 2], counts)
    parts = split(labels, val_fraction=fraction, seed=seed)
    for part in (parts.train, parts.val, parts.test):
        assert set(labels[part]) == {0, 1, 2}
    assert len(parts.train) + len(parts.val) + len(parts.test) == sum(counts)
