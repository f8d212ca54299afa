"""How long plan and report of ten thousand replicates take: `python -m experiments.benchmarks.large_study`.

The runs are not trained: rows as many and as long as real ones have are written straight into an SQLite store, with
errors drawn from normal distributions. What is timed reads them as it reads any other. CPU seconds of this process,
imports left out; the store is in `--folder`, made when it is not there. With `--server` the same store is read a second
time over a tracking server, whose own CPU seconds are a row of their own. The folders that a plan looks at are made
anew each time (see `large_plan`): they depend on the code.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.studies import membership
from experiments.studies.study import Study
from experiments.studies.written import WrittenArm, WrittenReplicate, WrittenStudy
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store

if TYPE_CHECKING:
    from experiments.studies.gather import Gathered

NAME = "large"
EPOCHS = 10
START = 1_790_000_000_000  # milliseconds since the epoch
OTHERS = {"params": 75, "tags": 14, "metrics": 36}  # of a real run, that no report reads
CURVES = ("val/top1_error", "val/loss", "train/top1_error", "train/loss")
Row = tuple[object, ...]
COLUMNS = {
    "runs": (
        "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, "
        "source_version, lifecycle_stage, artifact_uri, experiment_id"
    ),
    "params": "key, value, run_uuid",
    "tags": "key, value, run_uuid",
    "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
    "metrics": "key, value, timestamp, step, is_nan, run_uuid",
}


def large_study(arms: int, seeds: int) -> WrittenStudy:
    """Return a study of so many arms and seeds, as it would be written down."""
    names = [f"arm{number:02d}" for number in range(arms)]
    study = Study.model_validate(
        {
            "question": "How long does a large study take?",
            "arms": {
                name: {"overrides": [f"model={name}"], **({"role": "baseline"} if name == names[0] else {})}
                for name in names
            },
            "seeds": seeds,
            "metric": "test/top1_error",
        }
    )
    return WrittenStudy(
        name=NAME,
        variation=membership.AS_WRITTEN,
        command=("whydeep", "study", NAME),
        study=study,
        arms=tuple(
            WrittenArm(name, (f"model={name}",), measures=_measures(number), input_shape=(3, 32, 32))
            for number, name in enumerate(names)
        ),
        replicates=tuple(
            WrittenReplicate(name, seed, _digits("identity", name, seed, 64)) for seed in range(seeds) for name in names
        ),
    )


def make_store(runs_dir: Path, written: WrittenStudy) -> None:
    """Write a store that has all runs of a study, finished."""
    store = Store(TrackingOptions(runs_dir=str(runs_dir)).destination(), 10.0)
    experiment = int(store.experiment_id(NAME))
    with closing(sqlite3.connect(runs_dir / "mlflow.db")) as connection, connection:
        draw = random.Random(0)  # noqa: S311 - no secrets
        study_id = _digits("run", "study", 0, 32)
        tags = membership.study_tags("study", NAME, written.variation)
        _insert(connection, "runs", [_run(runs_dir, experiment, study_id, NAME)])
        _insert(connection, "tags", [(key, value, study_id) for key, value in tags.items()])
        for number, arm in enumerate(written.arms):
            for table, rows in _arm_rows(runs_dir, experiment, written, number, draw).items():
                _insert(connection, table, rows)
            print(f"{arm.name}: {len(written.study.seeds)} runs written", file=sys.stderr)
    written.write(Path(_artifacts(runs_dir, study_id)))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU and wall seconds that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def time_reading(options: TrackingOptions) -> "tuple[Gathered, float, float]":
    """Read the study from a store: what was read, and the CPU and wall seconds it took."""
    from experiments.studies.gather import gather  # noqa: PLC0415 - imports are not what is timed
    from experiments.tracking.search import Search  # noqa: PLC0415

    search = Search(Store(options.destination(), options.timeout_seconds))
    search.tagged({membership.KIND_TAG: "study"}, wanted_tags=[])
    found: list[Gathered] = []
    cpu, wall = timed(lambda: found.append(gather(search, NAME, membership.AS_WRITTEN)))
    return found[0], cpu, wall


def time_report(runs_dir: Path, to: Path, *, server: bool = False) -> list[tuple[str, float, float]]:
    """Time the parts of `whydeep report`: name, CPU and wall seconds of each."""
    from experiments.studies.judging import judged  # noqa: PLC0415 - imports are not what is timed
    from experiments.studies.report import write_report  # noqa: PLC0415

    found, cpu, wall = time_reading(TrackingOptions(runs_dir=str(runs_dir)))
    rows = [("read from SQLite", cpu, wall)]
    if server:
        before, began = _children_seconds(), time.perf_counter()
        with served(runs_dir) as address:
            found, cpu, wall = time_reading(TrackingOptions(uri=address, runs_dir=str(runs_dir)))
        rows.append(("read from a server", cpu, wall))
        rows.append(("the server's own", _children_seconds() - before, time.perf_counter() - began))
    rows.append(("write the report", *timed(lambda: write_report(to, found, judged(found)))))
    return rows


@contextmanager
def served(runs_dir: Path) -> Iterator[str]:
    """Run a tracking server on loopback over the store of `runs_dir`, with as many workers as it takes by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{runs_dir.resolve()}/mlflow.db"]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        command,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()  # noqa: S310 - loopback
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main() -> int:
    """Print the times; return 0."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--arms", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "whydeep-large-study")
    parser.add_argument("--server", action="store_true", help="read it over a tracking server too")
    given = parser.parse_args()
    runs_dir = given.folder / f"{given.arms}x{given.seeds}"
    if not (runs_dir / "done").exists():
        shutil.rmtree(runs_dir, ignore_errors=True)
        make_store(runs_dir, large_study(given.arms, given.seeds))
        (runs_dir / "done").touch()
    for name, cpu, wall in time_report(runs_dir, runs_dir / "report", server=given.server):
        print(f"{name:<20} {cpu:6.2f} s CPU {wall:6.2f} s wall")
    from experiments.benchmarks.large_plan import time_plan  # noqa: PLC0415 - imports are not what is timed

    def run_id(arm: str, seed: int) -> str:
        return _digits("run", arm, seed, 32)

    for name, cpu, wall in time_plan(runs_dir, NAME, given.arms, given.seeds, timed=timed, run_id=run_id):
        print(f"{name:<20} {cpu:6.2f} s CPU {wall:6.2f} s wall", flush=True)
    for file in sorted((runs_dir / "report").iterdir()):
        print(f"{file.name:<20} {file.stat().st_size / 1e6:6.2f} MB")
    return 0


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _arm_rows(
    runs_dir: Path, experiment: int, written: WrittenStudy, number: int, draw: random.Random
) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    arm = written.arms[number]
    for one in (one for one in written.replicates if one.arm == arm.name):
        run_id = _digits("run", arm.name, one.seed, 32)
        rows["runs"].append(_run(runs_dir, experiment, run_id, f"{arm.name} seed {one.seed}"))
        tags = {
            **membership.study_tags("run", NAME, written.variation, arm.name),
            membership.SEED_TAG: str(one.seed),
            membership.IDENTITY_TAG: one.identity,
            "whydeep.commit": "c" * 40,
            **{f"whydeep.other{place}": "x" * 30 for place in range(OTHERS["tags"])},
        }
        rows["tags"] += [(key, value, run_id) for key, value in tags.items()]
        rows["params"] += [(f"some.parameter{place}", "its value", run_id) for place in range(OTHERS["params"])]
        error = 5 + 0.05 * number + draw.gauss(0, 0.5)
        single = {
            "test/top1_error": error,
            "time/train_seconds": draw.uniform(8, 9),
            **{f"measure/{name}": value for name, value in arm.measures.items()},
            **{f"other/metric{place}": draw.random() for place in range(OTHERS["metrics"])},
        }
        points = [(key, value, START, 0) for key, value in single.items()]
        points += [
            (key, error + 40 / (epoch + 1) + draw.gauss(0, 0.5), START + epoch, 100 * (epoch + 1))
            for key in CURVES
            for epoch in range(EPOCHS)
        ]
        rows["metrics"] += [(*point, 0, run_id) for point in points]
        last = {point[0]: point for point in points}
        rows["latest_metrics"] += [(*point, 0, run_id) for point in last.values()]
    return rows


def _run(runs_dir: Path, experiment: int, run_id: str, name: str) -> Row:
    where = _artifacts(runs_dir, run_id)
    return (run_id, name, "LOCAL", "", "", "", "FINISHED", START, START + 9000, "", "active", where, experiment)


def _artifacts(runs_dir: Path, run_id: str) -> str:
    return str(runs_dir.resolve() / "artifacts" / NAME / run_id / "artifacts")


def _insert(connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    columns = COLUMNS[table]
    places = ", ".join("?" for _ in columns.split(","))
    connection.executemany(f"insert into {table} ({columns}) values ({places})", rows)  # noqa: S608 - names of ours


def _measures(number: int) -> dict[str, float]:
    return {"parameters": 1e4 * (number + 1), "macs": 1e6 * (number + 1), "receptive_field": 10.0 + 4 * number}


def _digits(kind: str, arm: str, seed: int, length: int) -> str:
    return hashlib.sha256(f"{kind}/{arm}/{seed}".encode()).hexdigest()[:length]


if __name__ == "__main__":
    sys.exit(main())
