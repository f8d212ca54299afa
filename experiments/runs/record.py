"""What is recorded of a run: before its first step, and after its last."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from experiments.measures.gradient_flow import GradientFlowRecord
from experiments.measures.gradient_flow_drawing import draw_gradient_flow
from experiments.measures.layer_record_drawing import draw_layer_record
from experiments.measures.network import NetworkMeasures
from experiments.measures.table import latency_line
from experiments.runs import inspection, pictures
from experiments.runs import layer_probes as probes
from experiments.runs.build import Assembly
from experiments.runs.configuration import plain
from experiments.runs.identity import Identity
from experiments.runs.inspection import Inspection
from experiments.runs.plotting import thousands, write_png
from experiments.runs.provenance import Provenance
from experiments.runs.result import RunResult
from experiments.runs.source_files import code_digests, code_files
from experiments.runs.training import Outcome
from experiments.tracking.credentials import masked_address
from experiments.tracking.journal import read_metrics
from experiments.tracking.tracker import RunTracker

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.json"
IDENTITY_FILE = "identity.json"
LATENCY_TAG = "whydeep.latency"
DIFF_FILES = "uncommitted*.diff"
PROVENANCE_FILE = "provenance.json"
OWN_METRICS = ("time/", "best/", "spent/", "probe/", "selectivity/")  # of a run as a whole
WEIGHTS_FILE = "weights.json"
SHEET_SIZE = 8  # pictures a sheet
TOLD_CHOICES = ("model", "datamodule", "augmentation", "optimizer", "scheduler")
FEW_CLASSES = 20  # up to here each class has a metric of its own; beyond, they stand in a file


def provenance_files(run_dir: Path) -> list[Path]:
    """Return the files that hold the provenance of each session of a run, in order; the first may be missing."""
    first = run_dir / PROVENANCE_FILE
    later = run_dir.glob(f"{first.stem}-*.json")
    return [first, *sorted(later, key=lambda path: int(path.stem.rpartition("-")[2]))]


def write_inputs(
    run_dir: Path, assembly: Assembly, identity: Identity, provenance: Provenance, *, session: int = 1
) -> list[str]:
    """Write what the run is made from into its directory: configuration, identity, measures, split, start.

    Provenance and uncommitted changes of the session that began the run stay; those of session n that continues it
    stand beside them as `provenance-<n>.json` and `uncommitted-<n>.diff`. The configuration is that of the latest: of
    one identity, they differ in where and how the run is executed alone.

    Returns:
        The names of the files.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    _write(run_dir / CONFIG_FILE, OmegaConf.to_yaml(recordable(assembly.cfg), resolve=True))
    number = f"-{session}" if session > 1 and (run_dir / PROVENANCE_FILE).exists() else ""
    datamodule = assembly.datamodule
    files: dict[str, object] = {
        IDENTITY_FILE: {
            "identity": identity.digest,
            **asdict(identity),
            "code_files": code_digests(code_files(assembly.cfg).items()),
        },
        f"provenance{number}.json": provenance.as_dict(),
        "measures.json": assembly.measures.as_dict(),
        DATA_FILE: {
            "spec": asdict(datamodule.spec),
            "digest": datamodule.digest,
            "split_digest": datamodule.split.digest,
            "samples": {name: len(getattr(datamodule.split, name)) for name in ("train", "val", "test")},
            "normalisation": asdict(datamodule.normalisation),
        },
    }
    if assembly.start is not None:
        files[WEIGHTS_FILE] = assembly.start.as_dict()
    for name, content in files.items():
        _write(run_dir / name, json.dumps(content, indent=2, default=str) + "\n")
    written = [CONFIG_FILE, *files]
    if provenance.diff:
        written.append(f"uncommitted{number}.diff")
        _write(run_dir / written[-1], provenance.diff)
    return written


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def start(
    tracker: RunTracker, run_dir: Path, assembly: Assembly, identity: Identity, provenance: Provenance
) -> Inspection:
    """Write and record what is known before training: inputs, measures, data, a contact sheet.

    Returns what the network looks like before its training.
    """
    written = write_inputs(run_dir, assembly, identity, provenance, session=tracker.session)
    # Of the session that began the run.
    commit = json.loads((run_dir / PROVENANCE_FILE).read_text(encoding="utf-8"))["commit"]
    datamodule = assembly.datamodule
    channels, height, width = assembly.input_shape
    tracker.params(
        {
            **plain(recordable(assembly.cfg)),
            "measure.input": f"{channels}x{height}x{width}",
            "data.normalisation.mean": list(datamodule.normalisation.mean),
            "data.normalisation.std": list(datamodule.normalisation.std),
        }
    )
    tracker.tags(
        {
            "whydeep.identity": identity.digest,
            "whydeep.commit": commit or "none",
            "whydeep.uncommitted": str(any(run_dir.glob(DIFF_FILES))).lower(),
            "whydeep.data": identity.data,
            "whydeep.code": identity.code,
            "whydeep.seed": str(assembly.options.seed),
            "whydeep.hardware": provenance.hardware,
            "whydeep.packages": provenance.packages_digest,
            "whydeep.receptive_field_status": assembly.measures.status.value,
            "whydeep.receptive_field_reason": assembly.measures.reason or "none",
            **{f"whydeep.{group}": str(option) for group, option in assembly.cfg.choices.items()},
            **({} if assembly.start is None else assembly.start.tags()),
        }
    )
    tracker.metrics({f"measure/{name}": value for name, value in scalars(assembly.measures).items()}, step=0)
    for context in ("train", "val", "test"):
        tracker.dataset(
            # MLflow tells data sets apart by name and digest: each part of the split needs a name of its own.
            name=f"{datamodule.spec.name}-{context}",
            digest=datamodule.digest,
            context=context,
            source=str(assembly.cfg.datamodule._target_),
            profile={"samples": len(getattr(datamodule.split, context)), "split": datamodule.split.digest},
        )
    for file in written:
        tracker.artifact(run_dir / file)
    some = [int(index) for index in datamodule.split.train[:SHEET_SIZE]]
    epochs = [datamodule.augmented(some, epoch=epoch) for epoch in range(3)]
    original, augmented = epochs[0][0], np.stack([np.asarray(drawn) for _, drawn in epochs])
    _save(tracker, run_dir, "augmentation.png", pictures.contact_sheet(np.asarray(original), augmented))
    before = inspection.inspect(assembly)
    tracker.metrics(_named("initial", before), step=0)
    # A run that is killed in its first step has all of this.
    tracker.flush()
    return before


def finish(
    tracker: RunTracker, run_dir: Path, assembly: Assembly, outcome: Outcome, before: Inspection
) -> dict[str, float]:
    """Record what the training left: pictures, per-class errors, the best checkpoint, what became of the network.

    Returns the metrics of what was looked at in the network, before, during and after the training.
    """
    spec = assembly.datamodule.spec
    per_class = dict(zip(spec.class_names, outcome.error_per_class, strict=True))
    table = {"class_names": spec.class_names, "top1_error": per_class, "confusion": outcome.confusion.tolist()}
    (run_dir / "test_classes.json").write_text(json.dumps(table) + "\n", encoding="utf-8")
    tracker.artifact(run_dir / "test_classes.json")
    own = {name: value for name, value in outcome.metrics.items() if name.startswith(OWN_METRICS)}
    if spec.num_classes <= FEW_CLASSES:
        own |= {f"test_class/{name}_top1_error": error for name, error in per_class.items() if error is not None}
    tracker.metrics(own, step=0)
    tracker.flush()
    _save(tracker, run_dir, "curves.png", pictures.learning_curves(read_metrics(run_dir)))
    _save(tracker, run_dir, "confusion.png", pictures.confusion_matrix(outcome.confusion.numpy(), spec.class_names))
    after = inspection.inspect(assembly)
    seen = _named("trained", after)
    if (latency := inspection.latency(assembly)) is not None:
        seen |= inspection.latency_scalars(latency)
        tracker.tags({LATENCY_TAG: latency_line(latency)})
    tracker.metrics(seen, step=0)
    tracker.artifact(inspection.write(run_dir, before, after))
    for name, figure in inspection.pictures(assembly, before, after).items():
        _save(tracker, run_dir, name, figure)
    _save(tracker, run_dir, "predictions.png", _predictions(assembly))
    tracker.artifact(outcome.best, folder="checkpoints")
    return _named("initial", before) | seen | _gradients(inspection.read_gradient_flow(run_dir))


def gradient_flow(tracker: RunTracker, run_dir: Path) -> None:
    """Record the gradient flow that the training has left, also of one that failed or was stopped."""
    if (flow := inspection.read_gradient_flow(run_dir)) is not None:
        tracker.metrics(_gradients(flow), step=0)
        tracker.artifact(run_dir / inspection.GRADIENT_FLOW_FILE)
        _save(tracker, run_dir, "gradient_flow.png", draw_gradient_flow(flow))
        # Layers of unlike sizes are compared relative to their weights.
        _save(tracker, run_dir, "gradient_flow_relative.png", draw_gradient_flow(flow, relative=True))


def layer_probes(tracker: RunTracker, run_dir: Path) -> None:
    """Record what the layers responded to, also of a training that failed or was stopped."""
    if (found := probes.read(run_dir)) is not None:
        tracker.artifact(run_dir / probes.FILE)
        _save(tracker, run_dir, "layer_probes.png", draw_layer_record(found))


def description(name: str, result: RunResult) -> str:
    """Say a run in three lines: its errors, or why it has none, and what its network is."""
    errors = [
        f"{label} error {result.metrics[key]:.2f} %"
        for key, label in (("test/top1_error", "top-1"), ("test/top5_error", "top-5"))
        if key in result.metrics
    ]
    outcome = ", ".join(errors) or f"{result.status.lower()}: {(result.reason or 'no reason recorded').splitlines()[0]}"
    size = "x".join(map(str, result.input_shape))
    measured = result.measures
    said = [f"{measured['parameters']:,.0f} parameters, {thousands(measured['macs'])} MACs at {size}"]
    if "receptive_field" in measured:
        said.append(f"receptive field {measured['receptive_field']:g} px")
    network = ", ".join(said)
    made = " ".join(f"{group}={result.choices[group]}" for group in TOLD_CHOICES if group in result.choices)
    return "\n\n".join(filter(None, [f"**{name}**: {outcome}", network, f"{made} seed={result.seed}"]))


def scalars(measures: NetworkMeasures) -> dict[str, float]:
    """Return the measures that are one number each, for tables and charts; what is unknown is left out."""
    return {name: float(value) for name, value in measures.totals().items() if value is not None}


def recordable(cfg: DictConfig) -> DictConfig:
    """Return a configuration without the password of its tracking store."""
    shown = cfg.copy()
    for key in ("uri", "artifact_root"):
        if isinstance(address := shown.tracking.get(key), str):
            shown.tracking[key] = masked_address(address)
    return shown


@torch.no_grad()
def _predictions(assembly: Assembly) -> Figure:
    datamodule, module = assembly.datamodule, assembly.module.eval()
    batch = next(iter(datamodule.test_dataloader()))
    images, labels = batch["image"][: 2 * SHEET_SIZE], batch["label"][: 2 * SHEET_SIZE]
    weight = next(module.parameters())
    scores = module(datamodule.normalise(images).to(weight.device, weight.dtype)).softmax(dim=1)
    return pictures.prediction_sheet(
        images.numpy(), labels.numpy(), scores.float().cpu().numpy(), datamodule.spec.class_names
    )


def _named(when: str, seen: Inspection) -> dict[str, float]:
    return {f"{when}/{name}": value for name, value in seen.scalars().items()}


def _gradients(flow: GradientFlowRecord | None) -> dict[str, float]:
    return {} if flow is None else {f"gradient/{name}": value for name, value in flow.totals().items()}


def _save(tracker: RunTracker, run_dir: Path, name: str, figure: Figure) -> None:
    path = run_dir / "pictures" / name
    path.parent.mkdir(exist_ok=True)
    write_png(figure, path)
    tracker.artifact(path, folder="pictures")
