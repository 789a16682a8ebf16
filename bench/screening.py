"""How much of a vocabulary an int8 screening of the output layer would have to compute exactly.

    PY bench/screening.py DATA-BIN -s de -t en --path CHECKPOINT [--sentences 40]

PY has stock fairseq. For every target position of the test split's first sentences (teacher forcing)
it sorts the probabilities and asks: with the K best logits exact and all others from an int8
product, is the normalizer log(sum(exp)) known to 1e-6? See docs/decisions/screening.md.
"""

import argparse
import math

import torch
from fairseq import checkpoint_utils

WANTED = 1e-6  # of the normalizer, base e


def rounded(matrix):
    """Rows rounded to 8 bits, each with its own scale."""
    scale = matrix.abs().amax(dim=1, keepdim=True) / 127
    return (matrix / scale).round() * scale


def positions(model, dataset, sentences):
    """Decoder outputs [positions, d] and exact logits [positions, V] in fp64."""
    features = []
    for index in range(min(sentences, len(dataset))):
        sample = dataset.collater([dataset[index]])
        features.append(model(**sample["net_input"], features_only=True)[0][0])
    hidden = torch.cat(features).double()
    return hidden, hidden @ model.decoder.output_projection.weight.double().T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("-s", "--source-lang", required=True)
    parser.add_argument("-t", "--target-lang", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--sentences", type=int, default=40)
    options = parser.parse_args()
    overrides = {key: getattr(options, key) for key in ("data", "source_lang", "target_lang")}
    models, config, task = checkpoint_utils.load_model_ensemble_and_task([options.path], arg_overrides=overrides)
    model = models[0].eval()
    task.load_dataset("test")
    with torch.no_grad():
        hidden, logits = positions(model, task.dataset("test"), options.sentences)
    weights = model.decoder.output_projection.weight.detach().double()
    near_hidden, near_weights = rounded(hidden), rounded(weights)
    error = (near_hidden @ near_weights.T - logits).abs().max().item()
    # |h w - h' w'| <= |h - h'| |w| + |h'| |w - w'| (Cauchy-Schwarz), per row and token.
    bound = (hidden - near_hidden).norm(dim=1, keepdim=True) * weights.norm(dim=1)
    bound += near_hidden.norm(dim=1, keepdim=True) * (weights - near_weights).norm(dim=1)
    probabilities, order = logits.softmax(dim=1).sort(dim=1, descending=True)
    uncertain = probabilities * torch.expm1(bound.gather(1, order))
    left = uncertain.flip(1).cumsum(1).flip(1)  # [:, k]: with k logits exact
    rows, vocabulary = logits.shape
    smoothing = config.criterion.get("label_smoothing", 0.0) if config.criterion else 0.0
    print(f"label smoothing {smoothing}; {rows} positions, V = {vocabulary}, d = {hidden.shape[1]}")
    print(f"int8 logits: largest error {error:.3f}, mean of the proven bound {bound.mean().item():.3f}")
    print("exact logits | median mass of the others | rows with the normalizer known to 1e-6")
    for k in (10, 100, 1000, vocabulary // 2):
        mass = 1 - probabilities[:, :k].sum(dim=1)
        known = (torch.log1p(left[:, k]) <= WANTED).sum().item()
        print(f"{k} | {mass.median().item():.4f} | {known} of {rows}")
    needed = (torch.log1p(left) > WANTED).sum(dim=1).double()
    print(f"logits that would have to be exact: median {needed.median().item():.0f} of {vocabulary}"
          f" ({100 * needed.median().item() / vocabulary:.1f} %), least {needed.min().item():.0f}")
    slack = math.log1p(WANTED)
    print(f"with a bound of the size of the largest error: {rows_with_bound(probabilities, error, slack)}")


def rows_with_bound(probabilities, error, slack):
    """As above for an (unproven) uniform error."""
    tail = probabilities.flip(1).cumsum(1).flip(1) * math.expm1(error)
    needed = (tail > slack).sum(dim=1).double()
    return f"median {needed.median().item():.0f} of {probabilities.shape[1]} logits"


if __name__ == "__main__":
    main()
