#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""layers.py: print, as "FILE:LINE: why" or "FILE: why", where the files at the
root of the current directory leave their layers.

The layer of a .c is that of the last "# Ln:" comment above its object in Kbuild;
"# T:" are the tests, which may use everything. A header belongs to the layer of
the .c of its name, or stands in HEADERS below. The rules:

 - A file includes headers of its own layer and of lower ones.
 - Nothing below L3 includes a uAPI header.
 - L2's own header is for L2 alone: L3 and L4 see io_pagetable.h.
 - domain_io.c alone calls what changes, flushes or reads a page table.
"""

import pathlib
import re

TESTS = 9

# Headers without a .c of their name.
HEADERS = {
    "busy.h": 0,
    "debug.h": 0,
    "turn.h": 0,
    "iopt_area.h": 2,
    "iommufd_private.h": 3,
    "test_hooks.h": 0,
    "entry.h": 4,
    "iommufd_test.h": 4,  # the tests' ioctl, for the table in main.c
    "include/linux/iova_bitmap.h": 0,
    "include/linux/iommufd.h": 3,
    "include/uapi/linux/iommufd.h": 3,
}
ONE_LAYER_ONLY = {"iopt_area.h"}
FIRST_UAPI_LAYER = 3
UAPI = re.compile(r"^(uapi/.*|linux/vfio\.h)$")

MODULE = "iommufd"

PAGE_TABLE_FILE = "domain_io.c"
PAGE_TABLE_CALL = re.compile(
    r"->\s*(map_pages|unmap_pages|iotlb_sync\w*|flush_iotlb_all|iova_to_phys)\b"
    r"|\biommu_(map|unmap|unmap_fast|map_sg|iotlb_sync|flush_iotlb_all"
    r"|iotlb_gather_\w+|iova_to_phys)\s*\("
)

LAYER = re.compile(r"^# (?:L(\d)|T)\b")
OBJECTS = re.compile(r"^\S+\s*[:+]?=\s*(.*\.o\b.*)$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def layers_in_kbuild(kbuild):
    """The layer of each object's .c."""
    layer = None
    layers = {}
    for line in kbuild.read_text().splitlines():
        if match := LAYER.match(line):
            layer = int(match[1]) if match[1] else TESTS
        elif match := OBJECTS.match(line):
            for name in re.findall(r"(?<![\w%/])(\w+)\.o\b", match[1]):
                if name != MODULE:
                    layers.setdefault(name + ".c", layer)
    return layers


def code_of(text):
    """The text less its comments and strings, line for line."""
    return COMMENT_OR_STRING.sub(lambda m: "\n" * m[0].count("\n"), text)


def shown(layer):
    return "T" if layer == TESTS else f"L{layer}"


class Checker:
    def __init__(self, root):
        self.root = root
        self.in_kbuild = layers_in_kbuild(root / "Kbuild")

    def layer_of(self, name):
        if name in HEADERS:
            return HEADERS[name]
        return self.in_kbuild.get(re.sub(r"\.h$", ".c", name))

    def included(self, quote, name):
        """Which of our files an #include means, if it is one of ours."""
        places = (["", "include/"] if quote == '"' else ["include/"])
        for place in places:
            if (self.root / place / name).exists():
                return place + name
        # To C, include/uapi is the root of all other includes.
        if quote == "<" and (self.root / "include/uapi" / name).exists():
            return "include/uapi/" + name
        return None

    def include_fault(self, layer, quote, name):
        """Why a file of this layer must not include this, or None."""
        if UAPI.match(name) and layer < FIRST_UAPI_LAYER:
            return f"{shown(layer)} includes the uAPI header {name}"
        ours = self.included(quote, name)
        if ours is None:
            return None
        theirs = self.layer_of(ours)
        if theirs is None:
            return f"includes {ours}, which is in no layer"
        if theirs > layer:
            return f"{shown(layer)} includes {ours} of {shown(theirs)}"
        if ours in ONE_LAYER_ONLY and layer not in (theirs, TESTS):
            return f"{shown(layer)} includes {ours}, internal to {shown(theirs)}"
        return None

    def check_includes(self, file, layer, text):
        for match in INCLUDE.finditer(text):
            if fault := self.include_fault(layer, match[1], match[2]):
                line = text.count("\n", 0, match.start()) + 1
                print(f"{file}:{line}: {fault}")

    def check_calls(self, file, text):
        for number, line in enumerate(code_of(text).splitlines(), 1):
            for call in PAGE_TABLE_CALL.finditer(line):
                print(f"{file}:{number}: {call[0].strip(' (')} is for "
                      f"{PAGE_TABLE_FILE} to call")

    def check_file(self, file):
        layer = self.layer_of(file)
        if layer is None:
            print(f"{file}: is in no layer, neither by Kbuild nor by layers.py")
            return
        text = (self.root / file).read_text()
        self.check_includes(file, layer, text)
        if layer != TESTS and file != PAGE_TABLE_FILE:
            self.check_calls(file, text)

    def check_lists(self):
        """A name without a file would make the lists lie."""
        for list_, names in (("layers.py", HEADERS), ("Kbuild", self.in_kbuild)):
            for name in names:
                if not (self.root / name).exists():
                    print(f"{name}: is listed in {list_} and does not exist")

    def check(self):
        files = [*self.root.glob("*.[ch]"), *self.root.glob("include/**/*.h")]
        for file in sorted(str(path.relative_to(self.root)) for path in files):
            self.check_file(file)
        self.check_lists()


if __name__ == "__main__":
    Checker(pathlib.Path(".")).check()
