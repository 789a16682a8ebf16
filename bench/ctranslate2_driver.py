"""Decodes a file of tokenized sentences with CTranslate2, as a user of its Python interface does.

Run by python3 -m bench with the python that has ctranslate2. Writes one line per sentence, in the
order of the input: score, a tab, tokens; tells on stderr how long it took, in the words of
fairseq-generate.
"""

import argparse
import sys
import time

import ctranslate2


def translate(options, sentences):
    translator = ctranslate2.Translator(
        options.model,
        device=options.device,
        compute_type=options.compute_type,
        inter_threads=1,
        intra_threads=options.threads,
    )
    return lambda: translator.translate_batch(
        sentences,
        max_batch_size=options.batch,
        beam_size=options.beam,
        length_penalty=options.lenpen,
        max_input_length=0,
        max_decoding_length=options.max_len,
        min_decoding_length=options.min_len,
        return_scores=True,
    )


def generate(options, sentences):
    """Prompts count: the lengths are those of the whole text, as in fairseq."""
    generator = ctranslate2.Generator(
        options.model,
        device=options.device,
        compute_type=options.compute_type,
        inter_threads=1,
        intra_threads=options.threads,
    )
    prompt = max(map(len, sentences))
    return lambda: generator.generate_batch(
        [["</s>", *sentence] for sentence in sentences],
        max_batch_size=options.batch,
        beam_size=options.beam,
        length_penalty=options.lenpen,
        max_length=options.max_len - prompt,
        min_length=options.min_len - prompt,
        include_prompt_in_result=True,
        return_scores=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sources", required=True)
    parser.add_argument("--language-model", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--lenpen", type=float, default=1.0)
    parser.add_argument("--max-len", type=int, default=200)
    parser.add_argument("--min-len", type=int, default=1)
    options = parser.parse_args()
    with open(options.sources, encoding="utf-8", newline="\n") as file:
        sentences = [line.rstrip("\n").split(" ") for line in file]
    decode = (generate if options.language_model else translate)(options, sentences)
    begin = time.perf_counter()
    results = decode()
    seconds = time.perf_counter() - begin
    tokens = 0
    for result in results:
        best = result.sequences[0] if options.language_model else result.hypotheses[0]
        best = [token for token in best if token != "</s>"]
        tokens += len(best) + 1
        print(f"{result.scores[0]:.6f}\t{' '.join(best)}")
    print(
        f"Translated {len(results):,} sentences ({tokens:,} tokens) in {seconds:.3f}s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
