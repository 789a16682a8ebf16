#include "device/prompt.hpp"

#include "attention/self_attention.hpp"
#include "base/check.hpp"

#include <algorithm>

namespace elbeam::device {

using attention::Kind;

namespace {

// Lists go through the layers in groups of about so many tokens, which bounds the activations; and
// so many of these are scored at once.
constexpr std::int64_t kChunkTokens = 1024;
constexpr std::int64_t kScoredRows = 64;

std::int64_t chunk_rows(const PromptSize& size) {
  return std::min(size.tokens, std::max(kChunkTokens, size.longest));
}

}  // namespace

template <typename T>
std::int64_t prompt_numbers(const StackWeights<T>& stack, Kind self_kind, const PromptSize& size) {
  std::int64_t width = 0;
  for (const LayerWeights<T>& layer : stack.layers) width = std::max(width, layer.fc1.outputs);
  const std::int64_t of_row = 9 * stack.dim + width + 2 * stack.heads * stack.dim;
  const std::int64_t cached = checked_mul(
      size.tokens, ssize(stack.layers.size()) * attention::self_cache_width(self_kind, stack.dim));
  return checked_add(checked_add(cached, checked_mul(kScoredRows, stack.vocab)),
                     checked_mul(chunk_rows(size), of_row));
}

// Lists first .. last - 1, and room for their rows.
template <typename T>
struct PromptPass<T>::Chunk {
  Chunk(const PromptPass& pass, const Prompts& prompts, std::int64_t most)
      : activations(pass.layers_.device(), pass.layers_.stack(),
                    chunk_rows({ssize(prompts.tokens.size()), most})) {
    Device& device = pass.layers_.device();
    const StackWeights<T>& stack = pass.layers_.stack();
    if (pass.self_kind_ == Kind::kEl)
      keys_values = Buffer<T>(device, checked_mul(activations.rows, 2 * stack.dim));
    if (pass.sources_.any() && pass.sources_.kind() == Kind::kEl) {
      const std::int64_t width = pass.sources_.dim();
      expanded = Buffer<T>(device, checked_mul(checked_mul(activations.rows, stack.heads), width));
      pooled = Buffer<T>(device, expanded.size());
    }
  }

  // Takes the lists from `first` on that find room; returns the first that is left.
  std::int64_t fill(const PromptPass& pass, const Prompts& prompts, std::int64_t first) {
    Device& device = pass.layers_.device();
    const Sources<T>& sources = pass.sources_;
    std::vector<std::int32_t> position;
    std::vector<kernels::KeyRange> own;
    std::vector<kernels::KeyRange> of_source;
    std::vector<kernels::RowRange> list_rows;
    begin = prompts.offsets[usize(first)];
    longest = 0;
    std::int64_t s = first;
    for (; s + 1 < ssize(prompts.offsets.size()); ++s) {
      const std::int64_t end = prompts.offsets[usize(s + 1)];
      const std::int32_t row = narrow(prompts.offsets[usize(s)] - begin);
      const std::int32_t length = narrow(end - begin - row);
      if (end - begin > activations.rows) break;
      if (length == 0) continue;
      const std::int32_t group = narrow(ssize(list_rows.size()));
      own.push_back({group, row, length, 0, 1});
      if (sources.any())
        of_source.push_back({group, narrow(sources.first(s)), narrow(sources.length(s)), 0, 1});
      list_rows.push_back({row, length});
      for (std::int32_t p = 0; p < length; ++p) position.push_back(p);
      longest = std::max<std::int64_t>(longest, length);
    }
    rows = prompts.offsets[usize(s)] - begin;
    const auto part = [&](const auto& all) {
      return std::span<const std::int32_t>(all).subspan(usize(begin), usize(rows));
    };
    tokens = Buffer<std::int32_t>(device, part(prompts.tokens));
    if (!prompts.targets.empty()) targets = Buffer<std::int32_t>(device, part(prompts.targets));
    positions = Buffer<std::int32_t>(device, std::span<const std::int32_t>(position));
    ranges = Buffer<kernels::KeyRange>(device, std::span<const kernels::KeyRange>(own));
    source_ranges =
        Buffer<kernels::KeyRange>(device, std::span<const kernels::KeyRange>(of_source));
    rows_of = Buffer<kernels::RowRange>(device, std::span<const kernels::RowRange>(list_rows));
    return s;
  }

  Activations<T> activations;
  Buffer<T> keys_values;  // EL-attention keeps hidden states, and attends here as multi-head does
  Buffer<T> expanded;     // EL-attention to the source
  Buffer<T> pooled;
  std::int64_t begin = 0;  // first token
  std::int64_t rows = 0;
  std::int64_t longest = 0;
  Buffer<std::int32_t> tokens;
  Buffer<std::int32_t> targets;
  Buffer<std::int32_t> positions;
  Buffer<kernels::KeyRange> ranges;
  Buffer<kernels::KeyRange> source_ranges;
  Buffer<kernels::RowRange> rows_of;
};

template <typename T>
std::vector<float> PromptPass<T>::run(const Prompts& prompts, float temperature,
                                      PromptCache<T>& cache) const {
  Device& device = layers_.device();
  const std::int64_t width = attention::self_cache_width(self_kind_, layers_.stack().dim);
  const std::int64_t total = ssize(prompts.tokens.size());
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < prompts.offsets.size(); ++s)
    longest = std::max(longest, prompts.offsets[s + 1] - prompts.offsets[s]);
  cache.offsets = prompts.offsets;
  for (std::size_t i = 0; i < layers_.stack().layers.size(); ++i)
    cache.layers.emplace_back(device, checked_mul(total, width));
  std::vector<float> log_probs(prompts.targets.size());
  Chunk chunk(*this, prompts, longest);
  for (std::int64_t first = 0; first + 1 < ssize(prompts.offsets.size());) {
    first = chunk.fill(*this, prompts, first);
    if (chunk.rows == 0) continue;
    read(chunk, cache);
    if (!log_probs.empty()) {
      score(chunk, temperature,
            std::span<float>(log_probs).subspan(usize(chunk.begin), usize(chunk.rows)));
    }
  }
  return log_probs;
}

template <typename T>
void PromptPass<T>::read(const Chunk& chunk, PromptCache<T>& cache) const {
  const Activations<T>& a = chunk.activations;
  kernels::EmbedArgs<T> embed;
  embed.tokens = chunk.tokens.data();
  embed.position_of = chunk.positions.data();
  layers_.embed(a, embed, chunk.rows);
  const StackWeights<T>& stack = layers_.stack();
  const bool crosses = sources_.any();
  for (std::size_t i = 0; i < stack.layers.size(); ++i) {
    const LayerWeights<T>& layer = stack.layers[i];
    attend_to_self(chunk, i, cache);
    layers_.close_block(a, chunk.rows, layer.self.output_bias, layer.self_norm,
                        crosses ? layer.cross_norm : layer.final_norm);
    if (crosses) {
      attend_to_source(chunk, i);
      layers_.close_block(
          a, chunk.rows,
          sources_.kind() == Kind::kEl ? layer.cross->folded_output_bias : layer.cross->output_bias,
          layer.cross_norm, layer.final_norm);
    }
    layers_.feed_forward(a, chunk.rows, layer);
    layers_.close_block(a, chunk.rows, layer.fc2.bias, layer.final_norm, layers_.first_norm(i + 1));
  }
}

// Whole sequences are attended to with keys and values; what is kept is the hidden states where the
// steps are EL-attention.
template <typename T>
void PromptPass<T>::attend_to_self(const Chunk& chunk, std::size_t layer,
                                   PromptCache<T>& cache) const {
  Device& device = layers_.device();
  const Activations<T>& a = chunk.activations;
  const AttentionWeights<T>& w = layers_.stack().layers[layer].self;
  const std::int64_t d = layers_.stack().dim;
  const std::int64_t heads = layers_.stack().heads;
  const bool el = self_kind_ == Kind::kEl;
  T* const kept = cache.layers[layer].data() + chunk.begin * (el ? d : 2 * d);
  T* const keys = el ? chunk.keys_values.data() : kept;
  if (el) device.copy(kept, layers_.input(a), chunk.rows * d * ssize(sizeof(T)));
  Product<T> product;
  product.m = chunk.rows;
  product.n = product.ldc = d;
  product.k = product.lda = product.ldb = d;
  product.a = layers_.input(a);
  product.b = w.fused.weight.data();
  product.bias = w.fused.bias.data();
  product.c = a.projected.data();
  device.multiply(product);
  product.n = product.ldc = 2 * d;
  product.b += d * d;
  product.bias += d;
  product.c = keys;
  device.multiply(product);
  kernels::ContiguousArgs<T> args;
  args.ranges = chunk.ranges.data();
  args.rows_of = chunk.rows_of.data();
  args.queries = a.projected.data();
  args.keys = keys;
  args.values = keys + d;
  args.out = a.context.data();
  args.query_stride = args.out_stride = d;
  args.key_stride = 2 * d;
  args.width = args.head_stride = narrow(d / heads);
  layers_.attend(args, {chunk.ranges.size(), chunk.longest, heads, false, true});
  layers_.linear(a.context.data(), chunk.rows, w.output, a.branch.data(), d);
}

template <typename T>
void PromptPass<T>::attend_to_source(const Chunk& chunk, std::size_t layer) const {
  const Activations<T>& a = chunk.activations;
  const AttentionWeights<T>& w = *layers_.stack().layers[layer].cross;
  const std::int64_t d = layers_.stack().dim;
  const std::int64_t heads = layers_.stack().heads;
  kernels::ContiguousArgs<T> args;
  args.ranges = chunk.source_ranges.data();
  args.rows_of = chunk.rows_of.data();
  const bool el = sources_.kind() == Kind::kEl;
  const TokenLaunch how{chunk.source_ranges.size(), chunk.longest, heads, el};
  if (el) {
    args.queries = chunk.expanded.data();
    args.keys = args.values = sources_.hidden();
    args.out = chunk.pooled.data();
    args.query_stride = args.key_stride = args.out_stride = sources_.dim();
    args.query_rows = narrow(heads);
    args.width = narrow(sources_.dim());
    args.key_rows = sources_.tokens();
    args.partial_rows = chunk.rows * heads;
    const kernels::AttentionPlan plan = layers_.plan_attention(args, how);
    const std::int64_t slice = layers_.slice_rows(
        plan, chunk.rows, std::max<std::int64_t>(plan.rows / heads, 1), args.width);
    layers_.attend_expanded(a, w, {chunk.rows, slice, chunk.expanded.data(), chunk.pooled.data()},
                            [&](const RowSlice& part) {
                              args.first_row = narrow(part.first);
                              args.end_row = narrow(part.first + part.rows);
                              layers_.attend(args, how);
                            });
  } else {
    layers_.linear(layers_.input(a), chunk.rows, w.query, a.projected.data(), d);
    args.queries = a.projected.data();
    args.keys = sources_.keys(layer);
    args.values = sources_.values(layer);
    args.out = a.context.data();
    args.query_stride = args.key_stride = args.out_stride = d;
    args.width = args.head_stride = narrow(d / heads);
    layers_.attend(args, how);
  }
  layers_.linear(a.context.data(), chunk.rows, w.output, a.branch.data(), d);
}

template <typename T>
void PromptPass<T>::score(const Chunk& chunk, float temperature, std::span<float> log_probs) const {
  Device& device = layers_.device();
  const std::int64_t vocab = output_.outputs;
  const std::int64_t most = std::min(chunk.rows, kScoredRows);
  const Buffer<T> logits(device, checked_mul(most, vocab));
  const Buffer<float> found(device, chunk.rows);
  const T* const features = layers_.result(chunk.activations);
  for (std::int64_t first = 0; first < chunk.rows; first += most) {
    const std::int64_t rows = std::min(most, chunk.rows - first);
    layers_.linear(features + first * layers_.stack().dim, rows, output_, logits.data(), vocab);
    device.kernels(T{}).log_prob({logits.data(), found.data() + first, narrow(rows), narrow(vocab),
                                  temperature, chunk.targets.data() + first},
                                 row_launch(device, rows, 256, 256 / 32 * 4));
  }
  device.download(log_probs.data(), found.data(), chunk.rows * ssize(sizeof(float)));
}

template std::int64_t prompt_numbers(const StackWeights<float>&, Kind, const PromptSize&);
template std::int64_t prompt_numbers(const StackWeights<kernels::Half>&, Kind, const PromptSize&);
template class PromptPass<float>;
template class PromptPass<kernels::Half>;

}  // namespace elbeam::device
