"""Tables of reports: as text, and as HTML that needs nothing else."""

from __future__ import annotations

from html import escape

#: Readable on a light and on a dark page: both colours are the page's own.
CELL = "padding:.25em .8em;text-align:right;white-space:nowrap;border:0;background:none"
CELL += ";color:inherit"
RULE = "border-top:1px solid rgba(128,128,128,.6)"

#: A caption and how many columns it stands over.
Span = tuple[str, int]


def text_table(
    spans: list[Span], table: list[list[str]], *, words: bool = False
) -> str:
    """Return a table of text: captions, names of the columns, and the rows.

    Parameters
    ----------
    spans : list of (str, int)
        Captions over the columns, in order; "" for none. Empty: no line of captions.
    table : list of list of str
        Names of the columns, then the rows, each with its name first.
    words : bool, default=False
        Whether the last column holds words, which start at its left.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    over, first = "", 0
    for caption, n_columns in spans:
        width = sum(widths[first : first + n_columns]) + 2 * (n_columns - 1)
        over += caption.ljust(width) + "  "
        first += n_columns
    lines = [over.rstrip()] if spans else []
    for name, *rest in table:
        padded = [cell.rjust(n) for cell, n in zip(rest, widths[1:], strict=True)]
        if words:
            padded[-1] = rest[-1]
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)


def html_table(
    spans: list[Span],
    table: list[list[str]],
    *,
    ruled: str | None = None,
    words: bool = False,
) -> str:
    """Return the same as HTML, with a rule above the row of that name, if any."""
    head, *rows = table
    left = f"{CELL};text-align:left"
    aligned = [CELL] * (len(head) - 1)
    if words:
        aligned[-1] = left
    body = []
    for name, *rest in rows:
        rule = RULE if name == ruled else ""
        cells = "".join(
            f'<td style="{style};{rule}">{escape(cell)}</td>'
            for cell, style in zip(rest, aligned, strict=True)
        )
        first = f'<th scope="row" style="{left};{rule}">'
        body.append(f"<tr>{first}{escape(name)}</th>{cells}</tr>")
    top = ""
    for caption, n_columns in spans:
        if not caption:
            top += f'<th style="{CELL}"></th>' * n_columns
            continue
        top += f'<th colspan="{n_columns}" scope="colgroup" '
        top += f'style="{CELL};text-align:center">{escape(caption)}</th>'
    names = "".join(
        f'<th scope="col" style="{style}">{escape(name)}</th>'
        for name, style in zip(head, [left, *aligned], strict=True)
    )
    captions = f"<tr>{top}</tr>" if spans else ""
    return (
        '<table style="border-collapse:collapse;color:inherit;background:none">'
        f"<thead>{captions}<tr>{names}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )
