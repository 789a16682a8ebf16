// TER as sacrebleu/metrics/ter.py, WER and CER as fairseq/scoring/wer.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/edit_distance.hpp"
#include "eval/signature.hpp"
#include "eval/tokenizers.hpp"
#include "eval/word_ids.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"
#include "text/utf8.hpp"

#include <algorithm>

namespace elbeam::eval {
namespace {

// One thread's memory for measure().
struct Scratch {
  std::vector<std::string> texts;  // what the words point into
  WordIds words;
  std::vector<std::vector<std::uint32_t>> ids;

  // Words of the hypothesis (0) and the references (1 ...): of what `prepare` makes of a line and
  // its number.
  template <typename Prepare>
  void split(const Segment& segment, Prepare&& prepare) {
    const std::size_t count = 1 + segment.references.size();
    texts.resize(count);
    if (ids.size() < count) ids.resize(count);
    words.clear();
    for (std::size_t i = 0; i < count; ++i) {
      texts[i] = prepare(i == 0 ? segment.hypothesis : segment.references[i - 1], i);
      words.split(texts[i], ids[i]);
    }
  }
};

class Ter final : public Metric {
 public:
  explicit Ter(const TerOptions& options)
      : options_{options.normalized, options.no_punct, options.asian_support,
                 options.case_sensitive} {}

  std::string name() const override { return "TER"; }
  std::size_t size() const override { return 2; }
  bool higher_is_better() const override { return false; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(context, concat("case:", options_.case_sensitive ? "mixed" : "lc",
                                        "|tok:tercom|norm:", yes_no(options_.normalized),
                                        "|punct:", yes_no(!options_.no_punct),
                                        "|asian:", yes_no(options_.asian_support)));
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    scratch.split(segment, [this](std::string_view line, std::size_t number) {
      const std::string once = tercom_tokenize(text::strip_right(line), options_);
      // ter.py tokenizes references again, which counts: "it's." gives "it's .", "it 's .".
      return number == 0 ? once : tercom_tokenize(once, options_);
    });
    std::int64_t fewest = std::int64_t{1} << 60;
    double length = 0;
    const std::size_t references = segment.references.size();
    for (std::size_t i = 1; i <= references; ++i) {
      fewest = std::min(fewest, translation_edits(scratch.ids[0], scratch.ids[i]));
      length += static_cast<double>(scratch.ids[i].size());
    }
    statistics[0] = static_cast<double>(fewest);
    statistics[1] = length / static_cast<double>(references);
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size());
    Score result;
    result.score = sums[1] > 0 ? 100 * (sums[0] / sums[1]) : sums[0] > 0 ? 100.0 : 0.0;
    result.further = {{"edits", sums[0]}, {"ref_len", sums[1]}};
    return result;
  }

 private:
  TercomOptions options_;
};

// Words (parts between blanks) of nothing but punctuation go. As in Python, where all() of nothing
// is true, so do empty ones.
std::string remove_punctuation_words(std::string_view line) {
  std::string out;
  while (true) {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    bool keep = false;
    for (std::size_t i = 0; i < word.size() && !keep;) {
      const text::Utf8Unit unit = text::utf8_unit(word, i);
      keep = !unit.valid || !text::is_punctuation(unit.code_point);
      i += unit.length;
    }
    if (keep) out.append(out.empty() ? "" : " ").append(word);
    if (end == line.size()) return out;
    line.remove_prefix(end + 1);
  }
}

class Wer final : public Metric {
 public:
  explicit Wer(const WerOptions& options)
      : options_(options), tokenizer_(make_tokenizer(options.tokenize)) {}

  std::string name() const override { return options_.characters ? "CER" : "WER"; }
  std::size_t size() const override { return 2; }
  bool higher_is_better() const override { return false; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(
        context,
        concat("case:", options_.lowercase ? "lc" : "mixed", "|tok:", options_.tokenize, "|punct:",
               yes_no(!options_.remove_punctuation), "|characters:", yes_no(options_.characters)),
        "fairseq");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    scratch.split(segment, [this](std::string_view line, std::size_t) { return prepare(line); });
    for (std::size_t i = 1; i <= segment.references.size(); ++i) {
      const auto distance = static_cast<double>(edit_distance(scratch.ids[i], scratch.ids[0]));
      if (i > 1 && distance >= statistics[0]) continue;
      statistics[0] = distance;
      statistics[1] = static_cast<double>(scratch.ids[i].size());
    }
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size());
    Score result;
    result.score = sums[1] > 0 ? 100.0 * sums[0] / sums[1] : 0.0;
    result.further = {{"edits", sums[0]}, {"ref_len", sums[1]}};
    return result;
  }

 private:
  std::string prepare(std::string_view line) const {
    std::string out = (*tokenizer_)(line);
    if (options_.tokenize != "none") out = join_words(out);
    if (options_.remove_punctuation) out = remove_punctuation_words(out);
    if (options_.characters) out = spread_characters(out);
    return options_.lowercase ? text::lower(out) : out;
  }

  WerOptions options_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::unique_ptr<const Metric> make_ter(const TerOptions& options) {
  return std::make_unique<Ter>(options);
}

std::unique_ptr<const Metric> make_wer(const WerOptions& options) {
  return std::make_unique<Wer>(options);
}

}  // namespace elbeam::eval
