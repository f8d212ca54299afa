"""A scene is the same to the bit on every machine. Run as a script, this prints its digests, under any NumPy."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np

from datamodules.scenes.drawing import draw
from datamodules.scenes.scene import Background, Scene, Thing
from datamodules.scenes.stream import Stream

SCENES = {
    "plain": Scene(
        (
            Thing("disc", "red", "plain", 0.4, (0.3, 0.3)),
            Thing("ring", "white", "plain", 0.5, (0.7, 0.6), gain=0.8),
            Thing("square", "blue", "plain", 0.3, (0.45, 0.8), (0.6, 0.8)),
        ),
        Background(((0.1, 0.2, 0.3), (0.3, 0.2, 0.1))),
    ),
    "textured": Scene(
        (
            Thing("triangle", "orange", "striped", 0.55, (0.35, 0.4), (0.28, -0.96)),
            Thing("cross", "cyan", "dotted", 0.45, (0.6, 0.7), (-0.8, 0.6), 1.2),
            Thing("arrow", "yellow", "checkered", 0.5, (0.7, 0.25), (0.0, -1.0)),
        ),
        Background(((0.25, 0.3, 0.25), (0.35, 0.35, 0.4)), (-0.6, 0.8), "checkered", 0.15),
    ),
    "crowded": Scene(
        (
            Thing("star", "green", "dotted", 0.6, (0.5, 0.5), (0.96, 0.28)),
            Thing("crescent", "purple", "striped", 0.7, (0.05, 0.9), (-0.28, -0.96), 0.7),
            Thing("ring", "yellow", "checkered", 0.33, (0.61, 0.47), notch=0.2),
            Thing("square", "white", "plain", 0.2, (1.5, 0.5)),
        ),
        Background(((0.4, 0.3, 0.3), (0.1, 0.1, 0.2)), (0.8, -0.6), "striped", 0.2, specks=9),
        noise=0.1,
    ),
}
SIZES = (32, 64, 128)

# A changed digest means that data sets recorded earlier are no longer drawn: give them a new version then.
PINNED = {
    "plain 32": "8294dc459df1ad283a55c86ba5710316d3aca0b5ffcb0e49f0aa3306f72816f9",
    "plain 64": "d795216979f60a898414e3b83edd3365d3b892d0875b8f910d945211d7485578",
    "plain 128": "7ff72b8bd03d98caf095a96901e7ccb1e45805822a0817cfa11c417aef2b05cc",
    "textured 32": "b115794a0453a9e4a57c748ecf88fd35fb7172b6e45cedba3e71bdd4daa340be",
    "textured 64": "11a226054e650fd5a71d6f437dad0b80087555d28d19fef69c737ba2068d6f50",
    "textured 128": "05243e80b440e9a15854e865edc0fd86254a356a968bd7f43ba8a68408f6bbea",
    "crowded 32": "a35906de82d6764b957bca640bbc6a2dfe78f1170b0074da060e23809fa49278",
    "crowded 64": "302ee12b9100942aec748e5b3107208a23f543dc3e31e23806e061210e84f425",
    "crowded 128": "37541196791986213915d286d6769b53d2eda7bad3d0d84e78ea36c3bae938c3",
}


def digests() -> dict[str, str]:
    found = {}
    for name, scene in SCENES.items():
        for size in SIZES:
            drawing = draw(scene, size, Stream(7, "digests"))
            seen = (drawing.instances, drawing.boxes.astype("<f4"), drawing.visible.astype("<f4"))
            content = b"".join(part.tobytes() for part in (drawing.picture, *seen))
            found[f"{name} {size}"] = hashlib.sha256(content).hexdigest()
    return found


def test_scenes_are_drawn_as_recorded() -> None:
    assert digests() == PINNED


def test_without_the_processors_wide_instructions_they_are_the_same() -> None:
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(extensions.get("found", ()))}
    told = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    assert found.pop("extensions") == []
    assert found == PINNED


if __name__ == "__main__":
    used = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    print(json.dumps(digests() | {"extensions": used}, indent=4))
