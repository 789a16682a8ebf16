#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "text/bpe_encodings.hpp"
#include "text/merge_table.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <optional>
#include <unordered_set>

namespace elbeam::text {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr std::string_view kLineEndsAndBlank = "\r\n ";

// Cuts at every occurrence of `separator`; the parts may be empty.
std::vector<std::string_view> split_at(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view strip_line(std::string_view line) {
  const std::size_t first = line.find_first_not_of(kLineEndsAndBlank);
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(kLineEndsAndBlank) - first + 1);
}

// "word" -> merges, with `mark` and a blank between the symbols; nothing after the last one.
std::string join_symbols(std::string_view marked_word, const std::vector<std::size_t>& ends,
                         std::string_view mark) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (i > 0) out.append(mark).append(" ");
    out.append(marked_word.substr(begin, ends[i] - begin));
    begin = ends[i];
  }
  return out;
}

// subword_nmt/apply_bpe.py and the decode() of fairseq/data/encoders/subword_nmt_bpe.py.
class SubwordNmt final : public Bpe {
 public:
  explicit SubwordNmt(const BpeOptions& options) : separator_(options.bpe_separator) {
    if (!options.codes.empty()) read_codes(options.codes);
  }

  std::string encode(std::string_view line) const override {
    ELBEAM_CHECK(merges_, ErrorCode::kUsage, "--bpe-codes is required for --bpe=subword_nmt");
    require_utf8(line);
    const std::string_view inner = strip_line(line);
    if (inner.empty()) return std::string(line);
    const std::size_t leading = static_cast<std::size_t>(inner.data() - line.data());
    std::string out(line.substr(0, leading));
    bool first = true;
    for (const std::string_view word : split_at(inner, ' ')) {
      if (word.empty()) continue;
      if (!first) out += ' ';
      first = false;
      append_word(word, out);
    }
    return out.append(line.substr(leading + inner.size()));
  }

  std::string decode(std::string_view pieces) const override {
    const std::string joined = replace_all(std::string(pieces) + " ", separator_ + " ", "");
    return std::string(strip_right(joined));
  }

 private:
  void append_word(std::string_view word, std::string& out) const {
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < word.size();) ends.push_back(i += utf8_unit(word, i).length);
    if (ends.size() == 1) {
      out.append(word);
      return;
    }
    const std::string marked = std::string(word).append(kEndOfWord);
    if (end_of_word_is_a_symbol_) {
      ends.push_back(marked.size());
    } else {
      ends.back() = marked.size();
    }
    ends = merges_->merge(marked, ends);
    // The mark is a symbol of its own where no merge has taken it up; it is not printed.
    const std::size_t last_begin = ends.size() > 1 ? ends[ends.size() - 2] : 0;
    if (last_begin == word.size()) ends.pop_back();
    ends.back() = word.size();
    out += join_symbols(marked, ends, separator_);
  }

  void read_codes(const std::string& path) {
    const std::string content = read_utf8_file(path, limits::kMaxDictionaryBytes);
    std::vector<std::string_view> lines = text_lines(content);
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    std::size_t first = 0;
    if (!lines.empty() && lines[0].substr(0, 9) == "#version:") {
      read_version(path, lines[0]);
      first = 1;
    }
    ELBEAM_CHECK(first < lines.size(), ErrorCode::kFormat, path, ": no BPE codes");
    merges_.emplace();
    for (std::size_t i = first; i < lines.size(); ++i) {
      const auto items = split_at(strip_line(lines[i]), ' ');
      ELBEAM_CHECK(items.size() == 2 && !items[0].empty() && !items[1].empty(), ErrorCode::kFormat,
                   path, ":", i + 1, ": expected two subword units separated by a blank, got ",
                   quoted(lines[i]));
      merges_->add(items[0], items[1], MergeTable::Duplicate::kFirstWins);
    }
  }

  void read_version(const std::string& path, std::string_view line) {
    const auto words = split_words(line);
    std::string version(words.back());
    while (version.size() > 2 && version.find_last_not_of('0') != std::string::npos &&
           version[version.find_last_not_of('0')] == '.' && version.back() == '0') {
      version.resize(version.find_last_not_of('0'));
    }
    ELBEAM_CHECK(version == "0.1" || version == "0.2", ErrorCode::kUnsupported, path,
                 ":1: BPE codes of version ", quoted(words.back()), ", expected 0.1 or 0.2");
    end_of_word_is_a_symbol_ = version == "0.1";
  }

  std::string separator_;
  std::optional<MergeTable> merges_;
  bool end_of_word_is_a_symbol_ = true;  // version 0.1, which is also the one without a header
};

// fastBPE's BPEApplyer, which fairseq/data/encoders/fastbpe_bpe.py calls.
class FastBpe final : public Bpe {
 public:
  explicit FastBpe(const std::string& codes) {
    if (!codes.empty()) read_codes(codes);
  }

  std::string encode(std::string_view line) const override {
    ELBEAM_CHECK(merges_, ErrorCode::kUsage, "--bpe-codes is required for --bpe=fastbpe");
    require_utf8(line);
    std::string out;
    for (const std::string_view word : split_at(line, ' ')) {
      if (word.empty()) continue;
      if (!out.empty()) out += ' ';
      append_word(word, out);
    }
    return out;
  }

  std::string decode(std::string_view pieces) const override {
    const std::string joined = replace_all(std::string(pieces) + " ", "@@ ", "");
    return std::string(strip_right(joined));
  }

 private:
  void append_word(std::string_view word, std::string& out) const {
    // A NUL ends the search for characters there: the rest of the word is one symbol with the last
    // character before it.
    const std::size_t searched = std::min(word.find('\0'), word.size());
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < searched;) ends.push_back(i += utf8_unit(word, i).length);
    if (ends.empty()) ends.push_back(0);
    const std::string marked = std::string(word).append(kEndOfWord);
    ends.back() = marked.size();
    ends = merges_->merge(marked, ends);
    ends.back() = word.size();
    out += join_symbols(marked, ends, "@@");
  }

  void read_codes(const std::string& path) {
    const std::string content = read_utf8_file(path, limits::kMaxDictionaryBytes);
    merges_.emplace();
    std::unordered_set<std::string> results;
    std::int64_t number = 0;
    for (const std::string_view line : text_lines(content)) {
      ++number;
      std::vector<std::string_view> fields = split_at(line, ' ');
      std::erase_if(fields, [](std::string_view field) { return field.empty(); });
      ELBEAM_CHECK(fields.size() == 2 || fields.size() == 3, ErrorCode::kFormat, path, ":", number,
                   ": expected 'unit unit count', got ", quoted(line));
      const bool is_new = merges_->add(fields[0], fields[1], MergeTable::Duplicate::kFirstWins) &&
                          results.insert(std::string(fields[0]).append(fields[1])).second;
      ELBEAM_CHECK(is_new, ErrorCode::kFormat, path, ":", number,
                   ": these units, joined, came before: ", quoted(line));
    }
    ELBEAM_CHECK(number > 0, ErrorCode::kFormat, path, ": no BPE codes");
  }

  std::optional<MergeTable> merges_;
};

}  // namespace

std::unique_ptr<Bpe> make_subword_nmt(const BpeOptions& options) {
  return std::make_unique<SubwordNmt>(options);
}

std::unique_ptr<Bpe> make_fastbpe(const BpeOptions& options) {
  return std::make_unique<FastBpe>(options.codes);
}

}  // namespace elbeam::text
