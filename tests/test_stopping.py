"""The first signal waits for the step in hand, the second does not."""

import signal
import subprocess
import sys
import threading

import pytest

from softfold.stopping import stop_here, watch

WORK = (
    "import time; from softfold.stopping import stop_here, watch\n"
    "with watch():\n"
    "    for step in range(100):\n"
    "        print('begun', step, flush=True)\n"
    "        time.sleep({seconds})\n"
    "        print('finished', step, flush=True)\n"
    "        stop_here()\n"
)


def work(seconds):
    return subprocess.Popen(
        [sys.executable, "-c", WORK.format(seconds=seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_step_in_hand_is_finished(number):
    with work(0.5) as process:
        assert process.stdout.readline() == "begun 0\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert out == "finished 0\n" and process.returncode != 0
    assert err.startswith("softfold: stopping after the step in hand")


def test_a_second_signal_stops_at_once():
    with work(50) as process:
        assert process.stdout.readline() == "begun 0\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("softfold: stopping")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert out == "" and process.returncode != 0


def test_nothing_stops_unasked_and_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    with watch():
        with watch():
            stop_here()
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_of_the_main_thread_signals_are_left_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def other():
        with watch():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [before]
