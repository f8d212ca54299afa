"""Several arrays of pictures as one."""

import numpy as np

from datamodules.scenes.joined import JoinedStore

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)


def test_pictures_are_read_across_arrays_as_from_one() -> None:
    store = JoinedStore([PICTURES[:3], PICTURES[3:4], PICTURES[4:]])
    assert len(store) == 10
    for indices in ([0, 9, 3, 2, 4, 3], [5, 5], []):
        read = store.read(np.asarray(indices, dtype=np.int64))
        assert np.array_equal(read, PICTURES[indices])
    store.read(np.arange(10))[:] = 0
    assert PICTURES.any()
