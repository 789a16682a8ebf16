// METEOR as nltk/translate/meteor_score.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/signature.hpp"
#include "eval/stemmers.hpp"
#include "eval/wordnet.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace elbeam::eval {
namespace {

constexpr double kAlpha = 0.9;
constexpr double kBeta = 3.0;
constexpr double kGamma = 0.5;
constexpr const char* kDebianFolder = "/usr/share/wordnet";

struct Word {
  std::size_t position = 0;  // in the text
  std::string text;          // as it is compared at this stage
};
using Words = std::vector<Word>;

struct Match {
  std::size_t hypothesis = 0;
  std::size_t reference = 0;
};

// Where each word stands that is still free, the last place at the end.
using Places = std::unordered_map<std::string_view, std::vector<std::size_t>>;

Places places_of(const Words& words) {
  Places places;
  for (std::size_t j = 0; j < words.size(); ++j) places[words[j].text].push_back(j);
  return places;
}

Words without(Words words, const std::vector<char>& matched) {
  Words left;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (matched[i] == 0) left.push_back(std::move(words[i]));
  }
  return left;
}

// From the last word of the hypothesis to the first, each takes the last free place of the
// reference among those of the words that `alternatives` calls with; matched words are removed.
template <typename Alternatives>
void match(Words& hypothesis, Words& reference, std::vector<Match>& matches,
           Alternatives&& alternatives) {
  std::vector<char> matched_hypothesis(hypothesis.size(), 0);
  std::vector<char> matched_reference(reference.size(), 0);
  {
    Places places = places_of(reference);
    for (std::size_t i = hypothesis.size(); i-- > 0;) {
      std::vector<std::size_t>* best = nullptr;
      alternatives(hypothesis[i].text, [&](const std::string& word) {
        const auto found = places.find(word);
        if (found == places.end() || found->second.empty()) return;
        if (best == nullptr || found->second.back() > best->back()) best = &found->second;
      });
      if (best == nullptr) continue;
      matched_hypothesis[i] = matched_reference[best->back()] = 1;
      matches.push_back({hypothesis[i].position, reference[best->back()].position});
      best->pop_back();
    }
  }
  hypothesis = without(std::move(hypothesis), matched_hypothesis);
  reference = without(std::move(reference), matched_reference);
}

// Runs of matches that are side by side in both texts.
double chunks_of(std::vector<Match>& matches) {
  std::sort(matches.begin(), matches.end(),
            [](const Match& a, const Match& b) { return a.hypothesis < b.hypothesis; });
  double chunks = 1;
  for (std::size_t i = 1; i < matches.size(); ++i) {
    const bool adjacent = matches[i].hypothesis == matches[i - 1].hypothesis + 1 &&
                          matches[i].reference == matches[i - 1].reference + 1;
    if (!adjacent) chunks += 1;
  }
  return chunks;
}

class Meteor final : public Metric {
 public:
  explicit Meteor(const MeteorOptions& options) {
    struct stat status {};
    if (options.wordnet_folder) {
      if (*options.wordnet_folder != "none") {
        wordnet_ = std::make_unique<WordNet>(*options.wordnet_folder);
      }
    } else if (stat(kDebianFolder, &status) == 0) {
      wordnet_ = std::make_unique<WordNet>(kDebianFolder);
    }
  }

  std::string name() const override { return "METEOR"; }
  std::size_t size() const override { return 2; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(context,
                        concat("case:lc|tok:split|stemmer:porter-nltk|wordnet:",
                               wordnet_ ? "3.0" : "no", "|alpha:0.9|beta:3|gamma:0.5"),
                        "nltk-3.10.4");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    const Words hypothesis = words_of(segment.hypothesis);
    double best = 0;
    for (const std::string_view reference : segment.references) {
      best = std::max(best, compare(hypothesis, words_of(reference)));
    }
    statistics[0] = best;
    statistics[1] = 1;
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size() && sums[1] > 0);
    Score result;
    result.score = sums[0] / sums[1];
    return result;
  }

 private:
  static Words words_of(std::string_view line) {
    Words words;
    for (const std::string_view word : text::split_words(line)) {
      words.push_back({words.size(), text::lower(word)});
    }
    return words;
  }

  double compare(Words hypothesis, Words reference) const {
    const auto hypothesis_size = static_cast<double>(hypothesis.size());
    const auto reference_size = static_cast<double>(reference.size());
    std::vector<Match> matches;
    const auto itself = [](const std::string& word, auto&& offer) { offer(word); };
    match(hypothesis, reference, matches, itself);
    // From here on words are stems, also for the synonyms.
    for (Words* words : {&hypothesis, &reference}) {
      for (Word& word : *words) word.text = nltk_stem(word.text);
    }
    match(hypothesis, reference, matches, itself);
    if (wordnet_ && !reference.empty()) {
      match(hypothesis, reference, matches, [this](const std::string& word, auto&& offer) {
        offer(word);
        const Synonyms found = synonyms(word);  // keeps the list alive
        for (const std::string& synonym : *found) offer(synonym);
      });
    }
    if (matches.empty()) return 0.0;
    const auto count = static_cast<double>(matches.size());
    const double precision = count / hypothesis_size;
    const double recall = count / reference_size;
    const double mean = (precision * recall) / (kAlpha * precision + (1 - kAlpha) * recall);
    const double penalty = kGamma * std::pow(chunks_of(matches) / count, kBeta);
    return (1 - penalty) * mean;
  }

  using Synonyms = std::shared_ptr<const std::vector<std::string>>;

  // Words are met again and again: looked up once.
  Synonyms synonyms(const std::string& word) const {
    constexpr std::size_t kMaxKnown = 200'000;
    {
      const std::scoped_lock lock(mutex_);
      const auto known = known_.find(word);
      if (known != known_.end()) return known->second;
    }
    auto found = std::make_shared<const std::vector<std::string>>(wordnet_->synonyms(word));
    const std::scoped_lock lock(mutex_);
    if (known_.size() < kMaxKnown) known_.emplace(word, found);
    return found;
  }

  std::unique_ptr<const WordNet> wordnet_;  // nullptr: no synonyms
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, Synonyms> known_;
};

}  // namespace

std::unique_ptr<const Metric> make_meteor(const MeteorOptions& options) {
  return std::make_unique<Meteor>(options);
}

}  // namespace elbeam::eval
