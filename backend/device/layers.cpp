#include "device/layers.hpp"

#include "base/check.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::device {

std::int32_t narrow(std::int64_t value) {
  ELBEAM_CHECK(value >= 0 && value <= std::numeric_limits<std::int32_t>::max(), ErrorCode::kLimit,
               "a size of ", value, " is too large for a device; use a smaller --batch-size");
  return static_cast<std::int32_t>(value);
}

kernels::Launch row_launch(const Device& device, std::int64_t rows, int threads, int shared_bytes) {
  return {narrow(rows), 1, 1, threads, shared_bytes, device.stream()};
}

int row_threads(std::int64_t dim) { return dim <= 256 ? 64 : dim <= 512 ? 128 : 256; }

template <typename T>
Activations<T>::Activations(Device& device, const StackWeights<T>& stack, std::int64_t row_count)
    : rows(row_count),
      x(device, checked_mul(rows, stack.dim)),
      normalised(device, rows * stack.dim),
      branch(device, rows * stack.dim),
      projected(device, checked_mul(rows, 3 * stack.dim)),
      context(device, rows * stack.dim) {
  std::int64_t width = 0;
  for (const LayerWeights<T>& layer : stack.layers) width = std::max(width, layer.fc1.outputs);
  hidden = Buffer<T>(device, checked_mul(rows, width));
}

template <typename T>
void Layers<T>::embed(const Activations<T>& a, kernels::EmbedArgs<T> args,
                      std::int64_t rows) const {
  args.token_table = stack_.tokens.data();
  args.position_table = stack_.positions.data();
  args.gain = stack_.embedding_norm.gain.data();
  args.bias = stack_.embedding_norm.bias.data();
  args.x = a.x.data();
  args.rows = narrow(rows);
  args.dim = narrow(stack_.dim);
  args.scale = stack_.embedding_scale;
  const int threads = row_threads(stack_.dim);
  const int shared = kernels::row_shared_bytes(args.dim, threads);
  device_.kernels(T{}).embed(args, row_launch(device_, rows, threads, shared));
  if (!stack_.normalize_before) return;
  const NormWeights<T>& first = first_norm(0);
  kernels::NormArgs<T> norm;
  norm.x = a.x.data();
  norm.gain = first.gain.data();
  norm.norm_bias = first.bias.data();
  norm.normalised = a.normalised.data();
  norm.rows = args.rows;
  norm.dim = args.dim;
  device_.kernels(T{}).norm(norm, row_launch(device_, rows, threads, shared));
}

template <typename T>
void Layers<T>::close_block(const Activations<T>& a, std::int64_t rows, const Buffer<T>& bias,
                            const NormWeights<T>& own, const NormWeights<T>& next) const {
  const bool before = stack_.normalize_before;
  const NormWeights<T>& norm = before ? next : own;
  kernels::NormArgs<T> args;
  args.x = a.branch.data();
  args.bias = bias.data();
  args.residual = a.x.data();
  args.sum = before ? a.x.data() : nullptr;
  args.gain = norm.gain.data();
  args.norm_bias = norm.bias.data();
  args.normalised = before ? a.normalised.data() : a.x.data();
  args.rows = narrow(rows);
  args.dim = narrow(stack_.dim);
  const int threads = row_threads(stack_.dim);
  device_.kernels(T{}).norm(
      args, row_launch(device_, rows, threads, kernels::row_shared_bytes(args.dim, threads)));
}

template <typename T>
void Layers<T>::feed_forward(const Activations<T>& a, std::int64_t rows,
                             const LayerWeights<T>& layer) const {
  const std::int64_t width = layer.fc1.outputs;
  Product<T> first;
  first.m = rows;
  first.n = first.ldc = width;
  first.k = first.lda = first.ldb = stack_.dim;
  first.a = input(a);
  first.b = layer.fc1.weight.data();
  first.c = a.hidden.data();
  device_.multiply(first);
  device_.kernels(T{}).activate(
      {a.hidden.data(), layer.fc1.bias.data(), rows, narrow(width), stack_.activation},
      row_launch(device_, rows, row_threads(width), 0));
  Product<T> second;
  second.m = rows;
  second.n = second.ldc = stack_.dim;
  second.k = second.lda = second.ldb = width;
  second.a = a.hidden.data();
  second.b = layer.fc2.weight.data();
  second.c = a.branch.data();
  device_.multiply(second);
}

template <typename T>
void Layers<T>::linear(const T* x, std::int64_t rows, const Linear<T>& w, T* y,
                       std::int64_t ldy) const {
  Product<T> product;
  product.m = rows;
  product.n = w.outputs;
  product.k = product.lda = product.ldb = w.inputs;
  product.a = x;
  product.b = w.weight.data();
  product.c = y;
  product.ldc = ldy;
  product.bias = w.bias.data();
  device_.multiply(product);
}

template <typename T>
kernels::AttentionPlan Layers<T>::plan_attention(const kernels::ContiguousArgs<T>& args,
                                                 const TokenLaunch& how) const {
  const std::int32_t query_rows = narrow(checked_mul(how.rows, std::int64_t{args.query_rows}));
  return kernels::plan_contiguous(
      {args.width, query_rows, narrow(how.rows), static_cast<int>(sizeof(T)), how.el},
      device_.properties().limits);
}

template <typename T>
void Layers<T>::attend(kernels::ContiguousArgs<T> args, const TokenLaunch& how) const {
  const std::int32_t query_rows = narrow(how.rows * args.query_rows);
  const kernels::AttentionPlan plan = plan_attention(args, how);
  args.chunks = plan.chunks;
  args.row_blocks = (query_rows + plan.rows - 1) / plan.rows;
  args.tile_keys = plan.tile;
  const kernels::DeviceKernels<T>& kernels = device_.kernels(T{});
  (how.causal ? kernels.causal[plan.geometry] : contiguous_launcher(kernels, plan))(
      args, {narrow(how.ranges * plan.chunks * args.row_blocks), 1, how.el ? 1 : narrow(how.heads),
             plan.warps * 32, plan.shared_bytes, device_.stream()});
}

template <typename T>
std::int64_t Layers<T>::slice_rows(const kernels::AttentionPlan& plan, std::int64_t rows,
                                   std::int64_t group_rows, std::int64_t width) const {
  const std::int64_t row_bytes = checked_mul(2 * stack_.heads * width, ssize(sizeof(T)));
  return kernels::plan_slice({rows, group_rows, row_bytes, stack_.heads}, plan,
                             device_.properties().limits);
}

template <typename T>
void Layers<T>::attend_expanded(const Activations<T>& a, const AttentionWeights<T>& w,
                                const ElRows<T>& rows,
                                const std::function<void(const RowSlice&)>& attend) const {
  const std::int64_t d = stack_.dim;
  linear(input(a), rows.rows, w.query, a.projected.data(), d);
  for (std::int64_t first = 0; first < rows.rows; first += rows.slice) {
    const RowSlice slice{first, std::min(rows.slice, rows.rows - first)};
    expand_queries(a.projected.data() + first * d, w, slice.rows, rows.expanded);
    attend(slice);
    project_pooled(rows.pooled, w, slice.rows, a.context.data() + first * d);
  }
}

// q~_i = q_i W_K_i for every head: batched products over the heads.
template <typename T>
void Layers<T>::expand_queries(const T* queries, const AttentionWeights<T>& w, std::int64_t rows,
                               T* expanded) const {
  const std::int64_t d = stack_.dim;
  const std::int64_t heads = stack_.heads;
  const std::int64_t key_dim = w.key.inputs;
  Product<T> expand;
  expand.m = rows;
  expand.n = key_dim;
  expand.k = d / heads;
  expand.a = queries;
  expand.lda = d;
  expand.b = w.key.weight.data();
  expand.ldb = key_dim;
  expand.transposed = false;
  expand.c = expanded;
  expand.ldc = heads * key_dim;
  expand.batch = heads;
  expand.a_step = d / heads;
  expand.b_step = d / heads * key_dim;
  expand.c_step = key_dim;
  device_.multiply(expand);
}

// o_i = c_i W_V_i^T for every head.
template <typename T>
void Layers<T>::project_pooled(const T* pooled, const AttentionWeights<T>& w, std::int64_t rows,
                               T* context) const {
  const std::int64_t d = stack_.dim;
  const std::int64_t heads = stack_.heads;
  const std::int64_t key_dim = w.value.inputs;
  Product<T> project;
  project.m = rows;
  project.n = d / heads;
  project.k = key_dim;
  project.a = pooled;
  project.lda = heads * key_dim;
  project.b = w.value.weight.data();
  project.ldb = key_dim;
  project.c = context;
  project.ldc = d;
  project.batch = heads;
  project.a_step = key_dim;
  project.b_step = d / heads * key_dim;
  project.c_step = d / heads;
  device_.multiply(project);
}

template struct Activations<float>;
template struct Activations<kernels::Half>;
template class Layers<float>;
template class Layers<kernels::Half>;

}  // namespace elbeam::device
