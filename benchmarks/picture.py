"""Medians as bars, in an SVG for light and dark pages."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

#: The medians by label: one per series, or None where there is none.
Panel = Mapping[str, Sequence[float | None]]

# In pixels. The labels are as wide as the longest name of a pool at this font size.
LABELS, BARS, NUMBERS, GAP = 190, 170, 56, 28
BAR, ROW, TITLE, LEGEND = 9, 27, 36, 26
COLUMN = LABELS + BARS + NUMBERS
COLUMNS = 2

# An SVG shown as an image knows the colour scheme that the reader prefers, but not the page's.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.number { font-size: 10px; fill: #57606a }
.bar { fill: #8c959f }
.ours { fill: #1a7f64 }
.series1 { opacity: .5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .number { fill: #9aa4ae }
  .bar { fill: #7d8590 }
  .ours { fill: #3fb68f }
}
"""


def bar(x: float, y: float, value: float | None, longest: float, style: str) -> str:
    """Return a bar with its number. A bar longer than `longest` has a gap near its end."""
    if value is None:
        return f'<text class="number" x="{x}" y="{y + 8.5:.1f}">–</text>'
    width = BARS * min(value / longest, 1)
    pieces = [(x, width)]
    if value > longest:
        pieces = [(x, width - 16), (x + width - 12, 12)]
    drawn = "".join(
        f'<rect class="{style}" x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{BAR}"/>'
        for left, wide in pieces
    )
    number = f"{value:.{1 if value < 100 else 0}f}"
    return f'{drawn}<text class="number" x="{x + width + 5:.1f}" y="{y + 8.5:.1f}">{number}</text>'


def draw(title: str, series: Sequence[str], panels: Mapping[str, Panel], ours: str) -> str:
    """Return an SVG document.

    :param title: the title of the picture.
    :param series: the names of the one or two values of each label, in order.
    :param panels: the bars by the title of their panel. Each panel has its own scale; a bar longer
        than twice the median one has a gap.
    :param ours: the beginning of the labels whose bars have the other colour.
    """
    height = TITLE + ROW * max(len(panel) for panel in panels.values())
    width = COLUMN * COLUMNS + GAP
    parts = [f'<text class="title" x="0" y="14">{escape(title)}</text>']
    for number, name in enumerate(series):
        left = COLUMN + GAP + LABELS + 90 * number
        parts.append(f'<rect class="bar series{number}" x="{left}" y="5" width="9" height="9"/>')
        parts.append(f'<text x="{left + 14}" y="14">{escape(name)}</text>')
    for place, (heading, panel) in enumerate(panels.items()):
        row, column = divmod(place, COLUMNS)
        x, y = column * (COLUMN + GAP), LEGEND + row * height
        parts.append(f'<text class="title" x="{x}" y="{y + 22}">{escape(heading)}</text>')
        found = sorted(value for values in panel.values() for value in values if value is not None)
        longest = min(2 * found[len(found) // 2], found[-1])
        for line, (label, values) in enumerate(panel.items()):
            top = y + TITLE + ROW * line
            parts.append(f'<text x="{x}" y="{top + 13}">{escape(label)}</text>')
            colour = "bar ours" if label.startswith(ours) else "bar"
            parts += [
                bar(x + LABELS, top + (BAR + 2) * n, value, longest, f"{colour} series{n}")
                for n, value in enumerate(values)
            ]
    total = LEGEND + height * -(-len(panels) // COLUMNS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )
