// Named tensors of a checkpoint as row-major arrays of the type that the engine computes in.
#pragma once

#include "archive/checkpoint.hpp"
#include "base/aligned_buffer.hpp"
#include "kernels/kernels.hpp"

#include <cstdint>
#include <deque>
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

// A tensor that is stored in type T, aligned and row-major is used where it lies in the mapped
// file; any other is converted once, and tied tensors share the copy. Spans live as long as the
// reader. Not thread-safe.
template <typename T>
class TensorReader {
 public:
  TensorReader(std::shared_ptr<const archive::Checkpoint> checkpoint, ReaderOptions options);

  bool has(const std::string& name) const;
  // Shape of a tensor; throws Error(kModel) when it is missing or has another rank.
  std::int64_t extent(const std::string& name, std::size_t rank, std::size_t axis) const;

  std::span<const T> matrix(const std::string& name, std::int64_t rows, std::int64_t columns);
  std::span<const T> vector(const std::string& name, std::int64_t size);
  std::span<const T> optional_vector(const std::string& name,
                                     std::int64_t size);  // empty if absent

  // The scalar of a one-element tensor such as "encoder.version"; `otherwise` if absent.
  double scalar(const std::string& name, double otherwise) const;

  kernels::Storage storage() const noexcept { return options_.storage; }
  const std::string& path() const noexcept { return checkpoint_->path(); }

  // Gives back the memory of the large tensors that were used where they lie, since they have been
  // packed: without it a model would be there twice. They can be used again. Thread-safe when
  // nothing is read meanwhile.
  void let_go() const noexcept;

 private:
  // The name in the file; empty where a kept layer does not exist.
  std::string in_file(const std::string& name) const;
  const archive::TensorView& find(const std::string& name) const;
  std::span<const T> read(const std::string& name, const archive::TensorView& view);

  std::shared_ptr<const archive::Checkpoint> checkpoint_;
  ReaderOptions options_;
  std::deque<AlignedBuffer<T>> converted_;
  std::vector<std::span<const std::byte>> in_place_;  // large ones
  using Key = std::tuple<const std::byte*, std::vector<std::int64_t>, std::vector<std::int64_t>>;
  std::map<Key, std::span<const T>> done_;  // by address, shape and strides
};

}  // namespace elbeam::model
