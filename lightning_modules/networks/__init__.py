"""Plain torch networks, one architecture per file; no Lightning, no configuration."""
