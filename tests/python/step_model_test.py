"""fairseq's own unit tests of its sequence generator, expressed against elbeam.StepModel.

Their model is a script: for each step, the probabilities of (eos, word 1, word 2) of each beam of each
of two sentences. Probabilities and expectations are those of fairseq's tests/test_sequence_generator.py
(class TestSequenceGenerator) and tests/utils.py (sequence_generator_setup).
"""

import array
import math
import unittest

import elbeam

BOS, PAD, EOS, UNK, W1, W2 = range(6)
BEAM = 2

# [step][sentence][beam]: probabilities of eos, word 1, word 2
SCRIPT = [
    [[(0.0, 0.9, 0.1), (0.0, 0.9, 0.1)], [(0.0, 0.7, 0.3), (0.0, 0.7, 0.3)]],
    [[(1.0, 0.0, 0.0), (0.0, 0.9, 0.1)], [(0.25, 0.35, 0.4), (0.0, 0.1, 0.9)]],
    [[(0.0, 0.1, 0.9), (0.6, 0.2, 0.2)], [(0.6, 0.4, 0.0), (0.01, 0.0, 0.99)]],
    [[(1.0, 0.0, 0.0), (1.0, 0.0, 0.0)], [(0.1, 0.5, 0.4), (1.0, 0.0, 0.0)]],
]


def matrix(rows):
    """[rows][width] floats as a two-dimensional buffer, without numpy."""
    flat = array.array("f", [value for row in rows for value in row])
    return memoryview(flat).cast("B").cast("f", [len(rows), len(rows[0])])


def log(probability):
    return math.log(probability) if probability > 0 else -math.inf


class ScriptedState:
    def __init__(self, script):
        self.script, self.steps, self.sentences = script, 0, None

    def step(self, tokens, parents):
        self.sentences = [
            parent if self.sentences is None else self.sentences[parent] for parent in parents
        ]
        seen, rows = {}, []
        for sentence in self.sentences:
            beam = seen[sentence] = seen.get(sentence, -1) + 1
            eos, one, two = self.script[self.steps][sentence][beam]
            rows.append([-math.inf, -math.inf, log(eos), -math.inf, log(one), log(two)])
        self.steps += 1
        assert len(tokens) == len(rows)
        return matrix(rows)


class ScriptedModel(elbeam.StepModel):
    vocab_size = 6

    def start(self, sentences, *, beam, max_steps, temperature, attention):
        assert beam == BEAM and temperature == 1.0 and not attention and max_steps > 0
        assert sentences == [[W1, W2, EOS]] * 2
        return ScriptedState(SCRIPT)


class FairseqsTests(unittest.TestCase):
    def expect(self, expected, **options):
        """expected: [sentence][hypothesis] -> (tokens, probability of each token)."""
        generator = elbeam.Generator.from_model(ScriptedModel())
        results = generator.generate(
            [[W1, W2, EOS]] * 2, beam=BEAM, nbest=BEAM, **{"min_len": 1, **options}
        )
        normalize = options.get("normalize_scores", True)
        for hypotheses, wanted in zip(results, expected):
            for hypothesis, (tokens, probabilities) in zip(hypotheses, wanted):
                self.assertEqual(hypothesis.tokens, tokens)
                logs = [math.log(p) for p in probabilities]
                for found, value in zip(hypothesis.positional_scores, logs):
                    self.assertAlmostEqual(found, value, places=5)
                total = sum(logs)
                if normalize:
                    total /= len(logs) ** options.get("lenpen", 1.0)
                self.assertLess(abs(hypothesis.score - total), 1e-6)

    SHORT_1 = ([W1, EOS], [0.9, 1.0])
    LONG_1 = ([W2, W1, W2, EOS], [0.1, 0.9, 0.9, 1.0])
    SHORT_2 = ([W1, W2, EOS], [0.7, 0.4, 0.6])
    LONG_2 = ([W1, W2, W1, EOS], [0.7, 0.4, 0.4, 1.0])

    def test_with_normalization(self):
        self.expect([[self.SHORT_1, self.LONG_1], [self.LONG_2, self.SHORT_2]])

    def test_without_normalization(self):
        self.expect(
            [[self.SHORT_1, self.LONG_1], [self.SHORT_2, self.LONG_2]], normalize_scores=False
        )

    def test_with_lenpen_favoring_short_hypos(self):
        self.expect([[self.SHORT_1, self.LONG_1], [self.SHORT_2, self.LONG_2]], lenpen=0.6)

    def test_with_lenpen_favoring_long_hypos(self):
        self.expect([[self.LONG_1, self.SHORT_1], [self.LONG_2, self.SHORT_2]], lenpen=5.0)

    def test_maxlen(self):
        self.expect(
            [
                [self.SHORT_1, ([W2, W2, EOS], [0.1, 0.1, 0.6])],
                [self.SHORT_2, ([W2, W2, EOS], [0.3, 0.9, 0.01])],
            ],
            max_len_b=2,
        )


class BadModels(unittest.TestCase):
    """A mistake in the user's model is an elbeam.Error that names it, never a crash."""

    def run_with(self, step, **attributes):
        class State:
            def step(self, tokens, parents):
                return step(tokens, parents)

        class Model(elbeam.StepModel):
            vocab_size = 6

            def start(self, sentences, **shape):
                return State()

        for name, value in attributes.items():
            setattr(Model, name, value)
        return elbeam.Generator.from_model(Model()).generate([[W1, EOS]], beam=2, max_len_b=3)

    def expect_error(self, code, text, step, **attributes):
        with self.assertRaises(elbeam.Error) as caught:
            self.run_with(step, **attributes)
        self.assertEqual(caught.exception.code, code)
        self.assertIn(text, str(caught.exception))

    def test_exception(self):
        def step(tokens, parents):
            raise KeyError("no such layer")

        self.expect_error("model", "no such layer", step)

    def test_wrong_shape(self):
        self.expect_error("model", "shape [1, 6]", lambda *_: matrix([[0.0] * 5]))
        self.expect_error("model", "buffer protocol, got NoneType", lambda *_: None)

    def test_wrong_type(self):
        integers = array.array("i", [0] * 6)
        view = memoryview(integers).cast("B").cast("i", [1, 6])
        self.expect_error("model", "float32 or float64", lambda *_: view)

    def test_missing_attribute(self):
        with self.assertRaises(AttributeError):
            elbeam.Generator.from_model(object())
        self.expect_error("usage", "positive", lambda *_: None, vocab_size=0)

    def test_nothing_is_possible(self):
        never = matrix([[-math.inf] * 6])
        self.expect_error("model", "no hypothesis can end", lambda tokens, _: matrix(
            [[-math.inf] * 6] * len(tokens)) if tokens else never)

    def test_float64_and_interrupt(self):
        def step(tokens, parents):
            flat = array.array("d", [-9.0, -9.0, -0.1, -9.0, -3.0, -3.0] * len(tokens))
            return memoryview(flat).cast("B").cast("d", [len(tokens), 6])

        best = self.run_with(step)[0][0]
        self.assertEqual(best.tokens[-1], EOS)

        def interrupted(tokens, parents):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.run_with(interrupted)


if __name__ == "__main__":
    unittest.main()
