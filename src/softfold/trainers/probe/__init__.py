"""The probe: frozen features and a softmax regression on them."""

from softfold.trainers.probe.trainer import Probe, load

__all__ = ["Probe", "load"]
