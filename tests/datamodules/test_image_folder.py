"""Folders of pictures: layouts, kinds of files, and every way in which they can be broken."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import picture_files
from datamodules.errors import DataError
from datamodules.image_folder import ImageFolderDataModule
from datamodules.pictures import read_picture

Fill = Callable[..., Path]
HYMENOPTERA = Path(__file__).parents[3] / "shared" / "data" / "hymenoptera_data"


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Write pictures of two classes, red ants and blue bees, of changing sizes, under the given parts."""

    def write(*parts: str, count: int = 10) -> Path:
        random = np.random.default_rng(0)
        for part in parts:
            for label, name in enumerate(("ants", "bees")):
                folder = tmp_path / part / name
                folder.mkdir(parents=True)
                for number in range(count):
                    picture = random.integers(0, 60, (20 + number, 30 - number, 3), dtype=np.uint8)
                    picture[:, :, 2 * label] += 150
                    Image.fromarray(picture).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
        return tmp_path

    return write


def ready(root: Path, **options: object) -> ImageFolderDataModule:
    data = ImageFolderDataModule(root=root, **{"image_size": 16, "batch_size": 4, **options})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def sizes(data: ImageFolderDataModule) -> list[int]:
    return [len(part) for part in (data.split.train, data.split.val, data.split.test)]


def test_a_flat_folder_is_divided(fill: Fill) -> None:
    data = ready(fill("."))
    assert sizes(data) == [14, 2, 4]
    assert data.spec.class_names == ("ants", "bees")
    assert (data.spec.name, data.spec.channels, data.spec.image_size) == ("image_folder", 3, 16)


def test_three_folders_are_the_three_parts(fill: Fill) -> None:
    data = ready(fill("train", "val", "test"))
    assert sizes(data) == [20, 20, 20]
    assert data.split.val.tolist() == list(range(20, 40))


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_single_held_out_folder_tests_and_validation_is_carved(fill: Fill, held_out: str) -> None:
    data = ready(fill("train", held_out), val_fraction=0.2)
    assert sizes(data) == [16, 4, 20]
    assert data.split.test.tolist() == list(range(20, 40))


def test_pictures_come_as_rgb_with_their_labels(fill: Fill) -> None:
    for batch in ready(fill(".")).test_dataloader():
        red, _, blue = batch["image"].double().mean(dim=(2, 3)).unbind(dim=1)
        assert torch.equal(blue > red, batch["label"] == 1)
        assert batch["image"].shape[1:] == (3, 16, 16)


def test_a_picture_from_elsewhere_is_prepared_alike(fill: Fill) -> None:
    data = ready(fill("."))
    original, _ = data.augmented([1], epoch=0)
    picture = np.asarray(Image.open(data.root / "ants" / "1.png"))
    assert torch.equal(data.prepare(picture), original[0])


def test_pictures_of_all_kinds_stand_beside_each_other(fill: Fill) -> None:
    root = fill(".")
    picture = Image.fromarray(np.full((12, 12, 3), 99, dtype=np.uint8))
    picture.convert("L").save(root / "ants" / "grey.png")
    picture.convert("RGBA").save(root / "ants" / "opacity.png")
    picture.quantize(4).save(root / "ants" / "palette.GIF")
    (root / "ants" / "deeper").mkdir()
    picture.save(root / "ants" / "deeper" / "nested.bmp")
    (root / "ants" / "notes.txt").write_text("not a picture")
    (root / ".hidden").mkdir()
    data = ready(root)
    assert sum(sizes(data)) == 24
    names = [path.name for path in data._ready.data.pictures._files]  # type: ignore[attr-defined]
    for name in ("grey.png", "opacity.png", "palette.GIF", "nested.bmp"):
        original, _ = data.augmented([names.index(name)], epoch=0)
        assert (original.int() - 99).abs().max() <= 1


def test_digest_follows_names_and_contents(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(".")
    for limit in (2**31, 0):
        monkeypatch.setattr(picture_files, "WHOLE_CONTENT_BYTES", limit)
        before = ready(root).digest
        assert ready(root, seed=3, image_size=8).digest == before
        path = root / "ants" / "0.jpg"
        content = path.read_bytes()
        path.write_bytes(content[:-3] + b"x" + content[-2:])
        assert ready(root).digest != before
        path.write_bytes(content)
        path.rename(root / "ants" / "00.jpg")
        assert ready(root).digest != before
        (root / "ants" / "00.jpg").rename(path)
        assert ready(root).digest == before


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", ["4.jpg", "5.png"])
def test_a_truncated_picture_of_any_part_is_named_when_the_data_is_opened(fill: Fill, part: str, name: str) -> None:
    path = fill("train", "test") / part / "bees" / name
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError) as caught:
        ready(path.parents[2])
    assert str(caught.value) == f"root={path.parents[2]}: {path}: the file is truncated"


def test_damage_within_a_picture_is_named_when_it_is_decoded(fill: Fill) -> None:
    path = fill("train", "test") / "test" / "ants" / "1.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    data = ready(path.parents[2])
    with pytest.raises(DataError) as caught:
        list(data.test_dataloader())
    assert str(caught.value).startswith(f"{path}: cannot be read as a picture (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "damage", "message"),
    [
        (
            "train",
            lambda root: [path.unlink() for path in (root / "train/bees").iterdir()],
            "bees: holds no pictures (",
        ),
        ("test", lambda root: (root / "test/bees").rename(root / "test/wasps"), "test: has no class folder 'bees'"),
        ("test", lambda root: (root / "test/wasps").mkdir(), "test: has a class folder that train/ has not: 'wasps'"),
        ("train", lambda root: (root / "train").rename(root / "learn"), "holds no pictures ("),
    ],
)
def test_a_wrong_layout_is_one_line(fill: Fill, part: str, damage: Callable[[Path], object], message: str) -> None:
    root = fill("train", "test") if part == "test" or "bees" in message else fill("train")
    damage(root)
    with pytest.raises(DataError) as caught:
        ready(root)
    assert message in str(caught.value) or "at least 2 are needed" in str(caught.value)
    assert str(caught.value).startswith(f"root={root}: {root}")
    assert "\n" not in str(caught.value)


def test_absent_or_half_a_layout_is_one_line(fill: Fill, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^root=.*absent: no such folder "):
        ready(tmp_path / "absent")
    with pytest.raises(DataError, match=r"has train/ but neither val/ nor test/; set datamodule\.root=\S+/train$"):
        ready(fill("train"))


@pytest.mark.parametrize(
    ("link", "target", "same"),
    [
        ("train/ants/again", "train", "train"),
        ("train/ants/above", ".", "."),
        ("train/ants/far-above", "..", ".."),
        ("train/ants/itself", "train/ants", "train/ants"),
        ("train/ants/others", "train/bees", "train/bees"),
        ("test/ants/trained", "train/ants", "train/ants"),
        ("test/ants/trained.jpg", "train/ants/0.jpg", "train/ants/0.jpg"),
        ("train/ants/twice.jpg", "train/ants/0.jpg", "train/ants/0.jpg"),
    ],
)
def test_what_is_reached_twice_is_refused_by_the_name_of_the_link(
    fill: Fill, link: str, target: str, same: str
) -> None:
    root = fill("train", "test").resolve()
    (root / link).symlink_to((root / target).resolve())
    kind = "file" if target.endswith(".jpg") else "folder"
    with pytest.raises(DataError) as caught:
        ready(root)
    told = f"the same {kind} as {(root / same).resolve()}; each picture may be reached once"
    assert str(caught.value) == f"root={root}: {root / link}: {told}"


def test_two_classes_or_parts_that_are_one_folder_are_refused(fill: Fill) -> None:
    root = fill("train")
    (root / "test").symlink_to(root / "train")
    with pytest.raises(DataError, match=r"/test/ants: the same folder as .*/train/ants; each picture"):
        ready(root)


def test_a_hard_link_is_the_same_picture(fill: Fill) -> None:
    root = fill("train", "test")
    (root / "test/bees/trained.png").hardlink_to(root / "train/bees/1.png")
    with pytest.raises(
        DataError, match=r"/test/bees/trained\.png: the same file as .*/train/bees/1\.png; each picture"
    ):
        ready(root)


def test_links_to_pictures_elsewhere_are_followed(fill: Fill, tmp_path: Path) -> None:
    root = fill("linked")
    (root / "linked").rename(root / "elsewhere")
    (root / "data").mkdir()
    (root / "data/ants").symlink_to(root / "elsewhere/ants")
    (root / "data/bees").mkdir()
    (root / "data/bees/some").symlink_to(root / "elsewhere/bees")
    assert sum(sizes(ready(tmp_path / "data"))) == 20


def test_a_pipe_is_no_picture_and_is_not_waited_for(fill: Fill) -> None:
    root = fill(".")
    os.mkfifo(root / "ants" / "pipe.png")
    with pytest.raises(DataError, match=r"^root=.*/ants/pipe\.png: not a regular file"):
        ready(root)
    with pytest.raises(DataError, match=r"/ants/pipe\.png: not a regular file"):
        read_picture(root / "ants" / "pipe.png")


def test_a_file_or_no_name_is_no_folder(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"^root=.*/0\.jpg: is a file, not a folder "):
        ready(fill(".") / "ants" / "0.jpg")
    with pytest.raises(DataError, match=r"^root='': must name a folder"):
        ImageFolderDataModule(root="")


def test_workers_read_the_same_pictures(fill: Fill, trail: Callable[..., object]) -> None:
    root = fill(".")
    assert trail(ready(root, num_workers=2).train_dataloader()) == trail(ready(root).train_dataloader())


@pytest.mark.shared
def test_the_real_ants_and_bees() -> None:
    if not HYMENOPTERA.is_dir():
        pytest.skip(f"the real data sets are not beside the repository ({HYMENOPTERA})")
    data = ready(HYMENOPTERA, image_size=64, batch_size=8)
    assert sizes(data) == [54, 6, 40]
    assert data.spec.class_names == ("ants", "bees")
    assert sum(len(batch["label"]) for batch in data.test_dataloader()) == 40
    assert 0.3 < data.normalisation.mean[0] < 0.7
