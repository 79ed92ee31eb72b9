#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""kunit-report.py LOG: read a kernel log with KUnit's results (KTAP) and print
"ok SUITE.CASE", "not ok SUITE.CASE: why" or "skip SUITE.CASE: why" per test
case. Exits with 1 when a case failed or when the log shows that the run cannot
be trusted: a result announced by a plan is missing, nothing ran, or the kernel
complained, inside a test or outside."""

import re
import sys

PLAN = re.compile(r"^1\.\.(\d+)$")
RESULT = re.compile(r"^(not )?ok \d+ (?:- )?(.*?)(?:\s+# SKIP\b\s*(.*))?$")
SUBTEST = re.compile(r"^# Subtest: (.+)$")
REASON = re.compile(r"^# \S+: (.*(?:FAILED|misaligned|failed|timed out).*)$")
TROUBLE = re.compile(
    r"BUG:|WARNING:|KASAN:|Kernel panic|Oops|INFO: task .* blocked"
    r"|INFO: rcu|possible recursive locking|possible circular locking"
    r"|suspicious RCU usage|inconsistent lock state|sleeping function called"
    r"|Segfault with|unreferenced object|UBSAN:")
CLOSING = re.compile("reboot: (System halted|Power down)")


class Level:
    """One nesting depth of the KTAP document: a list of results."""

    def __init__(self):
        self.name = None
        self.planned = None
        self.seen = 0

    def missing(self):
        return (self.planned or 0) - self.seen


class Report:
    def __init__(self):
        self.levels = []
        self.reasons = []
        self.troubles = []
        self.closed = False
        self.failed = 0
        self.cases = 0

    def say(self, verdict, name, why=""):
        print(f"{verdict} {name}" + (f": {why}" if why else ""))
        self.failed += verdict == "not ok"

    def level(self, depth):
        while len(self.levels) <= depth:
            self.levels.append(Level())
        return self.levels[depth]

    def close_below(self, depth):
        """The result of a test at depth ends what is nested in it."""
        for level in self.levels[depth + 1:]:
            if level.missing() > 0:
                name = level.name or "unnamed"
                self.say("not ok", f"{name}.plan",
                         f"{level.missing()} of {level.planned} results missing")
        del self.levels[depth + 1:]

    def result(self, depth, match):
        self.close_below(depth)
        level = self.level(depth)
        level.seen += 1
        if depth == 1:
            self.case(f"{level.name}.{match[2]}", match)

    def case(self, name, match):
        self.cases += 1
        if match[1]:
            self.say("not ok", name, "; ".join(self.reasons[:3]) or "see the log")
        elif match[3] is not None:
            self.say("skip", name, match[3] or "no reason given")
        else:
            self.say("ok", name)
        self.reasons = []

    def line(self, raw):
        text = raw.strip()
        depth = (len(raw) - len(raw.lstrip(" "))) // 4
        if CLOSING.search(text):
            self.closed = True
        elif text.startswith("kunit: time limit"):
            self.say("not ok", "kunit.time", text)
        elif TROUBLE.search(text):
            self.troubles.append(text)
        elif match := PLAN.match(text):
            self.level(depth).planned = int(match[1])
        elif match := SUBTEST.match(text):
            self.level(depth).name = match[1]
        elif match := RESULT.match(text):
            self.result(depth, match)
        elif match := REASON.match(text):
            self.reasons.append(match[1])

    def finish(self):
        self.close_below(-1)
        for text in self.troubles[:5]:
            self.say("not ok", "kunit.log", text)
        if not self.closed:
            self.say("not ok", "kunit.end", "the kernel did not come to its end")
        if not self.cases:
            self.say("not ok", "kunit.any", "no test case ran")
        return 1 if self.failed else 0


def main():
    report = Report()
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        for raw in log:
            report.line(raw.rstrip("\r\n"))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
