#!/usr/bin/env python3
"""What the micro-kernel's inner loop is made of, where there is no ARM processor to time it on.

    aarch64-linux-gnu-objdump -d --no-show-raw-insn PROGRAM | tests/arm/inner_loops.py

Finds the loops that are a full register tile's step of k, 24 multiply-adds of four lanes and nothing
else that is a loop, and fails unless there are some, none keeps a number in memory, and at least 85 % of
the arithmetic instructions of each, those that count and address included but for one of what is fetched
ahead, are multiply-adds.
"""

import collections
import re
import sys

TILE = 24  # 6 rows by 2 vectors of 2 registers
SHARE = 0.85
LONGEST = 120
LOADS = {"ldr", "ldp", "ldur", "ld1r", "ld1", "prfm"}
STORES = {"str", "stp", "stur", "st1"}
INSTRUCTION = re.compile(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)")
JUMP = re.compile(r"([0-9a-f]+) <")


def main():
    code, places = [], {}
    for line in sys.stdin:
        if found := INSTRUCTION.match(line):
            places[int(found[1], 16)] = len(code)
            code.append((found[2], found[3]))
    loops = []
    for end, (name, operands) in enumerate(code):
        if name.startswith("b.") or name in ("cbz", "cbnz", "tbz", "tbnz"):
            target = JUMP.search(operands)
            start = places.get(int(target[1], 16)) if target else None
            if start is not None and 0 < end - start < LONGEST:
                loops.append((start, end))
    starts = {start: end for start, end in loops}
    kinds = collections.Counter()
    for start, end in loops:
        holds_another = any(
            start <= other and starts[other] <= end and (other, starts[other]) != (start, end)
            for other in range(start, end)
            if other in starts
        )
        names = [name for name, _ in code[start : end + 1]]
        # The bench's chains of multiply-adds read nothing but the stack.
        reads = any("[x" in operands for _, operands in code[start : end + 1])
        if not holds_another and names.count("fmla") == TILE and reads:
            if any("[sp" in operands for _, operands in code[start : end + 1]):
                sys.exit("an inner loop keeps a number on the stack")
            kinds[tuple(sorted(collections.Counter(names).items()))] += 1
    if not kinds:
        sys.exit("no inner loop of a register tile was found")
    for kind, times in kinds.items():
        counts = dict(kind)
        moved = LOADS | STORES | {"b", "b.ne", "b.eq", "b.cc", "b.hi", "b.ls", "cbz", "cbnz"}
        # A fetch has an address of its own.
        fetches = counts.get("prfm", 0)
        arithmetic = sum(count for name, count in kind if name not in moved) - fetches
        share = TILE / arithmetic
        print(
            f"{times} inner loops: {sum(counts.values())} instructions for {4 * TILE} multiply-adds,"
            f" {TILE} of {arithmetic} arithmetic ones are fmla ({share:.1%}): {counts}"
        )
        if stored := STORES & counts.keys():
            sys.exit(f"an inner loop stores: {', '.join(sorted(stored))}")
        if share < SHARE:
            sys.exit(f"less than {SHARE:.0%} of the arithmetic instructions are multiply-adds")


main()
