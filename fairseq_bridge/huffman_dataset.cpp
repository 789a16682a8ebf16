#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/token_array.hpp"
#include "fairseq_bridge/token_dataset.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <bit>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace elbeam::fairseq {
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

struct SymbolCount {
  std::string symbol;
  std::int64_t count;
};

// Python's Counter: symbols in the order of their first appearance.
class Counter {
 public:
  void increment(std::string_view symbol, std::int64_t count) {
    const auto [found, is_new] = places_.try_emplace(std::string(symbol), counts_.size());
    if (is_new) counts_.push_back({std::string(symbol), 0});
    std::int64_t& sum = counts_[found->second].count;
    sum = checked_add(sum, count);
  }
  void require(std::string_view symbol) {
    const auto found = places_.find(std::string(symbol));
    if (found == places_.end() || counts_[found->second].count == 0) increment(symbol, 1);
  }
  std::vector<SymbolCount> most_common() && {
    std::stable_sort(counts_.begin(), counts_.end(),
                     [](const SymbolCount& a, const SymbolCount& b) { return a.count > b.count; });
    return std::move(counts_);
  }

 private:
  std::vector<SymbolCount> counts_;
  std::unordered_map<std::string, std::size_t> places_;
};

// HuffmanCodeBuilder.from_file: lines "symbol<white space>count".
Counter read_counts(const std::string& path) {
  const MappedFile file(path);
  std::string_view content = text_of(file);
  ELBEAM_CHECK(ssize(content.size()) <= limits::kMaxDictionaryBytes, ErrorCode::kLimit, path,
               ": file has ", content.size(), " bytes, the limit is ", limits::kMaxDictionaryBytes);
  const auto invalid = text::find_invalid_utf8(content);
  ELBEAM_CHECK(!invalid, ErrorCode::kFormat, path, ": byte ", invalid.value_or(0), " is not UTF-8");
  Counter counter;
  for (std::int64_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find_first_of("\r\n"), content.size());
    const auto fields = text::split_words(content.substr(0, end));
    const auto count = fields.size() < 2 ? std::nullopt : text::parse_int(fields[1]);
    ELBEAM_CHECK(count && *count >= 0, ErrorCode::kFormat, path, ":", number,
                 ": expected 'symbol count', got ", quoted(content.substr(0, end)));
    counter.increment(fields[0], *count);
    const bool two_bytes = content.substr(end, 2) == "\r\n";
    content.remove_prefix(std::min(content.size(), end + (two_bytes ? 2 : 1)));
  }
  for (const char* special : {"<s>", "<pad>", "</s>", "<unk>"}) counter.require(special);
  return counter;
}

// HuffmanCoder: a tree of nodes 0..n-1, the leaves first and in the order of their ids.
class HuffmanTree {
 public:
  explicit HuffmanTree(const std::vector<SymbolCount>& symbols) : leaves_(ssize(symbols.size())) {
    std::vector<std::int64_t> counts;
    for (const SymbolCount& symbol : symbols) counts.push_back(symbol.count);
    nodes_.resize(symbols.size());
    std::int64_t rarest_leaf = leaves_ - 1;
    std::int64_t oldest_node = leaves_;
    // HuffmanCodeBuilder._smallest: on a tie the inner node goes first.
    const auto smallest = [&] {
      const bool no_node = oldest_node == ssize(nodes_.size());
      const bool leaf =
          rarest_leaf >= 0 && (no_node || counts[usize(rarest_leaf)] < counts[usize(oldest_node)]);
      return leaf ? rarest_leaf-- : oldest_node++;
    };
    while (rarest_leaf >= 0 || oldest_node + 1 != ssize(nodes_.size())) {
      const std::int64_t left = smallest();
      const std::int64_t right = smallest();
      counts.push_back(checked_add(counts[usize(left)], counts[usize(right)]));
      nodes_.push_back({left, right});
    }
  }

  std::int64_t root() const { return ssize(nodes_.size()) - 1; }
  bool is_leaf(std::int64_t node) const { return node < leaves_; }
  std::int64_t child(std::int64_t node, bool bit) const {
    return bit ? nodes_[usize(node)].left : nodes_[usize(node)].right;
  }

 private:
  struct Node {
    std::int64_t left = -1;
    std::int64_t right = -1;
  };
  std::int64_t leaves_;
  std::vector<Node> nodes_;
};

// Layout of the .idx file: magic, u64 version, u64 bytes of data, u64 count, i32 sizes[count], i64
// ends[count] (of the codes in the .bin file).
constexpr std::string_view kMagic("HUFFIDX\0\0", 9);
constexpr std::int64_t kHeaderBytes = 9 + 3 * 8;

class HuffmanDataset final : public TokenDataset {
 public:
  explicit HuffmanDataset(const std::string& prefix)
      : index_(prefix + ".idx"),
        data_(prefix + ".bin"),
        tree_(read_counts(prefix + ".vocab").most_common()) {
    read_header();
    check_entries();
  }

  std::int64_t size() const noexcept override { return count_; }
  std::int64_t length(std::int64_t index) const override {
    return load<std::int32_t>(sizes_, index);
  }

  std::vector<std::int64_t> tokens(std::int64_t index) const override {
    const std::int64_t begin = index == 0 ? 0 : load<std::int64_t>(ends_, index - 1);
    const auto codes =
        data_.bytes().subspan(usize(begin), usize(load<std::int64_t>(ends_, index) - begin));
    std::vector<std::int64_t> out;
    std::int64_t node = tree_.root();
    const std::int64_t bits = code_bits(codes);
    // Not a token more than the index promises is kept.
    for (std::int64_t i = 0; i < bits && ssize(out.size()) <= length(index); ++i) {
      const unsigned byte = std::to_integer<unsigned>(codes[usize(i / 8)]);
      node = tree_.child(node, ((byte >> (7 - i % 8)) & 1U) != 0);
      if (!tree_.is_leaf(node)) continue;
      out.push_back(node);
      node = tree_.root();
    }
    ELBEAM_CHECK(bits >= 0 && node == tree_.root() && ssize(out.size()) == length(index),
                 ErrorCode::kFormat, data_.path(), ": the codes of sentence ", index,
                 ", from byte ", begin, " on, give ", out.size(), " tokens and ",
                 node == tree_.root() ? "no" : "a", " rest, expected ", length(index), " tokens");
    return out;
  }

 private:
  // The bits before the last 1, which only marks the end; -1 where there is none.
  static std::int64_t code_bits(std::span<const std::byte> codes) {
    for (std::int64_t i = ssize(codes.size()) - 1; i >= 0; --i) {
      const unsigned byte = std::to_integer<unsigned>(codes[usize(i)]);
      if (byte != 0) return i * 8 + 7 - std::countr_zero(byte);
    }
    return -1;
  }

  void read_header() {
    const auto bytes = index_.bytes();
    check_index_header(index_, kMagic, kHeaderBytes);
    data_bytes_ = narrow<std::int64_t>(load<std::uint64_t>(bytes.data() + 17, 0));
    ELBEAM_CHECK(data_bytes_ <= ssize(data_.bytes().size()), ErrorCode::kFormat, index_.path(),
                 ": says that ", data_.path(), " has ", data_bytes_, " bytes, it has ",
                 data_.bytes().size());
    count_ = narrow<std::int64_t>(load<std::uint64_t>(bytes.data() + 25, 0));
    check_index_room(index_, kHeaderBytes, count_);
    sizes_ = bytes.data() + kHeaderBytes;
    ends_ = sizes_ + count_ * 4;
  }

  void check_entries() const {
    std::int64_t begin = 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      const std::int64_t size = load<std::int32_t>(sizes_, i);
      const std::int64_t end = load<std::int64_t>(ends_, i);
      ELBEAM_CHECK(end >= begin && end <= data_bytes_, ErrorCode::kFormat, index_.path(),
                   ": the codes of sentence ", i, " end at byte ", end, ", expected ", begin,
                   " to ", data_bytes_);
      // A code has at least one bit, and one bit marks the end.
      ELBEAM_CHECK(size >= 0 && size <= limits::kMaxSequenceLength && size < (end - begin) * 8,
                   ErrorCode::kFormat, index_.path(), ": sentence ", i, " has ", size,
                   " tokens in ", end - begin, " bytes of codes");
      begin = end;
    }
  }

  MappedFile index_;
  MappedFile data_;
  HuffmanTree tree_;
  std::int64_t data_bytes_ = 0;
  std::int64_t count_ = 0;
  const std::byte* sizes_ = nullptr;
  const std::byte* ends_ = nullptr;
};

}  // namespace

std::unique_ptr<TokenDataset> open_huffman_dataset(const std::string& prefix) {
  return std::make_unique<HuffmanDataset>(prefix);
}

}  // namespace elbeam::fairseq
