"""Tables of docs/benchmarks.md from recorded rounds."""

import statistics

PEERS = {"stock": "stock fairseq", "ctranslate2": "CTranslate2"}


def machine_line(machine):
    if not machine:
        return ""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"{machine['elbeam']}, fairseq {machine['fairseq']} "
        f"(torch {machine['torch']}), CTranslate2 {machine['ctranslate2']}."
    )


def groups(rounds):
    """Rounds by what they measured, in the order of their first appearance."""
    grouped = {}
    for record in rounds:
        key = (
            record["workload"],
            record["threads"],
            record["dtype"],
            record["beam"],
            record["batch"],
            record["programs"]["elbeam"]["stats"]["isa"],
            tuple(record["flags"]),
        )
        grouped.setdefault(key, []).append(record)
    return grouped


def spread(values, digits=2):
    """median (lowest - highest)"""
    if not values:
        return ""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def ratios(rounds, peer, figure):
    pairs = [(r["programs"].get(peer), r["programs"]["elbeam"]) for r in rounds]
    return [p[figure] / e[figure] for p, e in pairs if p is not None]


def median(rounds, program, figure):
    values = [r["programs"][program][figure] for r in rounds if program in r["programs"]]
    return statistics.median(values) if values else None


def number(value, digits=2):
    return "" if value is None else f"{value:,.{digits}f}"


def agreement(rounds, name):
    values = [r["agreement"][name] for r in rounds if name in r["agreement"]]
    if not values:
        return ""
    worst = min(values, key=lambda v: v["equal"])
    return f"{worst['equal']:,} of {worst['of']:,}"


HEADER = """| workload | threads, dtype, beam, batch, ISA | elbeam s | tokens/s | stock / elbeam | CTranslate2 / elbeam \
| RSS MiB | stock, CTranslate2 RSS / elbeam | same output | rounds | commit |
|---|---|---|---|---|---|---|---|---|---|---|"""


def comparison(rounds, figure="decoding s"):
    """One line for each workload and setting; times are `figure`."""
    lines = [HEADER]
    for key, group in groups(rounds).items():
        workload, threads, dtype, beam, batch, isa, flags = key
        cells = [workload, f"{threads}, {dtype}, {beam}, {batch}, {isa}" + "".join(f" {f}" for f in flags)]
        cells.append(number(median(group, "elbeam", figure)))
        cells.append(number(median(group, "elbeam", "tokens/s"), 0))
        cells += [spread(ratios(group, peer, figure)) for peer in PEERS]
        cells.append(number(median(group, "elbeam", "peak RSS MiB"), 0))
        memory = [ratios(group, peer, "peak RSS MiB") for peer in PEERS]
        cells.append(", ".join(number(statistics.median(m)) if m else "-" for m in memory))
        names = ("fp32", "ctranslate2 fp32") if dtype != "fp32" else ("stock", "ctranslate2")
        same = ", ".join(agreement(group, name) or "-" for name in names)
        cells += [same, str(len(group)), ", ".join(sorted({r["commit"] for r in group}))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def attention_choices(rounds):
    """Seconds and cache bytes with --attention auto, el and mha, of rounds that were run so."""
    kinds = ("auto", "el", "mha")
    found = {}
    for (workload, *_, flags), group in groups(rounds).items():
        if len(flags) == 1 and flags[0].startswith("--attention="):
            found.setdefault(workload, {})[flags[0].split("=")[1]] = group
    lines = [
        "| workload | auto s | el s | mha s | auto took | auto / the better | el, mha bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    for workload, by_kind in found.items():
        if set(by_kind) != set(kinds):
            continue
        seconds = {kind: median(by_kind[kind], "elbeam", "decoding s") for kind in kinds}
        stats = {kind: by_kind[kind][0]["programs"]["elbeam"]["stats"] for kind in kinds}
        cells = [workload, *(number(seconds[kind], 3) for kind in kinds)]
        cells.append(stats["auto"]["cross_attention"])
        cells.append(number(seconds["auto"] / min(seconds["el"], seconds["mha"]), 3))
        cells.append(", ".join(f"{stats[kind]['cross_cache_bytes']:,}" for kind in kinds[1:]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
