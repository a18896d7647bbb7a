"""The markup of the audit: one item at a time, what it was given as, and a key for each answer."""

from __future__ import annotations

from typing import Any

from fastcore.xml import to_xml
from fasthtml.components import (
    H1,
    A,
    Body,
    Button,
    Div,
    Footer,
    Header,
    Html,
    Input,
    Kbd,
    Label,
    Main,
    P,
    Section,
    Span,
    Strong,
)

from softfold.review.page import head, picker

ACTIONS = (
    ("keep", "Right", "Space"),
    ("class", "Another class…", "c"),
    ("none", "None of these", "n"),
    ("unsure", "Unsure", "u"),
    ("undo", "Undo", "z"),
)


def audit_page(name: str, kind: str, missing: str | None) -> str:
    """The page that goes through the items of the audit of a run whose items are of that kind."""
    body = Body(
        _top(name),
        P(missing, cls="notice") if missing else None,
        P(id="problem", cls="notice bad", role="alert", hidden=True),
        Main(_question(), _result(), tabindex="-1", id="audit"),
        _answers(),
        picker(),
        Div(id="said", cls="unseen", role="status", aria_live="polite"),
        data_kind=kind,
    )
    made = head(f"Audit: {name}", "audit.js", "audit.css")
    return to_xml(Html(made, body, lang="en"), indent=False)


def _top(name: str) -> Any:
    return Header(
        Div(
            Strong(name, id="name", title=name),
            Span(id="saved", role="status"),
            Label(
                Span("reviewer", id="reviewer-word"),
                Input(id="me", maxlength="40", autocomplete="off", size="10"),
            ),
            A("Review", href="/", cls="link"),
            cls="line",
        ),
        Div(
            Div(
                Div(id="bar"),
                id="progress",
                role="progressbar",
                aria_label="Share of the audit's items that were checked",
                aria_valuemin="0",
                aria_valuemax="100",
            ),
            Span(id="count"),
            cls="line",
        ),
    )


def _question() -> Any:
    return Section(
        Div(id="stage"),
        P(
            Span("given as", id="asked"),
            Strong(id="given", cls="given"),
            Span(", is that right?", id="ask"),
            id="question",
        ),
        P(id="yours"),
        Div(id="classes", role="group", aria_label="Classes"),
        id="item",
        aria_label="One item",
        hidden=True,
    )


def _result() -> Any:
    return Section(
        H1(id="finding"),
        Div(
            Div(Div(id="range"), Div(id="mark"), Div(id="before"), id="scale", role="img"),
            Div(Span(id="from"), Span("dashed: guessed before"), Span(id="to"), id="ends"),
            id="figure",
        ),
        P(id="words"),
        P(id="further"),
        Div(
            Button(id="more", type="button"),
            A("Review the most suspicious", href="/?state=open", cls="link"),
            cls="line",
        ),
        id="result",
        aria_label="What the audit says",
        hidden=True,
    )


def _answers() -> Any:
    buttons = [
        Button(text, Kbd(key), type="button", data_action=action, cls=action)
        for action, text, key in ACTIONS
    ]
    return Footer(*buttons, id="actions", role="toolbar", aria_label="Decide")
