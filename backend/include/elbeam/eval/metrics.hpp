// The metrics there are, each named after the implementation whose numbers it gives. Every make_
// function throws Error(kUsage) for options out of range and Error(kUnsupported) for those that
// elbeam has not got.
#pragma once

#include <elbeam/eval/metric.hpp>

#include <memory>
#include <optional>
#include <string>

namespace elbeam::eval {

// sacrebleu 2.6.0, metrics/bleu.py (Papineni et al. 2002; Post 2018). Score.further: the precisions
// "precision1" ..., "bp", "hyp_len", "ref_len". One segment's score is sentence BLEU, for which
// effective_order is wanted.
struct BleuOptions {
  std::string tokenize = "13a";  // none, 13a, intl, char, zh
  bool lowercase = false;
  std::string smooth_method = "exp";   // none, floor, add-k, exp
  std::optional<double> smooth_value;  // of floor (default 0.1) and add-k (1)
  int max_order = 4;                   // 1 to 16
  bool effective_order = false;        // orders without any n-gram do not count
};
std::unique_ptr<const Metric> make_bleu(const BleuOptions& options);

// sacrebleu 2.6.0, metrics/chrf.py: chrF2 (Popovic 2015); chrF2++ with word_order 2 (2017).
struct ChrfOptions {
  int char_order = 6;  // 1 to 64
  int word_order = 0;  // 0 to 16
  int beta = 2;        // 0 to 1,000: how much recall weighs over precision
  bool lowercase = false;
  bool whitespace = false;     // white space counts as characters
  bool eps_smoothing = false;  // chrF++.py, NLTK and Moses
};
std::unique_ptr<const Metric> make_chrf(const ChrfOptions& options);

// sacrebleu 2.6.0, metrics/ter.py (Snover et al. 2006), after Tercom. Score.further: "edits",
// "ref_len". Less is better.
struct TerOptions {
  bool normalized = false;
  bool no_punct = false;
  bool asian_support = false;
  bool case_sensitive = false;
};
std::unique_ptr<const Metric> make_ter(const TerOptions& options);

// Word (character) error rate: edit distance over reference length in percent, as fairseq's
// scoring/wer.py. Of several references the one with the least distance counts, the first of equal
// ones. Less is better.
struct WerOptions {
  std::string tokenize = "none";  // as BleuOptions
  bool lowercase = false;
  bool remove_punctuation = false;  // words of nothing but punctuation
  bool characters = false;          // character error rate; a blank is a character
};
std::unique_ptr<const Metric> make_wer(const WerOptions& options);

// The options of all of them, and a metric by the name that elbeam-score --metrics gives it: bleu,
// chrf, chrf++, ter, wer, cer.
struct MetricOptions {
  BleuOptions bleu;
  ChrfOptions chrf;
  TerOptions ter;
  WerOptions wer;
};
std::unique_ptr<const Metric> make_metric(const std::string& name, const MetricOptions& options);

}  // namespace elbeam::eval
