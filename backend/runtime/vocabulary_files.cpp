#include "runtime/vocabulary_files.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/mapped_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace elbeam::runtime {
namespace {

constexpr std::int64_t kFirstOfDictionary = 100;

// Calls use(line, number from 1) for each line that is not empty.
template <typename Use>
void for_each_line(const MappedFile& file, Use&& use) {
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) use(line, number);
  }
}

// Fields between blanks and tabs, the fourth and later ones in one.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0; (begin = line.find_first_not_of(" \t", begin)) != line.npos;) {
    const std::size_t end =
        fields.size() == 3 ? line.size() : std::min(line.find_first_of(" \t", begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end;
  }
  return fields;
}

std::vector<std::int64_t> read_list(const std::string& path, std::int64_t first,
                                    const text::Dictionary& target) {
  const MappedFile file(path);
  std::vector<std::int64_t> tokens;
  std::int64_t lines = 0;
  for_each_line(file, [&](std::string_view line, std::int64_t) {
    const auto fields = fields_of(line);
    if (fields.empty() || (first >= 0 && lines >= first)) return;
    ++lines;
    if (target.contains(fields.front())) tokens.push_back(target.index(fields.front()));
  });
  ELBEAM_CHECK(!tokens.empty() || first == 0, ErrorCode::kFormat, path, ": none of the ", lines,
               " words is in the target dictionary");
  return tokens;
}

struct Translation {
  std::int64_t source = 0;
  std::int64_t target = 0;
  double probability = 0.0;
};

std::vector<Translation> read_lexicon(const std::string& path, const text::Dictionary& source,
                                      const text::Dictionary& target) {
  const MappedFile file(path);
  std::vector<Translation> lexicon;
  std::int64_t lines = 0;
  for_each_line(file, [&](std::string_view line, std::int64_t number) {
    const auto fields = fields_of(line);
    double probability = -1.0;
    if (fields.size() == 3) {
      const char* const end = fields[2].data() + fields[2].size();
      const auto [stop, error] = std::from_chars(fields[2].data(), end, probability);
      if (error != std::errc() || stop != end) probability = -1.0;
    }
    ELBEAM_CHECK(probability >= 0.0 && probability <= 1.0, ErrorCode::kFormat, path, ":", number,
                 ": expected \"target source probability\", got ", quoted(line));
    ++lines;
    if (target.contains(fields[0]) && source.contains(fields[1]))
      lexicon.push_back({source.index(fields[1]), target.index(fields[0]), probability});
  });
  ELBEAM_CHECK(!lexicon.empty(), ErrorCode::kFormat, path, ": none of the ", lines,
               " lines has a word of the target dictionary and one of the source dictionary, in "
               "this order");
  return lexicon;
}

// The most probable ones of each source token.
std::vector<std::vector<std::int64_t>> best_of(std::vector<Translation> lexicon, std::int64_t best,
                                               std::int64_t sources) {
  std::ranges::sort(lexicon, [](const Translation& a, const Translation& b) {
    if (a.source != b.source) return a.source < b.source;
    if (a.probability != b.probability) return a.probability > b.probability;
    return a.target < b.target;
  });
  std::vector<std::vector<std::int64_t>> translations(usize(sources));
  for (const Translation& one : lexicon) {
    auto& list = translations[usize(one.source)];
    if (ssize(list.size()) < best) list.push_back(one.target);
  }
  return translations;
}

}  // namespace

std::shared_ptr<const model::VocabularySelection> read_selection(
    const VocabularyOptions& options, const std::optional<text::Dictionary>& source,
    const std::optional<text::Dictionary>& target) {
  if (!options.active()) return nullptr;
  ELBEAM_CHECK(target && (source || options.lexicon_path.empty()), ErrorCode::kUsage,
               "a list or lexicon of target tokens needs the dictionaries of the model");
  std::vector<std::int64_t> always;
  if (!options.list_path.empty()) {
    always = read_list(options.list_path, options.first, *target);
  } else {
    // fairseq's dictionaries are sorted by frequency behind the special symbols.
    const std::int64_t first = options.first < 0 ? kFirstOfDictionary : options.first;
    const std::int64_t begin = target->special().unk + 1;
    for (std::int64_t i = begin; i < target->size() && i - begin < first; ++i) always.push_back(i);
  }
  // Never chosen, most of them, but the model gives each a part of the probability.
  const SpecialTokens special = target->special();
  always.insert(always.end(), {special.bos, special.pad, special.eos, special.unk});
  std::vector<std::vector<std::int64_t>> translations;
  if (!options.lexicon_path.empty()) {
    translations =
        best_of(read_lexicon(options.lexicon_path, *source, *target), options.best, source->size());
  }
  return std::make_shared<const model::VocabularySelection>(std::move(always),
                                                            std::move(translations));
}

}  // namespace elbeam::runtime
