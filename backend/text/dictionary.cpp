#include "text/dictionary.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace elbeam::text {
namespace {

constexpr std::array<const char*, 4> kSpecialSymbols = {"<s>", "<pad>", "</s>", "<unk>"};
constexpr SpecialTokens kSpecial{};
constexpr std::string_view kOverwriteFlag = "#fairseq:overwrite";

void check_content(std::string_view content, const std::string& name) {
  ELBEAM_CHECK(ssize(content.size()) <= limits::kMaxDictionaryBytes, ErrorCode::kLimit, name,
               ": a dictionary of ", content.size(), " bytes, the limit is ",
               limits::kMaxDictionaryBytes);
  const std::optional<std::size_t> invalid = find_invalid_utf8(content);
  ELBEAM_CHECK(!invalid, ErrorCode::kFormat, name,
               ": Incorrect encoding detected, please rebuild the dataset: not UTF-8 at byte ",
               invalid.value_or(0));
}

// Calls visit(line, number) for each line as Python's text mode reads them: a line ends with \n,
// \r or \r\n.
template <typename Visit>
void for_each_line(std::string_view content, Visit&& visit) {
  for (std::int64_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find_first_of("\r\n"), content.size());
    visit(content.substr(0, end), number);
    const bool two_bytes = content.substr(end, 2) == "\r\n";
    content.remove_prefix(std::min(content.size(), end + (two_bytes ? 2 : 1)));
  }
}

// "symbol count [#fairseq:overwrite]"
struct DictionaryLine {
  std::string_view symbol;
  std::int64_t count = 0;
  bool overwrite = false;
};

// Cuts the last blank-separated field off `line` (str.rsplit(" ", 1)); nothing without a blank.
std::optional<std::string_view> take_last_field(std::string_view& line) {
  const std::size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const std::string_view field = line.substr(blank + 1);
  line = line.substr(0, blank);
  return field;
}

std::optional<DictionaryLine> parse_line(std::string_view line) {
  line = strip_right(line);
  std::optional<std::string_view> field = take_last_field(line);
  const bool overwrite = field == kOverwriteFlag;
  if (overwrite) field = take_last_field(line);
  const std::optional<std::int64_t> count = field ? parse_int(*field) : std::nullopt;
  if (!count) return std::nullopt;
  return DictionaryLine{line, *count, overwrite};
}

}  // namespace

Dictionary::Dictionary() {
  for (const char* symbol : kSpecialSymbols) append(symbol, 1);
}

Dictionary Dictionary::load(const std::string& path) {
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Dictionary Dictionary::parse(std::string_view content, const std::string& name) {
  check_content(content, name);
  Dictionary result;
  for_each_line(content, [&](std::string_view line, std::int64_t number) {
    const std::optional<DictionaryLine> entry = parse_line(line);
    ELBEAM_CHECK(entry, ErrorCode::kFormat, name, ":", number,
                 ": Incorrect dictionary format, expected '<token> <cnt> [flags]', got ",
                 quoted(line));
    ELBEAM_CHECK(entry->overwrite || !result.ids_.contains(entry->symbol), ErrorCode::kFormat, name,
                 ":", number, ": Duplicate word ", quoted(entry->symbol),
                 "; duplicate words can overwrite earlier ones by adding the ", kOverwriteFlag,
                 " flag at the end of the row");
    result.check_room(name);
    result.append(std::string(entry->symbol), entry->count);
  });
  return result;
}

Dictionary Dictionary::parse_full(std::string_view content, const std::string& name) {
  check_content(content, name);
  Dictionary result;
  std::int64_t id = 0;
  while (!content.empty()) {
    // Only \n ends a line here: the list is written by us and a symbol may hold any other
    // character.
    const std::size_t end = std::min(content.find('\n'), content.size());
    const std::string_view symbol = content.substr(0, end);
    if (id < ssize(kSpecialSymbols.size())) {
      ELBEAM_CHECK(symbol == kSpecialSymbols[usize(id)], ErrorCode::kFormat, name, ":", id + 1,
                   ": expected the symbol ", kSpecialSymbols[usize(id)], ", got ", quoted(symbol));
    } else {
      result.check_room(name);
      result.append(std::string(symbol), 1);
    }
    content.remove_prefix(std::min(content.size(), end + 1));
    ++id;
  }
  ELBEAM_CHECK(id >= ssize(kSpecialSymbols.size()), ErrorCode::kFormat, name, ": ", id,
               " symbols, expected at least the ", kSpecialSymbols.size(), " special ones");
  return result;
}

std::int64_t Dictionary::size() const noexcept { return ssize(symbols_.size()); }

SpecialTokens Dictionary::special() const noexcept { return kSpecial; }

const std::string& Dictionary::symbol(std::int64_t id) const {
  return symbols_[usize(id >= 0 && id < size() ? id : kSpecial.unk)];
}

std::int64_t Dictionary::index(std::string_view symbol) const {
  const auto found = ids_.find(symbol);
  return found == ids_.end() ? kSpecial.unk : found->second;
}

bool Dictionary::contains(std::string_view symbol) const { return ids_.find(symbol) != ids_.end(); }

std::int64_t Dictionary::add_symbol(const std::string& symbol, std::int64_t count) {
  const auto found = ids_.find(symbol);
  if (found == ids_.end()) return append(symbol, count);
  std::int64_t& sum = counts_[usize(found->second)];
  sum = checked_add(sum, count);
  return found->second;
}

std::int64_t Dictionary::count(std::int64_t id) const { return counts_[usize(id)]; }

std::vector<std::int64_t> Dictionary::encode_line(std::string_view line) const {
  std::vector<std::int64_t> ids;
  for (const std::string_view word : checked_words(line)) ids.push_back(index(word));
  ids.push_back(kSpecial.eos);
  return ids;
}

std::vector<std::int64_t> Dictionary::encode_line_adding(std::string_view line) {
  std::vector<std::int64_t> ids;
  for (const std::string_view word : checked_words(line)) {
    ids.push_back(add_symbol(std::string(word)));
  }
  ids.push_back(kSpecial.eos);
  return ids;
}

std::string Dictionary::string(const std::vector<std::int64_t>& tokens, bool escape_unk,
                               const std::vector<std::int64_t>& ignore) const {
  std::string out;
  bool first = true;
  for (const std::int64_t token : tokens) {
    if (token == kSpecial.eos || token == kSpecial.bos) continue;
    if (std::find(ignore.begin(), ignore.end(), token) != ignore.end()) continue;
    if (!first) out += ' ';
    first = false;
    // An id outside the dictionary is not escaped: fairseq escapes the id of unk only.
    const bool escape = escape_unk && token == kSpecial.unk;
    if (escape) out += '<';
    out += symbol(token);
    if (escape) out += '>';
  }
  return out;
}

std::int64_t Dictionary::append(std::string symbol, std::int64_t count) {
  const std::int64_t id = size();
  ids_[symbol] = id;  // with #fairseq:overwrite the newest id wins; the old symbol keeps its place
  symbols_.push_back(std::move(symbol));
  counts_.push_back(count);
  return id;
}

void Dictionary::check_room(const std::string& name) const {
  ELBEAM_CHECK(size() < limits::kMaxDictionaryEntries, ErrorCode::kLimit, name,
               ": more symbols than the limit of ", limits::kMaxDictionaryEntries);
}

std::vector<std::string_view> Dictionary::checked_words(std::string_view line) {
  const std::optional<std::size_t> invalid = find_invalid_utf8(line);
  ELBEAM_CHECK(!invalid, ErrorCode::kFormat, "line of text: not UTF-8 at byte ",
               invalid.value_or(0), ": ", quoted(line));
  return split_words(line);
}

}  // namespace elbeam::text
