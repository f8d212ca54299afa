"""Which store the options come to, and what is refused."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from experiments.errors import UserError
from experiments.tracking.options import TrackingOptions

CONF = Path(__file__).parents[3] / "conf"


def test_sqlite_in_the_runs_folder_is_the_default(tmp_path: Path) -> None:
    destination = TrackingOptions(runs_dir=str(tmp_path)).destination()

    assert destination.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert destination.artifact_root == f"{tmp_path}/artifacts"


def test_the_environment_names_the_store_and_the_option_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")

    assert TrackingOptions().destination().uri == "http://tracking:5000"
    assert TrackingOptions().destination().artifact_root is None
    assert TrackingOptions(uri="https://other").destination().uri == "https://other"


def test_relative_files_are_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert TrackingOptions(uri="sqlite:///a.db").destination().uri == f"sqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:///tmp/mlruns", "C:\\mlruns", "htp://host", ""])
def test_what_mlflow_would_refuse_is_refused_in_one_line_that_names_what_is_allowed(uri: str) -> None:
    with pytest.raises(UserError, match=r"^tracking\.uri=.*allowed: .*sqlite:///") as caught:
        TrackingOptions(uri=uri)

    assert "\n" not in str(caught.value)


def test_a_file_store_in_the_environment_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./mlruns")

    with pytest.raises(UserError, match=r"^MLFLOW_TRACKING_URI=file:\./mlruns: "):
        TrackingOptions().destination()


@pytest.mark.parametrize("uri", ["postgresql+psycopg2://me:secret@host/db", "http://me:secret@host:5000"])
def test_a_password_is_never_shown(uri: str) -> None:
    destination = TrackingOptions(uri=uri).destination()

    assert destination.uri == uri
    assert "secret" not in destination.shown_uri
    assert "me:***@host" in destination.shown_uri


@pytest.mark.parametrize(
    ("option", "expected"),
    [({"interval_seconds": 0.0}, "interval_seconds=0"), ({"flush_seconds": float("nan")}, "flush_seconds=nan")],
)
def test_times_that_cannot_be_are_refused(option: dict[str, float], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        TrackingOptions(**option)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "deliver"), [("sqlite", True), ("server", True), ("local", False)])
def test_the_shipped_configurations_come_to_options(name: str, deliver: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=[f"+tracking={name}", "+runs_dir=here", "+experiment=mine"])

    options = instantiate(cfg.tracking)

    assert isinstance(options, TrackingOptions)
    assert (options.runs_dir, options.experiment, options.deliver) == ("here", "mine", deliver)
    assert options.destination().uri == "http://tracking:5000"


def test_only_a_server_has_pages_and_their_address_has_no_password(tmp_path: Path) -> None:
    assert TrackingOptions(runs_dir=str(tmp_path)).destination().pages is None
    pages = TrackingOptions(uri="https://me:secret@tracking.example/mlflow/").destination().pages
    assert pages is not None
    assert pages.startswith("https://")
    assert pages.endswith("@tracking.example/mlflow")
    assert "secret" not in pages
