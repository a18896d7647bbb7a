"""The look that the report and the review page share: colours for light, dark and paper.

The given label is always amber, what the models suggest always blue. Every text colour has a
contrast of at least 4.5 to 1 on both of its grounds (tests compute it).
"""

LIGHT = {
    "bg": "#faf9f7",
    "card": "#ffffff",
    "ink": "#1d1c1a",
    "muted": "#625f5a",
    "line": "#dedbd5",
    "given": "#a34700",
    "soft": "#0b5cad",
    "good": "#1a6b36",
    "bad": "#b0261d",
    "focus": "#0b5cad",
}
DARK = {
    "bg": "#131416",
    "card": "#1d1f22",
    "ink": "#eeedeb",
    "muted": "#a9abae",
    "line": "#373a3f",
    "given": "#ffb274",
    "soft": "#83bfff",
    "good": "#74d290",
    "bad": "#ff9389",
    "focus": "#83bfff",
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif'
MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", monospace'


def variables() -> str:
    """The colours as CSS variables, by the reader's preference; paper is always light."""

    def block(colours: dict[str, str], scheme: str) -> str:
        return f"color-scheme:{scheme};" + "".join(f"--{k}:{v};" for k, v in colours.items())

    fonts = f"--font:{FONT};--mono:{MONO};"
    return (
        f":root{{{block(LIGHT, 'light')}{fonts}}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{{block(DARK, 'dark')}}}}}\n"
        f"@media print{{:root{{{block(LIGHT, 'light')}}}}}\n"
    )


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
