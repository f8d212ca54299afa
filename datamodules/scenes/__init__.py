"""Procedurally drawn scenes: pictures annotated for every task, made of (version, seed, split, index) alone."""
