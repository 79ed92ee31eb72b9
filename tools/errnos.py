#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""errnos.py: which test proves which errno of which ioctl.

    tools/errnos.py          print the table, with all tests
    tools/errnos.py --write  write it to Documentation/errnos.rst
    tools/errnos.py --check  print as "FILE:LINE: why" what is missing or stale

What proves a cell is read from the sources of the self-tests: that a call of the ioctl
is compared with the errno. Where that is out of sight, as in another process, the
comment right above the test says it: "Errno IOMMU_IOAS_MAP ENOMEM." An errno that an
ioctl is said to have, see errno_table/abi.py, and that no test proves, needs a line
with the reason in tests/errnos.
"""

import pathlib
import re
import sys

sys.dont_write_bytecode = True

from errno_table import abi, ctext, expect
from scenarios import COMMENT, TEST, name_of

TABLE = "Documentation/errnos.rst"
TESTS = "tests/selftests"
TAG = re.compile(r"\bErrnos? (IOMMU_\w+|fault \w+) (E[A-Z0-9]+(?:(?:, | and )E\w+)*)")
# So many tests of a cell are in the table.
SHOWN = 3
HEAD = """.. SPDX-License-Identifier: GPL-2.0-only

=======================
Errnos and their tests
=======================

For each ioctl, the errnos that it can fail with and the self-tests that prove it, as
PROGRAM/FIXTURE.TEST, three of them if there are more. ``tools/errnos.py --write`` has
made this table from the sources of the tests; without an argument it prints them all.

"""


def sources():
    """The self-tests, each with all headers before it."""
    headers = []
    for path in sorted(pathlib.Path(TESTS).glob("*.h")):
        headers.append(ctext.Source(path, headers))
    for path in sorted(pathlib.Path(TESTS).glob("*.c")):
        yield ctext.Source(path, headers)


def has_errno(source, test, errno):
    """Does it stand in the test, its variants, or what it calls?"""
    tokens = [token for variant in source.variants.get(test.partition(".")[0], ())
              for value in variant.values() for token in value]
    for function in source.tests:
        tokens += function.body if function.test == test else []
    called = [source.functions[token].body for token in tokens
              if token in source.functions]
    return any(errno in body for body in [tokens, *called])


def tags_in(source, rows, complaints):
    """The cells that a comment claims for the test below it."""
    text = source.path.read_text()
    for comment in COMMENT.finditer(text):
        words = re.sub(r"\s+\*?\s*", " ", comment[0])
        for tag in TAG.finditer(words):
            place = f"{source.path}:{text.count(chr(10), 0, comment.start()) + 1}"
            test = TEST.match(text, comment.end())
            name = test and name_of(test, text)
            if not name:
                complaints.append(f"{place}: \"{tag[0]}\" is above no test")
                continue
            if tag[1] not in rows:
                complaints.append(f"{place}: there is no {tag[1]}")
            for errno in re.findall(r"E\w+", tag[2]):
                if has_errno(source, name, errno):
                    yield tag[1], errno, name
                else:
                    complaints.append(f"{place}: {name} has no {errno} in it")


def collect(complaints):
    """The tests of each cell, in the order of the sources."""
    words = set(abi.ioctls())
    rows = words | set(abi.operations()) | set(abi.FAULT_QUEUE)
    cells = {}
    for source in sources():
        found = [*expect.cells_of(source, words),
                 *tags_in(source, rows, complaints)]
        order = [test.test for test in source.tests]
        for word, errno, test in sorted(found, key=lambda cell: order.index(cell[2])):
            tests = cells.setdefault((word, errno), [])
            if f"{source.path.stem}/{test}" not in tests:
                tests.append(f"{source.path.stem}/{test}")
    return cells


def missing(cells, complaints):
    """The reason of each cell that is required and has no test."""
    gaps = {(word, errno): "" for word, errnos in abi.required().items()
            for errno in errnos if (word, errno) not in cells}
    for line, word, errno, reason in abi.reasons():
        here = [gap for gap in gaps if gap[1] == errno and word in ("*", gap[0])]
        if not here:
            complaints.append(f"{abi.REASONS}:{line}: {word} {errno} is not missing")
        elif not reason:
            complaints.append(f"{abi.REASONS}:{line}: there is no reason")
        gaps.update((gap, reason) for gap in here if reason)
    return gaps


def row(first, second, third):
    return f"   * - {first}\n     - {second}\n     - {third}\n"


def rows_of(word, tests, gaps, most):
    """The rows of an ioctl: the first of them has its name."""
    errnos = sorted(errno for name, errno in [*tests, *gaps] if name == word)
    title = f"``{word}``" if errnos else ""
    for errno in errnos:
        proofs = tests.get((word, errno), [])
        text = ", ".join(proofs[:most]) + (", ..." if len(proofs) > most else "")
        if not proofs:
            text = "no test: " + (gaps[word, errno] or "**missing**")
        yield row(title, f"``{errno}``", text).replace(" \n", "\n")
        title = ""


def table(title, words, cells, gaps, most):
    rows = [text for word in words for text in rows_of(word, cells, gaps, most)]
    return "\n".join([f"{title}\n{'=' * len(title)}\n", ".. list-table::",
                      "   :header-rows: 1\n", row("ioctl", "errno", "tests")]) + \
        "".join(rows)


def page(cells, gaps, most):
    words = [word for word in abi.ioctls() if word != expect.TEST_COMMAND]
    return HEAD + "\n".join((
        table("The ABI", [*words, *abi.FAULT_QUEUE, abi.NO_IOCTL], cells, gaps, most),
        table("The commands of the mock", [expect.TEST_COMMAND, *abi.operations()],
              cells, gaps, most)))


def main(arguments):
    complaints = []
    cells = collect(complaints)
    gaps = missing(cells, complaints)
    complaints += [f"{abi.REASONS}: no test proves {word} {errno}"
                   for (word, errno), reason in sorted(gaps.items()) if not reason]
    if arguments == ["--write"]:
        pathlib.Path(TABLE).write_text(page(cells, gaps, SHOWN))
    elif arguments == ["--check"]:
        if abi.read(TABLE) != page(cells, gaps, SHOWN):
            complaints.append(f"{TABLE}: is stale, tools/errnos.py --write renews it")
        print("\n".join(complaints), end="\n" if complaints else "")
    else:
        print(page(cells, gaps, len(cells)))


if __name__ == "__main__":
    main(sys.argv[1:])
