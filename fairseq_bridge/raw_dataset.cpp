#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/token_dataset.hpp"
#include "text/utf8.hpp"

#include <string_view>
#include <utility>

namespace elbeam::fairseq {
namespace {

class RawDataset final : public TokenDataset {
 public:
  RawDataset(std::vector<std::vector<std::int64_t>> sentences, std::vector<std::string> lines)
      : sentences_(std::move(sentences)), lines_(std::move(lines)) {}

  std::int64_t size() const noexcept override { return ssize(sentences_.size()); }
  std::int64_t length(std::int64_t index) const override {
    return ssize(sentences_[usize(index)].size());
  }
  std::vector<std::int64_t> tokens(std::int64_t index) const override {
    return sentences_[usize(index)];
  }
  std::string text(std::int64_t index) const override { return lines_[usize(index)]; }

 private:
  std::vector<std::vector<std::int64_t>> sentences_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string TokenDataset::text(std::int64_t) const {
  fail(ErrorCode::kUsage,
       "the lines of the text are wanted (--replace-unk), and only "
       "--dataset-impl raw has them");
}

std::unique_ptr<TokenDataset> open_raw_dataset(const std::string& path,
                                               const text::Dictionary& dictionary) {
  const MappedFile file(path);
  const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
  if (const auto offset = text::find_invalid_utf8(content)) {
    fail(ErrorCode::kFormat, path, ": byte ", *offset, " is not UTF-8");
  }
  std::vector<std::vector<std::int64_t>> sentences;
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < content.size();) {
    // Python's text mode ends a line at \n, \r and \r\n.
    const std::size_t end = std::min(content.find_first_of("\r\n", begin), content.size());
    lines.emplace_back(content.substr(begin, end - begin));
    sentences.push_back(dictionary.encode_line(lines.back()));
    ELBEAM_CHECK(ssize(sentences.back().size()) <= limits::kMaxSequenceLength, ErrorCode::kLimit,
                 path, ": line ", sentences.size(), " has ", sentences.back().size(),
                 " tokens, the limit is ", limits::kMaxSequenceLength);
    begin = end + (content.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  return std::make_unique<RawDataset>(std::move(sentences), std::move(lines));
}

}  // namespace elbeam::fairseq
