# SPDX-License-Identifier: GPL-2.0-only
"""Which errnos of which ioctls a test expects, as far as its source shows it.

An expression is reduced to where its value can come from: "-EINVAL" is that errno,
"IOMMU_IOAS_MAP" the outcome of that ioctl, "?" anything else. What is no errno, such
as 0, comes from nowhere. An expectation proves something if one side can be errnos
and the other only the outcome of a single ioctl.
"""

import itertools
import re

from errno_table.abi import NO_IOCTL
from errno_table.ctext import call_at, closing, is_name, outside, split, until

UNKNOWN, ERRNO = "?", "errno"
TEST_COMMAND = "IOMMU_TEST_CMD"
TEST_OPERATION = "IOMMU_TEST_OP_"
# System calls, and what they stand for if something says that they are about faults:
# the file is called so, or what is handed over is in sight.
FAULT_CALLS = {"read": "fault read", "readv": "fault read", "pread": "fault read",
               "write": "fault write", "writev": "fault write",
               "pwrite": "fault write", "lseek": "fault lseek"}
FAULT_RECORDS = {"iommu_hwpt_pgfault", "iommu_hwpt_page_response"}
CHECKS = ("EXPECT_EQ", "ASSERT_EQ")
COMPARISONS = {"==", "!=", "<", ">", "<=", ">=", "&&", "||"}
ARITHMETIC = {"+", "-", "*", "/", "%", "|", "&", "^", "<<", ">>", "~", "++", "--"}
LITERAL = re.compile(r"E[A-Z0-9]+")
CONSTANT = re.compile(r"[A-Z_][A-Z0-9_]*|[0-9\"'].*|true|false")
MOST_CALLS = 10
MOST_ROWS = 4096


def bare(tokens):
    """Without brackets around all of it, and without a cast."""
    while tokens[:1] == ["("]:
        end = closing(tokens, 0)
        inside = tokens[1:end]
        if end == len(tokens) - 1:
            tokens = inside
        elif all(is_name(token) or token == "*" for token in inside) and \
                (is_name(tokens[end + 1]) or tokens[end + 1] in "(-"):
            tokens = tokens[end + 1:]
        else:
            break
    return tokens


def find(tokens, wanted):
    """The first index in no bracket of one of these, or None."""
    return next((i for i in outside(tokens) if tokens[i] in wanted), None)


def alternatives(tokens):
    """The condition, and the values that "?:" chooses from; or None."""
    i = find(tokens, "?")
    if i is None:
        return None
    if tokens[i + 1] == ":":
        return tokens[:i], [tokens[:i], tokens[i + 2:]]
    depth = 0
    for j in outside(tokens, i):
        depth += (tokens[j] == "?") - (tokens[j] == ":")
        if not depth:
            return tokens[:i], [tokens[i + 1:j], tokens[j + 1:]]
    raise ValueError("'?' without ':'")


def tested(tokens):
    """What a condition is about."""
    tokens = bare(tokens)
    i = find(tokens, COMPARISONS)
    return bare(tokens[:i] if tokens[0] != "!" else tokens[1:])


def variable_in(tokens):
    """The variable of "x", "&x", "*x", "x[i]", "x + i"; or None."""
    tokens = [token for token in bare(tokens) if token not in "&*"]
    if not tokens or not is_name(tokens[0]):
        return None
    return tokens[0] if tokens[1:2] in ([], ["["], ["+"]) else None


# -- assignments


def blocks_around(body, position):
    """Where the blocks begin in which a place is."""
    blocks = []
    for i in range(position):
        if body[i] == "{":
            blocks.append(i)
        elif body[i] == "}":
            blocks.pop()
    return blocks


def assignments(body, name):
    """Where something is assigned, and what: None if that cannot be seen."""
    for i in range(1, len(body) - 1):
        if body[i] != name or body[i - 1] in (".", "->"):
            continue
        if body[i + 1] == "=":
            yield i, until(body, i + 2, (";", ","))
        elif body[i + 1] in ("|=", "&=", "+=", "-=", "++", "--") or \
                (body[i - 1] == "&" and body[i - 2] in ("(", ",")):
            yield i, None


def is_certain(body, i, position):
    """Is an assignment made on every way to the position?"""
    around = blocks_around(body, i)
    return body[i - 1] not in (")", "else") and \
        around == blocks_around(body, position)[:len(around)]


def assigned(body, name, position):
    """What a variable can be at the position; if that is None, ever."""
    values = []
    for i, value in assignments(body, name):
        if position is None:
            values.append(value)
        elif i < position:
            if is_certain(body, i, position):
                values = []
            values.append(value)
    return values


# -- expressions


class Frame:
    """A function that is called: by whom, with what, and how far the test is in it
    (None: at its end)."""

    def __init__(self, function, caller=None, arguments=()):
        self.function = function
        self.caller = caller
        self.values = dict(zip(function.params, arguments))
        self.position = None
        self.depth = caller.depth + 1 if caller else 0


class Reader:
    """Reads the tests of a source. @words are the ioctls that there are."""

    def __init__(self, source, words):
        self.source = source
        self.words = words
        # The arrays that an expression has met, and the row that is chosen of each.
        self.met, self.rows = {}, {}
        self.busy = set()

    def value(self, tokens, frame):
        """The set of what an expression's value can come from."""
        tokens = bare(tokens)
        if not tokens:
            return {UNKNOWN}
        choice = alternatives(tokens)
        if choice:
            values = set().union(*(self.value(part, frame) for part in choice[1]))
            return self.without_errno(values, choice[0], frame)
        i = find(tokens, "=")
        if i is not None:
            return self.value(tokens[i + 1:], frame)
        if tokens[0] == "!" or find(tokens, COMPARISONS) is not None:
            return set()
        if tokens[0] == "-" and len(tokens) == 2:
            return self.negative(tokens[1])
        if find(tokens, ARITHMETIC) is not None:
            return {UNKNOWN}
        return self.operand(tokens, frame)

    def without_errno(self, values, condition, frame):
        """Errno is that of the call that the condition looks at."""
        if ERRNO not in values:
            return values
        return values - {ERRNO} | self.value(tested(condition), frame)

    @staticmethod
    def negative(token):
        if token == "errno":
            return {ERRNO}
        if LITERAL.fullmatch(token):
            return {"-" + token}
        return set() if CONSTANT.fullmatch(token) else {UNKNOWN}

    def operand(self, tokens, frame):
        if len(tokens) == 1:
            return self.simple(tokens[0], frame)
        arguments = call_at(tokens, 0)
        if arguments is not None and closing(tokens, 1) == len(tokens) - 1:
            return self.call(tokens[0], arguments, frame)
        values = [self.value(value, owner)
                  for value, owner in self.member(tokens, frame)]
        return set().union(*values) if values else {UNKNOWN}

    def simple(self, token, frame):
        if token in frame.values:
            return self.value(frame.values[token], frame.caller)
        if CONSTANT.fullmatch(token):
            return set()
        key = id(frame), token
        values = assigned(frame.function.body, token, frame.position)
        if key in self.busy or not values:
            return set() if values else {UNKNOWN}
        self.busy.add(key)
        result = set().union(*({UNKNOWN} if value is None else
                               self.value(value, frame) for value in values))
        self.busy.remove(key)
        return result

    # -- arrays

    def array(self, name, frame):
        """The rows that a name stands for, and the frame they are written in."""
        if name in frame.values:
            name = variable_in(frame.values[name])
            return self.array(name, frame.caller) if name else None
        function = frame.function
        if name == "variant" and function.test:
            return self.source.variants.get(function.head[0][0]), frame
        for arrays in (function.arrays, self.source.arrays):
            if name in arrays:
                return arrays[name], frame
        for _, value in assignments(function.body, name):
            other = variable_in(value or [])
            if other and other != name:
                return self.array(other, frame)
        return None

    def member(self, tokens, frame):
        """What "cases[i].want", "case->want" or "cases[i]" can stand for."""
        if not is_name(tokens[0]):
            return
        rest = [tokens[i] for i in outside(tokens, 1) if tokens[i] != "["]
        if len(rest) not in (0, 2) or rest[:1] not in ([], ["."], ["->"]):
            return
        rows, owner = self.array(tokens[0], frame) or (None, None)
        if not rows:
            return
        for row in self.chosen(rows, tokens[2] if tokens[1] == "[" else ""):
            # a member that no initializer mentions is 0
            yield row.get(rest[1] if rest else "", ["0"]), owner

    def chosen(self, rows, index):
        """The row that a number says, or the one that it is the turn of."""
        if index.isdigit():
            return rows[int(index):int(index) + 1]
        self.met[id(rows)] = rows
        return [self.rows[id(rows)]] if id(rows) in self.rows else rows

    # -- calls

    def call(self, name, arguments, frame):
        if name == "ioctl":
            return {self.word(arguments[1], arguments[2], frame)}
        if name in FAULT_CALLS and (self.mentions_fault(arguments[0], frame) or
                                    FAULT_RECORDS & set(frame.function.text)):
            return {FAULT_CALLS[name]}
        function = self.source.functions.get(name)
        if not function or frame.depth >= MOST_CALLS:
            return {UNKNOWN}
        return self.returned(Frame(function, frame, arguments))

    def returned(self, frame):
        body, values = frame.function.body, set()
        for i, token in enumerate(body):
            if token != "return" or body[i + 1] == ";":
                continue
            value = self.value(until(body, i + 1, (";",)), frame)
            if ERRNO in value and body[i - 1] == ")":
                start = max(j for j in range(i) if body[j] == "(" and
                            closing(body, j) == i - 1)
                value = self.without_errno(value, body[start + 1:i - 1], frame)
            values |= value
        return {UNKNOWN if value == ERRNO else value for value in values}

    def mentions_fault(self, tokens, frame):
        if not frame:
            return False
        return any("fault" in token or (token in frame.values and
                   self.mentions_fault(frame.values[token], frame.caller))
                   for token in tokens)

    def word(self, tokens, structure, frame):
        """The ioctl that a command word is that of."""
        tokens = bare(tokens)
        if any(token in ("_IO", "_IOR", "_IOW", "_IOWR") for token in tokens):
            return NO_IOCTL
        if len(tokens) == 1 and tokens[0] in frame.values:
            return self.word(frame.values[tokens[0]], structure_of(structure, frame),
                             frame.caller)
        if tokens == [TEST_COMMAND]:
            return self.operation(structure, frame) or TEST_COMMAND
        if len(tokens) == 1 and tokens[0] in self.words:
            return tokens[0]
        words = {self.word(value, structure, owner)
                 for value, owner in self.member(tokens, frame)}
        return words.pop() if len(words) == 1 else UNKNOWN

    def operation(self, structure, frame):
        """The operation that a test command asks for, or None."""
        while frame:
            name = variable_in(structure)
            words = {self.name_of(value, frame)
                     for value in operations_in(frame.function.body, name)}
            if words:
                return words.pop() if len(words) == 1 else None
            structure, frame = frame.values.get(name, []), frame.caller
        return None

    def name_of(self, tokens, frame):
        while len(tokens) == 1 and tokens[0] in frame.values:
            tokens, frame = frame.values[tokens[0]], frame.caller
        is_known = len(tokens) == 1 and tokens[0].startswith(TEST_OPERATION)
        return tokens[0] if is_known else None

    # -- expectations

    def cells(self, frame):
        """Each ioctl and errno that a function, or one it calls, expects."""
        body, last = frame.function.body, (None, [])
        for i, token in enumerate(body):
            arguments = call_at(body, i)
            if arguments is None:
                continue
            frame.position = i
            if token in CHECKS and len(arguments) == 2:
                yield from self.compare(*arguments, frame)
                if ["errno"] in arguments and last[0] == i - 2:
                    yield from self.compare(*self.with_errno(arguments, last[1]),
                                            frame)
                last = closing(body, i + 1), arguments
            elif token in self.source.functions and frame.depth < MOST_CALLS:
                yield from self.cells(Frame(self.source.functions[token], frame,
                                            arguments))

    @staticmethod
    def with_errno(arguments, before):
        """What EXPECT_EQ(-1, call) and EXPECT_EQ(EINVAL, errno) say together."""
        failed = [side for side in before if side != ["-", "1"]]
        wanted = [side for side in arguments if side != ["errno"]]
        if len(failed) != 1 or len(wanted) != 1:
            return [], []
        return ["-", *wanted[0]], failed[0]

    def compare(self, left, right, frame):
        """The cells of a comparison, for each row of the arrays in it."""
        self.met, self.rows = {}, {}
        self.value(left, frame)
        self.value(right, frame)
        arrays = self.met
        choices = list(itertools.islice(itertools.product(*arrays.values()),
                                        MOST_ROWS))
        for rows in choices:
            self.rows = dict(zip(arrays, rows))
            sides = self.value(left, frame), self.value(right, frame)
            yield from proven(*sides)
            yield from proven(*reversed(sides))
        self.rows = {}


def structure_of(tokens, frame):
    """The same argument, as the caller writes it."""
    return frame.values.get(variable_in(tokens), tokens)


def operations_in(body, name):
    """What is assigned to the op of a command."""
    for i in range(len(body) - 4):
        if body[i] != name:
            continue
        if body[i + 1] in (".", "->") and body[i + 2:i + 4] == ["op", "="]:
            yield until(body, i + 4, (";",))
        elif body[i + 1] == "=":
            value = until(body, i + 2, (";",))
            for j in range(len(value) - 3):
                if value[j:j + 3] == [".", "op", "="]:
                    yield until(value, j + 3, (",",))


def proven(wanted, got):
    errnos = {value[1:] for value in wanted if value.startswith("-")}
    own = {value[1:] for value in got if value.startswith("-")}
    words = {value for value in got if not value.startswith("-")}
    if len(words) == 1 and UNKNOWN not in words:
        for errno in sorted(errnos - own):
            yield next(iter(words)), errno


def cells_of(source, words):
    """Each (ioctl, errno, test), in the order of the source."""
    for test in source.tests:
        seen = set(Reader(source, words).cells(Frame(test)))
        for word, errno in sorted(seen):
            yield word, errno, test.test
