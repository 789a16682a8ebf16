#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/token_dataset.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace elbeam::fairseq {
namespace {

class FastaDataset final : public TokenDataset {
 public:
  explicit FastaDataset(std::vector<std::vector<std::int64_t>> sequences)
      : sequences_(std::move(sequences)) {}

  std::int64_t size() const noexcept override { return ssize(sequences_.size()); }
  std::int64_t length(std::int64_t index) const override {
    return ssize(sequences_[usize(index)].size()) - 1;
  }
  std::vector<std::int64_t> tokens(std::int64_t index) const override {
    return sequences_[usize(index)];
  }

 private:
  std::vector<std::vector<std::int64_t>> sequences_;  // each with an eos
};

}  // namespace

std::unique_ptr<TokenDataset> open_fasta_dataset(const std::string& prefix,
                                                 const text::Dictionary& dictionary) {
  const MappedFile file(prefix + ".fasta");
  std::string_view content(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const std::int64_t eos = dictionary.special().eos;
  std::vector<std::vector<std::int64_t>> sequences;
  for (std::int64_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(content.size(), end + 1));
    if (line.substr(0, 1) == ">") {
      if (!sequences.empty()) sequences.back().push_back(eos);
      sequences.emplace_back();
      continue;
    }
    if (sequences.empty()) continue;  // fairseq reads from the first description on
    std::vector<std::int64_t>& sequence = sequences.back();
    for (std::size_t i = 0; i < line.size(); ++i) {
      ELBEAM_CHECK(line[i] > ' ' && line[i] <= '~', ErrorCode::kFormat, file.path(), ":", number,
                   ": expected printable ASCII without blanks in a sequence, found ",
                   quoted(line.substr(i, 1)), " at byte ", i, " of the line");
      sequence.push_back(dictionary.index(line.substr(i, 1)));
    }
    ELBEAM_CHECK(ssize(sequence.size()) < limits::kMaxSequenceLength, ErrorCode::kLimit,
                 file.path(), ":", number, ": a sequence above the limit of ",
                 limits::kMaxSequenceLength, " symbols");
  }
  if (!sequences.empty()) sequences.back().push_back(eos);
  return std::make_unique<FastaDataset>(std::move(sequences));
}

}  // namespace elbeam::fairseq
