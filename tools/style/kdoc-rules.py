#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""kdoc-rules.py FILE...: check what kernel-doc itself leaves open, and print
"FILE:LINE: why" for what is against the rules:

 - A function defined in a .c and not static has kernel-doc right above it, and
   its name has kernel-doc nowhere else in the files given. A prototype in a
   header is not documented a second time. What only the KUnit tests see, because
   it is static otherwise (VISIBLE_IF_KUNIT), may do without.
 - Inline functions in headers are static: those too simple for words may do
   without. So may the ioctls of the tests (selftest*.c).
 - Wherever a function has kernel-doc, that says the "Context:", and "Return:" if
   there is a result to speak of. Macros have neither types nor, hence, this rule.
"""

import collections
import pathlib
import re
import sys

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
LITERAL_OR_COMMENT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M)
TITLE = re.compile(r"/\*\*\n \* ([A-Za-z_]\w*)(?:\(\))?(?: -|:|\n)")
FUNCTION = re.compile(r"(?:^|[\s*])([A-Za-z_]\w*)\s*\(")
NO_DOC_NEEDED = re.compile(r"\bstatic\b|\bVISIBLE_IF_KUNIT\b")

Function = collections.namedtuple("Function", "name header offset")
Doc = collections.namedtuple("Doc", "name text offset subject")


def blanked(match):
    return re.sub(r"[^\n]", " ", match[0])


def bare(text):
    """The text with comments, literals and directives blanked out."""
    return DIRECTIVE.sub(blanked, LITERAL_OR_COMMENT.sub(blanked, text))


def top_level_statements(code):
    """(offset, text, end) of what stands outside of braces; end is ; or {."""
    depth = start = 0
    for match in re.finditer(r"[{};]", code):
        if match[0] == "}":
            depth -= 1
        if depth == 0 and match[0] != "}":
            yield start, code[start:match.start()], match[0]
        if match[0] == "{":
            depth += 1
        if depth == 0:
            start = match.end()


def last_paragraph(offset, text):
    """A function's header. Macros without a semicolon may stand before it."""
    start = 0
    for gap in re.finditer(r"\n[ \t]*\n", text.rstrip()):
        start = gap.end()
    start += len(text[start:]) - len(text[start:].lstrip())
    return offset + start, text[start:].strip()


def functions(code):
    """The functions defined in this code."""
    for offset, text, end in top_level_statements(code):
        offset, header = last_paragraph(offset, text)
        match = FUNCTION.search(header)
        if end == "{" and match and header.endswith(")") and "=" not in header:
            yield Function(match[1], header, offset)


def docs(text):
    """The kernel-doc of functions, with what it stands above."""
    for comment in COMMENT.finditer(text):
        title = TITLE.match(comment[0])
        if not title:
            continue
        subject = re.match(r"\n([^;{]*)", text[comment.end():])
        yield Doc(title[1], comment[0], comment.end() + 1,
                  subject[1] if subject else "")


def is_function(doc):
    match = FUNCTION.search(doc.subject)
    return bool(match) and match[1] == doc.name and "#" not in doc.subject


def returns_nothing(doc):
    return re.search(rf"\bvoid\s+{doc.name}\s*\(", doc.subject)


class File:
    def __init__(self, path):
        self.path = path
        self.text = path.read_text()
        self.docs = list(docs(self.text))

    def fault(self, offset, why):
        line = self.text.count("\n", 0, offset) + 1
        print(f"{self.path}:{line}: {why}")

    def check_sections(self):
        for doc in filter(is_function, self.docs):
            if not re.search(r"^ \* Context: *\S", doc.text, re.M):
                self.fault(doc.offset, f"{doc.name}() has no Context:")
            has_return = re.search(r"^ \* Return: *\S", doc.text, re.M)
            if not has_return and not returns_nothing(doc):
                self.fault(doc.offset, f"{doc.name}() has no Return:")

    def check_documented(self, count):
        if self.path.suffix != ".c" or self.path.name.startswith("selftest"):
            return
        above = {doc.offset for doc in self.docs}
        for function in functions(bare(self.text)):
            if NO_DOC_NEEDED.search(function.header):
                continue
            if function.offset not in above and not count[function.name]:
                self.fault(function.offset, f"{function.name}() has no kernel-doc")
            elif function.offset not in above:
                self.fault(function.offset,
                           f"{function.name}() has its kernel-doc elsewhere")
            elif count[function.name] > 1:
                self.fault(function.offset,
                           f"{function.name}() has kernel-doc twice")


def main(names):
    files = [File(pathlib.Path(name)) for name in names]
    count = collections.Counter(doc.name for file in files for doc in file.docs)
    for file in files:
        file.check_sections()
        file.check_documented(count)


if __name__ == "__main__":
    main(sys.argv[1:])
