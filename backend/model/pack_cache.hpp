// What a model's weights were packed into, kept in a file for the next start (--pack-cache).
#pragma once

#include "archive/checkpoint.hpp"
#include "archive/pack_file.hpp"
#include "base/thread_pool.hpp"
#include "kernels/weight_store.hpp"
#include "model/transformer.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace elbeam::model {

// The file of a model for one set of options, and what has to be true of it.
struct PackCachePlace {
  std::string path;
  nlohmann::json key;
};
// `folder` empty: that of the model. There are as many files as there are instruction sets,
// precisions and other options that change what is packed.
PackCachePlace pack_cache_place(const archive::Checkpoint& checkpoint,
                                const TransformerOptions& options, const std::string& folder);

// Finds everything in the file and computes nothing. Throws Error(kFormat) for what is not there or
// has another shape. Thread-safe.
template <typename T>
class PackedStore : public kernels::WeightStore<T> {
 public:
  using typename kernels::WeightStore<T>::Pack;
  using typename kernels::WeightStore<T>::Read;

  explicit PackedStore(std::shared_ptr<const archive::PackFile> file) : file_(std::move(file)) {}

  kernels::PackedMatrix<T> matrix(const std::string& name, kernels::MatrixShape shape,
                                  const Pack& pack) override;
  SharedArray<T> array(const std::string& name, std::int64_t size, const Read& read) override;

 private:
  std::shared_ptr<const archive::PackFile> file_;
};

// Writes everything to the file, and keeps nothing of a matrix but its shape: what is built with it
// cannot compute. Not thread-safe.
template <typename T>
class PackingStore : public kernels::WeightStore<T> {
 public:
  using typename kernels::WeightStore<T>::Pack;
  using typename kernels::WeightStore<T>::Read;

  explicit PackingStore(archive::PackFileWriter& writer) : writer_(writer) {}

  kernels::PackedMatrix<T> matrix(const std::string& name, kernels::MatrixShape shape,
                                  const Pack& pack) override;
  SharedArray<T> array(const std::string& name, std::int64_t size, const Read& read) override;

 private:
  archive::PackFileWriter& writer_;
};

// Builds the model with a store; `everything`: with all that it may ever ask the store for.
template <typename T>
using BuildTransformer = std::function<std::unique_ptr<Transformer>(
    std::shared_ptr<kernels::WeightStore<T>> store, bool everything)>;

// Builds it from the file of options.pack_cache; where there is none, writes that first. Where that
// fails, too, it is built as without a cache, and its pack_cache() says why. Calls check_numbers()
// before the numbers are read. Throws Error as building the model does.
template <typename T>
std::unique_ptr<Transformer> build_with_pack_cache(const archive::Checkpoint& checkpoint,
                                                   const TransformerOptions& options,
                                                   const BuildTransformer<T>& build);

}  // namespace elbeam::model
