#include "device/emulated_device.hpp"

#include "base/check.hpp"
#include "kernels/emulated/machine.hpp"

#include <array>
#include <cstring>
#include <mutex>

namespace elbeam::device {
namespace {

using kernels::from_float;
using kernels::Half;
using kernels::to_float;

// A few multiprocessors, so that small tests take the same ways as large batches on a GPU.
constexpr int kMultiprocessors = 8;
// As an A100, which has a little more, and as an H100.
constexpr int kAllSharedBytes = 160 << 10;
constexpr int kAllSharedBytes90 = 227 << 10;
constexpr std::int64_t kMemoryBytes = std::int64_t{64} << 30;

class EmulatedGraph : public Graph {
 public:
  explicit EmulatedGraph(std::vector<kernels::emulated::Work> works) : works_(std::move(works)) {}
  void launch() override {
    for (const auto& work : works_) work();
  }

 private:
  std::vector<kernels::emulated::Work> works_;
};

void add_bias(const Product<float>& p, float* c) {
  if (p.bias == nullptr) return;
  for (std::int64_t r = 0; r < p.m; ++r) {
    for (std::int64_t i = 0; i < p.n; ++i) c[r * p.ldc + i] += p.bias[i];
  }
}

void multiply_now(const Product<float>& p) {
  for (std::int64_t i = 0; i < p.batch; ++i) {
    kernels::Gemm<float> gemm;
    gemm.m = p.m;
    gemm.n = p.n;
    gemm.k = p.k;
    gemm.a = p.a + i * p.a_step;
    gemm.lda = p.lda;
    gemm.b = p.b + i * p.b_step;
    gemm.ldb = p.ldb;
    gemm.c = p.c + i * p.c_step;
    gemm.ldc = p.ldc;
    const auto& table = kernels::kernels<float>();
    (p.transposed ? table.gemm_nt : table.gemm_nn)(gemm);
    add_bias(p, gemm.c);
  }
}

std::vector<float> widened(const Half* from, std::int64_t rows, std::int64_t columns,
                           std::int64_t ld) {
  std::vector<float> wide(usize(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c)
      wide[usize(r * columns + c)] = to_float(from[r * ld + c]);
  }
  return wide;
}

// Half is storage: products are summed in float and rounded once, as tensor cores do.
void multiply_now(const Product<Half>& p) {
  for (std::int64_t i = 0; i < p.batch; ++i) {
    const std::int64_t b_rows = p.transposed ? p.n : p.k;
    const std::int64_t b_columns = p.transposed ? p.k : p.n;
    const auto a = widened(p.a + i * p.a_step, p.m, p.k, p.lda);
    const auto b = widened(p.b + i * p.b_step, b_rows, b_columns, p.ldb);
    std::vector<float> c(usize(p.m * p.n));
    Product<float> wide;
    wide.m = p.m;
    wide.n = wide.ldc = p.n;
    wide.k = wide.lda = p.k;
    wide.a = a.data();
    wide.b = b.data();
    wide.ldb = b_columns;
    wide.transposed = p.transposed;
    wide.c = c.data();
    multiply_now(wide);
    for (std::int64_t r = 0; r < p.m; ++r) {
      for (std::int64_t n = 0; n < p.n; ++n) {
        const float bias = p.bias == nullptr ? 0.0F : to_float(p.bias[n]);
        p.c[i * p.c_step + r * p.ldc + n] = from_float<Half>(c[usize(r * p.n + n)] + bias);
      }
    }
  }
}

class EmulatedDevice : public Device {
 public:
  EmulatedDevice(int like, std::int64_t cache_bytes) {
    properties_.name = "emulated CUDA device";
    properties_.memory_bytes = kMemoryBytes;
    properties_.limits.multiprocessors = kMultiprocessors;
    properties_.limits.cache_bytes = cache_bytes;
    properties_.limits.all_shared_bytes = like == 90 ? kAllSharedBytes90 : kAllSharedBytes;
    properties_.limits.tensor_cores = true;
    properties_.limits.warpgroups = like == 90;
  }

  const Properties& properties() const override { return properties_; }
  std::int64_t free_bytes() const override { return kMemoryBytes; }

  void* allocate(std::int64_t bytes) override { return kernels::emulated::allocate(bytes); }
  void release(void* memory) noexcept override { kernels::emulated::release(memory); }
  void upload(void* to, const void* from, std::int64_t bytes) override {
    std::memcpy(to, from, usize(bytes));
  }
  void download(void* to, const void* from, std::int64_t bytes) override {
    std::memcpy(to, from, usize(bytes));
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    std::memcpy(to, from, usize(bytes));
  }
  void clear(void* memory, std::int64_t bytes) override { std::memset(memory, 0, usize(bytes)); }

  std::int64_t post(std::span<const Piece> pieces) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::byte>& to = posted_[usize(next_ticket_ % kTickets)];
    to.clear();
    for (const Piece& piece : pieces) {
      const auto* from = static_cast<const std::byte*>(piece.from);
      to.insert(to.end(), from, from + piece.bytes);
    }
    return next_ticket_++;
  }
  const std::byte* poll(std::int64_t ticket) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ELBEAM_INVARIANT(ticket < next_ticket_ && ticket + kTickets >= next_ticket_);
    return posted_[usize(ticket % kTickets)].data();
  }

  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    std::vector<kernels::emulated::Work> works;
    kernels::emulated::start_recording(works);
    try {
      work();
    } catch (...) {
      kernels::emulated::stop_recording();
      throw;
    }
    kernels::emulated::stop_recording();
    return std::make_unique<EmulatedGraph>(std::move(works));
  }

  void multiply(const Product<float>& product) override { run(product); }
  void multiply(const Product<Half>& product) override { run(product); }
  const kernels::DeviceKernels<float>& kernels(float) const override {
    return kernels::emulated_kernels<float>();
  }
  const kernels::DeviceKernels<Half>& kernels(Half) const override {
    return kernels::emulated_kernels<Half>();
  }
  const kernels::SearchKernels& search_kernels() const override {
    return kernels::emulated_search_kernels();
  }
  void* stream() const override { return nullptr; }

 private:
  template <typename T>
  static void run(const Product<T>& product) {
    if (!kernels::emulated::record([product] { multiply_now(product); })) multiply_now(product);
  }

  Properties properties_;
  std::mutex mutex_;
  std::array<std::vector<std::byte>, kTickets> posted_;
  std::int64_t next_ticket_ = 0;
};

}  // namespace

std::shared_ptr<Device> make_emulated_device(int like, std::int64_t cache_bytes) {
  return std::make_shared<EmulatedDevice>(like, cache_bytes);
}

}  // namespace elbeam::device
