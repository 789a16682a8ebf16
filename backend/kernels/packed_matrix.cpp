#include "kernels/packed_matrix.hpp"

#include <algorithm>

namespace elbeam::kernels {
namespace {

// Below this many multiply-adds a product is done before a second thread would have begun.
constexpr std::int64_t kMinTaskWork = 64 * 1024;

}  // namespace

template <typename T>
PackedMatrix<T>::PackedMatrix(const T* weight, std::int64_t ld, std::int64_t n, std::int64_t k)
    : n_(n), k_(k) {
  const KernelTable<T>& table = kernels<T>();
  packed_.reserve(checked_mul(checked_mul(panels(), table.panel_width), k));
  table.pack_panels(weight, ld, n, k, packed_.data());
}

template <typename T>
std::int64_t PackedMatrix<T>::panels() const {
  const std::int64_t width = kernels<T>().panel_width;
  return (n_ + width - 1) / width;
}

template <typename T>
PackedGemm<T> PackedMatrix<T>::describe(Operand a, std::int64_t m, Result c,
                                        const Epilogue& epilogue) const {
  PackedGemm<T> gemm;
  gemm.m = m;
  gemm.n = n_;
  gemm.k = k_;
  gemm.a = a.data;
  gemm.lda = a.ld;
  gemm.packed = packed_.data();
  gemm.bias = epilogue.bias;
  gemm.activation = epilogue.activation;
  gemm.residual = epilogue.residual;
  gemm.c = c.data;
  gemm.ldc = c.ld;
  return gemm;
}

template <typename T>
void PackedMatrix<T>::multiply(Operand a, std::int64_t m, Result c,
                               const Epilogue& epilogue) const {
  kernels<T>().gemm_packed(describe(a, m, c, epilogue), 0, panels());
}

template <typename T>
void PackedMatrix<T>::multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue,
                               ThreadPool& pool) const {
  const PackedGemm<T> gemm = describe(a, m, c, epilogue);
  const std::int64_t count = panels();
  const std::int64_t work = m * n_ * k_;
  // A few tasks a thread even out panels that take unequal time on a busy machine.
  const std::int64_t tasks = std::max<std::int64_t>(
      1, std::min({count, work / kMinTaskWork, std::int64_t{4} * pool.threads()}));
  if (pool.threads() == 1 || tasks == 1) {
    kernels<T>().gemm_packed(gemm, 0, count);
    return;
  }
  pool.parallel_for(tasks, [&](std::int64_t task) {
    kernels<T>().gemm_packed(gemm, count * task / tasks, count * (task + 1) / tasks);
  });
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace elbeam::kernels
