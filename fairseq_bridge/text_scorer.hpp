// The scores of fairseq-generate's closing line that look at text and not at token ids:
// --scoring sacrebleu, chrf, wer, meteor (fairseq/scoring/*.py), and elbeam's own ter and rouge.
// For --scoring bleu see bleu.hpp.
#pragma once

#include <elbeam/eval/evaluation.hpp>

#include <string>

namespace elbeam::fairseq {

struct ScoringOptions {
  std::string name = "bleu";        // --scoring
  std::string tokenizer = "13a";    // --sacrebleu-tokenizer, --wer-tokenizer
  bool lowercase = false;           // --sacrebleu-lowercase, --wer-lowercase
  bool characters = false;          // --sacrebleu-char-level, --wer-char-level
  bool remove_punctuation = false;  // --wer-remove-punct
};

// Not thread-safe.
class TextScorer {
 public:
  // Throws Error(kUsage, kUnsupported) for a name or a tokenizer that elbeam has not got.
  explicit TextScorer(const ScoringOptions& options);

  void add(const std::string& reference, const std::string& hypothesis);

  // "BLEU = 24.55 63.4/34.5/19.9/9.2 (BP = 0.975 ...)", "chrF2 = 50.12", "WER: 45.67",
  // "METEOR: 0.4567", "TER = 45.67", "ROUGE-1/2/L = 41.02/18.44/30.90" (rouge-score's F in percent,
  // without stemmer); zeros while nothing has been added. METEOR compares words, which fairseq
  // means to and does not with nltk since 3.6 (it passes strings, which nltk refuses).
  std::string result_string() const;

 private:
  std::string name_;
  eval::Evaluation evaluation_;
};

// What sacrebleu's Score.format() prints.
std::string sacrebleu_format(const eval::Evaluation& evaluation);

}  // namespace elbeam::fairseq
