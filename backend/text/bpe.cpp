#include "text/bpe.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <unordered_map>

namespace elbeam::text {
namespace {

// fairseq/data/encoders/{subword_nmt,fastbpe}_bpe.py
class MarkedBpe final : public Bpe {
 public:
  explicit MarkedBpe(const std::string& separator) : mark_(separator + " ") {}

  std::string decode(std::string_view pieces) const override {
    const std::string joined = replace_all(std::string(pieces) + " ", mark_, "");
    return std::string(strip_right(joined));
  }

 private:
  std::string mark_;
};

// fairseq/data/encoders/{sentencepiece_bpe,characters}.py; only the former strips the result.
class BlankMarkBpe final : public Bpe {
 public:
  explicit BlankMarkBpe(bool strip_result) : strip_result_(strip_result) {}

  std::string decode(std::string_view pieces) const override {
    std::string text = replace_all(replace_all(pieces, " ", ""), "\u2581", " ");
    return strip_result_ ? std::string(strip(text)) : text;
  }

 private:
  bool strip_result_;
};

// The characters that GPT-2 writes for bytes: printable Latin-1 for itself, the 68 others get
// U+0100, U+0101, ... in the order of their values (gpt2_bpe_utils.py: bytes_to_unicode).
std::unordered_map<char32_t, char> gpt2_byte_of_character() {
  std::unordered_map<char32_t, char> bytes;
  char32_t next_substitute = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[printable ? byte : next_substitute++] = static_cast<char>(byte);
  }
  return bytes;
}

std::string read_text(const std::string& path, std::int64_t max_bytes) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  ELBEAM_CHECK(ssize(bytes.size()) <= max_bytes, ErrorCode::kLimit, path, ": file has ",
               bytes.size(), " bytes, the limit is ", max_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// encoder.json: {"piece": id, ...}, turned round.
std::unordered_map<std::int64_t, std::string> read_gpt2_pieces(const std::string& path) {
  const std::string content = read_text(path, limits::kMaxConfigBytes);
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
  std::unordered_map<std::int64_t, std::string> pieces;
  for (const auto& [piece, id] : root.items()) {
    ELBEAM_CHECK(id.is_number_integer(), ErrorCode::kFormat, path, ": the id of the piece ",
                 quoted(piece), " is not an integer");
    pieces[id.get<std::int64_t>()] = piece;
  }
  return pieces;
}

// fairseq/data/encoders/gpt2_bpe.py: a line of ids, with <unk> and <mask> left as they are.
class Gpt2Bpe final : public Bpe {
 public:
  explicit Gpt2Bpe(const std::string& encoder_json)
      : pieces_(read_gpt2_pieces(encoder_json)), byte_of_character_(gpt2_byte_of_character()) {}

  std::string decode(std::string_view pieces) const override {
    std::string bytes;
    for (const std::string_view token : split_words(pieces)) append_bytes(token, bytes);
    return utf8_with_replacement(bytes);
  }

 private:
  std::string_view piece_of(std::string_view token) const {
    if (token == "<unk>" || token == "<mask>") return token;
    const std::optional<std::int64_t> id = parse_int(token);
    ELBEAM_CHECK(id, ErrorCode::kModel, "gpt2 bpe: expected an integer token, got ", quoted(token));
    const auto found = pieces_.find(*id);
    ELBEAM_CHECK(found != pieces_.end(), ErrorCode::kModel, "gpt2 bpe: no piece has the id ", *id);
    return found->second;
  }

  void append_bytes(std::string_view token, std::string& bytes) const {
    const std::string_view piece = piece_of(token);
    for (std::size_t i = 0; i < piece.size();) {
      const Utf8Unit unit = utf8_unit(piece, i);
      const auto found = byte_of_character_.find(unit.code_point);
      ELBEAM_CHECK(unit.valid && found != byte_of_character_.end(), ErrorCode::kModel,
                   "gpt2 bpe: the piece ", quoted(piece), " of token ", quoted(token),
                   " holds a character that stands for no byte");
      bytes += found->second;
      i += unit.length;
    }
  }

  std::unordered_map<std::int64_t, std::string> pieces_;
  std::unordered_map<char32_t, char> byte_of_character_;
};

}  // namespace

std::unique_ptr<Bpe> make_bpe(const BpeOptions& options) {
  const std::string& name = options.name;
  if (name == "subword_nmt") return std::make_unique<MarkedBpe>(options.bpe_separator);
  if (name == "fastbpe") return std::make_unique<MarkedBpe>("@@");
  if (name == "sentencepiece") return std::make_unique<BlankMarkBpe>(true);
  if (name == "characters") return std::make_unique<BlankMarkBpe>(false);
  if (name == "gpt2") {
    ELBEAM_CHECK(!options.gpt2_encoder_json.empty(), ErrorCode::kUsage,
                 "--bpe gpt2 needs --gpt2-encoder-json FILE (elbeam downloads nothing)");
    return std::make_unique<Gpt2Bpe>(options.gpt2_encoder_json);
  }
  fail(ErrorCode::kUsage, "--bpe ", quoted(name),
       " is not supported; known: gpt2, subword_nmt, fastbpe, sentencepiece, characters");
}

}  // namespace elbeam::text
