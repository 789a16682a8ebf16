// BLEU over token ids as fairseq's closing line reports it (fairseq/scoring/bleu.py and its C
// library libbleu): clipped n-gram counts up to 4, no smoothing.
#pragma once

#include "text/dictionary.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace elbeam::fairseq {

class BleuScorer {
 public:
  enum class Smoothing {
    kNone,
    kAddOne,  // one match more in one try more for 2- to 4-grams: libbleu's bleu_one_init
  };

  explicit BleuScorer(const SpecialTokens& special, Smoothing smoothing = Smoothing::kNone);

  // An unk of the reference matches nothing. Pads are trimmed on the left, pads and eos on the
  // right; a sentence of nothing else keeps one token, as in libbleu.
  void add(std::vector<std::int64_t> reference, const std::vector<std::int64_t>& hypothesis);

  // "BLEU4 = 24.55, 63.4/34.5/19.9/9.2 (BP=0.975, ratio=0.976, syslen=402, reflen=412)". Zeros
  // while nothing has been added (fairseq divides by zero there). `order`, 1 to 4, is the longest
  // n-gram that counts.
  std::string result_string(int order = 4) const;

  // The score alone, 0 to 100.
  double score(int order = 4) const;

 private:
  double precision(int order) const;  // of n-grams of this length, 0 to 1
  double brevity() const;
  std::span<const std::int64_t> trim(std::span<const std::int64_t> tokens) const;

  SpecialTokens special_;
  std::int64_t reference_length_ = 0;
  std::int64_t hypothesis_length_ = 0;
  std::array<std::int64_t, 4> matches_{};
  std::array<std::int64_t, 4> totals_{};
};

}  // namespace elbeam::fairseq
