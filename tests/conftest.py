"""What all tests share."""

from softfold.runtime import before_torch

before_torch()
