#include <elbeam/eval/text_file.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/line_source.hpp"
#include "eval/sorted_texts.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace elbeam::eval {
namespace {

// A line of fairseq-generate: "H-12\t-0.5\ttext". Nothing for other lines (log, summary).
struct FairseqLine {
  char kind = 0;
  std::int64_t id = 0;
  std::string_view rest;  // after the first tab
};

std::optional<FairseqLine> parse_fairseq_line(std::string_view line) {
  if (line.size() < 4 || line[1] != '-') return std::nullopt;
  constexpr std::string_view kKinds = "STHDPAIE";
  if (kKinds.find(line[0]) == std::string_view::npos) return std::nullopt;
  const std::size_t tab = line.find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  const std::string_view digits = line.substr(2, tab - 2);
  const bool numeric =
      !digits.empty() && digits.size() <= 18 &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!numeric) return std::nullopt;
  return FairseqLine{line[0], text::parse_int(digits).value(), line.substr(tab + 1)};
}

bool looks_like_fairseq(std::string_view head) {
  while (!head.empty()) {
    const std::size_t end = std::min(head.find('\n'), head.size());
    if (parse_fairseq_line(head.substr(0, end))) return true;
    head.remove_prefix(std::min(end + 1, head.size()));
  }
  return false;
}

class PlainFile final : public TextFile {
 public:
  PlainFile(std::unique_ptr<LineSource> lines, const TextFileOptions& options)
      : TextFile(lines->name(), options), lines_(std::move(lines)) {}

 private:
  bool read(std::vector<std::string>& texts) override {
    std::string_view line;
    if (!lines_->next(line)) return false;
    texts.resize(1);
    texts.front().assign(line);
    return true;
  }

  std::unique_ptr<LineSource> lines_;
};

class JsonlFile final : public TextFile {
 public:
  JsonlFile(std::unique_ptr<LineSource> lines, const TextFileOptions& options)
      : TextFile(lines->name(), options), lines_(std::move(lines)), field_(options.field) {
    if (!field_.empty()) return;
    field_ = options.role == TextRole::kHypothesis  ? "hypothesis"
             : options.role == TextRole::kReference ? "reference"
                                                    : "source";
  }

 private:
  bool read(std::vector<std::string>& texts) override {
    std::string_view line;
    do {
      if (!lines_->next(line)) return false;
    } while (text::strip(line).empty());
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    ELBEAM_CHECK(object.is_object(), ErrorCode::kFormat, place(),
                 " is not a JSON object: ", quoted(line, 40));
    const auto value = object.find(field_);
    ELBEAM_CHECK(value != object.end(), ErrorCode::kFormat, place(), " has no field ",
                 quoted(field_));
    texts.clear();
    if (value->is_array()) {
      ELBEAM_CHECK(!value->empty(), ErrorCode::kFormat, place(), ": the list ", quoted(field_),
                   " is empty");
      ELBEAM_CHECK(ssize(value->size()) <= kMaxReferences, ErrorCode::kLimit, place(),
                   ": the list ", quoted(field_), " has ", value->size(), " texts; at most ",
                   kMaxReferences);
      for (const auto& item : *value) texts.push_back(string_of(item));
    } else {
      texts.push_back(string_of(*value));
    }
    return true;
  }

  std::string place() const { return concat(name(), ":", lines_->line_number()); }

  std::string string_of(const nlohmann::json& value) const {
    ELBEAM_CHECK(value.is_string(), ErrorCode::kFormat, place(), ": field ", quoted(field_),
                 " is no string");
    return value.get<std::string>();
  }

  std::unique_ptr<LineSource> lines_;
  std::string field_;
};

// What is wanted of each sentence is given in the order of ids.
class FairseqFile final : public TextFile {
 public:
  FairseqFile(std::unique_ptr<LineSource> lines, const TextFileOptions& options)
      : TextFile(lines->name(), options) {
    std::string_view line;
    while (lines->next(line)) {
      if (const auto parsed = parse_fairseq_line(line)) add(*parsed, lines->line_number());
    }
    const char* wanted = options.role == TextRole::kHypothesis  ? "H-"
                         : options.role == TextRole::kReference ? "T-"
                                                                : "S-";
    more_ = sorted_.next(ahead_);
    ELBEAM_CHECK(more_, ErrorCode::kFormat, name(), " has no ", wanted, " lines");
  }

 private:
  void add(const FairseqLine& line, std::int64_t number) {
    const TextRole role = options().role;
    if (role == TextRole::kHypothesis && (line.kind == 'H' || line.kind == 'D')) {
      const std::size_t tab = line.rest.find('\t');
      ELBEAM_CHECK(tab != std::string_view::npos, ErrorCode::kFormat, name(), ":", number, ": a ",
                   line.kind, "- line needs id, score and text, separated by tabs");
      (line.kind == 'D' ? detokenized_ : tokenized_) = true;
      // Beside D- lines, of an H- line only its being there counts.
      const bool counts = line.kind == 'D' || !detokenized_;
      sorted_.add({line.id, line.kind, number, counts ? line.rest.substr(tab + 1) : ""});
    } else if ((role == TextRole::kReference && line.kind == 'T') ||
               (role == TextRole::kSource && line.kind == 'S')) {
      sorted_.add({line.id, line.kind, number, line.rest});
    }
  }

  bool read(std::vector<std::string>& texts) override {
    if (!more_) return false;
    texts.resize(1);
    const NumberedText first = take(texts.front());
    const bool hypotheses = options().role == TextRole::kHypothesis;
    bool tokenized = first.kind == 'H';
    bool detokenized = first.kind == 'D';
    for (; more_ && ahead_.id == first.id; more_ = sorted_.next(ahead_)) {
      ELBEAM_CHECK(hypotheses, ErrorCode::kFormat, name(), ":", ahead_.line, ": a second line ",
                   first.kind, "-", first.id);
      tokenized = tokenized || ahead_.kind == 'H';
      if (ahead_.kind == 'D' && !detokenized) texts.front().assign(ahead_.text);
      detokenized = detokenized || ahead_.kind == 'D';
    }
    const bool complete = !tokenized_ || !detokenized_ || (tokenized && detokenized);
    ELBEAM_CHECK(!hypotheses || complete, ErrorCode::kFormat, name(), " has ",
                 tokenized ? "an H- and no D-" : "a D- and no H-", " line of sentence ", first.id,
                 ", but others with both");
    return true;
  }

  NumberedText take(std::string& text) {
    NumberedText one = ahead_;
    text.assign(one.text);
    one.text = {};
    more_ = sorted_.next(ahead_);
    return one;
  }

  SortedTexts sorted_;
  NumberedText ahead_;  // if more_
  bool more_ = false;
  bool tokenized_ = false;    // whether there are H- lines,
  bool detokenized_ = false;  // and D- lines
};

// Makes a line end of each separator, in place: a line end is not longer than what was there.
void split_sentences(std::string_view separator, std::string& text) {
  std::size_t hit = text.find(separator);
  if (hit == std::string::npos) return;
  std::size_t size = 0;
  std::size_t begin = 0;
  for (; hit != std::string::npos; hit = text.find(separator, begin)) {
    std::copy(text.data() + begin, text.data() + hit, text.data() + size);
    size += hit - begin;
    text[size++] = '\n';
    begin = hit + separator.size();
  }
  std::copy(text.data() + begin, text.data() + text.size(), text.data() + size);
  text.resize(size + text.size() - begin);
}

TextFormat detect(const std::string& path, LineSource& lines) {
  for (const char* ending : {".jsonl", ".jsonl.gz"}) {
    if (path.ends_with(ending)) return TextFormat::kJsonl;
  }
  constexpr std::size_t kHeadBytes = std::size_t{1} << 14;
  return looks_like_fairseq(lines.peek(kHeadBytes)) ? TextFormat::kFairseq : TextFormat::kPlain;
}

}  // namespace

TextFile::TextFile(std::string name, const TextFileOptions& options)
    : name_(std::move(name)), options_(options) {}

bool TextFile::next(std::vector<std::string>& texts) {
  if (!read(texts)) return false;
  ++segments_;
  if (!options_.sentence_separator.empty()) {
    for (std::string& one : texts) split_sentences(options_.sentence_separator, one);
  }
  return true;
}

std::unique_ptr<TextFile> TextFile::open(const std::string& path, const TextFileOptions& options) {
  auto lines = std::make_unique<LineSource>(path);
  const TextFormat format =
      options.format == TextFormat::kAuto ? detect(path, *lines) : options.format;
  if (format == TextFormat::kJsonl) return std::make_unique<JsonlFile>(std::move(lines), options);
  if (format == TextFormat::kFairseq) {
    return std::make_unique<FairseqFile>(std::move(lines), options);
  }
  return std::make_unique<PlainFile>(std::move(lines), options);
}

}  // namespace elbeam::eval
