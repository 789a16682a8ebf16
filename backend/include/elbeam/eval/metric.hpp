// Metrics of generated text against references.
//
//   const auto bleu = elbeam::eval::make_bleu({});
//   elbeam::eval::Statistics sum(bleu->size());
//   for (...) bleu->measure({hypothesis, references}, statistics), sum += statistics;
//   std::cout << bleu->score(sum).score;
//
// A metric is two functions: what one segment contributes (numbers that add up), and the score of a
// sum of such numbers. So resampling for significance, and scoring in parallel or in pieces, are
// the same for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::eval {

// All texts are UTF-8; what is not counts as U+FFFD. `references` are one or more; `source` is for
// those metrics that say so.
struct Segment {
  std::string_view hypothesis;
  std::span<const std::string_view> references;
  std::string_view source;
};

struct NamedValue {
  std::string name;
  double value = 0;
};

struct Score {
  double score = 0;  // on the scale of the metric's reference implementation
  std::optional<double> precision;
  std::optional<double> recall;
  std::optional<double> fmeasure;
  std::string details;              // as the reference implementation prints after the score
  std::vector<NamedValue> further;  // whatever else the metric knows: lengths, counts, ...
};

// What a signature tells about a run.
struct SignatureContext {
  std::int64_t references = 1;  // of each segment; -1 where it varies
  std::string resampling;       // "bs:1000|seed:12345" of a significance test, or empty
};

// Immutable: all functions may be called from any thread.
class Metric {
 public:
  virtual ~Metric() = default;

  // As the reference implementation writes it before a score: "BLEU", "chrF2++", "rougeL".
  virtual std::string name() const = 0;

  // What must be known to repeat the score: "nrefs:1|case:mixed|...|version:2.6.0".
  virtual std::string signature(const SignatureContext& context) const = 0;

  // Numbers per segment.
  virtual std::size_t size() const = 0;

  // Writes the segment's size() numbers to `statistics`. Those that count are exact in a double.
  virtual void measure(const Segment& segment, std::span<double> statistics) const = 0;

  // Of the sums, over one segment or many, of what measure() wrote.
  virtual Score score(std::span<const double> sums) const = 0;

  // The score of a corpus from [segments, size()] numbers. It is score() of their sums but for
  // metrics that need_segments(): those whose reference implementation looks at more than sums.
  virtual bool needs_segments() const { return false; }
  virtual Score corpus_score(std::span<const double> statistics) const;

  // Whether measure() looks at Segment::source.
  virtual bool needs_source() const { return false; }

  // False where less is better (error rates).
  virtual bool higher_is_better() const { return true; }
};

}  // namespace elbeam::eval
