"""What libraries say about themselves, kept from the user."""

import logging
import os
import warnings


def quiet() -> None:
    """Let only what concerns the user through; call it before the libraries are imported."""
    # Albumentations would ask the network for a newer version of itself.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    # Lightning sets the level of its own root when it is imported, but not of the loggers that it speaks through.
    for name in (
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.trainer.connectors.checkpoint_connector",
        "pytorch_lightning.trainer.connectors.signal_connector",
        "alembic",
        "hydra",
        "mlflow",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    # No proxy of that kind is used; where one is, the request says what is missing.
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|sqlalchemy|mlflow)\b.*")
