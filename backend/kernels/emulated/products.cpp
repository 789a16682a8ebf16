// wgmma.mma_async by the PTX manual: "Register Fragments and Shared Memory Matrix Layouts" and
// "Matrix Descriptor Format" of the asynchronous warpgroup level matrix instructions.
#include "kernels/emulated/products.hpp"

#include "kernels/emulated/async.hpp"

#include <array>
#include <vector>

namespace elbeam::kernels::emulated {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kM = 64;
constexpr int kK = 16;

// What a thread has issued and not yet waited for.
struct Issued {
  std::vector<TileProduct> products;
  std::vector<std::size_t> groups;  // how many of them each committed group has
  std::size_t open = 0;
  bool fenced = false;
};
struct Warpgroup {
  int arrived = 0;
  std::size_t pending = 0;
};

std::vector<Issued> issued;  // of each thread of the cluster
std::vector<Warpgroup> warpgroups;

// A matrix in shared memory, as a descriptor says: `lines` are of M or N.
struct Matrix {
  std::uintptr_t start;
  std::uintptr_t leading;
  std::uintptr_t stride;
  bool swizzled;
  bool transposed;

  Matrix(std::uint64_t descriptor, bool is_transposed)
      : start((descriptor & 0x3fffU) << 4),
        leading((descriptor >> 16 & 0x3fffU) << 4),
        stride((descriptor >> 32 & 0x3fffU) << 4),
        swizzled(descriptor >> 62 == 1),
        transposed(is_transposed) {
    if (descriptor >> 62 > 1 || (descriptor >> 49 & 7) != 0)
      stop("a matrix descriptor that the emulated machine does not know");
  }

  // Of number (line, k) in the block's shared memory, in bytes.
  std::uintptr_t place(std::uintptr_t line, std::uintptr_t k) const {
    std::uintptr_t at = start;
    if (swizzled) {
      at += transposed ? line % 64 * 2 + line / 64 * leading + k % 8 * 128 + k / 8 * stride
                       : line % 8 * 128 + line / 8 * stride + k * 2;
      return at ^ (at >> 7 & 7) << 4;
    }
    at += transposed ? line % 8 * 2 + line / 8 * stride + k % 8 * 16 + k / 8 * leading
                     : line % 8 * 16 + line / 8 * stride + k % 8 * 2 + k / 8 * leading;
    return at;
  }
};

const unsigned char* checked_place(const unsigned char* shared, std::uintptr_t place) {
  if (place + 16 > static_cast<std::uintptr_t>(machine.shape.shared_bytes))
    stop("a matrix descriptor that points beyond shared memory");
  return shared + place;
}

// Calls visit(line, k, place) for the first of each eight numbers that lie together.
template <typename Visit>
void for_each_eight(const Matrix& matrix, int lines, Visit&& visit) {
  const unsigned char* const shared = shared_memory();
  for (int line = 0; line < lines; line += matrix.transposed ? 8 : 1) {
    for (int k = 0; k < kK; k += matrix.transposed ? 1 : 8)
      visit(line, k,
            checked_place(shared, matrix.place(static_cast<std::uintptr_t>(line),
                                               static_cast<std::uintptr_t>(k))));
  }
}

// [line][k] of A, or [k][line] of B.
std::vector<float> numbers_of(const Matrix& matrix, int lines, bool by_k,
                              float (*number)(std::uint16_t)) {
  std::vector<float> all(static_cast<std::size_t>(lines * kK));
  for_each_eight(matrix, lines, [&](int line, int k, const unsigned char* place) {
    std::array<std::uint16_t, 8> eight;
    std::memcpy(eight.data(), place, sizeof eight);
    for (int i = 0; i < 8; ++i) {
      const int l = matrix.transposed ? line + i : line;
      const int d = matrix.transposed ? k : k + i;
      all[static_cast<std::size_t>(by_k ? d * lines + l : l * kK + d)] =
          number(eight[static_cast<std::size_t>(i)]);
    }
  });
  return all;
}

// What the four warps read: each its 16 rows of A, and all of B.
void trace_reads(const TileProduct& product, void* where) {
  if (machine.trace.product_reads == nullptr || machine.current->index % 32 != 0) return;
  const int warp = machine.current->index / 32 % 4;
  for_each_eight(Matrix(product.a, product.transposed_a), kM,
                 [&](int line, int, const unsigned char* place) {
                   if (line / 16 == warp) machine.trace.product_reads(place, where);
                 });
  for_each_eight(
      Matrix(product.b, product.transposed_b), product.columns,
      [&](int, int, const unsigned char* place) { machine.trace.product_reads(place, where); });
}

// Product number `which` of each of the warpgroup's threads.
void execute(std::size_t first_thread, std::size_t which) {
  const TileProduct& product = issued[first_thread].products[which];
  const int n = product.columns;
  const Matrix in_a(product.a, product.transposed_a);
  const Matrix in_b(product.b, product.transposed_b);
  // What may stop the launch comes before what has to be freed: a stopped thread does not return.
  for_each_eight(in_a, kM, [](int, int, const unsigned char*) {});
  for_each_eight(in_b, n, [](int, int, const unsigned char*) {});
  for (std::size_t t = 0; t < kGroupThreads; ++t) {
    if (!(issued[first_thread + t].products[which] == product))
      stop("threads of a warpgroup issue different products");
  }
  const auto a = numbers_of(in_a, kM, false, product.number);
  const auto b = numbers_of(in_b, n, true, product.number);
  std::vector<float> c(static_cast<std::size_t>(kM * n));
  for (int m = 0; m < kM; ++m) {
    float* const row = c.data() + m * n;
    for (int k = 0; k < kK; ++k) {
      const float factor = a[static_cast<std::size_t>(m * kK + k)];
      const float* const line = b.data() + k * n;
      for (int i = 0; i < n; ++i) row[i] += factor * line[i];
    }
  }
  for (std::size_t t = 0; t < kGroupThreads; ++t) {
    const TileProduct& mine = issued[first_thread + t].products[which];
    for (int i = 0; i < n / 2; ++i) {
      // D: a warp has 16 rows, a lane rows lane / 4 and 8 below it, pairs of columns 8 apart.
      const int lane = static_cast<int>(t % 32);
      const int m = static_cast<int>(t / 32) * 16 + lane / 4 + i / 2 % 2 * 8;
      const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      mine.sums[i] += c[static_cast<std::size_t>(m * n + column)];
    }
  }
}

}  // namespace

void begin_products_of_cluster() {
  issued.assign(machine.fibers.size(), {});
  warpgroups.assign((machine.fibers.size() + kGroupThreads - 1) / kGroupThreads, {});
}

void check_products_done() {
  if (!issued[static_cast<std::size_t>(machine.current->index)].products.empty())
    stop("a thread leaves with products under way");
}

void begin_products() { issued[static_cast<std::size_t>(machine.current->index)].fenced = true; }

void start_product(const TileProduct& product) {
  Issued& mine = issued[static_cast<std::size_t>(machine.current->index)];
  if (!mine.fenced) stop("a product without a fence after its registers were used");
  trace_reads(product, __builtin_return_address(0));
  mine.products.push_back(product);
  ++mine.open;
}

void commit_products() {
  Issued& mine = issued[static_cast<std::size_t>(machine.current->index)];
  mine.groups.push_back(mine.open);
  mine.open = 0;
}

void wait_products(std::size_t pending) {
  const Fiber& fiber = *machine.current;
  void* const where = __builtin_return_address(0);
  const auto group = static_cast<std::size_t>(fiber.index / kGroupThreads);
  Warpgroup& warpgroup = warpgroups[group];
  if (warpgroup.arrived > 0 && warpgroup.pending != pending)
    stop("threads of a warpgroup wait for different products");
  warpgroup.pending = pending;
  const std::size_t first_thread = group * kGroupThreads;
  if (++warpgroup.arrived < kGroupThreads) {
    suspend(State::kAtWarpgroup);
  } else {
    warpgroup.arrived = 0;
    const Issued& any = issued[first_thread];
    std::size_t done = 0;
    for (std::size_t g = 0; g + pending < any.groups.size(); ++g) done += any.groups[g];
    for (std::size_t t = 0; t < kGroupThreads; ++t) {
      if (issued[first_thread + t].groups != any.groups)
        stop("threads of a warpgroup have issued different products");
    }
    for (std::size_t which = 0; which < done; ++which) execute(first_thread, which);
    for (std::size_t t = 0; t < kGroupThreads; ++t) {
      const auto thread = static_cast<int>(first_thread + t);
      if (thread != fiber.index) make_ready(thread);
    }
  }
  Issued& mine = issued[static_cast<std::size_t>(fiber.index)];
  mine.fenced = false;
  while (mine.groups.size() > pending) {
    for (std::size_t i = 0; i < mine.groups.front(); ++i) trace_reads(mine.products[i], where);
    mine.products.erase(mine.products.begin(),
                        mine.products.begin() + static_cast<std::ptrdiff_t>(mine.groups.front()));
    mine.groups.erase(mine.groups.begin());
  }
}

}  // namespace elbeam::kernels::emulated
