// The native engine: fairseq's Transformers, encoder-decoder and language models, as StepModel.
#pragma once

#include <elbeam/options.hpp>
#include <elbeam/step_model.hpp>

#include "archive/checkpoint.hpp"
#include "attention/planner.hpp"
#include "attention/weights.hpp"
#include "model/config.hpp"
#include "model/tensor_reader.hpp"
#include "model/vocabulary_selection.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::model {

struct TransformerOptions {
  Attention attention = Attention::kAuto;
  DType dtype = DType::kFp32;
  int threads = 0;                // 0: as many as the process may run on
  bool half = false;              // round the weights to fp16
  std::int64_t memory_limit = 0;  // LoadOptions::memory_limit
  // Which part of a multilingual checkpoint to run, "de-en"; empty: the only one.
  std::string language_pair;
  std::string model_overrides;  // Python literal of a dict, or empty; see overrides.hpp
  bool share_sources = true;    // LoadOptions::share_sources
  std::shared_ptr<const VocabularySelection> selection{};  // nullptr: the whole vocabulary
  // Folder of the pack cache, empty for that of the model; nothing: none is used.
  std::optional<std::string> pack_cache{};
};

// What was planned for the batch with the most source tokens so far, and its memory.
struct CacheReport {
  attention::Kind cross_kind = attention::Kind::kMha;
  attention::Kind self_kind = attention::Kind::kMha;
  std::int64_t cross_bytes = 0;  // allocated, peak over batches
  std::int64_t self_bytes = 0;   // allocated, peak over batches
  std::int64_t cross_bytes_copied = 0;
  std::int64_t cross_bytes_shared = 0;
  std::int64_t cross_bytes_el = 0;
  // Not of one batch: sentences that were encoded in all; most tokens that were selected.
  std::int64_t encoded_sentences = 0;
  std::int64_t selected_tokens = 0;
};

// What came of TransformerOptions::pack_cache.
struct PackCacheUse {
  bool read = false;                  // the weights are those of a file that was there
  bool written = false;               // the same of one that was written for this start
  std::vector<std::string> warnings;  // why a file was not used, or not written
};

class Transformer : public StepModel {
 public:
  const PackCacheUse& pack_cache() const noexcept { return pack_cache_; }
  void set_pack_cache(PackCacheUse use) { pack_cache_ = std::move(use); }
  virtual const std::string& architecture() const = 0;
  virtual std::int64_t source_vocab_size() const = 0;  // a language model's own vocabulary
  virtual CacheReport cache_report() const = 0;
  // How start() will attend to sources of these lengths, and the bytes of its caches.
  virtual attention::BatchMemory plan_memory(std::span<const std::int64_t> source_lengths,
                                             std::int64_t beam, std::int64_t steps) const = 0;

 private:
  PackCacheUse pack_cache_;
};

// What a checkpoint says about its model, with the options' overrides, and how its tensors are to
// be read. Throws as load_transformer() does.
struct ModelFacts {
  TransformerConfig config;
  ReaderOptions reading;
};
ModelFacts model_facts(const archive::Checkpoint& checkpoint, const TransformerOptions& options);

// Builds the model over the checkpoint's memory, or over that of its pack cache, with which the
// checkpoint may have been opened with DataCheck::kLater. Throws Error: kUnsupported for an
// architecture or an option that cannot be run here, kUsage for a language pair that the file does
// not have or overrides that are no dict, kModel for tensors that do not fit together.
std::unique_ptr<Transformer> load_transformer(std::shared_ptr<const archive::Checkpoint> checkpoint,
                                              const TransformerOptions& options);

}  // namespace elbeam::model
