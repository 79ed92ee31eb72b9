#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make a table of what tools/bench.sh has measured.

    table.py VALUES CSV PLOT

VALUES is a directory with bench.values and bench-theirs.values. The table is
printed and written to CSV; what gnuplot needs is left in the directory PLOT.
"""
import csv
import pathlib
import sys

from plot import write_plot
from rows import FACTOR, PER_CALL, all_rows
from values import read

HEAD = ("operation", "memory", "ours", "6.12 iommufd", "type1", "floor",
        "6.12 / ours", "type1 / ours", "target", "remarks")
WIDTHS = (32, 26, 10, 12, 10, 10, 11, 12, 10, 0)
# More than what two runs may differ by.
NOISE = 1.02


class Line:
    """A row with its figures."""

    def __init__(self, row, ours, theirs):
        self.row = row
        self.ours = ours.get(row.iommufd)
        self.theirs = theirs.get(row.iommufd)
        self.type1 = theirs.get(row.type1)
        self.floor = ours.get(row.floor)
        self.target = row.target or None
        if not self.target and self.floor is not None and row.share:
            self.target = FACTOR * self.floor + PER_CALL * row.share

    def ratio(self, other):
        if other is None or self.ours is None:
            return None
        if self.ours == 0:
            return None if other else 1
        return other / self.ours

    def remarks(self):
        """What is wrong with ours."""
        if self.ours is None:
            return ["NOT MEASURED"]
        limits = (("SLOWER THAN 6.12", self.theirs, NOISE),
                  ("SLOWER THAN TYPE1", self.type1, NOISE),
                  ("above target", self.target, 1))
        return [text for text, limit, factor in limits
                if limit is not None and self.ours > limit * factor]

    def cells(self):
        return [self.row.operation, self.row.memory, shown(self.ours),
                shown(self.theirs), shown(self.type1), shown(self.floor),
                shown(self.ratio(self.theirs)), shown(self.ratio(self.type1)),
                shown(self.target), ", ".join(self.remarks())]


def shown(value):
    """At most four digits that mean something."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}"


def padded(cells):
    texts = [cell.ljust(width) if column < 2 or not width
             else cell.rjust(width)
             for column, (cell, width) in enumerate(zip(cells, WIDTHS))]
    return " ".join(texts[:-1]).ljust(0) + "  " + texts[-1]


def print_table(lines):
    section = None
    for line in lines:
        if line.row.section != section:
            section = line.row.section
            print(f"\n{section}\n{padded(HEAD).rstrip()}")
        print(padded(line.cells()).rstrip())
    bad = [line for line in lines if line.remarks()]
    slower = [line for line in bad
              if any(text.startswith("SLOWER") for text in line.remarks())]
    print(f"\n{len(lines)} rows, ours is slower in {len(slower)}, "
          f"above target in {len(bad)} or slower")


def write_csv(lines, path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("of",) + HEAD)
        for line in lines:
            writer.writerow([line.row.section] + line.cells())


def main():
    directory, csv_path, plot_path = (pathlib.Path(arg)
                                      for arg in sys.argv[1:4])
    ours = read(directory / "bench.values")
    theirs = read(directory / "bench-theirs.values")
    lines = [Line(row, ours, theirs) for row in all_rows()]
    print_table(lines)
    write_csv(lines, csv_path)
    write_plot(lines, plot_path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
