// nltk/corpus/reader/wordnet.py: synsets() and _morphy().
#include "eval/wordnet.hpp"

#include "base/check.hpp"
#include "eval/line_source.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

namespace elbeam::eval {
namespace {

using Substitutions = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Endings that are replaced to find base forms, by part of speech.
const Substitutions kSubstitutions[] = {{{"s", ""},
                                         {"ses", "s"},
                                         {"ves", "f"},
                                         {"xes", "x"},
                                         {"zes", "z"},
                                         {"ches", "ch"},
                                         {"shes", "sh"},
                                         {"men", "man"},
                                         {"ies", "y"}},
                                        {{"s", ""},
                                         {"ies", "y"},
                                         {"es", "e"},
                                         {"es", ""},
                                         {"ed", "e"},
                                         {"ed", ""},
                                         {"ing", "e"},
                                         {"ing", ""}},
                                        {{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}},
                                        {}};

std::string_view text_of(const MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view line_at(std::string_view text, std::size_t begin) {
  return text.substr(begin, std::min(text.find('\n', begin), text.size()) - begin);
}

std::size_t number(std::string_view digits, int base, const std::string& file) {
  std::size_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  ELBEAM_CHECK(result.ec == std::errc{} && result.ptr == digits.data() + digits.size(),
               ErrorCode::kFormat, file, " is not a file of WordNet: ", quoted(digits),
               " where a number is expected");
  return value;
}

}  // namespace

WordNet::WordNet(const std::string& folder) {
  for (const char* name : {"noun", "verb", "adj", "adv"}) {
    PartOfSpeech part{MappedFile(concat(folder, "/index.", name)),
                      MappedFile(concat(folder, "/data.", name)),
                      {}};
    LineSource lines(concat(folder, "/", name, ".exc"));
    for (std::string_view line; lines.next(line);) {
      const auto words = text::split_words(line);
      if (words.empty()) continue;
      part.exceptions.insert_or_assign(std::string(words[0]),
                                       std::vector<std::string>(words.begin() + 1, words.end()));
    }
    parts_.push_back(std::move(part));
  }
}

// The line of the index that begins with the lemma and a blank, or nothing. Lines are sorted by
// their bytes, those of the licence, which begin with a blank, first.
std::string_view WordNet::find(const PartOfSpeech& part, std::string_view lemma) {
  if (lemma.empty()) return {};
  const std::string_view index = text_of(part.index);
  const std::string key = std::string(lemma) + ' ';
  std::size_t begin = 0;
  std::size_t end = index.size();
  while (begin < end) {
    const std::size_t middle = begin + (end - begin) / 2;
    const std::size_t before = index.substr(begin, middle - begin).rfind('\n');
    const std::size_t start = before == std::string_view::npos ? begin : begin + before + 1;
    const std::string_view line = line_at(index, start);
    if (line.starts_with(key)) return line;
    if (line < key) {
      begin = std::min(start + line.size() + 1, end);
    } else {
      end = start;
    }
  }
  return {};
}

// A line of data: offset, file, type, number of words (hexadecimal), then each word and a number.
void WordNet::add_synset(const PartOfSpeech& part, std::string_view offset,
                         std::vector<std::string>& words) {
  const std::string_view data = text_of(part.data);
  const std::string& file = part.data.path();
  const std::size_t begin = number(offset, 10, part.index.path());
  ELBEAM_CHECK(begin < data.size(), ErrorCode::kFormat, file, " has no offset ", offset);
  const auto fields = text::split_words(line_at(data, begin));
  ELBEAM_CHECK(fields.size() > 4 && fields[0] == offset, ErrorCode::kFormat, file,
               " has no synset at offset ", offset);
  const std::size_t count = number(fields[3], 16, file);
  ELBEAM_CHECK(fields.size() >= 4 + 2 * count, ErrorCode::kFormat, file, ": the synset at offset ",
               offset, " is cut short");
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view word = fields[4 + 2 * i];
    if (word.ends_with(')')) word = word.substr(0, word.rfind('('));  // where adjectives may stand
    if (word.find('_') == std::string_view::npos) words.emplace_back(word);
  }
}

std::vector<std::string> WordNet::synonyms(std::string_view word) const {
  std::vector<std::string> words;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const PartOfSpeech& part = parts_[p];
    std::vector<std::string> forms = {std::string(word)};
    const auto irregular = part.exceptions.find(forms[0]);
    if (irregular != part.exceptions.end()) {
      forms.insert(forms.end(), irregular->second.begin(), irregular->second.end());
    } else {
      for (const auto& [old_end, new_end] : kSubstitutions[p]) {
        if (!word.ends_with(old_end)) continue;
        forms.push_back(std::string(word.substr(0, word.size() - old_end.size())) +
                        std::string(new_end));
      }
    }
    for (const std::string& form : forms) {
      const auto fields = text::split_words(find(part, form));
      if (fields.size() < 4) continue;
      // lemma, part, synsets, pointers, the pointers, senses, tagged senses, offsets
      const std::size_t pointers = number(fields[3], 10, part.index.path());
      for (std::size_t i = 6 + pointers; i < fields.size(); ++i) {
        add_synset(part, fields[i], words);
      }
    }
  }
  return words;
}

}  // namespace elbeam::eval
