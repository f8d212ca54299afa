"""GPUs are leased to one process at a time; the numbers of devices are made up, no GPU is needed."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from experiments.runs.leases import leased, try_lease

FOUR = ["0", "1", "2", "3"]


def cfg(devices: object, accelerator: str = "gpu") -> DictConfig:
    return OmegaConf.create({"trainer": {"accelerator": accelerator, "devices": devices, "num_nodes": 1}})


def test_the_first_that_are_free_are_leased_and_released(tmp_path: Path) -> None:
    one = try_lease(1, FOUR, tmp_path)
    two = try_lease(2, FOUR, tmp_path)
    assert one is not None
    assert two is not None
    assert (one.devices, two.devices) == ([0], [1, 2])
    assert try_lease(2, FOUR, tmp_path) is None
    last = try_lease(1, FOUR, tmp_path)
    assert last is not None, "an attempt that failed must leave nothing locked"
    assert last.devices == [3]
    one.release()
    one.release()
    again = try_lease(1, FOUR, tmp_path)
    assert again is not None
    assert again.devices == [0]


def test_certain_devices_are_leased_as_asked(tmp_path: Path) -> None:
    held = try_lease([3, 1], FOUR, tmp_path)
    assert held is not None
    assert held.devices == [3, 1]
    assert try_lease([1, 2], FOUR, tmp_path) is None
    free = try_lease(2, FOUR, tmp_path)
    assert free is not None
    assert free.devices == [0, 2]


def test_what_another_process_calls_otherwise_is_the_same_device(tmp_path: Path) -> None:
    # CUDA_VISIBLE_DEVICES=2,3 and CUDA_VISIBLE_DEVICES=3,0 share number 3 of the machine.
    mine = try_lease(2, ["2", "3"], tmp_path)
    theirs = try_lease(1, ["3", "0"], tmp_path)
    assert mine is not None
    assert theirs is not None
    assert theirs.devices == [1]


def test_a_process_that_dies_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from experiments.runs.leases import try_lease;"
        "assert try_lease(1, ['0'], Path(sys.argv[1])).devices == [0]; os.kill(os.getpid(), 9)"
    )
    house = Path(__file__).parents[3]
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=house, check=False, timeout=120)
    assert died.returncode == -9
    assert try_lease(1, ["0"], tmp_path) is not None


def test_a_job_gets_devices_of_its_own(tmp_path: Path) -> None:
    with leased(cfg(1), count=4, folder=tmp_path) as one, leased(cfg(2), count=4, folder=tmp_path) as two:
        assert one.trainer.devices == [0]
        assert two.trainer.devices == [1, 2]
    with leased(cfg([2]), count=4, folder=tmp_path) as certain:
        assert certain.trainer.devices == [2]


@pytest.mark.parametrize(
    ("devices", "accelerator", "count"), [(1, "cpu", 4), (2, "cpu", 4), (1, "gpu", 1), (1, "gpu", 0), (8, "gpu", 4)]
)
def test_what_needs_no_choice_is_left_as_it_is(tmp_path: Path, devices: int, accelerator: str, count: int) -> None:
    asked = cfg(devices, accelerator)
    with leased(asked, count=count, folder=tmp_path) as given:
        assert given is asked
    assert list(tmp_path.iterdir()) == []


def test_a_job_waits_until_a_device_is_free(tmp_path: Path) -> None:
    order: list[str] = []
    held = try_lease(2, FOUR[:2], tmp_path)
    assert held is not None

    def wait() -> None:
        with leased(cfg(1), count=2, folder=tmp_path) as given:
            order.append(f"got {given.trainer.devices}")

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.3)
    assert order == []
    order.append("released")
    held.release()
    thread.join(20)
    assert order == ["released", "got [0]"]
