#include "device/cuda_device.hpp"

#include "base/check.hpp"
#include "device/cuda_runtime.hpp"
#include "kernels/cuda/cuda_kernels.hpp"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

namespace elbeam::device {
namespace {

using kernels::Half;

constexpr int kCapabilities[] = {ELBEAM_CUDA_CAPABILITIES};
constexpr std::int64_t kWorkspaceBytes = std::int64_t{32} << 20;

void check(cudaError_t status, const char* what) {
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // not sticky: the device goes on
    fail(ErrorCode::kOutOfMemory, "CUDA: ", what, ": ", cudaGetErrorString(status));
  }
  ELBEAM_CHECK(status == cudaSuccess, ErrorCode::kDevice, "CUDA: ", what, ": ",
               cudaGetErrorString(status));
}

void check(cublasStatus_t status, const char* what) {
  ELBEAM_CHECK(status == CUBLAS_STATUS_SUCCESS, ErrorCode::kDevice, "cuBLASLt: ", what, ": ",
               cublasLtGetStatusString(status));
}

class RealRuntime : public CudaRuntime {
 public:
  int driver_version() override {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
  }
  int toolkit_version() override { return CUDART_VERSION; }
  int device_count() override {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
  }
  CudaFacts facts(int number) override {
    cudaDeviceProp found{};
    check(cudaGetDeviceProperties(&found, number), "properties of the device");
    CudaFacts facts;
    facts.name = found.name;
    facts.capability = 10 * found.major + found.minor;
    facts.memory_bytes = static_cast<std::int64_t>(found.totalGlobalMem);
    facts.shared_bytes = static_cast<int>(found.sharedMemPerBlockOptin);
    facts.multiprocessors = found.multiProcessorCount;
    facts.cache_bytes = found.l2CacheSize;
    return facts;
  }
};

class CudaGraph : public Graph {
 public:
  CudaGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "instantiating a graph");
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  ~CudaGraph() override { cudaGraphExecDestroy(executable_); }
  void launch() override { check(cudaGraphLaunch(executable_, stream_), "launching a graph"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

// What a product is planned by: cuBLASLt's choice is kept for each.
using Alignments = std::array<std::uint32_t, 3>;  // of B, A and C, in bytes
using ProductKey = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                              std::int64_t, std::int64_t, bool, bool, int, Alignments>;

// What every matrix of a batch is aligned to; cuBLASLt takes 256 bytes for granted unless told.
template <typename T>
std::uint32_t alignment(const T* first, std::int64_t step) {
  const std::uint64_t places =
      reinterpret_cast<std::uintptr_t>(first) | static_cast<std::uint64_t>(step) * sizeof(T) | 256U;
  return static_cast<std::uint32_t>(places & (~places + 1));
}

struct Layout {
  Layout(cudaDataType type, std::int64_t rows, std::int64_t columns, std::int64_t ld) {
    check(cublasLtMatrixLayoutCreate(&handle, type, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), ld),
          "matrix layout");
  }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  ~Layout() { cublasLtMatrixLayoutDestroy(handle); }
  void batch(std::int64_t count, std::int64_t step) const {
    const auto count32 = static_cast<std::int32_t>(count);
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count32,
                                           sizeof count32),
          "batch");
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                           &step, sizeof step),
          "batch");
  }
  cublasLtMatrixLayout_t handle = nullptr;
};

// fp32 is computed in fp32 (no TF32), fp16 is summed in fp32.
struct Operation {
  Operation() {
    check(cublasLtMatmulDescCreate(&handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() { cublasLtMatmulDescDestroy(handle); }
  template <typename V>
  void set(cublasLtMatmulDescAttributes_t attribute, const V& value) const {
    check(cublasLtMatmulDescSetAttribute(handle, attribute, &value, sizeof value), "product");
  }
  cublasLtMatmulDesc_t handle = nullptr;
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int number) : number_(number) {
    RealRuntime runtime;
    const CudaFacts facts = choose_cuda_device(runtime, number, kCapabilities);
    properties_.name = facts.name;
    properties_.capability = facts.capability;
    properties_.memory_bytes = facts.memory_bytes;
    properties_.limits.multiprocessors = facts.multiprocessors;
    properties_.limits.cache_bytes = facts.cache_bytes;
    // Two blocks of attention share a multiprocessor.
    properties_.limits.shared_bytes = std::max(48 << 10, facts.shared_bytes / 2 - 1024);
    properties_.limits.all_shared_bytes = facts.shared_bytes;
    properties_.limits.tensor_cores = facts.capability >= 80;
    properties_.limits.warpgroups = facts.capability == 90 && kernels::compiled_for_warpgroups();
    activate();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
    check(cudaDeviceGetDefaultMemPool(&pool_, number), "memory pool");
    // Batches follow each other: memory is not given back to the driver at every wait.
    std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep), "memory pool");
    check(cublasLtCreate(&blas_), "start");
    workspace_ = allocate(kWorkspaceBytes);
    for (Ticket& ticket : tickets_)
      check(cudaEventCreateWithFlags(&ticket.arrived, cudaEventDisableTiming), "event");
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  ~CudaDevice() override {
    cudaSetDevice(number_);
    cudaStreamSynchronize(stream_);
    release(workspace_);
    cublasLtDestroy(blas_);
    for (const Ticket& ticket : tickets_) {
      cudaEventDestroy(ticket.arrived);
      cudaFreeHost(ticket.data);
    }
    cudaStreamDestroy(stream_);
  }

  const Properties& properties() const override { return properties_; }
  std::int64_t free_bytes() const override {
    activate();
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "free memory");
    // The pool keeps what was released: it is free too, for this process.
    std::uint64_t reserved = 0;
    std::uint64_t used = 0;
    check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved), "memory");
    check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "memory");
    return static_cast<std::int64_t>(free + reserved - used);
  }

  void* allocate(std::int64_t bytes) override {
    activate();
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1)),
                          stream_),
          "memory");
    return memory;
  }
  void release(void* memory) noexcept override {
    cudaSetDevice(number_);
    cudaFreeAsync(memory, stream_);
  }
  void upload(void* to, const void* from, std::int64_t bytes) override {
    activate();
    check(cudaMemcpyAsync(to, from, usize(bytes), cudaMemcpyHostToDevice, stream_), "upload");
  }
  void download(void* to, const void* from, std::int64_t bytes) override {
    activate();
    check(cudaMemcpyAsync(to, from, usize(bytes), cudaMemcpyDeviceToHost, stream_), "download");
    check(cudaStreamSynchronize(stream_), "download");
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    activate();
    check(cudaMemcpyAsync(to, from, usize(bytes), cudaMemcpyDeviceToDevice, stream_), "copy");
  }
  void clear(void* memory, std::int64_t bytes) override {
    activate();
    check(cudaMemsetAsync(memory, 0, usize(bytes), stream_), "clearing memory");
  }

  std::int64_t post(std::span<const Piece> pieces) override {
    activate();
    Ticket& ticket = tickets_[usize(next_ticket_ % kTickets)];
    std::int64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.bytes;
    if (bytes > ticket.bytes) {
      cudaFreeHost(std::exchange(ticket.data, nullptr));
      ticket.bytes = 0;
      check(cudaMallocHost(&ticket.data, usize(bytes)), "pinned memory");
      ticket.bytes = bytes;
    }
    auto* to = static_cast<std::byte*>(ticket.data);
    for (const Piece& piece : pieces) {
      if (piece.bytes == 0) continue;
      check(cudaMemcpyAsync(to, piece.from, usize(piece.bytes), cudaMemcpyDeviceToHost, stream_),
            "download");
      to += piece.bytes;
    }
    check(cudaEventRecord(ticket.arrived, stream_), "event");
    return next_ticket_++;
  }
  const std::byte* poll(std::int64_t number) override {
    ELBEAM_INVARIANT(number < next_ticket_ && number + kTickets >= next_ticket_);
    const Ticket& ticket = tickets_[usize(number % kTickets)];
    check(cudaEventSynchronize(ticket.arrived), "a step");
    return static_cast<const std::byte*>(ticket.data);
  }

  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    activate();
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "capture");
    return std::make_unique<CudaGraph>(graph, stream_);
  }

  void multiply(const Product<float>& product) override { run(product); }
  void multiply(const Product<Half>& product) override { run(product); }
  const kernels::DeviceKernels<float>& kernels(float) const override {
    activate();
    return kernels::cuda_kernels<float>();
  }
  const kernels::DeviceKernels<Half>& kernels(Half) const override {
    activate();
    return kernels::cuda_kernels<Half>();
  }
  const kernels::SearchKernels& search_kernels() const override {
    activate();
    return kernels::cuda_search_kernels();
  }
  void* stream() const override { return stream_; }

 private:
  // CUDA's current device belongs to the thread.
  void activate() const { check(cudaSetDevice(number_), "choosing the device"); }

  // cuBLASLt counts columns first: it is given the transposed product C^T = op(B) A^T.
  template <typename T>
  void run(const Product<T>& p) {
    activate();
    constexpr cudaDataType kType = std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16F;
    const Layout b(kType, p.transposed ? p.k : p.n, p.transposed ? p.n : p.k, p.ldb);
    const Layout a(kType, p.k, p.m, p.lda);
    const Layout c(kType, p.n, p.m, p.ldc);
    b.batch(p.batch, p.b_step);
    a.batch(p.batch, p.a_step);
    c.batch(p.batch, p.c_step);
    const Operation operation;
    operation.set(CUBLASLT_MATMUL_DESC_TRANSA, p.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias != nullptr) {
      operation.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      operation.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias));
      operation.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, kType);
    }
    const ProductKey key{
        p.m,
        p.n,
        p.k,
        p.lda,
        p.ldb,
        p.ldc,
        p.batch,
        p.transposed,
        p.bias != nullptr,
        kType,
        {alignment(p.b, p.b_step), alignment(p.a, p.a_step), alignment(p.c, p.c_step)}};
    const cublasLtMatmulAlgo_t algorithm = choose(key, operation, b, a, c);
    const float one = 1.0F;
    const float zero = 0.0F;
    check(cublasLtMatmul(blas_, operation.handle, &one, p.b, b.handle, p.a, a.handle, &zero, p.c,
                         c.handle, p.c, c.handle, &algorithm, workspace_, kWorkspaceBytes, stream_),
          "product");
  }

  cublasLtMatmulAlgo_t choose(const ProductKey& key, const Operation& operation, const Layout& b,
                              const Layout& a, const Layout& c) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto known = algorithms_.find(key); known != algorithms_.end()) return known->second;
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "preference");
    const auto bytes = static_cast<std::uint64_t>(kWorkspaceBytes);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &bytes, sizeof bytes);
    const Alignments& aligned = std::get<Alignments>(key);
    const cublasLtMatmulPreferenceAttributes_t minima[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (std::size_t i = 0; i < 4; ++i)
      cublasLtMatmulPreferenceSetAttribute(
          preference, minima[i], &aligned[std::min<std::size_t>(i, 2)], sizeof aligned[0]);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(blas_, operation.handle, b.handle, a.handle, c.handle,
                                       c.handle, preference, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    check(status, "choosing an algorithm");
    ELBEAM_CHECK(count == 1, ErrorCode::kDevice, "cuBLASLt: no algorithm for a product");
    return algorithms_.emplace(key, found.algo).first->second;
  }

  int number_;
  Properties properties_;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;  // the device's own
  cublasLtHandle_t blas_ = nullptr;
  void* workspace_ = nullptr;
  struct Ticket {
    void* data = nullptr;  // pinned
    std::int64_t bytes = 0;
    cudaEvent_t arrived = nullptr;
  };
  std::array<Ticket, kTickets> tickets_;
  std::int64_t next_ticket_ = 0;
  std::mutex mutex_;  // guards algorithms_
  std::map<ProductKey, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace

std::shared_ptr<Device> make_cuda_device(int number) {
  return std::make_shared<CudaDevice>(number);
}

std::string cuda_build_text() {
  std::string text =
      concat("CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10, " for");
  for (const int capability : kCapabilities) text += concat(" sm_", capability);
  return text;
}

}  // namespace elbeam::device
