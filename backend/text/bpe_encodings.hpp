// The encodings behind make_bpe(), one factory each. Internal to the module.
#pragma once

#include "text/bpe.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::text {

std::unique_ptr<Bpe> make_subword_nmt(const BpeOptions& options);
std::unique_ptr<Bpe> make_fastbpe(const BpeOptions& options);
std::unique_ptr<Bpe> make_gpt2_bpe(const BpeOptions& options);
std::unique_ptr<Bpe> make_hf_byte_bpe(const BpeOptions& options);
std::unique_ptr<Bpe> make_sentencepiece(const BpeOptions& options);
std::unique_ptr<Bpe> make_byte_bpe(const BpeOptions& options);
std::unique_ptr<Bpe> make_bytes();
std::unique_ptr<Bpe> make_characters();

// fairseq/data/encoders/byte_utils.py: one character for each byte of the text, its white space
// made single blanks; and back, leaving out what is not UTF-8. The latter throws Error(kModel) for
// a character that stands for no byte.
std::string bytes_as_characters(std::string_view text);
std::string text_of_byte_characters(std::string_view characters);

// str.replace(" ", "").replace(U+2581, " ")
std::string blanks_from_marks(std::string_view pieces);

// The content of a file of at most max_bytes. Throws Error(kIo, kLimit), and kFormat for bytes that
// are not UTF-8.
std::string read_utf8_file(const std::string& path, std::int64_t max_bytes);

// Lines as Python's text mode reads them (\n, \r and \r\n end one), views into `content`. A line
// end at the very end does not start another line.
std::vector<std::string_view> text_lines(std::string_view content);

}  // namespace elbeam::text
