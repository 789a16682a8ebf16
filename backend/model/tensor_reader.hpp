// Named tensors of a checkpoint as row-major arrays of the type that the engine computes in.
#pragma once

#include "archive/checkpoint.hpp"
#include "base/shared_array.hpp"
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/weight_store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace elbeam::model {

// How the names that the model asks for lie in the file.
struct TensorNames {
  std::string prefix;                      // "models.de-en." of a multilingual checkpoint
  std::vector<std::int64_t> encoder_kept;  // StackConfig::kept_layers
  std::vector<std::int64_t> decoder_kept;
};

struct ReaderOptions {
  TensorNames names;
  bool half = false;                                   // round every number to fp16
  kernels::Storage storage = kernels::Storage::kSame;  // of matrices that are packed
};

// Rows first .. first + count - 1 of a matrix [rows, columns]; count -1: all of them.
struct MatrixPart {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t first = 0;
  std::int64_t count = -1;
};

// A tensor that is stored in type T, aligned and row-major is used where it lies in the mapped
// file; any other is converted. vector() and matrix() keep what they give as long as the reader
// lives, and tied tensors share it; packed() and loan() let go of it, so that a model is not there
// twice: memory of a converted tensor, and pages of one in the file (which come back when they are
// read again). What is kept or packed goes through the store. Not thread-safe but for the functions
// that loan() gives.
template <typename T>
class TensorReader {
 public:
  TensorReader(
      std::shared_ptr<const archive::Checkpoint> checkpoint, ReaderOptions options,
      std::shared_ptr<kernels::WeightStore<T>> store = std::make_shared<kernels::WeightStore<T>>());

  bool has(const std::string& name) const;
  // Shape of a tensor; throws Error(kModel) when it is missing or has another rank.
  std::int64_t extent(const std::string& name, std::size_t rank, std::size_t axis) const;

  std::span<const T> matrix(const std::string& name, std::int64_t rows, std::int64_t columns);
  std::span<const T> vector(const std::string& name, std::int64_t size);
  std::span<const T> optional_vector(const std::string& name,
                                     std::int64_t size);  // empty if absent

  // The matrix as a product reads it, in options.storage.
  kernels::PackedMatrix<T> packed(const std::string& name, std::int64_t outputs,
                                  std::int64_t inputs);
  // Reads a matrix, or a part of its rows, when it is called. Its shape is checked now. The reader
  // has to outlive the function, and nothing else may use it while the function runs.
  std::function<SharedArray<T>()> loan(const std::string& name, const MatrixPart& part) const;

  // The scalar of a one-element tensor such as "encoder.version"; `otherwise` if absent.
  double scalar(const std::string& name, double otherwise);

  kernels::Storage storage() const noexcept { return options_.storage; }
  const std::shared_ptr<kernels::WeightStore<T>>& store() const noexcept { return store_; }
  const std::string& path() const noexcept { return checkpoint_->path(); }

 private:
  // The name in the file; empty where a kept layer does not exist.
  std::string in_file(const std::string& name) const;
  const archive::TensorView& find(const std::string& name) const;
  void check_type(const std::string& name, const archive::TensorView& view) const;
  const archive::TensorView& checked_matrix(const std::string& name, std::int64_t rows,
                                            std::int64_t columns) const;
  std::span<const T> keep(const std::string& name, const archive::TensorView& view);
  // Whether ReaderOptions::half changes its numbers.
  bool rounds(const archive::TensorView& view) const;
  bool lies_ready(const archive::TensorView& view) const;
  SharedArray<T> read(const archive::TensorView& view) const;
  SharedArray<T> lend(const archive::TensorView& view) const;

  std::shared_ptr<const archive::Checkpoint> checkpoint_;
  ReaderOptions options_;
  std::shared_ptr<kernels::WeightStore<T>> store_;
  using Key = std::tuple<const std::byte*, std::vector<std::int64_t>, std::vector<std::int64_t>>;
  std::map<Key, SharedArray<T>> kept_;  // by address, shape and strides
};

}  // namespace elbeam::model
