"""One run: composed, validated, built, executed, with its identity and provenance."""
