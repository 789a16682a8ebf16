#include "fairseq_bridge/binarizer.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "fairseq_bridge/text_file.hpp"
#include "text/python_format.hpp"
#include "text/python_string.hpp"

#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace elbeam::fairseq {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;

// Appends the tokens of one line and counts what it replaced.
using EncodeLine = std::function<void(std::string_view line, const std::string& place,
                                      std::vector<std::int64_t>& tokens, std::int64_t& replaced)>;

struct EncodedPiece {
  EncodedSentences sentences;
  BinarizeSummary summary;
};

EncodedPiece encode_piece(const TextFile::Piece& piece, const std::string& path,
                          const DatasetBuilder& builder, const EncodeLine& encode) {
  EncodedPiece out;
  std::vector<std::int64_t> tokens;
  for_each_line(piece, path, [&](std::string_view line, std::int64_t number) {
    tokens.clear();
    encode(line, concat(path, ":", number), tokens, out.summary.replaced);
    ELBEAM_CHECK(ssize(tokens.size()) <= limits::kMaxSequenceLength, ErrorCode::kLimit, path, ":",
                 number, ": ", tokens.size(), " tokens in a line, the limit is ",
                 limits::kMaxSequenceLength);
    builder.encode(tokens, out.sentences);
    ++out.summary.sentences;
    out.summary.tokens += ssize(tokens.size());
  });
  return out;
}

BinarizeSummary binarize(const std::string& input, DatasetBuilder& builder,
                         const EncodeLine& encode, ThreadPool& pool) {
  TextFile file(input);
  BinarizeSummary summary;
  for (;;) {
    const auto pieces = file.next_pieces(pool.threads(), kPieceBytes);
    if (pieces.empty()) break;
    std::vector<EncodedPiece> encoded(pieces.size());
    pool.parallel_for(ssize(pieces.size()), [&](std::int64_t i) {
      encoded[usize(i)] = encode_piece(pieces[usize(i)], input, builder, encode);
    });
    for (const EncodedPiece& piece : encoded) {
      builder.append(piece.sentences);
      summary.sentences += piece.summary.sentences;
      summary.tokens += piece.summary.tokens;
      summary.replaced += piece.summary.replaced;
    }
  }
  builder.finish();
  return summary;
}

}  // namespace

std::string BinarizeSummary::text() const {
  const std::string base = concat(sentences, " sents, ", tokens, " tokens");
  if (sentences == 0) return base;
  const double percent = 100.0 * static_cast<double>(replaced) / static_cast<double>(tokens);
  return concat(base, ", ", text::python_general(percent, 3), "% replaced");
}

BinarizeSummary binarize_text(const std::string& input, const text::Dictionary& dictionary,
                              const DatasetTarget& target, ThreadPool& pool) {
  DatasetBuilder builder(target.prefix, target.format, dictionary.size());
  const SpecialTokens special = dictionary.special();
  const std::string& unk_word = dictionary.symbol(special.unk);
  return binarize(
      input, builder,
      [&](std::string_view line, const std::string&, std::vector<std::int64_t>& tokens,
          std::int64_t& replaced) {
        for (const std::string_view word : text::split_words(line)) {
          const std::int64_t id = dictionary.index(word);
          if (id == special.unk && word != unk_word) ++replaced;
          tokens.push_back(id);
        }
        tokens.push_back(special.eos);
      },
      pool);
}

BinarizeSummary binarize_alignments(const std::string& input, const DatasetTarget& target,
                                    ThreadPool& pool) {
  DatasetBuilder builder(target.prefix, target.format, std::nullopt);
  return binarize(
      input, builder,
      [](std::string_view line, const std::string& place, std::vector<std::int64_t>& tokens,
         std::int64_t&) {
        for (const std::string_view pair : text::split_words(line)) {
          const auto [source, destination] = parse_alignment_pair(pair, place);
          tokens.push_back(source);
          tokens.push_back(destination);
        }
      },
      pool);
}

std::pair<std::int64_t, std::int64_t> parse_alignment_pair(std::string_view pair,
                                                           const std::string& place) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max() - 1;
  const std::size_t dash = pair.find('-');
  const bool one_dash = dash != std::string_view::npos && pair.find('-', dash + 1) == pair.npos;
  const auto first = one_dash ? text::parse_int(pair.substr(0, dash)) : std::nullopt;
  const auto second = one_dash ? text::parse_int(pair.substr(dash + 1)) : std::nullopt;
  ELBEAM_CHECK(first && second && *first <= kMax && *second <= kMax, ErrorCode::kFormat, place,
               ": expected alignments like 0-0 1-2, got ", quoted(pair));
  return {*first, *second};
}

}  // namespace elbeam::fairseq
