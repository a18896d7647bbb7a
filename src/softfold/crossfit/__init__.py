"""Cross-fit: every item predicted by a model that never saw it."""
