#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Counts what ctest ran: every *.xml (ctest --output-junit) in a directory, a file `cut` naming parts that did not end.

Prints failures and reasons of skips, then `N passed, N failed, N skipped`. A program is one test; a live test file counts
its methods. Status 1 when one failed or nothing ran.
"""
import collections
import glob
import os
import re
import sys
import xml.etree.ElementTree as ET


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], collections.Counter()

    def methods(self, name, output, succeeded):
        """A file of unittest methods, as `unittest -v` reports them."""
        ran = sum(map(int, re.findall(r"^Ran (\d+) tests? in", output, re.M)))
        skips = re.findall(r"^(test\w+|setUpClass) .*\.\.\. skipped ['\"](.*)['\"]$", output, re.M)
        bad = set(re.findall(r"^(?:FAIL|ERROR): (\w+) \(([^)\s]*)", output, re.M))
        self.skipped.update(why for _, why in skips)
        # A class that cannot be set up is an error, or a skip, of which no method ran.
        unran = sum(method in ("setUpClass", "tearDownClass") for method, _ in bad)
        self.passed += max(0, ran - len(bad) + unran - sum(method != "setUpClass" for method, _ in skips))
        self.failed += [f"{name}: {method} ({where})" for method, where in sorted(bad)]
        if not bad and not succeeded:
            self.failed.append(f"{name}: did not end well, see above")

    def case(self, case):
        name, status = case.get("name"), case.get("status")
        output = case.findtext("system-out") or ""
        if name.startswith("live.") and re.search(r"^Ran \d+ test", output, re.M):
            self.methods(name, output, status != "fail")
        elif status == "run":
            self.passed += 1
        elif case.find("skipped") is not None and "SKIP_RETURN_CODE" in case.find("skipped").get("message", ""):
            self.skipped[f"{name}: {(output.strip().splitlines() or ['no reason given'])[-1]}"] += 1
        else:
            self.failed.append(f"{name}: {status}, see above")


def main(directory):
    count = Count()
    for path in sorted(glob.glob(os.path.join(directory, "*.xml"))):
        for case in ET.parse(path).getroot().iter("testcase"):
            count.case(case)
    cut = os.path.join(directory, "cut")
    if os.path.exists(cut):
        with open(cut, encoding="utf-8") as f:
            count.failed += [f"{line.strip()}: did not come to its end" for line in f]
    print()
    for why, n in count.skipped.items():
        print(f"skipped ({n}): {why}")
    for line in count.failed:
        print(f"FAILED: {line}")
    print(f"{count.passed} passed, {len(count.failed)} failed, {count.skipped.total()} skipped")
    sys.exit(1 if count.failed or not count.passed else 0)


if __name__ == "__main__":
    main(sys.argv[1])
