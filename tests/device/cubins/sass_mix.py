"""What the innermost loop of a kernel issues, by kinds of instructions, from nvdisasm's listing.

Counted is what stands in the loop's body, once each, whether predicated or not: how often a branch inside it is
taken cannot be seen.
"""

import collections
import dataclasses
import re
import subprocess

from . import toolkit

# The first that fits decides.
KINDS = (
    ("tensor core", r"[HID]MMA|HGMMA|IGMMA|UTC\w*MMA|WARPGROUP"),
    ("load", r"LD[SGLC]?\b|LDSM|LDGSTS|LDGDEPBAR|DEPBAR|UBLKCP|UTMALDG|ULDC|LDC"),
    ("store", r"ST[SGL]?\b|ATOM|RED"),
    ("convert", r"HADD2\.F32|F2F|F2FP|F2I|I2F|PRMT|HADD2\.BF16"),
    ("arithmetic", r"FFMA|FADD|FMUL|HFMA2|HADD2|HMUL2|MUFU|FMNMX|FSETP|FSEL|FCHK|DFMA|DADD|DMUL"),
    ("exchange", r"SHFL|VOTE|REDUX|WARPSYNC|BAR|MATCH"),
    (
        "address",
        r"U?IMAD(?!\.MOV)|U?IADD3?|VIADD|U?LEA|U?SHF|U?SHL|U?LOP3|U?ISETP|U?IMNMX|VIMNMX|IABS|U?SEL|U?POPC|U?FLO|PLOP3|S2R|LEPC",
    ),
    ("control", r"BRA|BSSY|BSYNC|BREAK|EXIT|CALL|RET|NOP|YIELD|BMOV"),
)
_MATCHERS = [(kind, re.compile(rf"(?:{pattern})(?:[.\s;]|$)")) for kind, pattern in KINDS]
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);")


def kind_of(opcode):
    return next((kind for kind, matcher in _MATCHERS if matcher.match(opcode)), "move and other")


@dataclasses.dataclass
class Instruction:
    opcode: str
    predicated: bool
    label: str = None  # that it branches to


def parse(listing):
    """Mangled name -> ([Instruction], {label: place of an instruction})."""
    functions = {}
    code, labels = [], {}
    for line in listing.splitlines():
        if line.startswith(".text."):
            code, labels = functions.setdefault(line[len(".text.") :].rstrip(":"), ([], {}))
        elif label := re.match(r"(\.L_\w+):", line):
            labels[label.group(1)] = len(code)
        elif found := _INSTRUCTION.search(line):
            target = re.search(r"`\((\.L_\w+)\)", found.group(4))
            # `@!UPT UIADD3 URZ, ...` and `@!PT LDS RZ, [RZ]` are never done: they fill time.
            never = re.match(r"@!U?PT\b", found.group(2) or "")
            opcode = "NOP" if never else found.group(3)
            code.append(Instruction(opcode, found.group(2) is not None, target and target.group(1)))
    return functions


def successors(code, labels, place):
    now = code[place]
    after = []
    if (
        not now.opcode.startswith(("BRA", "EXIT", "RET"))
        or now.predicated
        or now.opcode == "BRA.DIV"
    ):
        after.append(place + 1)
    # BRA.DIV leaves for a slow copy where lanes of a warp have parted; ours do not part there.
    if now.opcode.startswith("BRA") and now.opcode != "BRA.DIV" and now.label in labels:
        after.append(labels[now.label])
    return [next_place for next_place in after if next_place < len(code)]


def dominators(edges, order):
    """place -> the places that every way to it passes, as bits; `order` is a reverse postorder."""
    everything = (1 << len(edges)) - 1
    before = collections.defaultdict(list)
    for place in order:
        for after in edges[place]:
            before[after].append(place)
    result = dict.fromkeys(order, everything)
    result[order[0]] = 1 << order[0]
    changed = True
    while changed:
        changed = False
        for place in order[1:]:
            common = everything
            for predecessor in before[place]:
                common &= result[predecessor]
            common |= 1 << place
            if common != result[place]:
                result[place] = common
                changed = True
    return result, before


def reverse_postorder(edges):
    seen, finished, stack = {0}, [], [(0, iter(edges[0]))]
    while stack:
        place, rest = stack[-1]
        for after in rest:
            if after not in seen:
                seen.add(after)
                stack.append((after, iter(edges[after])))
                break
        else:
            finished.append(place)
            stack.pop()
    return finished[::-1]


def natural_loops(code, labels):
    """head -> set of places."""
    edges = [successors(code, labels, place) for place in range(len(code))]
    order = reverse_postorder(edges)
    dominates, before = dominators(edges, order)
    loops = collections.defaultdict(set)
    for place in order:
        for head in edges[place]:
            if dominates[place] >> head & 1:
                body, waiting = loops[head], [place]
                body.add(head)
                while waiting:
                    if (now := waiting.pop()) not in body:
                        body.add(now)
                        waiting.extend(before[now])
    return loops


def innermost(loops):
    return [
        body
        for head, body in loops.items()
        if not any(other in body for other in loops if other != head)
    ]


def own_parts(loops):
    """Of each loop what is in no loop inside it."""
    for head, body in loops.items():
        inside = [other for at, other in loops.items() if at != head and at in body]
        yield body.difference(*inside)


def hot_loop(code, labels):
    """Counts by kind in the innermost loop with the most arithmetic; None without a loop.

    Where only an outer loop has tensor-core instructions (sm_90's kernel: it waits, clears and starts copies in loops
    inside), of that loop without those inside.
    """
    loops = natural_loops(code, labels)

    def best(bodies):
        found = [collections.Counter(kind_of(code[place].opcode) for place in body) for body in bodies]
        return max(found, key=lambda mix: (mix["tensor core"], mix["arithmetic"]), default=None)

    inner = best(innermost(loops))
    if inner is None or inner["tensor core"] > 0:
        return inner
    outer = best(own_parts(loops))
    return outer if outer["tensor core"] > 0 else inner


def mixes(cubins):
    """kernel -> counts of its hot loop."""
    nvdisasm = toolkit.find_tool("nvdisasm")
    found = {}
    for cubin in cubins:
        listing = subprocess.run(
            [nvdisasm, "-c", cubin], capture_output=True, text=True, check=True
        ).stdout
        functions = parse(listing)
        names = toolkit.demangle(list(functions))
        for name, (code, labels) in functions.items():
            if mix := hot_loop(code, labels):
                found[toolkit.short_name(names[name])] = mix
    return found
