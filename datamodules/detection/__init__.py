"""Pictures and the boxes of their objects, as batches for detectors."""
