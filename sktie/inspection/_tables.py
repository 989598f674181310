"""Tables of reports: as text, and as HTML that needs nothing else."""

from __future__ import annotations

from html import escape

#: Readable on a light and on a dark page: both colours are the page's own.
CELL = "padding:.25em .8em;text-align:right;border:0;background:none;color:inherit"
RULE = "border-top:1px solid rgba(128,128,128,.6)"

#: A caption and how many columns it stands over.
Span = tuple[str, int]


def text_table(spans: list[Span], table: list[list[str]]) -> str:
    """Return a table of text: captions, names of the columns, and the rows.

    Parameters
    ----------
    spans : list of (str, int)
        Captions over the columns, in order; "" for none.
    table : list of list of str
        Names of the columns, then the rows, each with its name first.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    over, first = "", 0
    for caption, n_columns in spans:
        width = sum(widths[first : first + n_columns]) + 2 * (n_columns - 1)
        over += caption.ljust(width) + "  "
        first += n_columns
    lines = [over.rstrip()]
    for name, *rest in table:
        padded = [cell.rjust(n) for cell, n in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return "\n".join(lines)


def html_table(spans: list[Span], table: list[list[str]], last: str) -> str:
    """Return the same as HTML, with a rule above the row of the name `last`."""
    head, *rows = table
    body = []
    for name, *rest in rows:
        rule = RULE if name == last else ""
        cells = "".join(
            f'<td style="{CELL};{rule}">{escape(cell)}</td>' for cell in rest
        )
        first = f'<th scope="row" style="{CELL};{rule};text-align:left">'
        body.append(f"<tr>{first}{escape(name)}</th>{cells}</tr>")
    top = ""
    for caption, n_columns in spans:
        if not caption:
            top += f'<th style="{CELL}"></th>' * n_columns
            continue
        top += f'<th colspan="{n_columns}" scope="colgroup" '
        top += f'style="{CELL};text-align:center">{escape(caption)}</th>'
    names = "".join(
        f'<th scope="col" style="{CELL}">{escape(name)}</th>' for name in head
    )
    return (
        '<table style="border-collapse:collapse;color:inherit;background:none">'
        f"<thead><tr>{top}</tr><tr>{names}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )
