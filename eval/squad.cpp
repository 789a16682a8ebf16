// Exact match and token F1 as SQuAD's evaluate-v1.1.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/signature.hpp"
#include "eval/tokenizers.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <map>

namespace elbeam::eval {
namespace {

bool is_ascii_punctuation(char c) noexcept {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

// \b(a|an|the)\b -> ' '
std::string remove_articles(std::string_view text) {
  std::string out;
  bool word_before = false;  // a word character stands before this place
  for (std::size_t i = 0; i < text.size();) {
    std::size_t article = 0;
    for (const std::string_view one : {"a", "an", "the"}) {
      const std::size_t end = i + one.size();
      if (word_before || !text.substr(i).starts_with(one)) continue;
      const bool word_after =
          end < text.size() && text::is_word_character(text::utf8_unit(text, end).code_point);
      if (!word_after) article = one.size();
    }
    if (article > 0) {
      out += ' ';
      i += article;
      word_before = true;
      continue;
    }
    const text::Utf8Unit unit = text::utf8_unit(text, i);
    out += text.substr(i, unit.length);
    word_before = unit.valid && text::is_word_character(unit.code_point);
    i += unit.length;
  }
  return out;
}

std::string normalize(std::string_view answer) {
  std::string text = text::lower(answer);
  text.erase(std::remove_if(text.begin(), text.end(), is_ascii_punctuation), text.end());
  return join_words(remove_articles(text));
}

struct Overlap {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

Overlap overlap_of(const std::string& hypothesis, const std::string& reference) {
  const auto words = text::split_words(hypothesis);
  const auto expected = text::split_words(reference);
  std::map<std::string_view, std::int64_t> counts;
  for (const std::string_view word : expected) ++counts[word];
  double common = 0;
  for (const std::string_view word : words) {
    const auto found = counts.find(word);
    if (found == counts.end() || found->second == 0) continue;
    --found->second;
    common += 1;
  }
  if (common == 0) return {};
  const double precision = common / static_cast<double>(words.size());
  const double recall = common / static_cast<double>(expected.size());
  return {precision, recall, 2 * precision * recall / (precision + recall)};
}

class ExactMatch final : public Metric {
 public:
  std::string name() const override { return "exact-match"; }
  std::size_t size() const override { return 2; }
  std::string signature(const SignatureContext& context) const override {
    return signature_of(context, "case:lc|punct:no|articles:no", "squad-1.1");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    const std::string hypothesis = normalize(segment.hypothesis);
    const bool any =
        std::any_of(segment.references.begin(), segment.references.end(),
                    [&](std::string_view reference) { return normalize(reference) == hypothesis; });
    statistics[0] = any ? 1 : 0;
    statistics[1] = 1;
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size() && sums[1] > 0);
    Score result;
    result.score = 100.0 * sums[0] / sums[1];
    return result;
  }
};

class TokenF1 final : public Metric {
 public:
  std::string name() const override { return "token-f1"; }
  std::size_t size() const override { return 4; }
  std::string signature(const SignatureContext& context) const override {
    return signature_of(context, "case:lc|punct:no|articles:no", "squad-1.1");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    const std::string hypothesis = normalize(segment.hypothesis);
    Overlap best;
    for (const std::string_view reference : segment.references) {
      const Overlap one = overlap_of(hypothesis, normalize(reference));
      if (one.f1 > best.f1) best = one;
    }
    statistics[0] = best.precision;
    statistics[1] = best.recall;
    statistics[2] = best.f1;
    statistics[3] = 1;
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size() && sums[3] > 0);
    Score result;
    result.precision = 100.0 * sums[0] / sums[3];
    result.recall = 100.0 * sums[1] / sums[3];
    result.fmeasure = result.score = 100.0 * sums[2] / sums[3];
    return result;
  }
};

}  // namespace

std::unique_ptr<const Metric> make_exact_match() { return std::make_unique<ExactMatch>(); }
std::unique_ptr<const Metric> make_token_f1() { return std::make_unique<TokenF1>(); }

}  // namespace elbeam::eval
