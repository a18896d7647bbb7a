"""Where a person decides: a local web page to review suspicious labels, and what comes of it."""

from softfold.review.export import export_labels
from softfold.review.server import serve

__all__ = ["export_labels", "serve"]
