#include "device/encoder.hpp"

#include "base/check.hpp"
#include "kernels/launch_plan.hpp"
#include "model/embedding.hpp"

#include <algorithm>

namespace elbeam::device {
namespace {

// Sentences are encoded in groups of about this many tokens, which bounds the activations.
constexpr std::int64_t kChunkTokens = 8192;

std::int64_t chunk_rows(std::int64_t tokens, std::int64_t longest) {
  return std::min(tokens, std::max(kChunkTokens, longest));
}

void check_sentence(const std::vector<std::int64_t>& sentence, std::size_t number,
                    std::int64_t max_positions, std::int64_t vocab) {
  ELBEAM_CHECK(!sentence.empty() && ssize(sentence.size()) <= max_positions, ErrorCode::kModel,
               "source sentence ", number, " of the batch: expected 1 to ", max_positions,
               " tokens, got ", sentence.size());
  for (const std::int64_t token : sentence) {
    ELBEAM_CHECK(token != model::kPad, ErrorCode::kModel, "source sentence ", number,
                 " of the batch holds the padding symbol");
    ELBEAM_CHECK(token >= 0 && token < vocab, ErrorCode::kModel, "token id ", token,
                 " is outside the encoder's vocabulary of ", vocab);
  }
}

// Sentences that are encoded together.
struct Chunk {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> positions;
  std::vector<kernels::KeyRange> ranges;
  std::vector<kernels::RowRange> rows_of;
  std::int32_t longest = 0;
};

Chunk make_chunk(const SourceBatch& batch, std::span<const SourceAt> sentences) {
  Chunk chunk;
  for (const SourceAt& source : sentences) {
    const auto& sentence = batch.sentences[usize(source.sentence)];
    const std::int32_t begin = narrow(ssize(chunk.tokens.size()));
    const std::int32_t length = narrow(ssize(sentence.size()));
    chunk.ranges.push_back({narrow(ssize(chunk.ranges.size())), begin, length, 0, 1});
    chunk.rows_of.push_back({begin, length});
    chunk.longest = std::max(chunk.longest, length);
    for (std::int32_t p = 0; p < length; ++p) {
      chunk.tokens.push_back(narrow(sentence[usize(p)]));
      chunk.positions.push_back(p);
    }
  }
  return chunk;
}

template <typename T>
class ChunkRun {
 public:
  ChunkRun(const Layers<T>& layers, const Chunk& chunk)
      : layers_(layers),
        chunk_(chunk),
        rows_(ssize(chunk.tokens.size())),
        tokens_(layers.device(), std::span<const std::int32_t>(chunk.tokens)),
        positions_(layers.device(), std::span<const std::int32_t>(chunk.positions)),
        ranges_(layers.device(), std::span<const kernels::KeyRange>(chunk.ranges)),
        rows_of_(layers.device(), std::span<const kernels::RowRange>(chunk.rows_of)) {}

  void run(const Activations<T>& a) const {
    kernels::EmbedArgs<T> embed;
    embed.tokens = tokens_.data();
    embed.position_of = positions_.data();
    layers_.embed(a, embed, rows_);
    const auto& stack = layers_.stack();
    for (std::size_t i = 0; i < stack.layers.size(); ++i) {
      const LayerWeights<T>& layer = stack.layers[i];
      attend(a, layer);
      layers_.close_block(a, rows_, layer.self.output_bias, layer.self_norm, layer.final_norm);
      layers_.feed_forward(a, rows_, layer);
      layers_.close_block(a, rows_, layer.fc2.bias, layer.final_norm, layers_.first_norm(i + 1));
    }
  }

 private:
  void attend(const Activations<T>& a, const LayerWeights<T>& layer) const {
    const std::int64_t d = layers_.stack().dim;
    const std::int64_t heads = layers_.stack().heads;
    layers_.linear(layers_.input(a), rows_, layer.self.fused, a.projected.data(), 3 * d);
    kernels::ContiguousArgs<T> args;
    args.ranges = ranges_.data();
    args.rows_of = rows_of_.data();
    args.queries = a.projected.data();
    args.keys = a.projected.data() + d;
    args.values = a.projected.data() + 2 * d;
    args.out = a.context.data();
    args.query_stride = args.key_stride = 3 * d;
    args.out_stride = d;
    args.width = args.head_stride = narrow(d / heads);
    layers_.attend(args, {ssize(chunk_.ranges.size()), chunk_.longest, heads});
    layers_.linear(a.context.data(), rows_, layer.self.output, a.branch.data(), d);
  }

  const Layers<T>& layers_;
  const Chunk& chunk_;
  std::int64_t rows_;
  Buffer<std::int32_t> tokens_;
  Buffer<std::int32_t> positions_;
  Buffer<kernels::KeyRange> ranges_;
  Buffer<kernels::RowRange> rows_of_;
};

}  // namespace

template <typename T>
void check_sources(const StackWeights<T>& encoder, const SourceBatch& batch) {
  for (std::size_t s = 0; s < batch.sentences.size(); ++s)
    check_sentence(batch.sentences[s], s, encoder.max_positions, encoder.vocab);
}

template <typename T>
std::int64_t encoder_numbers(const StackWeights<T>& encoder, std::int64_t tokens,
                             std::int64_t longest) {
  std::int64_t width = 0;
  for (const LayerWeights<T>& layer : encoder.layers) width = std::max(width, layer.fc1.outputs);
  return checked_mul(chunk_rows(tokens, longest), 7 * encoder.dim + width);
}

template <typename T>
void encode(const Layers<T>& encoder, const SourceBatch& batch, std::span<const SourceAt> sentences,
            Sources<T>& to) {
  std::int64_t tokens = 0;
  std::int64_t longest = 1;
  for (const SourceAt& source : sentences) {
    tokens = checked_add(tokens, source.tokens);
    longest = std::max(longest, source.tokens);
  }
  const Activations<T> activations(encoder.device(), encoder.stack(), chunk_rows(tokens, longest));
  for (std::size_t first = 0; first < sentences.size();) {
    std::size_t last = first;
    for (std::int64_t rows = 0; last < sentences.size(); ++last) {
      rows += sentences[last].tokens;
      if (rows > activations.rows) break;
    }
    const auto together = sentences.subspan(first, last - first);
    const Chunk chunk = make_chunk(batch, together);
    ChunkRun<T>(encoder, chunk).run(activations);
    to.put(together, encoder.result(activations));
    first = last;
  }
}

template void check_sources(const StackWeights<float>&, const SourceBatch&);
template void check_sources(const StackWeights<kernels::Half>&, const SourceBatch&);
template std::int64_t encoder_numbers(const StackWeights<float>&, std::int64_t, std::int64_t);
template std::int64_t encoder_numbers(const StackWeights<kernels::Half>&, std::int64_t,
                                      std::int64_t);
template void encode(const Layers<float>&, const SourceBatch&, std::span<const SourceAt>,
                     Sources<float>&);
template void encode(const Layers<kernels::Half>&, const SourceBatch&, std::span<const SourceAt>,
                     Sources<kernels::Half>&);

}  // namespace elbeam::device
