#include "device/decode_run.hpp"

#include "attention/self_attention.hpp"
#include "base/check.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::device {

using attention::Kind;
using kernels::AttentionPlan;

namespace {

constexpr std::int64_t kPageSteps = kernels::kPageSteps;

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

template <typename T>
std::int64_t run_bytes(const StackWeights<T>& stack, const RunShape& shape,
                       std::int64_t source_tokens) {
  const std::int64_t rows = checked_mul(shape.sentences, shape.beam);
  const auto layers = ssize(stack.layers.size());
  const bool el = shape.self_kind == Kind::kEl || shape.cross_kind == Kind::kEl;
  std::int64_t width = 0;
  for (const LayerWeights<T>& layer : stack.layers) width = std::max(width, layer.fc1.outputs);
  const std::int64_t of_row =
      7 * stack.dim + width + stack.vocab + (el ? 2 * stack.heads * stack.dim : std::int64_t{0});
  const std::int64_t cached =
      checked_mul(round_up(shape.max_steps, kPageSteps),
                  checked_mul(layers, attention::self_cache_width(shape.self_kind, stack.dim)));
  const std::int64_t of_token =
      shape.cross_kind == Kind::kEl ? stack.dim : (2 * layers + 1) * stack.dim;
  const std::int64_t numbers = checked_add(checked_mul(rows, checked_add(of_row, cached)),
                                           checked_mul(source_tokens, of_token));
  const std::int64_t read =
      shape.prompt_tokens == 0
          ? 0
          : prompt_numbers(stack, shape.self_kind, {shape.prompt_tokens, shape.longest_prompt});
  const std::int64_t merged = shape.prompt_tokens == 0 ? 0 : checked_mul(rows, 3 * stack.dim * 4);
  // Two tables of ancestors, tokens and scores so far and of what has finished.
  const std::int64_t tables =
      checked_mul(rows, checked_mul(shape.max_steps + 16, std::int64_t{6 * 4}));
  return checked_add(checked_mul(checked_add(numbers, checked_add(read, merged)),
                                 static_cast<std::int64_t>(sizeof(T))),
                     tables);
}

template <typename T>
DecodeRun<T>::DecodeRun(const Layers<T>& layers, const Linear<T>& output, const RunShape& shape,
                        Sources<T> sources)
    : layers_(layers),
      output_(output),
      shape_(shape),
      max_rows_(checked_mul(shape.sentences, shape.beam)),
      sources_(std::move(sources)),
      activations_(layers.device(), layers.stack(), max_rows_) {
  Device& device = layers.device();
  const StackWeights<T>& stack = layers.stack();
  rows_.state = Buffer<kernels::StepState>(device, 1);
  rows_.tokens = Buffer<std::int32_t>(device, max_rows_);
  rows_.parents = Buffer<std::int32_t>(device, max_rows_);
  rows_.rows_of = Buffer<kernels::RowRange>(device, shape.sentences + 1);
  device.clear(rows_.rows_of.data(), rows_.rows_of.bytes());
  for (auto* buffer : {&rows_.position_of_row, &rows_.first_of_row, &rows_.parts_of_row})
    *buffer = Buffer<std::int32_t>(device, max_rows_);
  std::vector<std::int32_t> slots(usize(max_rows_));
  std::iota(slots.begin(), slots.end(), 0);
  rows_.slot_of_row = Buffer<std::int32_t>(device, slots);
  rows_.ancestor_stride = round_up(shape.max_steps + 1, 16);
  for (auto& table : rows_.ancestors)
    table = Buffer<std::int32_t>(device, checked_mul(max_rows_, rows_.ancestor_stride));
  // Rows that have left are still multiplied, and looked up: they need tokens.
  for (const Buffer<std::int32_t>* buffer : {&rows_.tokens, &rows_.parents, &rows_.position_of_row,
                                             &rows_.first_of_row, &rows_.parts_of_row}) {
    device.clear(buffer->data(), buffer->bytes());
  }
  const bool cross_el = sources_.any() && shape.cross_kind == Kind::kEl;
  if (shape.self_kind == Kind::kEl || cross_el) {
    const std::int64_t key_dim = std::max(stack.dim, sources_.dim());
    expanded_ = Buffer<T>(device, checked_mul(checked_mul(max_rows_, stack.heads), key_dim));
    pooled_ = Buffer<T>(device, expanded_.size());
  }
  logits_ = Buffer<T>(device, checked_mul(max_rows_, output.outputs));
  page_table_ =
      Buffer<kernels::CachePage<T>>(device, (shape.max_steps + kPageSteps - 1) / kPageSteps);
  if (sources_.most_parts() == 1) return;
  const std::int64_t places =
      checked_mul(std::int64_t{sources_.most_parts()}, checked_mul(max_rows_, stack.heads));
  partial_ = Buffer<float>(
      device, checked_mul(places, cross_el ? sources_.dim() : stack.dim / stack.heads));
  partial_stats_ = Buffer<float>(device, 2 * places);
}

template <typename T>
std::int64_t DecodeRun<T>::slot_width() const {
  return ssize(layers_.stack().layers.size()) *
         attention::self_cache_width(shape_.self_kind, layers_.stack().dim);
}

template <typename T>
std::vector<float> DecodeRun<T>::read(const Prompts& prompts, float temperature) {
  if (prompts.tokens.empty()) return {};
  ELBEAM_INVARIANT(pages_.empty() && ssize(prompts.offsets.size()) == shape_.sentences + 1);
  PromptPass<T> pass(layers_, output_, sources_, shape_.self_kind);
  std::vector<float> log_probs = pass.run(prompts, temperature, prompts_);
  plan_prompts();
  return log_probs;
}

template <typename T>
void DecodeRun<T>::plan_prompts() {
  Device& device = layers_.device();
  const bool el = shape_.self_kind == Kind::kEl;
  const std::int64_t heads = layers_.stack().heads;
  const std::int64_t blocks = shape_.sentences * (el ? (shape_.beam * heads + 15) / 16 : heads);
  std::vector<kernels::KeyRange> ranges;
  for (std::int64_t s = 0; s < shape_.sentences; ++s) {
    const std::int64_t first = prompts_.offsets[usize(s)];
    const std::int64_t length = prompts_.offsets[usize(s + 1)] - first;
    const std::int64_t parts =
        length == 0 ? 0 : kernels::plan_parts(narrow(length), blocks, device.properties().limits);
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t begin = length * p / parts;
      ranges.push_back({narrow(s), narrow(first + begin), narrow(length * (p + 1) / parts - begin),
                        narrow(p), narrow(parts + 1)});
    }
    prompt_lengths_.push_back(narrow(length));
    self_parts_.push_back(narrow(parts + 1));  // the last is that of the hypothesis's own steps
  }
  prompt_ranges_ = Buffer<kernels::KeyRange>(device, std::span<const kernels::KeyRange>(ranges));
  rows_.self_parts_of = Buffer<std::int32_t>(device, std::span<const std::int32_t>(self_parts_));
  rows_.self_parts_of_row = Buffer<std::int32_t>(device, max_rows_);
  device.clear(rows_.self_parts_of_row.data(), rows_.self_parts_of_row.bytes());
  const std::int64_t most = *std::max_element(self_parts_.begin(), self_parts_.end());
  const std::int64_t places = checked_mul(most, checked_mul(max_rows_, heads));
  const std::int64_t d = layers_.stack().dim;
  self_partial_ = Buffer<float>(device, checked_mul(places, el ? d : d / heads));
  self_partial_stats_ = Buffer<float>(device, 2 * places);
}

template <typename T>
void DecodeRun<T>::open_step(std::int64_t step) {
  ELBEAM_INVARIANT(step < shape_.max_steps);
  const std::int64_t number = step / kPageSteps;
  if (number < ssize(pages_.size())) return;
  // A page has slots for all places: sentences that begin later will need them.
  pages_.emplace_back(layers_.device(),
                      checked_mul(checked_mul(max_rows_, kPageSteps), slot_width()));
  const kernels::CachePage<T> entry{pages_.back().data(), max_rows_};
  layers_.device().upload(page_table_.data() + number, &entry, sizeof entry);
}

template <typename T>
kernels::PagedCache<T> DecodeRun<T>::cache(std::size_t layer) const {
  kernels::PagedCache<T> cache;
  cache.pages = page_table_.data();
  cache.ancestors[0] = rows_.ancestors[0].data();
  cache.ancestors[1] = rows_.ancestors[1].data();
  cache.ancestor_stride = rows_.ancestor_stride;
  cache.first_of_row = rows_.first_of_row.data();
  cache.slot_width = slot_width();
  cache.layer_offset =
      ssize(layer) * attention::self_cache_width(shape_.self_kind, layers_.stack().dim);
  return cache;
}

template <typename T>
void DecodeRun<T>::launch_step(std::int64_t rows, std::int64_t group_rows) const {
  Device& device = layers_.device();
  const StackWeights<T>& stack = layers_.stack();
  device.search_kernels().advance({rows_.state.data(),
                                   rows_.parents.data(),
                                   {rows_.ancestors[0].data(), rows_.ancestors[1].data()},
                                   rows_.ancestor_stride,
                                   rows_.first_of_row.data(),
                                   rows_.slot_of_row.data()},
                                  row_launch(device, rows, 64, 0));
  kernels::EmbedArgs<T> embed;
  embed.tokens = rows_.tokens.data();
  embed.state = rows_.state.data();
  embed.position_of = rows_.position_of_row.data();
  layers_.embed(activations_, embed, rows);
  for (std::size_t i = 0; i < stack.layers.size(); ++i) {
    const LayerWeights<T>& layer = stack.layers[i];
    const bool self_el = shape_.self_kind == Kind::kEl;
    self_block(i, rows, group_rows);
    layers_.close_block(activations_, rows,
                        self_el ? layer.self.folded_output_bias : layer.self.output_bias,
                        layer.self_norm, sources_.any() ? layer.cross_norm : layer.final_norm);
    if (sources_.any()) {
      cross_block(i, rows, group_rows);
      layers_.close_block(activations_, rows,
                          shape_.cross_kind == Kind::kEl ? layer.cross->folded_output_bias
                                                         : layer.cross->output_bias,
                          layer.cross_norm, layer.final_norm);
    }
    layers_.feed_forward(activations_, rows, layer);
    layers_.close_block(activations_, rows, layer.fc2.bias, layer.final_norm,
                        layers_.first_norm(i + 1));
  }
  layers_.linear(layers_.result(activations_), rows, output_, logits_.data(), output_.outputs);
}

template <typename T>
void DecodeRun<T>::store(const T* x, std::int64_t stride, std::int64_t first, std::int64_t width,
                         std::size_t layer, std::int64_t rows) const {
  Device& device = layers_.device();
  device.kernels(T{}).store(
      {rows_.state.data(), cache(layer), x, stride, narrow(first), narrow(width)},
      row_launch(device, rows, row_threads(width), 0));
}

template <typename T>
void DecodeRun<T>::self_block(std::size_t layer, std::int64_t rows, std::int64_t group_rows) const {
  const AttentionWeights<T>& w = layers_.stack().layers[layer].self;
  const std::int64_t d = layers_.stack().dim;
  const std::int32_t heads = narrow(layers_.stack().heads);
  kernels::PagedArgs<T> args;
  args.state = rows_.state.data();
  args.cache = cache(layer);
  if (shape_.self_kind == Kind::kEl) {
    store(layers_.input(activations_), d, 0, d, layer, rows);
    args.queries = expanded_.data();
    args.out = pooled_.data();
    args.query_stride = args.out_stride = d;
    args.query_rows = heads;
    args.width = narrow(d);
    const std::int64_t slice =
        layers_.slice_rows(plan_history(args, group_rows), rows, group_rows, d);
    layers_.attend_expanded(
        activations_, w, {rows, slice, expanded_.data(), pooled_.data()},
        [&](const RowSlice& part) { attend_history(args, layer, part, group_rows); });
  } else {
    layers_.linear(layers_.input(activations_), rows, w.fused, activations_.projected.data(),
                   3 * d);
    store(activations_.projected.data(), 3 * d, d, 2 * d, layer, rows);
    args.queries = activations_.projected.data();
    args.out = activations_.context.data();
    args.query_stride = 3 * d;
    args.out_stride = d;
    args.width = args.head_stride = narrow(d / heads);
    args.value_offset = narrow(d);
    attend_history(args, layer, {0, rows}, group_rows);
  }
  layers_.linear(activations_.context.data(), rows, w.output, activations_.branch.data(), d);
}

template <typename T>
AttentionPlan DecodeRun<T>::plan_history(const kernels::PagedArgs<T>& args,
                                         std::int64_t group_rows) const {
  return kernels::plan_paged({args.width, narrow(group_rows * args.query_rows), narrow(group_rows),
                              static_cast<int>(sizeof(T)), args.value_offset == 0},
                             layers_.device().properties().limits);
}

template <typename T>
void DecodeRun<T>::attend_history(kernels::PagedArgs<T> args, std::size_t layer,
                                  const RowSlice& slice, std::int64_t group_rows) const {
  const Device& device = layers_.device();
  const kernels::DeviceKernels<T>& kernels = device.kernels(T{});
  const std::int32_t heads = args.head_stride == 0 ? 1 : narrow(layers_.stack().heads);
  const bool prompted = prompt_ranges_.size() > 0;
  args.first_group = narrow(slice.first / group_rows);
  for (const std::int32_t*& ancestors : args.cache.ancestors)
    ancestors += slice.first * args.cache.ancestor_stride;
  args.cache.first_of_row += slice.first;
  if (prompted) attend_prompts(args, layer, slice);
  const AttentionPlan plan = plan_history(args, group_rows);
  args.chunks = plan.chunks;
  args.row_blocks = (narrow(group_rows * args.query_rows) + plan.warps - 1) / plan.warps;
  args.tile_slots = plan.tile;
  (prompted ? kernels.paged_part : kernels.paged)[plan.geometry](
      args, {narrow((slice.rows + group_rows - 1) / group_rows * plan.chunks * args.row_blocks), 1,
             heads, plan.warps * 32, plan.shared_bytes, device.stream()});
  if (prompted) {
    merge({args.partial, args.partial_stats, args.parts_of_row, args.out, args.out_stride,
           args.partial_rows, args.query_rows, args.width, heads, args.head_stride},
          slice.rows);
  }
}

template <typename T>
void DecodeRun<T>::attend_prompts(kernels::PagedArgs<T>& own, std::size_t layer,
                                  const RowSlice& slice) const {
  const bool el = shape_.self_kind == Kind::kEl;
  own.parts_of_row = rows_.self_parts_of_row.data() + slice.first;
  own.partial = self_partial_.data();
  own.partial_stats = self_partial_stats_.data();
  own.partial_rows = max_rows_ * own.query_rows;
  kernels::ContiguousArgs<T> args;
  args.ranges = prompt_ranges_.data();
  args.rows_of = rows_.rows_of.data();
  args.queries = own.queries;
  args.keys = prompts_.layers[layer].data();
  args.values = args.keys + own.value_offset;
  args.out = own.out;
  args.query_stride = own.query_stride;
  args.key_stride = attention::self_cache_width(shape_.self_kind, layers_.stack().dim);
  args.out_stride = own.out_stride;
  args.query_rows = own.query_rows;
  args.width = own.width;
  args.head_stride = own.head_stride;
  args.partial = own.partial;
  args.partial_stats = own.partial_stats;
  args.partial_rows = own.partial_rows;
  args.key_rows = prompts_.offsets.back();
  args.first_row = narrow(slice.first);
  args.end_row = narrow(slice.first + slice.rows);
  layers_.attend(args, {prompt_ranges_.size(), shape_.beam, layers_.stack().heads, el});
}

template <typename T>
void DecodeRun<T>::merge(const kernels::MergeArgs<T>& args, std::int64_t rows) const {
  const Device& device = layers_.device();
  device.kernels(T{}).merge(args, {narrow(rows * args.query_rows), args.heads, 1,
                                   row_threads(args.width), 0, device.stream()});
}

template <typename T>
void DecodeRun<T>::cross_block(std::size_t layer, std::int64_t rows,
                               std::int64_t group_rows) const {
  const AttentionWeights<T>& w = *layers_.stack().layers[layer].cross;
  const std::int64_t d = layers_.stack().dim;
  const std::int32_t heads = narrow(layers_.stack().heads);
  kernels::ContiguousArgs<T> args;
  args.ranges = sources_.ranges().data();
  args.rows_of = rows_.rows_of.data();
  args.partial = partial_.data();
  args.partial_stats = partial_stats_.data();
  args.key_rows = sources_.tokens();
  if (shape_.cross_kind == Kind::kEl) {
    args.queries = expanded_.data();
    args.keys = args.values = sources_.hidden();
    args.out = pooled_.data();
    args.query_stride = args.key_stride = args.out_stride = sources_.dim();
    args.query_rows = heads;
    args.width = narrow(sources_.dim());
    const AttentionPlan plan = layers_.plan_attention(args, {0, group_rows, 1, true});
    const std::int64_t slice = layers_.slice_rows(plan, rows, group_rows, args.width);
    layers_.attend_expanded(activations_, w, {rows, slice, expanded_.data(), pooled_.data()},
                            [&](const RowSlice& part) { attend_source(args, part); });
  } else {
    layers_.linear(layers_.input(activations_), rows, w.query, activations_.projected.data(), d);
    args.queries = activations_.projected.data();
    args.keys = sources_.keys(layer);
    args.values = sources_.values(layer);
    args.out = activations_.context.data();
    args.query_stride = args.key_stride = args.out_stride = d;
    args.width = args.head_stride = narrow(d / heads);
    attend_source(args, {0, rows});
  }
  layers_.linear(activations_.context.data(), rows, w.output, activations_.branch.data(), d);
}

template <typename T>
void DecodeRun<T>::attend_source(kernels::ContiguousArgs<T> args, const RowSlice& slice) const {
  const bool el = args.head_stride == 0;
  const std::int32_t heads = narrow(layers_.stack().heads);
  args.partial_rows = max_rows_ * args.query_rows;
  args.first_row = narrow(slice.first);
  args.end_row = narrow(slice.first + slice.rows);
  layers_.attend(args, {sources_.ranges().size(), shape_.beam, heads, el});
  if (sources_.most_parts() > 1) {
    merge({args.partial, args.partial_stats, rows_.parts_of_row.data() + slice.first, args.out,
           args.out_stride, args.partial_rows, args.query_rows, args.width, el ? 1 : heads,
           args.head_stride},
          slice.rows);
  }
}

template <typename T>
std::int64_t DecodeRun<T>::self_bytes() const noexcept {
  std::int64_t total = 0;
  for (const Buffer<T>& page : pages_) total += page.bytes();
  return total;
}

template std::int64_t run_bytes(const StackWeights<float>&, const RunShape&, std::int64_t);
template std::int64_t run_bytes(const StackWeights<kernels::Half>&, const RunShape&, std::int64_t);
template class DecodeRun<float>;
template class DecodeRun<kernels::Half>;

}  // namespace elbeam::device
