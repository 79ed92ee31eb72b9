#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""kselftest-report.py PREFIX LIST LOG: read what the guest of the self-tests has
logged, TAP of several programs, and print "ok PREFIX/PROGRAM/TEST",
"not ok PREFIX/PROGRAM/TEST: why" or "skip PREFIX/PROGRAM/TEST: why".

LIST names the programs that had to run, one a line. A program that did not run,
did not end or did not give the results that it announced is a failed test, and
so is one whose exit status says otherwise than its results. Exits with 1 when
something failed."""

import re
import sys

PROGRAM = re.compile(r"^# program (\S+)$")
EXIT = re.compile(r"^# exit (\d+)$")
PLAN = re.compile(r"^1\.\.(\d+)")
RUN = re.compile(r"^#  RUN +(\S+)")
RESULT = re.compile(r"^(not )?ok \d+ (?:- )?(\S+)(?:\s+# (\w+)\b\s*(.*))?$")
NOISE = re.compile(r"^# (?: |Totals|Starting|PASSED|FAILED)")
EXIT_SKIP = 4


class Program:
    def __init__(self, report, name):
        self.report = report
        self.name = name
        self.planned = None
        self.results = 0
        self.failed = 0
        self.running = None
        self.remarks = []

    def say(self, verdict, test, why=""):
        self.failed += verdict == "not ok"
        self.report.say(verdict, f"{self.name}/{test}", why)

    def result(self, match):
        bad, test, directive, text = match.groups()
        self.results += 1
        self.running = None
        if bad:
            self.say("not ok", test, "; ".join(self.remarks[:3]) or "no reason given")
        elif directive == "SKIP":
            self.say("skip", test, text or "no reason given")
        else:
            self.say("ok", test)
        self.remarks = []

    def line(self, text):
        if match := RESULT.match(text):
            self.result(match)
        elif match := PLAN.match(text):
            self.planned = int(match[1])
        elif match := RUN.match(text):
            self.running = match[1]
            self.remarks = []
        elif text and not NOISE.match(text) and self.running:
            self.remarks.append(text.removeprefix("# "))

    def end(self, status):
        """status: what the program exited with, None if it did not exit."""
        if self.running:
            self.say("not ok", self.running, "the test began and did not end")
        elif status is None:
            self.say("not ok", "end", "the program did not end")
        elif status == EXIT_SKIP and not self.results:
            self.say("skip", "all", "the program skipped itself")
        elif self.results != self.planned or not self.results:
            self.say("not ok", "plan",
                     f"{self.results} results of {self.planned or 'no'} announced")
        elif status and not self.failed:
            self.say("not ok", "exit", f"exit status {status} without a failed test")


class Report:
    def __init__(self, prefix):
        self.prefix = prefix
        self.program = None
        self.ran = []
        self.failed = 0

    def say(self, verdict, name, why=""):
        print(f"{verdict} {self.prefix}/{name}" + (f": {why}" if why else ""))
        self.failed += verdict == "not ok"

    def end_program(self, status):
        if self.program:
            self.program.end(status)
        self.program = None

    def line(self, text):
        if match := PROGRAM.match(text):
            self.end_program(None)
            self.program = Program(self, match[1])
            self.ran.append(match[1])
        elif match := EXIT.match(text):
            self.end_program(int(match[1]))
        elif self.program:
            self.program.line(text)

    def finish(self, wanted):
        self.end_program(None)
        for name in wanted:
            if name not in self.ran:
                self.say("not ok", f"{name}/start", "the program did not run")
        return 1 if self.failed or not self.ran else 0


def main():
    prefix, list_name, log_name = sys.argv[1:]
    with open(list_name, encoding="utf-8") as lines:
        wanted = [line.split()[0] for line in lines if line.strip()]
    report = Report(prefix)
    with open(log_name, encoding="utf-8", errors="replace") as log:
        for line in log:
            report.line(line.rstrip("\r\n"))
    return report.finish(wanted)


if __name__ == "__main__":
    sys.exit(main())
