"""The benchmark of drawn scenes: what it draws, what it counts, what it refuses."""

import pytest

from datamodules.scenes.scene import SHAPES, TEXTURES
from experiments.benchmarks.scenes import main, of_all_kinds, rates
from experiments.errors import UserError


def test_its_scenes_are_of_all_kinds_and_the_same_each_time() -> None:
    scenes = [of_all_kinds(index) for index in range(100)]
    assert scenes == [of_all_kinds(index) for index in range(100)]
    assert {len(scene.things) for scene in scenes} == {1, 2, 3, 4}
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.texture for thing in things} == {scene.background.texture for scene in scenes} == set(TEXTURES)
    assert {scene.background.specks for scene in scenes} == set(range(6))


def test_one_round_goes_uncounted() -> None:
    done: list[int] = []

    def work(index: int) -> None:
        done.append(index)
        sum(range(20_000))  # the clock must move

    assert len(rates(work, scenes=3, rounds=2)) == 2
    assert done == [0, 1, 2] * 3


def test_it_prints_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size=24", "scenes=4", "rounds=2"]) == 0
    said = capsys.readouterr().out
    assert "4 scenes of 24 px" in said
    row = next(line for line in said.splitlines() if line.startswith("| drawing |"))
    middle, low, high = (float(cell.replace(",", "")) for cell in row.strip("|").split("|")[1:])
    assert 0 < low <= middle <= high


@pytest.mark.parametrize("asked", ["scenes=0", "size=large", "rounds=-1", "speed=9"])
def test_what_it_cannot_do_is_refused(asked: str) -> None:
    with pytest.raises(UserError, match=asked.partition("=")[0]):
        main([asked])
