"""Small multiples in SVG: for each condition a bar of each side's median, a line from the smallest to the largest value, and a dot for each."""

import statistics
from xml.sax.saxutils import escape

WIDTH, HEIGHT, COLUMNS, GAP = 460, 210, 2, 26
COLOURS = ["#1f6f8b", "#d98c5f"]
FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'


def text(x, y, content, size=11, anchor="start", weight="normal", fill="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">{escape(content)}</text>'


def nice(top):
    """A round step for about four lines."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if step * factor * 4 >= top:
                return step * factor
        step *= 10


def short(value):
    return f"{value / 1000:g} k" if value >= 10000 else f"{value:g}"


def panel(x, y, title, groups):
    left, right, top, bottom = x + 46, x + WIDTH - 8, y + 26, y + HEIGHT - 24
    everything = [value for _, sides in groups for side in sides for value in side]
    # One value far out would flatten all the others: the scale follows the medians and cuts what is beyond, which its arrow says.
    medians = [statistics.median(side) for _, sides in groups for side in sides]
    highest = min(max(everything), 2.2 * max(medians)) or 1
    step = nice(highest)
    limit = step * -(-highest // step)
    place = lambda value: bottom - (bottom - top) * max(0, min(value, limit)) / limit
    parts = [text(x + 6, y + 14, title, 12, weight="bold")]
    line = 0.0
    while line <= limit * 1.001:
        parts.append(f'<line x1="{left}" x2="{right}" y1="{place(line):.1f}" y2="{place(line):.1f}" stroke="#ddd"/>')
        parts.append(text(left - 5, place(line) + 4, short(round(line, 6)), 10, "end", fill="#666"))
        line += step
    width = (right - left) / len(groups)
    for index, (condition, sides) in enumerate(groups):
        centre = left + width * (index + 0.5)
        bar = min(width * 0.32, 46)
        for side, (found, colour) in enumerate(zip(sides, COLOURS)):
            begin = centre + (side - 1) * bar + side * 2
            middle, median = begin + bar / 2, statistics.median(found)
            parts.append(f'<rect x="{begin:.1f}" y="{place(median):.1f}" width="{bar:.1f}" height="{bottom - place(median):.1f}" fill="{colour}" fill-opacity="0.8"/>')
            if len(found) > 1:
                parts.append(f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{place(min(found)):.1f}" y2="{place(max(found)):.1f}" stroke="#222"/>')
                dots = [value for value in found if value <= limit]
                parts += [f'<circle cx="{middle:.1f}" cy="{place(value):.1f}" r="2" fill="#222"/>' for value in dots]
                if max(found) > limit:
                    parts.append(text(middle, top - 1, "▲", 9, "middle"))
        size, _, rate = condition.partition("@")
        parts.append(text(centre, bottom + 13, size, 10, "middle", fill="#444"))
        if rate.strip("0"):
            parts.append(text(centre, bottom + 24, f"{rate.rstrip('p')}/s{', painted' if rate.endswith('p') else ''}", 9, "middle", fill="#666"))
    return parts


def picture(panels, sides, caption):
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH + GAP, rows * (HEIGHT + GAP) + 62
    parts = []
    for index, (title, groups) in enumerate(panels):
        parts += panel((index % COLUMNS) * (WIDTH + GAP), 36 + (index // COLUMNS) * (HEIGHT + GAP), title, groups)
    x = 8
    for side, colour in zip(sides, COLOURS):
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}" fill-opacity="0.8"/>')
        parts.append(text(x + 17, 20, side, 12))
        x += 150
    parts.append(text(x + 20, 20, "bar: median; line and dots: every repetition", 10, fill="#666"))
    parts.append(text(8, height - 8, caption, 9, fill="#666"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" {FONT}>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )
