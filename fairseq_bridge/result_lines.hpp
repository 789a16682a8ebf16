// Results as fairseq-generate prints them (fairseq_cli/generate.py:_main), or as JSON, and the
// score of the best hypotheses against the references.
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/bleu.hpp"
#include "fairseq_bridge/generation_dataset.hpp"
#include "fairseq_bridge/option_groups.hpp"
#include "fairseq_bridge/unknown_words.hpp"
#include "text/bpe.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

// What ids are printed with, and what is there to print.
struct ResultSymbols {
  const text::Dictionary& source;
  const text::Dictionary& target;
  bool has_targets = false;
  std::vector<std::int64_t> hidden{};  // Task::hidden_tokens()
};

// What fairseq-interactive prints of a sentence besides.
struct InteractiveLines {
  double seconds = 0.0;                                  // W-
  std::vector<std::vector<std::int64_t>> constraints{};  // C-
};

struct ResultTexts;  // what is printed of one sentence

// Not thread-safe. The options and the dictionaries must outlive it.
class ResultLines {
 public:
  // Throws Error (--bpe, --replace-unk): kUsage, kUnsupported, kIo, kFormat, kLimit.
  ResultLines(const OutputOptions& options, const ResultSymbols& symbols);

  // The lines of one sentence, each ended by a newline, hypotheses in the order given; empty with
  // --quiet. Counts the first hypothesis towards the score. Hypotheses have attention where the
  // options need it. Throws Error: kModel for text that --bpe cannot decode, kFairseqFails for an
  // <unk> that fairseq cannot replace.
  std::string add(const Sentence& sentence, const std::vector<Hypothesis>& hypotheses);

  // The lines of one sentence as fairseq-interactive prints them: S- as the model saw it, W-, C-,
  // no T-. Throws as add().
  std::string add_interactive(const Sentence& sentence, const std::vector<Hypothesis>& hypotheses,
                              const InteractiveLines& extra);

  // Plain text to what the dictionaries know: --tokenizer and --bpe.
  std::string encode(const std::string& line) const;

  std::string score() const {
    return text_scorer_ ? text_scorer_->result_string() : scorer_.result_string();
  }

  // The score of --scoring bleu, 0 to 100.
  double bleu() const { return scorer_.score(); }

 private:
  void add_hypotheses(const Sentence& sentence, const std::vector<Hypothesis>& hypotheses,
                      ResultTexts& texts) const;
  std::string detokenize(const std::string& text) const;
  std::string post_processed(const std::string& words) const;
  std::string target_words(const std::vector<std::int64_t>& tokens, bool escape_unk) const;
  std::string hypothesis_words(const Sentence& sentence, const Hypothesis& hypothesis) const;
  std::string with_words_replaced(const Sentence& sentence, const Hypothesis& hypothesis) const;
  std::string alignment_text(const Sentence& sentence, const Hypothesis& hypothesis) const;
  void count(const Sentence& sentence, const std::vector<std::int64_t>& tokens,
             const std::string& target_text, const std::string& hypothesis_text);

  const OutputOptions& options_;
  const text::Dictionary& source_dictionary_;
  const text::Dictionary& target_dictionary_;
  std::optional<WordMap> replaced_words_;  // of --replace-unk
  // With --post-process or --replace-unk words are counted and no longer the model's tokens: unseen
  // ones get ids here.
  text::Dictionary word_ids_;
  std::unique_ptr<text::Bpe> bpe_;
  std::unique_ptr<text::Encoder> tokenizer_;  // nullptr: no --tokenizer
  BleuScorer scorer_;
  std::unique_ptr<TextScorer> text_scorer_;  // of another --scoring than bleu
  std::vector<std::int64_t> hidden_;         // not printed on the target side, besides bos and eos
  bool has_targets_;
};

// Base-e score to base 2, divided in float32 as torch does.
float to_base_2(float score) noexcept;

}  // namespace elbeam::fairseq
