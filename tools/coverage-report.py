#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""coverage-report.py JSON DIR: of what gcov has printed, one document a line,
make DIR/report.txt, also printed, with the share of lines executed in each file
at the root of the current directory, and DIR/uncovered.txt with the others.

tests/unreached has "FILE FUNCTION LINES: why" for lines that no test can reach:
so many at most of that function. Exits with 1 when a line of L0 to L2 was not
executed and has no reason there."""

import collections
import json
import pathlib
import re
import sys

sys.path.insert(0, "tools/style")
from layers import Checker, TESTS, shown  # noqa: E402

DIRECTORY = "drivers/iommu/iommufd/"
LAST_LAYER = 2
# A definition starts in the first column and is not a prototype.
DEFINITION = re.compile(r"^(?!#|typedef\b)[A-Za-z_].*?(\w+)\(")
REASON = re.compile(r"^(\S+) (\w+) (\d+): (.+)$")


def counts_of(json_lines):
    """{file: {line: how often}}, summed over the objects that hold the line,
    of which a header's are in several."""
    counts = collections.defaultdict(collections.Counter)
    for document in map(json.loads, json_lines):
        for file in document["files"]:
            directory, _, name = file["file"].rpartition(DIRECTORY)
            if not directory or "/" in name:
                continue
            for line in file["lines"]:
                counts[name][line["line_number"]] += line["count"]
    return counts


def functions_of(lines):
    """The function that each line is in, by line number from 1."""
    current, functions = "", [""]
    for line in lines:
        if (match := DEFINITION.match(line)) and not line.endswith(";"):
            current = match[1]
        functions.append(current)
    return functions


class Reasons:
    def __init__(self, path):
        self.left = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            if not (match := REASON.match(line)):
                sys.exit(f"{path}:{number}: not 'FILE FUNCTION LINES: why'")
            self.left[match[1], match[2]] = int(match[3])

    def take(self, file, function):
        """Whether there is a reason for one more line of this function."""
        left = self.left.get((file, function), 0)
        if left:
            self.left[file, function] = left - 1
        return left > 0

    def unused(self):
        return [key for key, left in self.left.items() if left]


class Report:
    def __init__(self, counts, reasons):
        self.checker = Checker(pathlib.Path("."))
        self.counts = counts
        self.reasons = reasons
        self.rows = []
        self.uncovered = []
        self.unexplained = 0

    def add_uncovered(self, name, lower, numbers):
        """Note these lines of a file. Returns how many have no reason."""
        lines = pathlib.Path(name).read_text().splitlines()
        functions = functions_of(lines)
        without = 0
        for number in numbers:
            function = functions[number]
            mark = ""
            if lower and not self.reasons.take(name, function):
                mark = "UNEXPLAINED "
                without += 1
            source = lines[number - 1].strip()
            self.uncovered.append(f"{name}:{number}: {mark}{function}: {source}")
        return without

    def add(self, name, layer):
        lines = self.counts[name]
        missed = sorted(number for number, count in lines.items() if not count)
        without = self.add_uncovered(name, layer <= LAST_LAYER, missed)
        self.unexplained += without
        self.rows.append((layer, name, len(lines), len(missed), without))

    def add_all(self):
        for name in sorted(self.counts):
            layer = self.checker.layer_of(name)
            if layer is not None and layer != TESTS:
                self.add(name, layer)
        self.rows.sort()

    def text(self):
        """One row for each file, and one for the lower layers together."""
        lower = [row for row in self.rows if row[0] <= LAST_LAYER]
        total = [sum(column) for column in zip(*(row[2:] for row in lower))]
        yield "layer  file                  lines  covered  percent  unexplained"
        for layer, *row in self.rows:
            yield self.row(shown(layer), *row)
        yield self.row(f"to L{LAST_LAYER}", "", *total)

    @staticmethod
    def row(layer, name, lines, missed, without):
        return (f"{layer:6} {name:20} {lines:6} {lines - missed:8}"
                f" {100 * (lines - missed) / lines:7.1f}% {without:12}")


def main():
    json_file, directory = map(pathlib.Path, sys.argv[1:])
    with json_file.open(encoding="utf-8") as lines:
        report = Report(counts_of(lines), Reasons(pathlib.Path("tests/unreached")))
    if not report.counts:
        sys.exit(f"{json_file} counts no line of ours")
    report.add_all()
    text = "\n".join(report.text()) + "\n"
    (directory / "report.txt").write_text(text)
    (directory / "uncovered.txt").write_text("\n".join(report.uncovered) + "\n")
    print(text, end="")
    for file, function in report.reasons.unused():
        print(f"note: tests/unreached expects more of {file} {function}")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
