#include "fairseq_bridge/alignment_dictionary.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/binarizer.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/text_file.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

namespace elbeam::fairseq {
namespace {

// A file read line by line.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : file_(path) {}

  const std::string& path() const { return file_.path(); }

  std::optional<std::string_view> next() {
    if (next_ == lines_.size()) {
      lines_.clear();
      next_ = 0;
      for (const auto& piece : file_.next_pieces(1, 1 << 20)) {
        for_each_line(piece, file_.path(),
                      [this](std::string_view line, std::int64_t) { lines_.push_back(line); });
      }
      if (lines_.empty()) return std::nullopt;
    }
    return lines_[next_++];
  }

 private:
  TextFile file_;
  std::vector<std::string_view> lines_;  // of the current piece
  std::size_t next_ = 0;
};

// Keys in the order in which they came first, as Python's dict.
class Translations {
 public:
  void add(std::int64_t source, std::int64_t target) {
    const auto [found, is_new] = place_of_.try_emplace(source, sources_.size());
    if (is_new) sources_.push_back({source, {}, {}});
    Source& entry = sources_[found->second];
    const auto [known, is_first] = entry.place_of.try_emplace(target, entry.targets.size());
    if (is_first) entry.targets.push_back({target, 0});
    ++entry.targets[known->second].times;
  }

  template <typename Visit>
  void for_each_best(const Visit& visit) const {
    for (const Source& source : sources_) {
      const auto best =
          std::max_element(source.targets.begin(), source.targets.end(),
                           [](const Count& a, const Count& b) { return a.times < b.times; });
      visit(source.id, best->target);
    }
  }

 private:
  struct Count {
    std::int64_t target;
    std::int64_t times;
  };
  struct Source {
    std::int64_t id;
    std::vector<Count> targets;
    std::unordered_map<std::int64_t, std::size_t> place_of;  // in targets, by target
  };
  std::vector<Source> sources_;
  std::unordered_map<std::int64_t, std::size_t> place_of_;
};

std::int64_t aligned_word(const std::vector<std::string_view>& words, std::int64_t index,
                          const text::Dictionary& dictionary, const std::string& place) {
  ELBEAM_CHECK(index < ssize(words.size()), ErrorCode::kFormat, place, ": alignment to word ",
               index, " of a sentence of ", words.size(), " words");
  const std::int64_t id = dictionary.index(words[usize(index)]);
  const SpecialTokens special = dictionary.special();
  ELBEAM_CHECK(id != special.pad && id != special.eos, ErrorCode::kFormat, place,
               ": alignment to the special symbol ", quoted(words[usize(index)]));
  return id;
}

}  // namespace

void make_alignment_dictionary(const std::string& alignments, const AlignedSide& source,
                               const AlignedSide& target, AlignmentLines lines,
                               const std::string& output) {
  LineReader alignment_lines(alignments);
  LineReader source_lines(source.path);
  LineReader target_lines(target.path);
  Translations translations;
  OutputFile file = OutputFile::create(output);
  const auto write = [&](std::int64_t source_id, std::int64_t target_id) {
    file.append(concat(source.dictionary.symbol(source_id), " ",
                       target.dictionary.symbol(target_id), "\n"));
  };
  for (std::int64_t number = 1;; ++number) {
    const auto alignment = alignment_lines.next();
    const auto source_line = source_lines.next();
    const auto target_line = target_lines.next();
    if (!alignment && !source_line && !target_line) break;
    ELBEAM_CHECK(alignment && source_line && target_line, ErrorCode::kFormat, alignments, ", ",
                 source.path, " and ", target.path, " have different numbers of lines: one ends ",
                 "before line ", number);
    const auto source_words = text::split_words(*source_line);
    const auto target_words = text::split_words(*target_line);
    const std::string place = concat(alignments, ":", number);
    for (const std::string_view pair : text::split_words(*alignment)) {
      const auto [from, to] = parse_alignment_pair(pair, place);
      const std::int64_t source_id = aligned_word(source_words, from, source.dictionary, place);
      const std::int64_t target_id = aligned_word(target_words, to, target.dictionary, place);
      const bool known = source_id != source.dictionary.special().unk &&
                         target_id != target.dictionary.special().unk;
      if (known && lines == AlignmentLines::kEvery) write(source_id, target_id);
      if (known && lines == AlignmentLines::kBest) translations.add(source_id, target_id);
    }
    if (number % 4096 == 0) file.flush();
  }
  translations.for_each_best(write);
  file.flush();
}

}  // namespace elbeam::fairseq
