"""What long work tells where no terminal watches, and the seconds that it keeps."""

import io

import pytest

from softfold import progress as module
from softfold.progress import Progress


class Clock:
    """A clock that goes on when told."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_step_says_that_it_begins_and_how_long_it_took(clock):
    stream = io.StringIO()
    with Progress(stream=stream).step("fit", "training"):
        assert stream.getvalue() == "training ...\n"
        clock.now = 2.5
    assert stream.getvalue() == "training ...\ntraining: 2.5 s\n"


def test_a_log_tells_the_time_left_every_ten_seconds_and_not_of_what_is_done(clock):
    stream = io.StringIO()
    with Progress(stream=stream).step("fit", "training") as advance:
        for seconds, done in ((5, 1), (20, 1000), (25, 1200), (50, 4000)):
            clock.now = seconds
            advance(done, 4000)
    assert stream.getvalue().splitlines()[1:-1] == ["  1,000 of 4,000, about 60 s left"]


def test_the_seconds_of_a_step_that_comes_again_are_added(clock):
    progress = Progress(quiet=True)
    for _ in range(2):
        with progress.step("fit", "training"):
            clock.now += 3
    assert progress.seconds == {"fit": 6.0}


def test_a_step_that_fails_keeps_its_seconds_and_does_not_say_that_it_ended(clock):
    stream = io.StringIO()
    progress = Progress(stream=stream)
    with pytest.raises(RuntimeError), progress.step("fit", "training"):
        clock.now = 4.0
        raise RuntimeError
    assert progress.seconds == {"fit": 4.0}
    assert stream.getvalue() == "training ...\n"


def test_quiet_says_nothing(clock):
    stream = io.StringIO()
    progress = Progress(quiet=True, stream=stream)
    progress.say("a line")
    with progress.step("fit", "training") as advance:
        clock.now = 20
        advance(1, 2)
    assert stream.getvalue() == ""


def test_lines_go_to_standard_error_so_that_output_can_be_piped(capsys):
    Progress().say("a line")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "a line\n")


def test_on_a_terminal_a_bar_is_gone_when_the_step_is_done(clock, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    pytest.importorskip("rich")
    stream = Terminal()
    with Progress(stream=stream).step("fit", "training") as advance:
        advance(1, 2)
        clock.now = 3
    assert stream.getvalue() == "training took 3.0 s\n"
