# SPDX-License-Identifier: GPL-2.0-only
"""What tools/bench.sh has measured."""


def read(path):
    """The figures of a kernel by their row, those of how memory lies left out."""
    values = {}
    for line in path.read_text().splitlines():
        row, value = line.split()
        if not row.endswith("_runs"):
            values[row] = float(value)
    return values
