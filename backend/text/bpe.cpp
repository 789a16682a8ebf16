#include "text/bpe.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/mapped_file.hpp"
#include "text/bpe_encodings.hpp"
#include "text/utf8.hpp"

#include <algorithm>

namespace elbeam::text {

std::string read_utf8_file(const std::string& path, std::int64_t max_bytes) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  ELBEAM_CHECK(ssize(bytes.size()) <= max_bytes, ErrorCode::kLimit, path, ": file has ",
               bytes.size(), " bytes, the limit is ", max_bytes);
  std::string content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto invalid = find_invalid_utf8(content);
  ELBEAM_CHECK(!invalid, ErrorCode::kFormat, path, ": byte ", invalid.value_or(0), " is not UTF-8");
  return content;
}

std::vector<std::string_view> text_lines(std::string_view content) {
  std::vector<std::string_view> lines;
  while (!content.empty()) {
    const std::size_t end = std::min(content.find_first_of("\r\n"), content.size());
    lines.push_back(content.substr(0, end));
    const bool two_bytes = content.substr(end, 2) == "\r\n";
    content.remove_prefix(std::min(content.size(), end + (two_bytes ? 2 : 1)));
  }
  return lines;
}

std::unique_ptr<Bpe> make_bpe(const BpeOptions& options) {
  const std::string& name = options.name;
  if (name == "subword_nmt") return make_subword_nmt(options);
  if (name == "fastbpe") return make_fastbpe(options);
  if (name == "gpt2") return make_gpt2_bpe(options);
  if (name == "hf_byte_bpe") return make_hf_byte_bpe(options);
  if (name == "sentencepiece") return make_sentencepiece(options);
  if (name == "byte_bpe") return make_byte_bpe(options);
  if (name == "bytes") return make_bytes();
  if (name == "characters") return make_characters();
  ELBEAM_CHECK(name != "bert", ErrorCode::kUsage,
               "--bpe bert is not supported: its word pieces need BERT's own text normalization");
  fail(ErrorCode::kUsage, "--bpe ", quoted(name),
       " is not supported; known: gpt2, subword_nmt, fastbpe, sentencepiece, characters, bytes, "
       "byte_bpe, hf_byte_bpe");
}

}  // namespace elbeam::text
