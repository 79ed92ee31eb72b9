# SPDX-License-Identifier: GPL-2.0-only
"""Have gnuplot draw the table: a row is a line of dots on a logarithmic axis."""

import math

SERIES = (
    ("ours", "ours", "#1f77b4", 7, 0.8),
    ("theirs", "6.12 iommufd", "#d62728", 5, 0.6),
    ("type1", "type1", "#ff7f0e", 9, 0.7),
    ("floor", "floor", "#7f7f7f", 2, 0.6),
)
LINE_PIXELS = 17
# Nothing is drawn at less: the axis is logarithmic.
LEAST = 0.001

SCRIPT = """\
set terminal svg size 1000,{height} fixed enhanced font "sans-serif,11" background "white"
set logscale x
set logscale x2
set xrange [{least}:{most}]
set x2range [{least}:{most}]
set yrange [{bottom}:0]
set format x "%g"
set format x2 "%g"
set xtics nomirror textcolor rgb "black"
set x2tics textcolor rgb "black"
set ytics scale 0 textcolor rgb "black"
set grid xtics ytics lt 1 lc rgb "#dddddd", lt 1 lc rgb "#f4f4f4"
set border 5 lc rgb "#888888"
set key at screen 0.98,screen {key} right top horizontal
set lmargin 50
set rmargin 4
set tmargin 7
{labels}
plot {plots}
"""


def quoted(text):
    return text.replace('"', "'").replace("_", r"\_")


def layout(lines):
    """Yield (y, heading or None, line or None) from top to bottom."""
    y, section = -1, None
    for line in lines:
        if line.row.section != section:
            section = line.row.section
            y -= 1
            yield y, section, None
            y -= 1
        yield y, None, line
        y -= 1


def most_of(lines):
    """The end of the axis."""
    most = max(getattr(line, series[0]) or 0 for line in lines
               for series in SERIES)
    return 10 ** math.ceil(math.log10(most))


def data_of(places, attribute):
    for y, _, line in places:
        value = line and getattr(line, attribute)
        if value:
            name = f"{line.row.operation}: {line.row.memory}"
            yield f'{value:.6g} {y} "{quoted(name)}"'


def label(y, text):
    return (f'set label "{quoted(text)}" at graph -0.005, first {y} right '
            'font ",11:Bold"')


def tics(places):
    names = ", ".join(
        f'"{quoted(line.row.operation + ": " + line.row.memory)}" {y}'
        for y, _, line in places if line)
    return f"set ytics ({names})"


def write_plot(lines, directory):
    directory.mkdir(parents=True, exist_ok=True)
    places = list(layout(lines))
    plots = []
    for attribute, title, colour, point, size in SERIES:
        path = directory / f"{attribute}.dat"
        path.write_text("\n".join(data_of(places, attribute)) + "\n")
        plots.append(f'"{path}" using 1:2 with points pt {point} ps {size} '
                     f'lc rgb "{colour}" title "{title}"')
    bottom = places[-1][0] - 1
    labels = [tics(places)] + [label(y, text) for y, text, line in places
                               if not line]
    height = LINE_PIXELS * -bottom + 120
    (directory / "bench.gnuplot").write_text(SCRIPT.format(
        height=height, least=LEAST, most=most_of(lines), bottom=bottom,
        key=1 - 30 / height, labels="\n".join(labels), plots=", ".join(plots)))
