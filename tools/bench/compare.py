#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Say whether two runs of tools/bench.sh agree.

    compare.py FIRST SECOND     directories with *.values
"""
import pathlib
import sys

from values import read

LIMIT = 0.02


def differences(first, second):
    """Yield (row, one, other) of those that do not agree."""
    for row in sorted(first.keys() | second.keys()):
        one, other = first.get(row), second.get(row)
        if one is None or other is None:
            yield row, one, other
        elif abs(one - other) > LIMIT * max(one, other):
            yield row, one, other


def main():
    first, second = (pathlib.Path(name) for name in sys.argv[1:3])
    total = bad = 0
    for path in sorted(first.glob("*.values")):
        values = read(path)
        total += len(values)
        for row, one, other in differences(values, read(second / path.name)):
            bad += 1
            print(f"{path.stem}: {row}: {one}, then {other}")
    print(f"{total - bad} of {total} figures of two runs agree within 2 %")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
