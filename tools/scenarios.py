#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""scenarios.py: which tests prove that a scenario of Documentation/scenarios.rst
goes well.

    tools/scenarios.py          print the scenarios, each with its tests
    tools/scenarios.py --check  print as "FILE:LINE: why" what is wrong with that

A test is tagged by "Scenario 26" or "Scenarios 26 and 53" in the comment right
above it, a script that is a test by such words in any comment. A scenario without a test says why: after " -- ", "not yet: ..." or
"impossible: ..."; one that has tests says "in part: ..." if they are not all.
"""

import pathlib
import re
import sys

LIST = "Documentation/scenarios.rst"
SOURCES = ("tests/*_kunit.c", "tests/guest/t_*.c", "tests/selftests/*.c",
           "tests/clients/*.sh")
ENTRY = re.compile(r"^(\d+)\. (.+(?:\n {2,}\S.*)*)", re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
TAG = re.compile(r"\bscenarios? (\d+(?:(?:, | and )\d+)*)", re.I)
TEST = re.compile(r"\s*(?:TEST_F\w*\((\w+), (\w+)[,)]|static void (\w+)\()")


def name_of(match, text):
    """What a test that stands in the text is called when it runs, or None."""
    if match[1]:
        return f"{match[1]}.{match[2]}"
    if re.search(rf"\bKUNIT_CASE\w*\({match[3]}\b", text):
        return match[3]
    row = re.search(rf'\{{ "([\w.]+)",\s+{match[3]}\b', text)
    return row and row[1]


def tags_in(file, complaints):
    """Each pair of a scenario and a test, and where the tag is."""
    text = file.read_text()
    for comment in COMMENT.finditer(text):
        words = re.sub(r"\s+\*?\s*", " ", comment[0])
        for tag in TAG.finditer(words):
            line = text.count("\n", 0, comment.start()) + 1
            test = TEST.match(text, comment.end())
            name = test and name_of(test, text)
            if not name:
                complaints.append(f"{file}:{line}: \"{tag[0]}\" is above no test")
            for number in re.findall(r"\d+", tag[1]) if name else ():
                yield int(number), f"{file}: {name}", f"{file}:{line}"


def tags_in_script(file):
    """Each pair of a scenario and the script, and where the tag is."""
    for line, text in enumerate(file.read_text().splitlines(), 1):
        for tag in TAG.finditer(text) if text.startswith("#") else ():
            for number in re.findall(r"\d+", tag[1]):
                yield int(number), str(file), f"{file}:{line}"


def all_tags(complaints):
    """All of them."""
    for pattern in SOURCES:
        for file in sorted(pathlib.Path(".").glob(pattern)):
            if file.suffix == ".sh":
                yield from tags_in_script(file)
            else:
                yield from tags_in(file, complaints)


def main(is_check):
    complaints, tests = [], {}
    entries = [(int(entry[1]), re.sub(r"\s+", " ", entry[2]).partition(" -- "))
               for entry in ENTRY.finditer(pathlib.Path(LIST).read_text())]
    numbers = [number for number, _ in entries]
    if numbers != sorted(set(numbers)):
        complaints.append(f"{LIST}: a number stands twice or in the wrong place")
    for number, test, place in all_tags(complaints):
        tests.setdefault(number, []).append(test)
        if number not in numbers:
            complaints.append(f"{place}: scenario {number} is not listed")
    for number, (_, _, note) in entries:
        wanted = "in part: " if number in tests else ("not yet: ", "impossible: ")
        if not note.startswith(wanted) and (note or number not in tests):
            complaints.append(f"{LIST}: scenario {number}: its tests, of which there"
                              f" are {len(tests.get(number, []))}, do not fit its note")
    if is_check:
        print("\n".join(complaints), end="\n" if complaints else "")
        return
    for number, (title, _, note) in entries:
        print(f"{number:2}. {title}" + (f" ({note})" if note else ""))
        print("".join(f"      {test}\n" for test in tests.get(number, [])), end="")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
