# SPDX-License-Identifier: GPL-2.0-only
"""As much of C as the self-tests are written in: tokens, macros that take
arguments, functions, and arrays of cases.
"""

import re

TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[A-Za-z_]\w*|\d[\w.]*'
    r"|->|\+\+|--|<<=|>>=|<<|>>|&&|\|\||\.\.\.|##|[<>=!+\-*/|&^%]=|\S")
COMMENT = re.compile(
    r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|/\*.*?\*/|//[^\n]*', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#((?:[^\n]*\\\n)*[^\n]*)$", re.M)
MACRO = re.compile(r"\s*define\s+(\w+)\(([^)]*)\)(.*)", re.S)
NAME = re.compile(r"[A-Za-z_]\w*")
PAIRS = {"(": ")", "[": "]", "{": "}"}


def tokens_of(text):
    return TOKEN.findall(text)


def is_name(token):
    return bool(NAME.fullmatch(token))


def closing(tokens, start):
    """Where the bracket at start is closed."""
    depth = 0
    for i in range(start, len(tokens)):
        depth += (tokens[i] in PAIRS) - (tokens[i] in PAIRS.values())
        if not depth:
            return i
    raise ValueError(f"'{tokens[start]}' is not closed")


def outside(tokens, start=0):
    """Each index that is in no bracket; a bracket is one with its start."""
    i = start
    while i < len(tokens):
        yield i
        i = closing(tokens, i) + 1 if tokens[i] in PAIRS else i + 1


def split(tokens, separator):
    """The parts between the separators that are in no bracket."""
    parts, start = [], 0
    for i in outside(tokens):
        if tokens[i] == separator:
            parts.append(tokens[start:i])
            start = i + 1
    return parts + [tokens[start:]] if tokens[start:] else parts


def until(tokens, start, ends):
    """What stands from start to the first of the ends, or to the end of a block."""
    for i in outside(tokens, start):
        if tokens[i] in ends or tokens[i] in PAIRS.values():
            return tokens[start:i]
    return tokens[start:]


def call_at(tokens, i):
    """The arguments of the call that begins at i, or None."""
    if not is_name(tokens[i]) or tokens[i + 1:i + 2] != ["("]:
        return None
    return split(tokens[i + 2:closing(tokens, i + 1)], ",")


# -- macros


def macros_in(text):
    """The macros with arguments: name to parameters and body."""
    macros = {}
    for directive in DIRECTIVE.findall(text):
        macro = MACRO.match(directive.replace("\\\n", " "))
        if macro:
            params = [param.strip() for param in macro[2].split(",")]
            macros[macro[1]] = (params, tokens_of(macro[3]))
    return macros


def filled_in(macro, arguments):
    params, body = macro
    if params[-1] == "...":
        rest = arguments[len(params) - 1:]
        joined = [token for part in rest for token in [*part, ","]][:-1]
        arguments = [*arguments[:len(params) - 1], joined]
        params = [*params[:-1], "__VA_ARGS__"]
    values = dict(zip(params, arguments))
    text = []
    for token in body:
        text += values.get(token, [token])
    return text


def expand(tokens, macros, busy=frozenset()):
    text, i = [], 0
    while i < len(tokens):
        name = tokens[i]
        arguments = call_at(tokens, i) if name in macros else None
        if arguments is None or name in busy:
            text.append(name)
            i += 1
        else:
            text += expand(filled_in(macros[name], arguments), macros, busy | {name})
            i = closing(tokens, i + 1) + 1
    return text


# -- arrays of cases


def declared(tokens):
    """The names that a declaration, without its types, gives: "u64 a, b[2]"."""
    for part in split(tokens, ","):
        names = [part[i] for i in outside(part) if is_name(part[i])]
        yield names[-1] if names else ""


def fields_of(tokens):
    return [name for line in split(tokens, ";") for name in declared(line)]


def structs_in(tokens):
    return {tokens[i + 1]: fields_of(tokens[i + 3:closing(tokens, i + 2)])
            for i in range(len(tokens) - 2)
            if tokens[i] == "struct" and tokens[i + 2] == "{"}


def row_of(tokens, fields):
    """An initializer: field to value. What is no structure has the field ""."""
    if tokens[:1] != ["{"]:
        return {"": tokens}
    row = {}
    for i, part in enumerate(split(tokens[1:closing(tokens, 0)], ",")):
        if part[0] == "." and part[2:3] == ["="]:
            row[part[1]] = part[3:]
        elif i < len(fields):
            row[fields[i]] = part
    return row


def fields_before(tokens, i, structs):
    """The fields of the type whose last token is at i."""
    if tokens[i] == "}":
        start = max(j for j in range(i) if tokens[j] == "{" and
                    closing(tokens, j) == i)
        return fields_of(tokens[start + 1:i])
    return structs.get(tokens[i], [])


def arrays_in(tokens, structs):
    """The initialized arrays: name to rows."""
    arrays = {}
    for i in range(2, len(tokens) - 1):
        if tokens[i - 1:i + 2] != ["]", "=", "{"]:
            continue
        start = max(j for j in range(i) if tokens[j] == "[" and
                    closing(tokens, j) == i - 1)
        fields = fields_before(tokens, start - 2, structs)
        rows = split(tokens[i + 2:closing(tokens, i + 1)], ",")
        arrays[tokens[start - 1]] = [row_of(row, fields) for row in rows]
    return arrays


# -- functions


class Function:
    """A function, or what looks like one: TEST_F(fixture, name) { ... }"""

    def __init__(self, name, head, body, structs):
        self.name = name
        self.head = split(head, ",")
        self.params = [list(declared(param))[-1] if param else ""
                       for param in self.head]
        self.body = body
        self.text = [*head, *body]
        self.arrays = arrays_in(body, structs)

    @property
    def test(self):
        """What the test is called when it runs, or None."""
        if self.name.startswith("TEST_F"):
            return f"{self.head[0][0]}.{self.head[1][0]}"
        return f"global.{self.head[0][0]}" if self.name.startswith("TEST") else None


def functions_in(tokens, structs):
    indices = list(outside(tokens))
    for i, after in zip(indices, indices[1:]):
        if tokens[i] == "(" and tokens[after] == "{" and is_name(tokens[i - 1]):
            yield Function(tokens[i - 1], tokens[i + 1:after - 1],
                           tokens[after + 1:closing(tokens, after)], structs)


class Source:
    """A file, with what the headers have before it."""

    def __init__(self, path, headers=()):
        self.path = path
        text = COMMENT.sub(lambda found: found[1] or " ", path.read_text())
        self.macros, self.structs, self.functions = {}, {}, {}
        for header in headers:
            self.macros.update(header.macros)
            self.structs.update(header.structs)
            self.functions.update(header.functions)
        self.macros.update(macros_in(text))
        tokens = expand(tokens_of(DIRECTIVE.sub("", text)), self.macros)
        self.structs.update(structs_in(tokens))
        self.tests, self.variants = [], {}
        for function in functions_in(tokens, self.structs):
            self.add(function)
        self.arrays = arrays_in(
            [token for i in outside(tokens) for token in self.flat(tokens, i)],
            self.structs)

    @staticmethod
    def flat(tokens, i):
        """What stands at i in no function."""
        is_body = tokens[i] == "{" and tokens[i - 1] == ")"
        return tokens[i:closing(tokens, i) + 1] if tokens[i] in PAIRS and not is_body \
            else [tokens[i]][:not is_body]

    def add(self, function):
        if function.test:
            self.tests.append(function)
        elif function.name == "FIXTURE_VARIANT_ADD":
            fixture = function.head[0][0]
            row = row_of(["{", *function.body, "}"], [])
            self.variants.setdefault(fixture, []).append(row)
        else:
            self.functions[function.name] = function
