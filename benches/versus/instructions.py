"""Instructions for each frame, by library: the difference of two callgrind profiles, `instructions.py FEW MANY FRAMES`.

Prints `instructions:LIBRARY NUMBER` lines, `own NUMBER` for the element's library, and `all NUMBER`.
"""

import collections
import re
import sys

OWN = ("libgstlibcamerars.so", "libgstlibcamera.so")


def by_library(path):
    """Each library's own instructions. What a call costs inside the callee is said on the line after it, and counted there."""
    costs, names, library, callee = collections.Counter(), {}, "?", False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := re.match(r"(ob|cob)=\((\d+)\)(?: (.*))?", line):
                which, number, name = match.groups()
                if name:
                    names[number] = name.rstrip().rsplit("/", 1)[-1]
                if which == "ob":
                    library = names[number]
            elif line.startswith("calls="):
                callee = True
            elif re.match(r"[+\-*\d]", line):
                if not callee:
                    costs[library] += int(line.split()[1])
                callee = False
    return costs


few, many = by_library(sys.argv[1]), by_library(sys.argv[2])
frames = int(sys.argv[3])
per_frame = {name: (many[name] - few[name]) / frames for name in many}
for name, cost in sorted(per_frame.items(), key=lambda item: -item[1]):
    if cost >= 1:
        print(f"instructions:{name.replace(' ', '_')} {cost:.0f}")
print(f"own {sum(per_frame.get(name, 0) for name in OWN):.0f}")
print(f"all {sum(per_frame.values()):.0f}")
