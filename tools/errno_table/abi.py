# SPDX-License-Identifier: GPL-2.0-only
"""The ioctls in the order of the ABI, and the errnos that each is said to have: by
the dispatcher's table, by its kernel-doc in the uAPI header, and by the "Return:" of
its handler and of the functions that are referred to there.
"""

import errno
import pathlib
import re

HEADER = "include/uapi/linux/iommufd.h"
TEST_HEADER = "iommufd_test.h"
DISPATCHER = "main.c"
REASONS = "tests/errnos"
# The file of a fault queue: calls, what implements each, and what is handed over.
FAULT_QUEUE = {"fault read": ("read", "iommu_hwpt_pgfault"),
               "fault write": ("write", "iommu_hwpt_page_response"),
               "fault lseek": ("llseek", None)}
# A command word that is none of these.
NO_IOCTL = "no ioctl"
NUMBER = re.compile(r"^\t(IOMMUFD_CMD_\w+)\s*= (\w+)", re.M)
WORD = re.compile(r"#define (IOMMU_\w+)\s(?:\\\s)?\s*_IO\(IOMMUFD_TYPE, (\w+)\)")
OPERATION = re.compile(r"\b(IOMMU_TEST_OP_\w+)\s*= \d+")
ENTRY = re.compile(r"\bIOCTL\((\w+), struct (\w+),(.*?)\.handle = (\w+)\)", re.S)
# Of every entry of the dispatcher's table, and of those that check a field.
OF_ALL = {"E2BIG", "EFAULT", "EINVAL"}
OF_CHECKED_FIELDS = {"EOPNOTSUPP"}
COMMENT = re.compile(r"/\*\*?\n(.*?)\*/\n([^;{]*)", re.S)
RETURN = re.compile(r"^ \* Return: ?(.*?)(?=^ \* [A-Z]\w+:|\Z)", re.M | re.S)
STRUCT = re.compile(r"/\*\*\n \* struct (\w+) - (.*?)\*/", re.S)
FILE_CALLS = re.compile(r"struct file_operations (\w*fault\w*) = \{(.*?)\n\}", re.S)


def read(name):
    path = pathlib.Path(name)
    return path.read_text() if path.exists() else ""


def errnos_in(text, prefix=""):
    found = re.findall(rf"{prefix}\b(E[A-Z0-9]+)\b", text)
    return {name for name in found if hasattr(errno, name)}


def ioctls():
    """The command words by number; the one for tests, and its operations, last."""
    text = read(HEADER) + read(TEST_HEADER)
    numbers = {name: int(number, 0) for name, number in NUMBER.findall(text)}
    numbers.update((name, int(number, 0)) for name, number in
                   re.findall(r"#define (IOMMUFD_CMD_\w+) (\w+)", text))
    words = sorted(WORD.findall(text), key=lambda word: numbers.get(word[1], 0))
    return [word for word, _ in words]


def operations():
    return OPERATION.findall(read(TEST_HEADER))


class Documentation:
    """What the functions of the sources say that they return."""

    def __init__(self):
        self.returns, self.calls = {}, {}
        for path in sorted(pathlib.Path(".").glob("*.c")):
            text = path.read_text()
            for comment, after in COMMENT.findall(text):
                self.add(comment, after)
            for _, calls in FILE_CALLS.findall(text):
                self.calls.update(re.findall(r"\.(\w+) = (\w+)", calls))

    def add(self, comment, after):
        function = re.search(r"(\w+)\(", after)
        text = RETURN.search(comment)
        if function and text:
            self.returns[function[1]] = re.sub(r"\s+\*?\s*", " ", text[1])

    def errnos(self, function, seen=None):
        """What a function says itself, and what those do that it refers to."""
        seen = set() if seen is None else seen
        text = self.returns.get(function, "")
        if function in seen:
            return set()
        seen.add(function)
        found = errnos_in(text, "-")
        for other in re.findall(r"\b(\w+)\(\)", text):
            found |= self.errnos(other, seen)
        return found


def required():
    """Each ioctl and its set of errnos, as the sources have it."""
    documentation = Documentation()
    structures = {name: errnos_in(text) for name, text in
                  STRUCT.findall(read(HEADER))}
    needed = {}
    for name, structure, details, handler in ENTRY.findall(read(DISPATCHER)):
        if structure not in structures:
            continue
        cells = OF_ALL | documentation.errnos(handler) | structures[structure]
        if "FLAGS(" in details or "RESERVED(" in details:
            cells |= OF_CHECKED_FIELDS
        needed["IOMMU_" + name] = cells
    if "ENOTTY" in read(HEADER):
        needed[NO_IOCTL] = {"ENOTTY"}
    for row, (call, structure) in FAULT_QUEUE.items():
        if call in documentation.calls:
            needed[row] = documentation.errnos(documentation.calls[call]) | \
                structures.get(structure, set())
    return needed


def reasons():
    """Why a cell has no test: each line's number, ioctl or "*", errno, reason."""
    for number, line in enumerate(read(REASONS).splitlines(), 1):
        words = line.partition("#")[0].split(None, 2)
        if words:
            yield number, *(words + ["", ""])[:3]
