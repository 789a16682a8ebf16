#include "bench/device/cross_step.hpp"

#include "base/check.hpp"

#include <random>

namespace elbeam::bench {
namespace {

using device::Buffer;
using device::Device;
using device::Product;
using kernels::KeyRange;
using kernels::RowRange;

}  // namespace

template <typename T>
void fill(Device& device, const Buffer<T>& buffer, float deviation) {
  constexpr std::int64_t kBlock = 1 << 16;
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<T> numbers(usize(std::min(kBlock, buffer.size())));
  for (T& number : numbers) number = kernels::from_float<T>(normal(random));
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  std::int64_t done = ssize(numbers);
  device.upload(buffer.data(), numbers.data(), done * kSize);
  while (done < buffer.size()) {
    const std::int64_t count = std::min(done, buffer.size() - done);
    device.copy(buffer.data() + done, buffer.data(), count * kSize);
    done += count;
  }
}

template void fill(Device&, const Buffer<float>&, float);
template void fill(Device&, const Buffer<kernels::Half>&, float);

namespace {

template <typename T>
class Step : public CrossStep {
 public:
  Step(Device& device, const StepShape& shape, CrossKind kind)
      : device_(device),
        shape_(shape),
        el_(kind == CrossKind::kEl),
        groups_(kind == CrossKind::kCopied ? std::int64_t{shape.sentences} * shape.beam
                                           : shape.sentences),
        group_rows_(kind == CrossKind::kCopied ? 1 : shape.beam) {
    const std::int64_t rows = std::int64_t{shape.sentences} * shape.beam;
    const std::int64_t memory = checked_mul(groups_, std::int64_t{shape.source} * shape.dim);
    for (int i = 0; i < (el_ ? 1 : 2 * shape.layers); ++i) {
      memories_.emplace_back(device, memory);
      fill(device, memories_.back(), 1.0F);
    }
    const std::int64_t query_rows = rows * (el_ ? shape.heads : 1);
    queries_ = Buffer<T>(device, checked_mul(query_rows, std::int64_t{shape.dim}));
    fill(device, queries_, 0.05F);
    out_ = Buffer<T>(device, queries_.size());
    if (el_) {
      short_queries_ = Buffer<T>(device, rows * shape.dim);
      weight_ = Buffer<T>(device, std::int64_t{shape.dim} * shape.dim);
      fill(device, short_queries_, 0.05F);
      fill(device, weight_, 0.05F);
    }
    plan();
  }

  void attention() override {
    for (int layer = 0; layer < shape_.layers; ++layer) attend(layer);
  }

  void projections() override {
    const std::int64_t rows = std::int64_t{shape_.sentences} * shape_.beam;
    const std::int64_t d = shape_.dim;
    const std::int64_t d_k = d / shape_.heads;
    for (int layer = 0; layer < shape_.layers; ++layer) {
      Product<T> expand{rows, d, d_k, short_queries_.data(), d, weight_.data(), d};
      expand.transposed = false;
      expand.c = queries_.data();
      expand.ldc = shape_.heads * d;
      expand.batch = shape_.heads;
      expand.a_step = d_k;
      expand.b_step = d_k * d;
      expand.c_step = d;
      device_.multiply(expand);
      Product<T> project{rows, d_k, d, out_.data(), shape_.heads * d, weight_.data(), d};
      project.c = short_queries_.data();
      project.ldc = d;
      project.batch = shape_.heads;
      project.a_step = d;
      project.b_step = d_k * d;
      project.c_step = d_k;
      device_.multiply(project);
    }
  }

  double bytes() const override {
    return static_cast<double>(shape_.layers) * (el_ ? 1.0 : 2.0) *
           static_cast<double>(memories_.front().bytes());
  }
  double flops() const override {
    return 4.0 * shape_.layers * shape_.sentences * shape_.beam * (el_ ? shape_.heads : 1) *
           shape_.source * shape_.dim;
  }

 private:
  void plan() {
    const kernels::DeviceLimits& limits = device_.properties().limits;
    const int rows = group_rows_ * (el_ ? shape_.heads : 1);
    const int width = el_ ? shape_.dim : shape_.dim / shape_.heads;
    plan_ = kernels::plan_contiguous({width, rows, group_rows_, static_cast<int>(sizeof(T)), el_},
                                     limits);
    row_blocks_ = (rows + plan_.rows - 1) / plan_.rows;
    launch_ = {
        0, 1, el_ ? 1 : shape_.heads, plan_.warps * 32, plan_.shared_bytes, device_.stream()};
    const int parts =
        kernels::plan_parts(shape_.source, groups_ * row_blocks_ * launch_.grid_z, limits);
    std::vector<KeyRange> ranges;
    std::vector<RowRange> rows_of;
    for (int group = 0; group < groups_; ++group) {
      rows_of.push_back({group * group_rows_, group_rows_});
      for (int p = 0; p < parts; ++p) {
        const int begin = static_cast<int>(std::int64_t{shape_.source} * p / parts);
        const int end = static_cast<int>(std::int64_t{shape_.source} * (p + 1) / parts);
        ranges.push_back({group, group * shape_.source + begin, end - begin, p, parts});
      }
    }
    ranges_ = Buffer<KeyRange>(device_, std::span<const KeyRange>(ranges));
    rows_of_ = Buffer<RowRange>(device_, std::span<const RowRange>(rows_of));
    launch_.grid_x = static_cast<int>(ranges.size()) * plan_.chunks * row_blocks_;
    parts_ = parts;
    if (parts == 1) return;
    const std::int64_t all_rows = std::int64_t{shape_.sentences} * shape_.beam;
    const std::vector<std::int32_t> parts_of(usize(all_rows), parts);
    parts_of_row_ = Buffer<std::int32_t>(device_, std::span<const std::int32_t>(parts_of));
    partial_ = Buffer<float>(device_, parts * queries_.size());
    stats_ = Buffer<float>(device_, 2 * parts * all_rows * shape_.heads);
  }

  void attend(int layer) {
    kernels::ContiguousArgs<T> args;
    args.ranges = ranges_.data();
    args.rows_of = rows_of_.data();
    args.queries = queries_.data();
    args.keys = memories_[el_ ? 0 : usize(2 * layer)].data();
    args.values = memories_[el_ ? 0 : usize(2 * layer + 1)].data();
    args.out = out_.data();
    args.query_stride = args.key_stride = args.out_stride = shape_.dim;
    args.query_rows = el_ ? shape_.heads : 1;
    args.width = el_ ? shape_.dim : shape_.dim / shape_.heads;
    args.head_stride = el_ ? 0 : args.width;
    args.chunks = plan_.chunks;
    args.row_blocks = row_blocks_;
    args.tile_keys = plan_.tile;
    args.key_rows = std::int64_t{shape_.sentences} * shape_.source;
    args.partial = partial_.data();
    args.partial_stats = stats_.data();
    args.partial_rows = std::int64_t{shape_.sentences} * shape_.beam * (el_ ? shape_.heads : 1);
    const kernels::DeviceKernels<T>& kernels = device_.kernels(T{});
    contiguous_launcher(kernels, plan_)(args, launch_);
    if (parts_ == 1) return;
    const int heads = el_ ? 1 : shape_.heads;
    kernels.merge({partial_.data(), stats_.data(), parts_of_row_.data(), out_.data(), shape_.dim,
                   args.partial_rows, args.query_rows, args.width, heads, args.head_stride},
                  {static_cast<int>(args.partial_rows), heads, 1, 128, 0, device_.stream()});
  }

  Device& device_;
  StepShape shape_;
  bool el_;
  std::int64_t groups_;
  int group_rows_;
  int row_blocks_ = 1;
  int parts_ = 1;
  std::vector<Buffer<T>> memories_;
  Buffer<T> queries_, out_, short_queries_, weight_;
  Buffer<KeyRange> ranges_;
  Buffer<RowRange> rows_of_;
  Buffer<std::int32_t> parts_of_row_;
  Buffer<float> partial_, stats_;
  kernels::AttentionPlan plan_;
  kernels::Launch launch_;
};

}  // namespace

template <typename T>
std::unique_ptr<CrossStep> make_cross_step(Device& device, const StepShape& shape, CrossKind kind) {
  return std::make_unique<Step<T>>(device, shape, kind);
}
template std::unique_ptr<CrossStep> make_cross_step<float>(Device&, const StepShape&, CrossKind);
template std::unique_ptr<CrossStep> make_cross_step<kernels::Half>(Device&, const StepShape&,
                                                                   CrossKind);

}  // namespace elbeam::bench
