"""The results as one page of Markdown tables."""

from .checks import KINDS


def rows_of(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def share(value, limit):
    return f"{value:.3g} ({100 * value / limit:.0f} %)"


def cross_rows(results):
    limits = results["device"]
    for row in results["cross attention"]:
        name = [KINDS[row["kind"]], row["batch"], row["sentences"]]
        if "left out" in row:
            yield [*name, "left out: " + row["left out"][-120:].replace("|", "/"), "", "", "", ""]
            continue
        yield [*name, f"{row['attention ms']:.3g}", f"{row['projections ms']:.3g}", share(row["GB/s"], limits["copy GB/s"]),
               share(row["TFLOP/s"], limits["fp16 TFLOP/s"]), f"{row['rows/s']:.4g}"]  # fmt: skip


def decoding_rows(results):
    for row in results["decoding"]:
        if "left out" in row:
            yield [row["program"], row["batch"], "left out", ""]
        else:
            yield [
                row["program"],
                row["batch"],
                f"{row['seconds']:.2f}",
                f"{row['tokens'] / max(row['seconds'], 1e-9):.0f}",
            ]


def render(results):
    limits = results["device"]
    parts = [f"# gpu-check: {limits['name']}\n"]
    if limits["capability"] == 0:
        parts.append("**An emulated device: the times below say nothing.**\n")
    parts.append(f"Measured limits: copy {limits['copy GB/s']:.4g} GB/s, products {limits['fp16 TFLOP/s']:.3g} TFLOP/s in fp16, "
                 f"{limits['fp32 TFLOP/s']:.3g} in fp32.\n")  # fmt: skip
    if results["kernels"] is not None:
        parts.append(
            f"Kernels against double precision: {results['kernels']['tests passed']} tests passed.\n"
        )
    if results["parity"] is not None:
        head = (
            "model",
            "beam",
            "attention",
            "hypotheses",
            "equal to the CPU's",
            "scores differ by at most",
        )
        rows = ([row["model"], row["beam"], row["attention"], row["hypotheses"], row["equal"],
                 f"{row['largest score difference']:.1e}"] for row in results["parity"])  # fmt: skip
        parts.append(rows_of(head, rows))
    if results["cross attention"] is not None:
        parts.append(
            "Attention to the source of one step, all layers, fp16; shares are of the measured limits.\n"
        )
        head = (
            "",
            "batch",
            "sentences",
            "attention ms",
            "EL's projections ms",
            "GB/s",
            "TFLOP/s",
            "rows/s",
        )
        parts.append(rows_of(head, cross_rows(results)))
    if results["decoding"] is not None:
        parts.append(
            rows_of(
                ("whole decodes, fp16, beam 4", "batch", "seconds", "tokens/s"),
                decoding_rows(results),
            )
        )
    parts.append("Failures:\n\n" + "".join(f"- {text}\n" for text in results["failures"]) if results["failures"]
                 else "No failures.\n")  # fmt: skip
    return "\n".join(parts)
