"""Batches on their way: packed and unpacked they are what they were."""

import numpy as np
import torch

from datamodules.detection.augmentation import Sample
from datamodules.detection.batches import packed, unpacked
from datamodules.detection.objects import ObjectRows, ObjectTable


def sample(number: int, objects: int, proposals: int) -> Sample:
    random = np.random.default_rng(number)
    corners = random.uniform(0, 9, (objects + proposals, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 1], axis=1)
    return Sample(
        picture=random.integers(0, 256, (10 + number, 12, 3), dtype=np.uint8),
        objects=ObjectRows.of(boxes[:objects], np.arange(objects), crowd=np.arange(objects) % 2),
        proposals=boxes[objects:],
        dropped={"tiny": number, "outside": 1},
    )


def test_what_is_packed_is_unpacked() -> None:
    samples = [sample(0, 2, 3), sample(1, 0, 0), sample(2, 1, 4)]
    batch = packed(samples, [5, 3, 8])
    assert batch["dropped"].tolist() == [3, 3, 0, 0]
    # On their way tensors are few, whatever the number of pictures.
    assert sum(1 for value in batch.values() if isinstance(value, torch.Tensor)) == 6
    whole = unpacked(batch, proposed=True)
    assert whole["index"].tolist() == [5, 3, 8]
    for given, image, objects, proposals in zip(
        samples, whole["images"], whole["objects"], whole["proposals"], strict=True
    ):
        assert np.array_equal(image.numpy(), given.picture.transpose(2, 0, 1))
        assert np.array_equal(proposals.numpy(), given.proposals)
        for found, truth in zip(objects.values(), given.objects.tensors().values(), strict=True):
            assert isinstance(found, torch.Tensor)
            assert isinstance(truth, torch.Tensor)
            assert torch.equal(found, truth)
            assert found.dtype == truth.dtype
    assert "proposals" not in unpacked(batch, proposed=False)


def test_a_batch_of_pictures_without_anything() -> None:
    whole = unpacked(packed([sample(0, 0, 0), sample(1, 0, 0)], [0, 1]), proposed=True)
    for objects, proposals in zip(whole["objects"], whole["proposals"], strict=True):
        assert {name: tuple(values.shape) for name, values in objects.items()} == {  # type: ignore[attr-defined]
            "boxes": (0, 4),
            "labels": (0,),
            "crowd": (0,),
            "difficult": (0,),
            "area": (0,),
        }
        assert proposals.shape == (0, 4)


def test_a_table_knows_whose_objects_are_whose() -> None:
    rows = [sample(number, count, 0).objects for number, count in enumerate((2, 0, 0, 3))]
    table = ObjectTable(rows)
    assert [len(table.of(index)) for index in range(len(table))] == [2, 0, 0, 3]
    assert np.array_equal(table.of(3).boxes, rows[3].boxes)
    digests = {ObjectTable(order).digest for order in (rows, rows[::-1], [rows[0], rows[3], rows[1], rows[2]])}
    assert len(digests) == 3
    assert ObjectTable([ObjectRows.of(one.boxes, one.labels, crowd=one.crowd) for one in rows]).digest == table.digest
