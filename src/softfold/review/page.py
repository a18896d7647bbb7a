"""The markup of the review page. Its words and items are put in by its scripts, as text."""

from __future__ import annotations

from typing import Any

from fastcore.xml import to_xml
from fasthtml.components import (
    H2,
    A,
    Body,
    Button,
    Dialog,
    Div,
    Dl,
    Footer,
    Form,
    Head,
    Header,
    Html,
    Input,
    Kbd,
    Label,
    Link,
    Main,
    Meta,
    Option,
    P,
    Script,
    Section,
    Select,
    Span,
    Strong,
    Table,
    Tbody,
    Td,
    Title,
    Tr,
    Ul,
)

_UNDECIDED = (
    ("u", "unsure"),
    ("z", "undo the last stroke"),
)
_GROUP = "the same for the whole group of similar items shown"
_SELECT = (
    ("g", "select the group of similar items"),
    ("Space", "select or deselect the item"),
)
_MOVES = (
    ("arrows, Home, End, Page", "move"),
    ("Enter, v, Esc", "grid and one at a time"),
    ("f", "filters"),
    ("?", "this help"),
)
KEYS = (
    ("a", "accept the suggestion"),
    ("k", "keep the given label"),
    ("c", "another class: type, then Enter"),
    ("n", "none of these classes"),
    ("x", "exclude the item for another reason"),
    *_UNDECIDED,
    ("Shift + a, k, n, x, u", _GROUP),
    *_SELECT,
    ("1 … 5", "one at a time: the class with that number"),
    *_MOVES,
)
ACTIONS = (
    ("accept", "Accept", "a"),
    ("keep", "Keep", "k"),
    ("class", "Class…", "c"),
    ("none", "None of these", "n"),
    ("exclude", "Exclude", "x"),
    ("unsure", "Unsure", "u"),
    ("undo", "Undo", "z"),
)
YES_OR_NO = (
    ("yes", "Yes", "y"),
    ("no", "No", "n"),
    ("unsure", "Unsure", "u"),
    ("undo", "Undo", "z"),
)
"""Where the question is whether an item has a class."""

YES_OR_NO_KEYS = (
    ("y", "yes, the item has the class"),
    ("n", "no, it does not have it"),
    ("a, k", "accept the suggestion, keep the given answer"),
    *_UNDECIDED,
    ("Shift + y, n, a, k, u", _GROUP),
    *_SELECT,
    *_MOVES,
)
FILTER_STATES = (
    ("any", "all items"),
    ("open", "not reviewed"),
    ("mine", "not reviewed by me"),
    ("confirmed", "confirmed"),
    ("none_of_these", "none of these"),
    ("excluded", "excluded"),
    ("unsure", "unsure"),
    ("conflict", "in conflict"),
)
NO_ANSWER = ("none_of_these", "excluded")
"""States in which no question whether an item has a class can be."""


def page(name: str, kind: str, missing: str | None, *, yes_or_no: bool = False) -> str:
    """The review page of a run whose items are of that kind.

    With `yes_or_no` items have several labels, and the question is whether one has a class.
    """
    body = Body(
        _top(name, audit=not yes_or_no),
        _filters(yes_or_no),
        P(missing, cls="notice") if missing else None,
        P(id="problem", cls="notice bad", role="alert", hidden=True),
        Main(
            Div(
                Div(id="cards", role="presentation"),
                id="grid",
                role="listbox",
                tabindex="0",
                aria_multiselectable="true",
                aria_label="Suspicious items",
            ),
            _one(),
            P("No item passes these filters.", id="empty", hidden=True),
        ),
        _actions(YES_OR_NO if yes_or_no else ACTIONS),
        picker(),
        _help(YES_OR_NO_KEYS if yes_or_no else KEYS),
        Div(id="said", cls="unseen", role="status", aria_live="polite"),
        data_kind=kind,
        data_ask="class" if yes_or_no else "label",
    )
    made = head(f"Review: {name}", "app.js")
    return to_xml(Html(made, body, lang="en"), indent=False)


def head(title: str, script: str, *styles: str) -> Any:
    """The head of a page with its script and its style sheets."""
    return Head(
        Meta(charset="utf-8"),
        Meta(name="viewport", content="width=device-width, initial-scale=1"),
        Meta(name="color-scheme", content="light dark"),
        Title(title),
        Link(rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        *[
            Link(rel="stylesheet", href=f"/static/{style}")
            for style in ("theme.css", "review.css", *styles)
        ],
        Script(src=f"/static/{script}", type="module"),
    )


def _top(name: str, *, audit: bool) -> Any:
    return Header(
        Div(
            Strong(name, id="name", title=name),
            Span(id="saved", role="status"),
            Label(
                Span("reviewer", id="reviewer-word"),
                Input(id="me", maxlength="40", autocomplete="off", size="10"),
            ),
            A("Audit", href="/?audit=1", cls="link") if audit else None,
            A(
                "Export",
                href="/export.csv",
                id="export",
                cls="link",
                download="corrected-labels.csv",
            ),
            Button("Help", Kbd("?"), id="show-help", type="button"),
            cls="line",
        ),
        Div(
            Div(
                Div(id="bar"),
                id="progress",
                role="progressbar",
                aria_label="Share of the expected wrong labels that were found",
                aria_valuemin="0",
                aria_valuemax="100",
            ),
            Div(id="numbers"),
            Span(id="count"),
            Button("One at a time", Kbd("v"), id="view", type="button"),
            cls="line",
        ),
    )


def _filters(yes_or_no: bool) -> Any:
    def choice(key: str, label: str, *options: tuple[str, str]) -> Any:
        return Label(
            Span(label), Select(*[Option(text, value=v) for v, text in options], id=key, name=key)
        )

    hidden = NO_ANSWER if yes_or_no else ()
    return Form(
        choice("state", "show", *[s for s in FILTER_STATES if s[0] not in hidden]),
        choice("class", "class", ("", "any")) if yes_or_no else None,
        choice("given", "given", ("", "any")),
        choice("suggested", "suggested", ("", "any")),
        Label(
            Span("suspicion from"),
            Input(id="least", name="least", type="number", min="0", max="100", step="1", value="0"),
            Span("%"),
        ),
        choice("reviewer", "reviewed by", ("", "anyone")),
        Label(
            Input(id="similar", name="similar", type="checkbox", value="1"),
            Span("similar together"),
        ),
        id="filters",
        aria_label="Filters",
    )


def _one() -> Any:
    return Section(
        Div(id="stage"),
        Div(
            H2(id="asked", hidden=True),
            Dl(id="labels"),
            Table(Tbody(id="classes"), aria_label="Most probable classes"),
            Div(id="sides"),
            P(id="key"),
            Div(
                H2("Similar items"),
                Label(Input(type="checkbox", id="all"), Span(id="similar-title")),
                Ul(id="strip"),
                id="alike",
            ),
            id="facts",
        ),
        id="one",
        aria_label="One item",
        hidden=True,
    )


def _actions(actions: tuple[tuple[str, str, str], ...]) -> Any:
    buttons = [
        Button(text, Kbd(key), type="button", data_action=action, cls=action)
        for action, text, key in actions
    ]
    return Footer(Span(id="chosen"), *buttons, id="actions", role="toolbar", aria_label="Decide")


def picker() -> Any:
    """The dialog in which a class is found by typing."""
    return Dialog(
        Label(
            "class",
            Input(
                id="typed",
                type="text",
                autocomplete="off",
                spellcheck="false",
                role="combobox",
                aria_expanded="true",
                aria_controls="options",
                aria_autocomplete="list",
            ),
        ),
        Ul(id="options", role="listbox", aria_label="Classes"),
        id="picker",
        aria_label="Choose a class",
    )


def _help(keys: tuple[tuple[str, str], ...]) -> Any:
    rows = [Tr(Td(Kbd(key)), Td(text)) for key, text in keys]
    return Dialog(
        H2("Keys"),
        Table(Tbody(*rows)),
        P(
            "Others' decisions stay hidden until you have decided yourself; "
            "conflicts show all sides."
        ),
        Button("Close", Kbd("Esc"), id="close-help", type="button"),
        id="help",
        aria_label="Help",
    )
