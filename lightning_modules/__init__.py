"""What learns: networks, and one LightningModule per task."""
