"""A log of decisions."""

import pytest

from softfold.decisions.log import LOG, DecisionLog


@pytest.fixture
def log(tmp_path):
    log = DecisionLog(tmp_path / LOG)
    yield log
    log.close()
