"""What all tests share."""

from softfold.machine.runtime import before_torch

before_torch()
