#include "fairseq_bridge/dictionary_builder.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/text_file.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace elbeam::fairseq {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;

using Counts = std::unordered_map<std::string_view, std::int64_t>;

Counts count_words(const TextFile::Piece& piece, const std::string& path) {
  Counts counts;
  for_each_line(piece, path, [&](std::string_view line, std::int64_t) {
    for (const std::string_view word : text::split_words(line)) ++counts[word];
  });
  return counts;
}

std::string made_up_word(std::int64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, usize(std::max<std::int64_t>(0, 4 - ssize(digits.size()))), '0');
  return "madeupword" + digits;
}

}  // namespace

void DictionaryBuilder::add_file(const std::string& path, ThreadPool& pool) {
  TextFile file(path);
  for (;;) {
    const auto pieces = file.next_pieces(pool.threads(), kPieceBytes);
    if (pieces.empty()) return;
    std::vector<Counts> counts(pieces.size());
    pool.parallel_for(ssize(pieces.size()), [&](std::int64_t i) {
      counts[usize(i)] = count_words(pieces[usize(i)], path);
    });
    for (const Counts& part : counts) {
      for (const auto& [word, count] : part) counts_[std::string(word)] += count;
    }
    ELBEAM_CHECK(ssize(counts_.size()) <= limits::kMaxDictionaryEntries, ErrorCode::kLimit, path,
                 ": more different words than the limit of ", limits::kMaxDictionaryEntries);
  }
}

text::Dictionary DictionaryBuilder::finish(const DictionaryLimits& dictionary_limits) const {
  text::Dictionary dictionary;
  const std::int64_t specials = dictionary.size();
  std::vector<std::pair<std::string_view, std::int64_t>> words;
  for (const auto& [word, count] : counts_) {
    // The only known words are the special symbols so far.
    if (!dictionary.contains(word)) words.emplace_back(word, count);
  }
  std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (dictionary_limits.words > 0) {
    const std::int64_t kept = std::max<std::int64_t>(0, dictionary_limits.words - specials);
    words.resize(std::min(words.size(), usize(kept)));
  }
  for (const auto& [word, count] : words) {
    if (count < dictionary_limits.threshold) break;
    dictionary.add_symbol(std::string(word), count);
  }
  if (dictionary_limits.padding_factor > 1) {
    for (std::int64_t i = 0; dictionary.size() % dictionary_limits.padding_factor != 0; ++i) {
      ELBEAM_CHECK(dictionary.size() < limits::kMaxDictionaryEntries, ErrorCode::kLimit,
                   "--padding-factor ", dictionary_limits.padding_factor,
                   ": more words than the limit of ", limits::kMaxDictionaryEntries);
      dictionary.add_symbol(made_up_word(i), 0);
    }
  }
  return dictionary;
}

void save_dictionary(const text::Dictionary& dictionary, const std::string& path) {
  OutputFile file = OutputFile::create(path);
  for (std::int64_t id = text::Dictionary().size(); id < dictionary.size(); ++id) {
    file.append(concat(dictionary.symbol(id), " ", dictionary.count(id), "\n"));
    if (id % 4096 == 0) file.flush();
  }
  file.flush();
}

}  // namespace elbeam::fairseq
