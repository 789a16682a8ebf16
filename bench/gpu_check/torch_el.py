"""EL-attention to the source as published: two batched products by PyTorch with a softmax between, for all layers.

    torch_el.py DEVICE fp16|fp32 SENTENCES BEAM SOURCE HEADS DIM LAYERS

Prints JSON, in the words of elbeam-device-bench. The projections that EL adds are not in it.
"""

import json
import sys
import time

import torch


def main():
    device, dtype = (
        torch.device(sys.argv[1]),
        {"fp16": torch.float16, "fp32": torch.float32}[sys.argv[2]],
    )
    sentences, beam, source, heads, dim, layers = map(int, sys.argv[3:9])
    if device.type == "cpu":
        dtype = torch.float32  # only whether it runs is of interest there
    hidden = torch.randn(sentences, source, dim, device=device, dtype=dtype)
    turned = hidden.transpose(
        1, 2
    ).contiguous()  # each product gets the order it likes, as in FastSeq
    queries = 0.05 * torch.randn(sentences, heads * beam, dim, device=device, dtype=dtype)

    def step():
        for _ in range(layers):
            scores = torch.bmm(queries, turned)
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(dtype)
            result = torch.bmm(weights, hidden)
        return result

    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.no_grad():
        step()
        wait()
        begin = time.perf_counter()
        step()
        wait()
        repeats = max(1, min(1000, int(0.1 / (time.perf_counter() - begin))))
        best = float("inf")
        for _ in range(3):
            begin = time.perf_counter()
            for _ in range(repeats):
                step()
            wait()
            best = min(best, (time.perf_counter() - begin) / repeats)
    read = 2.0 * layers * hidden.numel() * hidden.element_size()
    flops = 4.0 * layers * sentences * beam * heads * source * dim
    result = {"attention ms": 1e3 * best, "projections ms": 0.0, "bytes": read, "flops": flops}
    print(
        json.dumps(
            {
                **result,
                "GB/s": 1e-9 * read / best,
                "TFLOP/s": 1e-12 * flops / best,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
