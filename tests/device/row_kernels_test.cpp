// LayerNorm, activation, softmax and paged attention on the device under test, against double
// precision.
#include "base/checked_math.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <limits>
#include <memory>

namespace elbeam::kernels {
namespace {

template <typename T>
double number(const std::vector<T>& from, int place) {
  return static_cast<double>(to_float(from[usize(place)]));
}

template <typename T>
void check_norm(std::mt19937& random, int i) {
  const int rows = random_int(random, 1, 3);
  const int dim = i % 25 == 0 ? 1 : random_int(random, 1, 300);  // of one: without variance
  const int threads = 32 * random_int(random, 1, 4);
  auto x = random_numbers<T>(random, usize(rows * dim));
  if (i % 10 == 9) x[0] = from_float<T>(i % 20 == 9 ? std::nanf("") : -INFINITY);
  const auto residual = random_numbers<T>(random, usize(rows * dim));
  const auto bias = random_numbers<T>(random, usize(dim));
  const auto gain = random_numbers<T>(random, usize(dim));
  DeviceArray<T> dx(x), dresidual(residual), dbias(bias), dgain(gain);
  DeviceArray<T> sum(usize(rows * dim)), out(usize(rows * dim));
  NormArgs<T> args;
  args.x = dx.data();
  args.bias = i % 3 == 0 ? nullptr : dbias.data();
  args.residual = i % 2 == 0 ? nullptr : dresidual.data();
  args.sum = sum.data();
  args.gain = dgain.data();
  args.norm_bias = dbias.data();
  args.normalised = out.data();
  args.rows = rows;
  args.dim = dim;
  under_test::set_schedule(i % 6);
  under_test::kernels<T>().norm(args, {rows, 1, 1, threads, row_shared_bytes(dim, threads)});
  under_test::set_schedule(0);
  for (int r = 0; r < rows; ++r) {
    std::vector<double> row;
    double mean = 0.0;
    double variance = 0.0;
    for (int c = 0; c < dim; ++c) {
      row.push_back(number(x, r * dim + c) + (args.bias == nullptr ? 0.0 : number(bias, c)) +
                    (args.residual == nullptr ? 0.0 : number(residual, r * dim + c)));
      mean += row.back() / dim;
    }
    for (const double value : row) variance += (value - mean) * (value - mean) / dim;
    for (int c = 0; c < dim; ++c) {
      expect_close(sum.data()[r * dim + c], row[usize(c)], 1.0, "sum");
      expect_close(
          out.data()[r * dim + c],
          (row[usize(c)] - mean) / std::sqrt(variance + 1e-5) * number(gain, c) + number(bias, c),
          4.0, "normalised");
    }
  }
  expect_small_error();
}

TEST(NormKernel, AgreesWithDoublePrecision) {
  std::mt19937 random(21);
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    if (i % 4 < 2) {
      check_norm<float>(random, i);
    } else {
      check_norm<Half>(random, i);
    }
  }
}

double activated(Activation kind, double x) {
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluAccurate:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kSwish:
      return x / (1.0 + std::exp(-x));
  }
  return x;
}

// Every 7th number is infinite or none.
template <typename T>
void check_activation(Activation kind, std::mt19937& random, int i) {
  const int dim = random_int(random, 1, 200);
  auto x = random_numbers<T>(random, usize(2 * dim), 3.0F);
  for (std::size_t c = 0; i % 2 == 1 && c < x.size(); c += 7) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    x[c] = from_float<T>(c % 3 == 0 ? kInfinity : c % 3 == 1 ? -kInfinity : std::nanf(""));
  }
  const auto bias = random_numbers<T>(random, usize(dim));
  DeviceArray<T> dx(x), dbias(bias);
  const T* added = i % 4 < 2 ? nullptr : dbias.data();
  // One block more than there are rows.
  under_test::kernels<T>().activate({dx.data(), added, 2, dim, kind}, {3, 1, 1, 64, 0});
  for (int c = 0; c < 2 * dim; ++c) {
    const double sum = number(x, c) + (added == nullptr ? 0.0 : number(bias, c % dim));
    expect_close(dx.data()[c], activated(kind, sum), 1.0, "activation");
  }
  expect_small_error();
}

TEST(ActivateKernel, EveryActivation) {
  std::mt19937 random(23);
  for (const Activation kind : {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                Activation::kGeluAccurate, Activation::kTanh, Activation::kSwish}) {
    for (int i = 0; i < 20; ++i) {
      check_activation<float>(kind, random, i);
      check_activation<Half>(kind, random, i);
      check_activation<BFloat16>(kind, random, i);
    }
  }
}

TEST(LogProbKernel, AgreesWithDoublePrecision) {
  std::mt19937 random(24);
  for (int i = 0; i < 150 && !HasFailure(); ++i) {
    const int vocab = random_int(random, 1, 500);
    const auto logits = random_numbers<float>(random, usize(2 * vocab), 5.0F);
    DeviceArray<float> dlogits(logits), out(usize(2 * vocab));
    under_test::set_schedule(i % 6);
    under_test::kernels<float>().log_prob({dlogits.data(), out.data(), 2, vocab, 1.3F},
                                          {2, 1, 1, 64, 2 * 4});
    under_test::set_schedule(0);
    for (int r = 0; r < 2; ++r) {
      double total = 0.0;
      for (int c = 0; c < vocab; ++c) total += std::exp(number(logits, r * vocab + c) / 1.3);
      for (int c = r * vocab; c < (r + 1) * vocab; ++c)
        expect_close(out.data()[c], number(logits, c) / 1.3 - std::log(total), 1.0, "log-prob");
    }
    // Of one target a row: the same bits.
    DeviceArray<std::int32_t> targets(std::vector<std::int32_t>{random_int(random, 0, vocab - 1),
                                                                random_int(random, 0, vocab - 1)});
    DeviceArray<float> of_targets(2);
    under_test::kernels<float>().log_prob(
        {dlogits.data(), of_targets.data(), 2, vocab, 1.3F, targets.data()}, {2, 1, 1, 64, 2 * 4});
    for (int r = 0; r < 2; ++r)
      EXPECT_EQ(of_targets.data()[r], out.data()[r * vocab + targets.data()[r]]);
  }
}

struct PagedCase {
  bool el = true;
  int groups = 2;
  int beam = 3;
  int heads = 2;
  int width = 16;
  int step = 20;
  int prompt = 0;  // tokens at most that the group has read before
  int parts = 1;   // that the prompt's attention is split into
  int slice = 2;   // groups of a launch
  int first = 0;   // the step that the sentences began in

  int rows() const { return groups * beam; }
  int dim() const { return el ? width : heads * width; }
  int layer_width() const { return el ? width : 2 * dim(); }
  int stride() const { return step + 3; }
  int slots() const { return rows() + 1; }  // of a page's step
};

// Two layers of slots, of which the second is attended to; histories that have their first half in
// common.
template <typename T>
struct PagedNumbers {
  std::vector<std::vector<T>> pages;
  std::vector<std::int32_t> ancestors;
  std::vector<T> queries;
  std::vector<int> prompt_offsets{0};  // of each group
  std::vector<T> prompts;              // [tokens, layer_width]

  PagedNumbers(const PagedCase& c, std::mt19937& random)
      : ancestors(usize(c.rows() * c.stride())),
        queries(random_numbers<T>(random, usize(c.rows() * (c.el ? c.heads : 1) * c.dim()), 0.3F)) {
    for (int first = 0; first <= c.step; first += kPageSteps) {
      pages.push_back(
          random_numbers<T>(random, usize(kPageSteps * c.slots() * 2 * c.layer_width())));
    }
    for (int r = 0; r < c.rows(); ++r) {
      for (int t = 0; t <= c.step; ++t) {
        const int own = t < c.step / 2 ? 0 : random_int(random, 0, c.beam - 1);
        ancestors[usize(r * c.stride() + t)] = t == c.step ? r : r / c.beam * c.beam + own;
      }
    }
    for (int g = 0; g < c.groups && c.prompt > 0; ++g)
      prompt_offsets.push_back(prompt_offsets.back() + random_int(random, g > 0 ? 0 : 1, c.prompt));
    prompt_offsets.resize(usize(c.groups + 1), prompt_offsets.back());
    prompts = random_numbers<T>(random, usize(prompt_offsets.back() * c.layer_width()));
  }
  // What a row attends to, token after token.
  std::vector<const T*> keys(const PagedCase& c, int row) const {
    std::vector<const T*> all;
    const std::size_t group = usize(row / c.beam);
    for (int t = prompt_offsets[group]; t < prompt_offsets[group + 1]; ++t)
      all.push_back(prompts.data() + t * c.layer_width());
    for (int t = 0; t <= c.step; ++t) all.push_back(slot(c, row, t));
    return all;
  }
  const T* slot(const PagedCase& c, int row, int step) const {
    const int number = ancestors[usize(row * c.stride() + step)];
    return pages[usize(step / kPageSteps)].data() +
           (step % kPageSteps * c.slots() + number) * 2 * c.layer_width() + c.layer_width();
  }
};

template <typename T>
void verify_paged(const PagedCase& c, const PagedNumbers<T>& numbers, const std::vector<T>& found) {
  const int query_rows = c.el ? c.heads : 1;
  const int heads = c.el ? 1 : c.heads;
  for (int row = 0; row < c.rows() * query_rows; ++row) {
    for (int head = 0; head < heads; ++head) {
      const int place = row * c.dim() + head * c.width;
      std::vector<double> sums(usize(c.width));
      double total = 0.0;
      for (const T* of_all_heads : numbers.keys(c, row / query_rows)) {
        const T* key = of_all_heads + head * c.width;
        const T* value = c.el ? key : key + c.dim();
        double score = 0.0;
        for (int i = 0; i < c.width; ++i)
          score += number(numbers.queries, place + i) * static_cast<double>(to_float(key[i]));
        total += std::exp(score);
        for (int i = 0; i < c.width; ++i)
          sums[usize(i)] += std::exp(score) * static_cast<double>(to_float(value[i]));
      }
      for (int i = 0; i < c.width; ++i)
        expect_close(found[usize(place + i)], sums[usize(i)] / total, 1.0, "paged attention");
    }
  }
}

// The attention of groups to their prompts, in front of that to their own steps.
template <typename T>
struct Prompted {
  Prompted(const PagedCase& case_, const PagedNumbers<T>& numbers)
      : c(case_),
        prompts(numbers.prompts),
        partial(usize((c.parts + 1) * c.rows() * (c.el ? c.heads : 1) * c.dim())),
        stats(2 * usize((c.parts + 1) * c.rows() * c.heads)) {
    std::vector<RowRange> row_ranges;
    std::vector<std::int32_t> parts;
    for (int g = 0; g < c.groups; ++g) {
      const int first = numbers.prompt_offsets[usize(g)];
      const int length = numbers.prompt_offsets[usize(g + 1)] - first;
      const int count = std::min(c.parts, length);
      for (int p = 0; p < count; ++p) {
        const int begin = length * p / count;
        key_ranges.push_back({g, first + begin, length * (p + 1) / count - begin, p, count + 1});
      }
      row_ranges.push_back({g * c.beam, c.beam});
      parts.insert(parts.end(), usize(c.beam), count + 1);
    }
    ranges = std::make_unique<DeviceArray<KeyRange>>(key_ranges);
    rows_of = std::make_unique<DeviceArray<RowRange>>(row_ranges);
    parts_of_row = std::make_unique<DeviceArray<std::int32_t>>(parts);
  }
  void join(PagedArgs<T>& own) {
    own.parts_of_row = parts_of_row->data();
    own.partial = partial.data();
    own.partial_stats = stats.data();
    own.partial_rows = c.rows() * own.query_rows;
  }
  void launch(const PagedArgs<T>& own) {
    ContiguousArgs<T> args;
    args.ranges = ranges->data();
    args.rows_of = rows_of->data();
    args.queries = own.queries;
    args.keys = prompts.data();
    args.values = args.keys + own.value_offset;
    args.out = own.out;
    args.query_stride = args.out_stride = c.dim();
    args.key_stride = c.layer_width();
    args.query_rows = own.query_rows;
    args.width = own.width;
    args.head_stride = own.head_stride;
    args.partial = own.partial;
    args.partial_stats = own.partial_stats;
    args.partial_rows = own.partial_rows;
    const AttentionPlan plan = plan_contiguous(
        {c.width, c.beam * own.query_rows, c.beam, static_cast<int>(sizeof(T)), c.el},
        DeviceLimits{});
    args.chunks = plan.chunks;
    args.tile_keys = plan.tile;
    under_test::kernels<T>().contiguous[plan.geometry](
        args, {static_cast<int>(key_ranges.size()) * plan.chunks, 1, c.el ? 1 : c.heads,
               plan.warps * 32, plan.shared_bytes});
  }
  void merge(const PagedArgs<T>& own) {
    under_test::kernels<T>().merge(
        {own.partial, own.partial_stats, own.parts_of_row, own.out, own.out_stride,
         own.partial_rows, own.query_rows, own.width, c.el ? 1 : c.heads, own.head_stride},
        {c.rows() * own.query_rows, c.el ? 1 : c.heads, 1, 64, 0});
  }

  const PagedCase& c;
  DeviceArray<T> prompts;
  DeviceArray<float> partial, stats;
  std::vector<KeyRange> key_ranges;
  std::unique_ptr<DeviceArray<KeyRange>> ranges;
  std::unique_ptr<DeviceArray<RowRange>> rows_of;
  std::unique_ptr<DeviceArray<std::int32_t>> parts_of_row;
};

// The arguments of a launch whose first group is that one.
template <typename T>
PagedArgs<T> slice_of(PagedArgs<T> args, const PagedCase& c, int group) {
  const int first = group * c.beam;
  args.first_group = group;
  args.cache.ancestors[(c.step + c.first) % 2] += first * c.stride();
  args.cache.first_of_row += first;
  args.queries += first * args.query_rows * c.dim();
  args.out += first * args.query_rows * c.dim();
  if (args.parts_of_row != nullptr) {
    args.parts_of_row += first;
    args.partial += first * args.query_rows * c.dim();
    args.partial_stats += 2 * first * args.query_rows * (c.el ? 1 : c.heads);
  }
  return args;
}

template <typename T>
void check_paged(const PagedCase& c, std::mt19937& random) {
  const PagedNumbers<T> numbers(c, random);
  std::vector<std::unique_ptr<DeviceArray<T>>> pages;
  std::vector<CachePage<T>> table;
  for (const auto& page : numbers.pages) {
    pages.push_back(std::make_unique<DeviceArray<T>>(page));
    table.push_back({pages.back()->data(), c.slots()});
  }
  DeviceArray<T> queries(numbers.queries), out(numbers.queries.size());
  DeviceArray<CachePage<T>> device_table(table);
  DeviceArray<std::int32_t> ancestors(numbers.ancestors);
  DeviceArray<std::int32_t> device_first(std::vector<std::int32_t>(usize(c.rows()), c.first));
  DeviceArray<StepState> state(
      std::vector<StepState>{{c.step + c.first, c.groups, c.rows(), c.beam}});
  PagedArgs<T> args;
  args.state = state.data();
  args.cache.pages = device_table.data();
  args.cache.ancestors[(c.step + c.first) % 2] = ancestors.data();
  args.cache.first_of_row = device_first.data();
  args.cache.ancestor_stride = c.stride();
  args.cache.slot_width = 2 * c.layer_width();
  args.cache.layer_offset = c.layer_width();
  args.queries = queries.data();
  args.out = out.data();
  args.query_stride = args.out_stride = c.dim();
  args.query_rows = c.el ? c.heads : 1;
  args.width = c.width;
  args.head_stride = c.el ? 0 : c.width;
  args.value_offset = c.el ? 0 : c.dim();
  const AttentionPlan plan =
      plan_paged({c.width, c.beam * args.query_rows, c.beam, static_cast<int>(sizeof(T)), c.el},
                 DeviceLimits{});
  args.chunks = plan.chunks;
  args.row_blocks = random_int(random, 1, 2);
  args.tile_slots = plan.tile;
  std::unique_ptr<Prompted<T>> prompted;
  if (c.prompt > 0) {
    prompted = std::make_unique<Prompted<T>>(c, numbers);
    prompted->join(args);
  }
  std::vector<T> first;
  for (int schedule = 0; schedule < 6; schedule += random_int(random, 1, 5)) {
    if (kTraced && schedule > 0) break;
    under_test::set_schedule(schedule);
    if (prompted) prompted->launch(args);
    // One block more than there are groups; in one launch or, as slices, by two.
    const auto& kernels = under_test::kernels<T>();
    for (int group = 0; group < c.groups; group += c.slice) {
      (prompted ? kernels.paged_part : kernels.paged)[plan.geometry](
          slice_of(args, c, group),
          {(std::min(c.slice, c.groups - group) + (group + c.slice < c.groups ? 0 : 1)) *
               plan.chunks * args.row_blocks,
           1, c.el ? 1 : c.heads, plan.warps * 32, plan.shared_bytes});
    }
    if (prompted) prompted->merge(args);
    if (schedule == 0) first = out.host();
    EXPECT_EQ(std::memcmp(first.data(), out.data(), first.size() * sizeof(T)), 0)
        << "another result under schedule " << schedule;
  }
  under_test::set_schedule(0);
  verify_paged(c, numbers, first);
  expect_small_error();
}

TEST(PagedAttentionKernel, AgreesWithDoublePrecision) {
  std::mt19937 random(25);
  constexpr int kWidths[] = {3, 8, 20, 32, 40, 64, 100, 128, 256, 300, 512};
  for (int i = 0; i < 330 && !HasFailure(); ++i) {
    PagedCase c;
    c.el = i % 2 == 0;
    c.width = kWidths[i % (c.el ? 11 : 8)];
    c.groups = random_int(random, 1, 2);
    c.beam = random_int(random, 1, i % 5 == 0 ? 20 : 5);
    c.heads = random_int(random, 1, c.width > 128 ? 2 : 4);
    c.step = random_int(random, 0, c.width > 128 ? 6 : 40);
    c.prompt = i % 4 == 3 ? random_int(random, 1, 40) : 0;
    c.parts = random_int(random, 1, 3);
    c.slice = random_int(random, 1, 2);
    c.first = random_int(random, 0, 3);
    if (i % 3 == 0) {
      check_paged<Half>(c, random);
    } else {
      check_paged<float>(c, random);
    }
    if (HasFailure()) ADD_FAILURE() << "EL " << c.el << " width " << c.width << " beam " << c.beam;
  }
}

}  // namespace
}  // namespace elbeam::kernels
