"""The probe: frozen features and a softmax regression on them."""

from softfold.errors import require

require("torch", extra="torch")

from softfold.trainers.probe.trainer import Probe, load  # noqa: E402

__all__ = ["Probe", "load"]
