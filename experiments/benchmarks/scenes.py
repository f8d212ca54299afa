"""How many scenes a second one core draws.

python -m experiments.benchmarks.scenes [size=64] [scenes=400] [rounds=9]

The scenes are of all kinds: 1–4 things, three in four of them textured, that overlap and may lie partly outside, over
a ground that is shaded and mostly textured, with up to 5 specks, and with noise. What is counted is the processor time
of one process, per round over the same scenes; after one round that is not counted. Drawing alone is of given scenes;
the others are composed too, under the rule `shape`: classes come with every scene, boxes, pixels' classes and captions
with the last.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

from datamodules.scenes.annotation import annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.drawing import draw
from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Background, Scene, Thing
from datamodules.scenes.stream import Stream
from experiments.benchmarks.counts import counts_of
from experiments.errors import UserError

COMPOSED = Scenes("shape", Difficulty(things=(1, 4), size=(0.22, 0.5), visible=0.5))
DEFAULTS = {"size": 64, "scenes": 400, "rounds": 9}


def of_all_kinds(index: int) -> Scene:
    """Return a scene that depends on `index` alone."""
    stream = Stream(index, "benchmark")
    things = tuple(
        Thing(
            shape=stream.choice(SHAPES),
            colour=stream.choice(COLOURS),
            texture=stream.choice(TEXTURES),
            size=stream.uniform(0.22, 0.5),
            centre=(stream.uniform(0.1, 0.9), stream.uniform(0.1, 0.9)),
            turn=stream.turn(),
            gain=stream.uniform(0.8, 1.2),
        )
        for _ in range(1 + stream.below(4))
    )
    first, second = (stream.uniform(0.1, 0.4) for _ in range(2))
    background = Background(
        colours=((first, first, first), (second, second, second)),
        light=stream.turn(),
        texture=stream.choice(TEXTURES),
        contrast=0.15,
        specks=stream.below(6),
    )
    return Scene(things, background, noise=0.06)


def rates(work: Callable[[int], object], scenes: int, rounds: int) -> list[float]:
    """Return the scenes per second of processor time of every round, `work` being done for each scene's index."""
    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        for index in range(scenes):
            work(index)
        found.append(scenes / (time.process_time() - began))
    return found[1:]


def main(argv: Sequence[str]) -> int:
    """Measure and print scenes per second and core, with median and spread.

    Raises:
        UserError: an unknown key, or a value that is no whole number of at least 1.
    """
    size, scenes, rounds = counts_of(argv, DEFAULTS)
    ready = [of_all_kinds(index) for index in range(scenes)]
    works: dict[str, Callable[[int], object]] = {
        "drawing": lambda index: draw(ready[index], size, Stream(index, "grain")),
        "composing and drawing": lambda index: COMPOSED.drawn(index, size),
        "with boxes, pixels and captions": lambda index: annotate(COMPOSED, index, size),
    }
    things = statistics.fmean(len(scene.things) for scene in ready)
    print(f"{scenes} scenes of {size} px, {things:.2f} things each; scenes per second of one core, {rounds} rounds\n")
    print("| what | median | from | to |\n|---|---|---|---|")
    for what, work in works.items():
        found = rates(work, scenes, rounds)
        print(f"| {what} | {statistics.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
