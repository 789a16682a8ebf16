#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "text/bpe_encodings.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <optional>

namespace elbeam::text {
namespace {

constexpr std::string_view kBlankMark = "\u2581";

// byte_utils.py: BYTE_TO_BCHAR
char32_t character_of(unsigned char byte) {
  const bool printable = (byte >= 32 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  return printable ? byte : 256U + byte;
}

std::optional<char> byte_of(char32_t character) {
  const auto byte = static_cast<unsigned char>(character & 0xff);
  if (character > 0x1ff || character_of(byte) != character) return std::nullopt;
  return static_cast<char>(byte);
}

// " ".join(list(text))
std::string spread(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_unit(text, i).length;
    if (i > 0) out += ' ';
    out.append(text.substr(i, length));
    i += length;
  }
  return out;
}

bool is_utf8(std::string_view bytes) { return !find_invalid_utf8(bytes); }

// byte_utils.smart_byte_decode: as many well-formed pieces of up to four bytes as can be had; of
// the ways to get them, the one that its dynamic programme happens to take.
std::string most_characters(std::string_view bytes) {
  struct Best {
    std::int64_t pieces = 0;
    std::size_t from = 0;
  };
  std::vector<Best> best(bytes.size() + 1);
  for (std::size_t i = 1; i <= bytes.size(); ++i) {
    best[i] = {best[i - 1].pieces, i - 1};
    for (std::size_t length = 1; length <= std::min<std::size_t>(4, i); ++length) {
      const std::size_t from = i - length;
      if (best[from].pieces + 1 > best[i].pieces && is_utf8(bytes.substr(from, length))) {
        best[i] = {best[from].pieces + 1, from};
      }
    }
  }
  std::vector<std::string_view> pieces;
  for (std::size_t i = bytes.size(); i > 0; i = best[i].from) {
    if (best[i].pieces == best[best[i].from].pieces + 1) {
      pieces.push_back(bytes.substr(best[i].from, i - best[i].from));
    }
  }
  std::string out;
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) out.append(*piece);
  return out;
}

// fairseq/data/encoders/characters.py
class Characters final : public Bpe {
 public:
  std::string encode(std::string_view line) const override {
    require_utf8(line);
    return spread(replace_all(line, " ", kBlankMark));
  }
  std::string decode(std::string_view pieces) const override { return blanks_from_marks(pieces); }
};

// fairseq/data/encoders/bytes.py
class Bytes final : public Bpe {
 public:
  std::string encode(std::string_view line) const override {
    return spread(replace_all(bytes_as_characters(line), " ", kBlankMark));
  }
  std::string decode(std::string_view pieces) const override {
    return text_of_byte_characters(blanks_from_marks(pieces));
  }
};

}  // namespace

std::string blanks_from_marks(std::string_view pieces) {
  return replace_all(replace_all(pieces, " ", ""), kBlankMark, " ");
}

std::string bytes_as_characters(std::string_view text) {
  require_utf8(text);
  std::string out;
  for (const char byte : single_blanks(text)) {
    append_utf8(out, character_of(static_cast<unsigned char>(byte)));
  }
  return out;
}

std::string text_of_byte_characters(std::string_view characters) {
  std::string bytes;
  for (std::size_t i = 0; i < characters.size();) {
    const Utf8Unit unit = utf8_unit(characters, i);
    const auto byte = unit.valid ? byte_of(unit.code_point) : std::nullopt;
    ELBEAM_CHECK(byte, ErrorCode::kModel, "bytes bpe: the character ",
                 quoted(characters.substr(i, unit.length)), " stands for no byte");
    bytes += *byte;
    i += unit.length;
  }
  return is_utf8(bytes) ? bytes : most_characters(bytes);
}

std::unique_ptr<Bpe> make_characters() { return std::make_unique<Characters>(); }

std::unique_ptr<Bpe> make_bytes() { return std::make_unique<Bytes>(); }

}  // namespace elbeam::text
