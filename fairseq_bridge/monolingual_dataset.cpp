#include "fairseq_bridge/monolingual_dataset.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "fairseq_bridge/batching.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

namespace elbeam::fairseq {
namespace {

// TokenBlockDataset's document_sep_len: a sentence of just an eos.
constexpr std::int64_t kDocumentSeparator = 1;

using Slices = std::vector<std::pair<std::int64_t, std::int64_t>>;  // [begin, end) in the stream

// token_block_utils_fast: break mode "complete" and "complete_doc". Slices come in rising order.
class SliceMaker {
 public:
  SliceMaker(std::int64_t block_size, bool documents)
      : block_size_(block_size), documents_(documents) {}

  void add_sentence(std::int64_t size) {
    const bool separator = documents_ && size == kDocumentSeparator;
    if (separator) {
      close();
      begin_ += size;
      return;
    }
    if (length_ != 0 && length_ + size > block_size_) close();
    length_ += size;
  }

  Slices finish() {
    close();
    return std::move(slices_);
  }

 private:
  void close() {
    const std::int64_t shortest = documents_ ? 2 : 1;
    if (length_ >= shortest) slices_.emplace_back(begin_, begin_ + length_);
    begin_ += length_;
    length_ = 0;
  }

  std::int64_t block_size_;
  bool documents_;
  std::int64_t begin_ = 0;
  std::int64_t length_ = 0;
  Slices slices_;
};

Slices equal_slices(std::int64_t total, std::int64_t block_size) {
  Slices slices;
  for (std::int64_t begin = 0; begin < total; begin += block_size) {
    slices.emplace_back(begin, std::min(begin + block_size, total));
  }
  return slices;
}

}  // namespace

std::optional<BreakMode> parse_break_mode(std::string_view name) noexcept {
  if (name == "none") return BreakMode::kNone;
  if (name == "complete") return BreakMode::kComplete;
  if (name == "complete_doc") return BreakMode::kCompleteDoc;
  if (name == "eos") return BreakMode::kEos;
  return std::nullopt;
}

MonolingualDataset::MonolingualDataset(std::unique_ptr<TokenDataset> sentences,
                                       const SpecialTokens& special,
                                       const MonolingualOptions& options)
    : sentences_(std::move(sentences)), special_(special), options_(options) {
  ELBEAM_CHECK(
      options_.tokens_per_sample >= 1 && options_.tokens_per_sample <= limits::kMaxSequenceLength,
      ErrorCode::kUsage, "--tokens-per-sample must be between 1 and ", limits::kMaxSequenceLength,
      ", got ", options_.tokens_per_sample);
  ELBEAM_CHECK(sentences_->size() > 0, ErrorCode::kModel, "the data has no sentence");
  if (options_.break_mode == BreakMode::kEos) {
    cut_sentences();
  } else {
    cut_stream();
  }
  ELBEAM_CHECK(!blocks_.empty(), ErrorCode::kModel, "the data has no ",
               options_.break_mode == BreakMode::kCompleteDoc ? "document of two tokens" : "token",
               " to make a sample of");
}

std::int64_t MonolingualDataset::size() const noexcept { return ssize(blocks_.size()); }

std::int64_t MonolingualDataset::sample_size(std::int64_t index) const {
  return blocks_[usize(index)].length;
}

std::int64_t MonolingualDataset::sentence_size(std::int64_t index) const {
  const std::int64_t length = sentences_->length(index);
  return options_.truncate ? std::min(length, options_.tokens_per_sample) : length;
}

void MonolingualDataset::cut_sentences() {
  blocks_.reserve(usize(sentences_->size()));
  for (std::int64_t i = 0; i < sentences_->size(); ++i) {
    blocks_.push_back({sentence_size(i), i, 0, i});
  }
}

void MonolingualDataset::cut_stream() {
  if (options_.break_mode == BreakMode::kNone) {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < sentences_->size(); ++i) {
      total = checked_add(total, sentence_size(i));
    }
    add_blocks(equal_slices(total, options_.tokens_per_sample));
    return;
  }
  SliceMaker maker(options_.tokens_per_sample, options_.break_mode == BreakMode::kCompleteDoc);
  for (std::int64_t i = 0; i < sentences_->size(); ++i) maker.add_sentence(sentence_size(i));
  add_blocks(maker.finish());
}

// token_block_utils_fast._get_block_to_dataset_index_fast: one walk over the sentences. Where a
// sentence of length 0 stands in front of a position (an empty fasta sequence, whose eos does not
// count), the walk stops at that one.
void MonolingualDataset::add_blocks(const Slices& slices) {
  blocks_.reserve(slices.size());
  std::int64_t sentence = 0;
  std::int64_t offset = 0;   // in the sentence
  std::int64_t reached = 0;  // in the stream
  const auto seek = [&](std::int64_t position) {
    while (reached < position) {
      const std::int64_t left = sentence_size(sentence) - offset;
      if (left > position - reached) {
        offset += position - reached;
        reached = position;
      } else {
        reached += left;
        offset = 0;
        ++sentence;
      }
    }
  };
  for (const auto& [begin, end] : slices) {
    seek(begin);
    Block block{end - begin, sentence, offset, 0};
    seek(end - 1);
    block.last_sentence = sentence;
    blocks_.push_back(block);
  }
}

std::vector<std::int64_t> MonolingualDataset::joined_sentences(const Block& block) const {
  std::vector<std::int64_t> joined;
  for (std::int64_t i = block.first_sentence; i <= block.last_sentence; ++i) {
    const std::vector<std::int64_t> tokens = sentences_->tokens(i);
    const std::int64_t kept = options_.truncate
                                  ? std::min(ssize(tokens.size()), options_.tokens_per_sample)
                                  : ssize(tokens.size());
    joined.insert(joined.end(), tokens.begin(), tokens.begin() + kept);
  }
  return joined;
}

// TokenBlockDataset.__getitem__ and MonolingualDataset.__getitem__ with targets ["future"].
MonolingualDataset::Sample MonolingualDataset::sample(std::int64_t index) const {
  const Block& block = blocks_[usize(index)];
  const std::vector<std::int64_t> joined = joined_sentences(block);
  const auto at = [&](std::int64_t position) {
    return joined.begin() + std::clamp<std::int64_t>(position, 0, ssize(joined.size()));
  };
  const std::int64_t end = block.offset + block.length;
  Sample sample;
  sample.target.assign(at(block.offset), at(end));
  if (block.offset == 0) sample.source.push_back(special_.eos);
  sample.source.insert(sample.source.end(), at(std::max<std::int64_t>(block.offset - 1, 0)),
                       at(std::max<std::int64_t>(end - 1, 0)));
  if (options_.output_size >= 0) {
    const auto unpredictable = [this](std::int64_t token) { return token >= options_.output_size; };
    std::replace_if(sample.target.begin(), sample.target.end(), unpredictable, special_.unk);
    // fairseq replaces in place, and source and target are views of one tensor unless the block
    // begins with its first sentence: all of the source but its first token is replaced, too.
    if (block.offset > 0 && !sample.source.empty()) {
      std::replace_if(sample.source.begin() + 1, sample.source.end(), unpredictable, special_.unk);
    }
  }
  if (options_.add_bos_token) {
    sample.source.insert(sample.source.begin(), special_.bos);
    sample.target.insert(sample.target.begin(), special_.bos);
  }
  return sample;
}

std::vector<std::int64_t> MonolingualDataset::ordered_indices(std::uint32_t seed) const {
  const std::vector<std::int64_t> rank = numpy_permutation(seed, size());
  std::vector<std::int64_t> order(usize(size()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  // numpy.lexsort((permutation, sizes)): the permutation is a key here, not an order.
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return std::pair(sample_size(a), rank[usize(a)]) < std::pair(sample_size(b), rank[usize(b)]);
  });
  return order;
}

MonolingualDataset load_monolingual_dataset(const std::string& data, const std::string& subset,
                                            DatasetImpl impl, const text::Dictionary& dictionary,
                                            const MonolingualOptions& options) {
  const std::string prefix = (std::filesystem::path(first_data_path(data)) / subset).string();
  auto sentences = load_indexed_dataset(prefix, impl, dictionary);
  ELBEAM_CHECK(sentences != nullptr, ErrorCode::kIo, "Dataset not found: ", subset, " (", prefix,
               ")");
  MonolingualOptions own = options;
  own.output_size = options.output_size < 0 || options.output_size >= dictionary.size()
                        ? -1
                        : options.output_size;
  return {std::move(sentences), dictionary.special(), own};
}

}  // namespace elbeam::fairseq
