#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "text/bpe_encodings.hpp"
#include "text/merge_table.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <nlohmann/json.hpp>
#include <unicode/uchar.h>

#include <array>
#include <optional>
#include <unordered_map>

namespace elbeam::text {
namespace {

// The characters that GPT-2 writes for bytes: printable Latin-1 for itself, the 68 others get
// U+0100, U+0101, ... in the order of their values (gpt2_bpe_utils.py: bytes_to_unicode).
std::array<char32_t, 256> byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next_substitute = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters[byte] = printable ? byte : next_substitute++;
  }
  return characters;
}

// encoder.json: {"piece": id, ...}
std::unordered_map<std::string, std::int64_t> read_pieces(const std::string& path) {
  const std::string content = read_utf8_file(path, limits::kMaxConfigBytes);
  // Nesting is refused where it starts: a tree of brackets takes a hundred times its text in
  // memory.
  const auto refuse_nesting = [&path](int depth, nlohmann::json::parse_event_t event,
                                      const nlohmann::json&) {
    using Event = nlohmann::json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    ELBEAM_CHECK(!opens || depth == 0, ErrorCode::kFormat, path,
                 ": expected integers as values, got a nested object or array");
    return true;
  };
  const nlohmann::json root = nlohmann::json::parse(content, refuse_nesting, false);
  ELBEAM_CHECK(root.is_object(), ErrorCode::kFormat, path,
               ": expected a JSON object {\"piece\": id, ...}");
  std::unordered_map<std::string, std::int64_t> pieces;
  for (const auto& [piece, id] : root.items()) {
    ELBEAM_CHECK(id.is_number_integer(), ErrorCode::kFormat, path, ": the id of the piece ",
                 quoted(piece), " is not an integer");
    pieces[piece] = id.get<std::int64_t>();
  }
  return pieces;
}

enum class Kind { kSpace, kLetter, kNumber, kOther };

Kind kind_of(char32_t character) {
  const auto code_point = static_cast<UChar32>(character);
  if (u_hasBinaryProperty(code_point, UCHAR_WHITE_SPACE)) return Kind::kSpace;
  const std::uint32_t category = U_GET_GC_MASK(code_point);
  if ((category & U_GC_L_MASK) != 0) return Kind::kLetter;
  return (category & U_GC_N_MASK) != 0 ? Kind::kNumber : Kind::kOther;
}

// The words that GPT-2's regular expression finds in a text:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class WordFinder {
 public:
  explicit WordFinder(std::string_view text) : text_(text) {}

  // The next word; empty at the end. Every character is in one word.
  std::string_view next() {
    const std::size_t begin = position_;
    if (begin == text_.size()) return {};
    position_ = end_of_word(begin);
    return text_.substr(begin, position_ - begin);
  }

 private:
  std::size_t end_of_word(std::size_t begin) const {
    for (const std::string_view suffix : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
      if (text_.substr(begin, suffix.size()) == suffix) return begin + suffix.size();
    }
    const std::size_t first = begin + (text_[begin] == ' ' ? 1 : 0);
    if (first < text_.size()) {
      const Kind kind = kind_at(first);
      if (kind != Kind::kSpace) return end_of_run(first, kind);
    }
    return end_of_spaces(begin);
  }

  // \s+(?!\S)|\s+: the last blank before a word belongs to that word, if there is another.
  std::size_t end_of_spaces(std::size_t begin) const {
    std::size_t last = begin;
    std::size_t end = begin;
    while (end < text_.size() && kind_at(end) == Kind::kSpace) {
      last = end;
      end += utf8_unit(text_, end).length;
    }
    return end < text_.size() && last > begin ? last : end;
  }

  std::size_t end_of_run(std::size_t begin, Kind kind) const {
    while (begin < text_.size() && kind_at(begin) == kind) begin += utf8_unit(text_, begin).length;
    return begin;
  }

  Kind kind_at(std::size_t offset) const { return kind_of(utf8_unit(text_, offset).code_point); }

  std::string_view text_;
  std::size_t position_ = 0;
};

// What the two byte-level encodings do differently.
struct Variant {
  std::string name;
  bool last_duplicate_wins;  // of the merges
  bool skip_unknown;         // bytes and pieces that the vocabulary has not; else an error
  bool keep_unk_and_mask;    // decode() leaves <unk> and <mask> as they are
  bool add_prefix_space;
};

class ByteLevelBpe final : public Bpe {
 public:
  ByteLevelBpe(Variant variant, const std::string& vocabulary)
      : variant_(std::move(variant)),
        ids_(read_pieces(vocabulary)),
        characters_(byte_characters()) {
    for (const auto& [piece, id] : ids_) pieces_[id] = piece;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      byte_of_character_[characters_[byte]] = static_cast<char>(byte);
    }
  }

  void add_merge(std::string_view first, std::string_view second) {
    if (!merges_) merges_.emplace();
    merges_->add(first, second,
                 variant_.last_duplicate_wins ? MergeTable::Duplicate::kLastWins
                                              : MergeTable::Duplicate::kFirstWins);
  }
  bool knows(std::string_view piece) const { return ids_.count(std::string(piece)) != 0; }
  void set_encodable() {
    if (!merges_) merges_.emplace();
  }

  std::string encode(std::string_view line) const override {
    ELBEAM_CHECK(merges_, ErrorCode::kUsage, "--bpe ", variant_.name, " needs ",
                 variant_.name == "gpt2" ? "--gpt2-vocab-bpe" : "--bpe-merges", " to encode");
    require_utf8(line);
    std::string text;
    if (variant_.add_prefix_space && !line.empty() && line[0] != ' ') text = " ";
    text.append(line);
    std::string out;
    WordFinder words(text);
    for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
      append_ids(word, out);
    }
    return out;
  }

  std::string decode(std::string_view pieces) const override {
    std::string bytes;
    for (const std::string_view token : split_words(pieces)) append_bytes(token, bytes);
    return utf8_with_replacement(bytes);
  }

 private:
  void append_ids(std::string_view word, std::string& out) const {
    std::string characters;
    std::vector<std::size_t> ends;
    for (const char byte : word) {
      const std::size_t begin = characters.size();
      append_utf8(characters, characters_[static_cast<unsigned char>(byte)]);
      if (variant_.skip_unknown && !knows(std::string_view(characters).substr(begin))) {
        characters.resize(begin);
      } else {
        ends.push_back(characters.size());
      }
    }
    if (ends.empty()) return;
    std::size_t begin = 0;
    for (const std::size_t end : merges_->merge(characters, ends)) {
      const std::string piece = characters.substr(begin, end - begin);
      begin = end;
      const auto found = ids_.find(piece);
      ELBEAM_CHECK(found != ids_.end(), ErrorCode::kModel, variant_.name,
                   " bpe: the vocabulary has no piece ", quoted(piece), " (of the word ",
                   quoted(word), ")");
      if (!out.empty()) out += ' ';
      out += std::to_string(found->second);
    }
  }

  std::string_view piece_of(std::string_view token) const {
    if (variant_.keep_unk_and_mask && (token == "<unk>" || token == "<mask>")) return token;
    const std::optional<std::int64_t> id = parse_int(token);
    ELBEAM_CHECK(id, ErrorCode::kModel, variant_.name, " bpe: expected an integer token, got ",
                 quoted(token));
    const auto found = pieces_.find(*id);
    if (found == pieces_.end() && variant_.skip_unknown) return {};
    ELBEAM_CHECK(found != pieces_.end(), ErrorCode::kModel, variant_.name,
                 " bpe: no piece has the id ", *id);
    return found->second;
  }

  void append_bytes(std::string_view token, std::string& bytes) const {
    const std::string_view piece = piece_of(token);
    for (std::size_t i = 0; i < piece.size();) {
      const Utf8Unit unit = utf8_unit(piece, i);
      const auto found = byte_of_character_.find(unit.code_point);
      ELBEAM_CHECK(unit.valid && found != byte_of_character_.end(), ErrorCode::kModel,
                   variant_.name, " bpe: the piece ", quoted(piece), " of token ", quoted(token),
                   " holds a character that stands for no byte");
      bytes += found->second;
      i += unit.length;
    }
  }

  Variant variant_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::unordered_map<std::int64_t, std::string> pieces_;
  std::array<char32_t, 256> characters_;
  std::unordered_map<char32_t, char> byte_of_character_;
  std::optional<MergeTable> merges_;
};

// The two units of a line "first second"; nothing for any other line.
std::optional<std::pair<std::string_view, std::string_view>> two_units(std::string_view line) {
  const auto units = split_words(line);
  if (units.size() != 2) return std::nullopt;
  return std::pair(units[0], units[1]);
}

}  // namespace

// fairseq/data/encoders/gpt2_bpe.py and gpt2_bpe_utils.py
std::unique_ptr<Bpe> make_gpt2_bpe(const BpeOptions& options) {
  ELBEAM_CHECK(!options.gpt2_encoder_json.empty(), ErrorCode::kUsage,
               "--bpe gpt2 needs --gpt2-encoder-json FILE (elbeam downloads nothing)");
  auto bpe = std::make_unique<ByteLevelBpe>(Variant{"gpt2", true, false, true, false},
                                            options.gpt2_encoder_json);
  if (options.gpt2_vocab_bpe.empty()) return bpe;
  const std::string content = read_utf8_file(options.gpt2_vocab_bpe, limits::kMaxDictionaryBytes);
  std::vector<std::string_view> lines = text_lines(content);
  // content.split("\n")[1:-1]: the first line is a comment, and a last line without an end is lost.
  const bool complete = !content.empty() && (content.back() == '\n' || content.back() == '\r');
  if (!complete && !lines.empty()) lines.pop_back();
  bpe->set_encodable();
  for (std::size_t i = 1; i < lines.size(); ++i) {
    // A line of another form is a merge that never applies.
    if (const auto units = two_units(lines[i])) bpe->add_merge(units->first, units->second);
  }
  return bpe;
}

// fairseq/data/encoders/hf_byte_bpe.py: the ByteLevelBPETokenizer of Hugging Face's tokenizers.
std::unique_ptr<Bpe> make_hf_byte_bpe(const BpeOptions& options) {
  ELBEAM_CHECK(!options.hf_vocab.empty(), ErrorCode::kUsage, "--bpe hf_byte_bpe needs --bpe-vocab");
  auto bpe = std::make_unique<ByteLevelBpe>(
      Variant{"hf_byte_bpe", true, true, false, options.hf_add_prefix_space}, options.hf_vocab);
  if (options.hf_merges.empty()) return bpe;
  const std::string content = read_utf8_file(options.hf_merges, limits::kMaxDictionaryBytes);
  bpe->set_encodable();
  std::int64_t number = 0;
  for (const std::string_view line : text_lines(content)) {
    ++number;
    if (line.substr(0, 8) == "#version") continue;
    const std::size_t blank = line.find(' ');
    const bool two = blank != std::string_view::npos && blank > 0 && blank + 1 < line.size() &&
                     line.find(' ', blank + 1) == std::string_view::npos;
    ELBEAM_CHECK(two, ErrorCode::kFormat, options.hf_merges, ":", number,
                 ": expected two units separated by a blank, got ", quoted(line));
    const std::string_view first = line.substr(0, blank);
    const std::string_view second = line.substr(blank + 1);
    for (const std::string& piece :
         {std::string(first), std::string(second), std::string(first).append(second)}) {
      ELBEAM_CHECK(bpe->knows(piece), ErrorCode::kFormat, options.hf_merges, ":", number,
                   ": the vocabulary has no piece ", quoted(piece));
    }
    bpe->add_merge(first, second);
  }
  return bpe;
}

}  // namespace elbeam::text
