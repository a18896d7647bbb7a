"""Commands, their options and the page about them come from one place."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("typer")

from softfold.cli import main
from softfold.cli.commands import COMMANDS
from softfold.cli.reference import reference
from softfold.runs.settings import settings_table, taken_by

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make docs`"


def help_of(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [each.__name__ for each in COMMANDS])
def test_a_command_takes_the_settings_that_name_it_and_no_others(command, capsys, monkeypatch):
    shown = help_of(command, capsys, monkeypatch)
    offered = {word for line in shown.splitlines() for word in line.split()[:1]}
    taken = {each.option for each in taken_by(command) if not each.positional}
    assert taken <= offered
    others = {each.option for each in settings_table()} - taken
    own = {"doctor": {"--device"}, "demo": {"--noise"}}
    own |= {command: {"--images"} for command in ("report", "review", "export")}
    own |= {"corrupt": {"--features"}, "predict": {"--features", "--on-error", "--tta", "--flip"}}
    assert not offered & (others - own.get(command, set()))


def test_settings_name_commands_that_exist():
    known = {each.__name__ for each in COMMANDS}
    assert {name for each in settings_table() for name in each.commands} <= known


def test_defaults_are_shown_where_they_hold(capsys, monkeypatch):
    assert "how many seeds to measure with (3)" in help_of("run", capsys, monkeypatch)
    assert "how many seeds to measure with\n" in help_of("compare", capsys, monkeypatch)
