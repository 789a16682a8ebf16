// chrF and chrF++ as sacrebleu/metrics/chrf.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/ngram_matcher.hpp"
#include "eval/signature.hpp"
#include "eval/tokenizers.hpp"
#include "eval/word_ids.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"

#include <algorithm>

namespace elbeam::eval {
namespace {

constexpr double kEpsilon = 1e-16;

bool is_ascii_punctuation(char32_t c) noexcept {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

// One text as the metric sees it.
struct Units {
  std::vector<std::uint32_t> characters;
  std::vector<std::uint32_t> words;
};

// One thread's memory for measure().
struct Scratch {
  std::vector<std::string> lowered;  // what the words point into
  std::vector<char32_t> code_points;
  WordIds words;
  Units hypothesis;
  Units reference;
  std::vector<std::int64_t> matches;
  std::vector<double> statistics;
  NgramMatcher matcher;
};

class Chrf final : public Metric {
 public:
  explicit Chrf(const ChrfOptions& options) : options_(options) {
    ELBEAM_CHECK(options_.char_order >= 1 && options_.char_order <= 64, ErrorCode::kUsage,
                 "chrF's character order must be 1 to 64, got ", options_.char_order);
    ELBEAM_CHECK(options_.word_order >= 0 && options_.word_order <= 16, ErrorCode::kUsage,
                 "chrF's word order must be 0 to 16, got ", options_.word_order);
    ELBEAM_CHECK(options_.beta >= 0 && options_.beta <= 1000, ErrorCode::kUsage,
                 "chrF's beta must be 0 to 1000, got ", options_.beta);
  }

  std::string name() const override {
    return "chrF" + std::to_string(options_.beta) + std::string(usize(options_.word_order), '+');
  }
  std::size_t size() const override { return 3 * orders(); }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(
        context, concat("case:", options_.lowercase ? "lc" : "mixed",
                        "|eff:", yes_no(!options_.eps_smoothing), "|nc:", options_.char_order,
                        "|nw:", options_.word_order, "|space:", yes_no(options_.whitespace)));
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    scratch.lowered.resize(1 + segment.references.size());
    scratch.words.clear();
    split(segment.hypothesis, 0, scratch, scratch.hypothesis);
    scratch.statistics.resize(size());
    double best = -1.0;
    for (std::size_t i = 0; i < segment.references.size(); ++i) {
      split(segment.references[i], i + 1, scratch, scratch.reference);
      compare(scratch);
      const double score = f_score(scratch.statistics);
      if (score > best) {
        best = score;
        std::copy(scratch.statistics.begin(), scratch.statistics.end(), statistics.begin());
      }
    }
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size());
    Score result;
    result.score = f_score(sums);
    return result;
  }

 private:
  std::size_t orders() const { return usize(options_.char_order) + usize(options_.word_order); }

  void split(std::string_view line, std::size_t slot, Scratch& scratch, Units& units) const {
    if (options_.lowercase) line = scratch.lowered[slot] = text::lower(line);
    decode_utf8(line, scratch.code_points);
    units.characters.clear();
    for (const char32_t c : scratch.code_points) {
      if (options_.whitespace || !text::is_space(c)) units.characters.push_back(c);
    }
    units.words.clear();
    if (options_.word_order == 0) return;
    for (const std::string_view word : text::split_words(line)) split_word(word, scratch, units);
  }

  // A mark at the end of a word stands alone, or else one at its beginning.
  static void split_word(std::string_view word, Scratch& scratch, Units& units) {
    const auto mark = [](char c) { return is_ascii_punctuation(static_cast<unsigned char>(c)); };
    const auto add = [&](std::string_view part) { units.words.push_back(scratch.words.id(part)); };
    if (word.size() > 1 && mark(word.back())) {
      add(word.substr(0, word.size() - 1));
      add(word.substr(word.size() - 1));
    } else if (word.size() > 1 && mark(word.front())) {
      add(word.substr(0, 1));
      add(word.substr(1));
    } else {
      add(word);
    }
  }

  void compare(Scratch& scratch) const {
    compare(scratch.hypothesis.characters, scratch.reference.characters, options_.char_order, 0,
            scratch);
    compare(scratch.hypothesis.words, scratch.reference.words, options_.word_order,
            usize(options_.char_order), scratch);
  }

  static void compare(NgramMatcher::Ids hypothesis, NgramMatcher::Ids reference, int max_order,
                      std::size_t first, Scratch& scratch) {
    scratch.matches.resize(usize(max_order));
    scratch.matcher.match(hypothesis, {&reference, 1}, scratch.matches);
    const auto grams = [](NgramMatcher::Ids ids, std::size_t n) {
      return ids.size() >= n ? static_cast<double>(ids.size() - n + 1) : 0.0;
    };
    for (std::size_t n = 1; n <= usize(max_order); ++n) {
      double* out = &scratch.statistics[3 * (first + n - 1)];
      out[1] = grams(reference, n);
      out[0] = out[1] > 0 ? grams(hypothesis, n) : 0.0;  // nothing to match, nothing to count
      out[2] = static_cast<double>(scratch.matches[n - 1]);
    }
  }

  double f_score(std::span<const double> statistics) const {
    const double factor = static_cast<double>(options_.beta) * options_.beta;
    double score = 0;
    double precision = 0;
    double recall = 0;
    double effective_order = 0;
    for (std::size_t i = 0; i < statistics.size(); i += 3) {
      const double hypothesis = statistics[i];
      const double reference = statistics[i + 1];
      const double p = hypothesis > 0 ? statistics[i + 2] / hypothesis : kEpsilon;
      const double r = reference > 0 ? statistics[i + 2] / reference : kEpsilon;
      const double denominator = factor * p + r;
      score += denominator > 0 ? (1 + factor) * p * r / denominator : kEpsilon;
      if (hypothesis > 0 && reference > 0) {
        precision += p;
        recall += r;
        effective_order += 1;
      }
    }
    if (options_.eps_smoothing) return 100 * score / static_cast<double>(orders());
    if (effective_order == 0) return 0.0;
    precision /= effective_order;
    recall /= effective_order;
    if (precision + recall == 0) return 0.0;
    score = (1 + factor) * precision * recall;
    return 100 * (score / (factor * precision + recall));
  }

  ChrfOptions options_;
};

}  // namespace

std::unique_ptr<const Metric> make_chrf(const ChrfOptions& options) {
  return std::make_unique<Chrf>(options);
}

}  // namespace elbeam::eval
